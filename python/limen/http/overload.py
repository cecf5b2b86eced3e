"""More connections than there is room for: a few are kept, so that administration gets in.

Every connection may hold the body of a request, so their number bounds the memory; and the files that a
process may open bound their number. Beyond it a connection is spare: it serves one request and ends. A
decision on it is refused at once, however many callers press, and an administrator is answered.
"""

import resource
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Final

from limen.errors import fault
from limen.http.responses import fault_answer

CONNECTIONS_MOST: Final = 4096
SPARE_MOST: Final = 32
SPARE_SECONDS: Final = 1.0
"""How long a spare connection may say nothing: whoever is silent keeps the others out."""

_OWN_FILES: Final = 64
_RETRY: Final = (b"retry-after", b"1")
_CLOSE: Final = (b"connection", b"close")
_DECISIONS: Final = "/v1/"

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]


def room() -> int:
    """For how many connections the process has files; it takes as many as it is allowed."""
    wanted = CONNECTIONS_MOST + SPARE_MOST + _OWN_FILES
    files, allowed = resource.getrlimit(resource.RLIMIT_NOFILE)
    if files == resource.RLIM_INFINITY or files >= wanted:
        return CONNECTIONS_MOST
    files = wanted if allowed == resource.RLIM_INFINITY else min(wanted, allowed)
    resource.setrlimit(resource.RLIMIT_NOFILE, (files, allowed))
    return max(1, files - SPARE_MOST - _OWN_FILES)


class OneRequest:
    """The application, on a spare connection."""

    def __init__(self, application: Callable[[Any, Receive, Send], Awaitable[None]]) -> None:
        self._application = application

    async def __call__(self, scope: Any, receive: Receive, send: Send) -> None:
        async def send_last(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], _CLOSE]
            await send(message)

        if not scope["path"].startswith(_DECISIONS):
            await self._application(scope, receive, send_last)
            return
        status, lines, content = fault_answer(fault("overloaded"), [_RETRY])
        await send_last({"type": "http.response.start", "status": status, "headers": lines})
        await send_last({"type": "http.response.body", "body": content})
