"""The peer of the HTTP rows: a bare ASGI callable that decodes and encodes the same bodies with msgspec.

It decides nothing. `python bare.py` serves it under uvicorn with uvloop and httptools, and prints its port.
"""

from __future__ import annotations

import socket
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

import msgspec
import uvicorn
from common import ASKED_USD, MODEL, PROVIDER

Message = MutableMapping[str, Any]


class Ask(msgspec.Struct, forbid_unknown_fields=True):
    """The body of a request."""

    virtual_key: str
    model: str
    input_tokens: int
    max_output_tokens: int
    cost_usd: float


class Held(msgspec.Struct):
    """What a permit holds."""

    requests: int
    tokens: int
    cost_usd: float
    price: str


class Permit(msgspec.Struct):
    """The body of an answer."""

    allowed: bool
    permit: str
    provider: str
    model: str
    key_id: str | None
    fallbacks: list[str]
    rule_id: str | None
    max_output_tokens: int | None
    held: Held
    expires_at: str


decode = msgspec.json.Decoder(Ask).decode
encode = msgspec.json.Encoder().encode


async def app(
    scope: Message,
    receive: Callable[[], Awaitable[Message]],
    send: Callable[[Message], Awaitable[None]],
) -> None:
    ask = decode((await receive())["body"])
    permit = Permit(
        allowed=True,
        permit=f"pmt_{0:056x}",
        provider=PROVIDER,
        model=MODEL,
        key_id=None,
        fallbacks=[],
        rule_id=None,
        max_output_tokens=None,
        held=Held(1, ask.input_tokens + ask.max_output_tokens, ASKED_USD, "stated"),
        expires_at="2026-12-01T00:00:00.000Z",
    )
    body = encode(permit)
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


if __name__ == "__main__":
    listener = socket.create_server(("127.0.0.1", 0))
    print(listener.getsockname()[1], flush=True)
    config = uvicorn.Config(
        app,
        loop="uvloop",
        http="httptools",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        # Its connections rest while the other server is measured.
        timeout_keep_alive=600,
    )
    uvicorn.Server(config).run(sockets=[listener])
