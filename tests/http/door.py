"""The application without a server, driven as an ASGI server drives it.

door = Door(gateway_tokens=[{"name": "g", "token": "a-gateway-token"}])     # settings of the engine
door.post("/v1/admit", {"virtual_key": key.value, "model": "m"}).status
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from house import House
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


class Door(House):
    """A furnished engine with the application in front."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        inner = self.engine.settings
        self.app = Application(
            self.engine,
            Access([token.token.reveal() for token in inner.gateway_tokens], inner.allowed_hosts),
            key_required=inner.require_virtual_key,
        )

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
    app: Application, method: str, path: str, parts: list[bytes], lines: list[tuple[bytes, bytes]]
) -> Reply:
    """Nothing in the application waits but for messages, and those are there: so it runs without a loop."""
    waiting = list(parts)
    sent: list[Any] = []

    async def receive() -> dict[str, Any]:
        if not waiting:
            return {"type": "http.disconnect"}
        part = waiting.pop(0)
        return {"type": "http.request", "body": part, "more_body": bool(waiting)}

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {"type": "http", "method": method, "path": path, "headers": lines}
    task = app(scope, receive, send)
    try:
        task.__await__().send(None)
    except StopIteration:
        start, *bodies = sent
        content = b"".join(message["body"] for message in bodies)
        assert not bodies[-1].get("more_body")
        headers = {name.decode(): value.decode() for name, value in start["headers"]}
        assert int(headers["content-length"]) == len(content)
        return Reply(start["status"], headers, content)
    raise AssertionError("the application waits for something that is not a message")
