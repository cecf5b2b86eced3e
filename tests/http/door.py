"""The application without a server, driven as an ASGI server drives it.

door = Door(gateway_tokens=[{"name": "g", "token": "a-gateway-token"}])     # settings of the engine
door.post("/v1/admit", {"virtual_key": key.value, "model": "m"}).status
"""

from __future__ import annotations

import asyncio
import atexit
import json
import threading
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple
from urllib.parse import unquote

from house import House
from limen.http.admins import Admin, Admins
from limen.http.app import Application
from limen.http.auth import Access


class Reply(NamedTuple):
    status: int
    headers: dict[str, str]
    content: bytes

    @property
    def body(self) -> Any:
        return json.loads(self.content)

    @property
    def code(self) -> str:
        return str(self.body["type"])

    @property
    def param(self) -> str | None:
        return self.body["error"].get("param")


PEER = "192.0.2.1"


class Clock:
    """Seconds that a test counts."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


def application(engine: Any, clock: Clock | None = None) -> Application:
    """The application as a server would have it on loopback: without admin tokens anyone administers."""
    inner = engine.settings
    known = [Admin(one.name, one.role, b"bearer", one.token.reveal().encode()) for one in inner.admin_tokens]
    access = Access(
        [token.token.reveal() for token in inner.gateway_tokens],
        inner.allowed_hosts,
        admins=Admins(known, is_open=True, clock=clock or Clock()),
    )
    return Application(engine, access, key_required=inner.require_virtual_key)


class Door(House):
    """A furnished engine with the application in front."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.seconds = Clock()
        self.app = application(self.engine, self.seconds)

    def post(self, path: str, body: Any, headers: dict[str, str] | None = None) -> Reply:
        return self.call(
            "POST", path, [body if isinstance(body, bytes) else json.dumps(body).encode()], headers
        )

    def call(
        self,
        method: str,
        path: str,
        parts: Iterable[bytes] = (b"",),
        headers: Mapping[str, str | None] | None = None,
    ) -> Reply:
        """One request whose body comes in `parts`; a header set to None is left out."""
        given = {"host": "localhost:8080", "content-type": "application/json", **(headers or {})}
        lines = [(name.encode(), value.encode()) for name, value in given.items() if value is not None]
        return drive(self.app, method, path, list(parts), lines)


def drive(
    app: Application,
    method: str,
    target: str,
    parts: list[bytes],
    lines: list[tuple[bytes, bytes]],
    peer: str = PEER,
) -> Reply:
    """One request through the application. A decision waits for nothing but messages, and those are there: so
    it runs without a loop. An admin route waits for its thread."""
    waiting = list(parts)
    sent: list[Any] = []

    async def receive() -> dict[str, Any]:
        if not waiting:
            return {"type": "http.disconnect"}
        part = waiting.pop(0)
        return {"type": "http.request", "body": part, "more_body": bool(waiting)}

    async def send(message: Any) -> None:
        sent.append(message)

    path, _, query = target.partition("?")
    scope = {
        "type": "http",
        "method": method,
        "path": unquote(path),
        "raw_path": path.encode(),
        "query_string": query.encode(),
        "headers": lines,
        "client": (peer, 5000),
    }
    task = app(scope, receive, send)
    if scope["path"] in app._routes:
        try:
            task.__await__().send(None)
        except StopIteration:
            pass
        else:
            raise AssertionError("a decision waits for something that is not a message")
    else:
        waited(task)
    start, *bodies = sent
    content = b"".join(message["body"] for message in bodies)
    assert not bodies[-1].get("more_body")
    headers = {name.decode(): value.decode() for name, value in start["headers"]}
    assert int(headers.get("content-length", 0)) == len(content)
    return Reply(start["status"], headers, content)


_LOOP = asyncio.Runner()
"""To make one takes longer than most requests; it serves the main thread alone."""
atexit.register(_LOOP.close)


def waited(task: Any) -> None:
    run = _LOOP.run if threading.current_thread() is threading.main_thread() else asyncio.run
    run(task)
