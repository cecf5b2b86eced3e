"""All routes in one screen, and the way of a request: head, body, decision, answer.

    app = create_app(engine, Access(gateway_tokens=["..."]), key_required=True)     # any ASGI server

There is no router and no request object on the way: a look-up by path, one pass over the headers, one
function from bytes to bytes. What a function raises becomes the one error body.
"""

import logging
from collections.abc import Awaitable, Callable, MutableMapping
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from limen.errors import LimenError, fault
from limen.http.auth import NOBODY, Access, Caller, single
from limen.http.data import DataPlane
from limen.http.health import Health
from limen.http.responses import Answer, answer, fault_answer
from limen.wire import error_body

if TYPE_CHECKING:
    from limen import Engine

Scope: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send: TypeAlias = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App: TypeAlias = Callable[[Scope, Receive, Send], Awaitable[None]]
Route: TypeAlias = Callable[[bytes, Caller], Answer]

BODY_MOST: Final = 1 << 20
DRAIN_MOST: Final = 8 << 20
_SIZE_DIGITS: Final = len(str(BODY_MOST))
_CLOSE: Final = (b"connection", b"close")
_log = logging.getLogger("limen.http")


def routes(engine: "Engine", *, key_required: bool) -> dict[str, dict[str, Route]]:
    """Every route: path, method, function."""
    data = DataPlane(engine, key_required=key_required)
    health = Health(engine)
    return {
        "/v1/admit": {"POST": data.admit},
        "/v1/settle": {"POST": data.settle},
        "/v1/update": {"POST": data.update},
        "/v1/release": {"POST": data.release},
        "/v1/peek": {"POST": data.peek},
        "/v1/batch": {"POST": data.batch},
        "/health": {"GET": health.get, "HEAD": health.get},
    }


def create_app(engine: "Engine", access: Access, *, key_required: bool) -> App:
    """The ASGI application over one engine. Run it in one process only: the counters live in it."""
    table = routes(engine, key_required=key_required)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await _other(scope, receive, send)
            return
        try:
            headers = single(scope["headers"])
            access.refuse_foreign_host(headers.get(b"host"))
            route = table.get(scope["path"])
            if route is None:
                raise fault("not_found", "there is no such route")
            decide = route.get(scope["method"])
            if decide is None:
                raise fault("method_not_allowed")
            if scope["method"] == "POST":
                _check_content(headers)
                caller = access.caller(headers)
                message = await receive()
                body = message["body"] if message["type"] == "http.request" else None
                if body is None or message.get("more_body") or len(body) > BODY_MOST:
                    body = await _whole(body, message, receive)
                    if body is None:
                        return  # the client is gone before it had asked
                status, lines, content = decide(body, caller)
            else:
                status, lines, content = decide(b"", NOBODY)
        except LimenError as error:
            if error.code == "body_too_large":
                await _refuse_body(error, receive, send)
                return
            status, lines, content = fault_answer(error)
            if error.code == "method_not_allowed":
                lines.append((b"allow", ", ".join(table[scope["path"]]).encode()))
        except Exception:  # noqa: BLE001 - whatever it is, the client gets a body and no trace
            _log.exception("a request failed in a way that has no code")
            failed = error_body(500, "internal_error", "the server failed at this request")
            status, lines, content = answer(500, failed)
        await send({"type": "http.response.start", "status": status, "headers": lines})
        await send({"type": "http.response.body", "body": content})

    return app


def _check_content(headers: dict[bytes, bytes]) -> None:
    """415 for what does not say that it is JSON: any web page may send plain forms to us, but not this."""
    kind = headers.get(b"content-type", b"")
    if kind != b"application/json":
        media, _, rest = kind.lower().partition(b";")
        charset = rest.strip().replace(b'"', b"")
        if media.strip() != b"application/json" or charset not in (b"", b"charset=utf-8"):
            raise fault("unsupported_media_type", "the content type must be application/json")
    size = headers.get(b"content-length", b"")
    if len(size) >= _SIZE_DIGITS and (len(size) > _SIZE_DIGITS or int(size) > BODY_MOST):
        raise fault("body_too_large", f"a body may have {BODY_MOST} bytes")


async def _whole(body: bytes | None, message: MutableMapping[str, Any], receive: Receive) -> bytes | None:
    """A body that comes in parts; None where the client went away. The cap holds at every part."""
    parts = [body or b""]
    size = len(parts[0])
    while size <= BODY_MOST:
        if message["type"] != "http.request":
            return None
        if not message.get("more_body"):
            return b"".join(parts)
        message = await receive()
        part = message.get("body", b"")
        size += len(part)
        parts.append(part)
    raise fault("body_too_large", f"a body may have {BODY_MOST} bytes")


async def _refuse_body(error: LimenError, receive: Receive, send: Send) -> None:
    """Answers at once, then reads the rest away for a while.

    A client that is still sending when the connection closes would see a reset, and not the answer.
    """
    status, lines, content = fault_answer(error, [_CLOSE])
    await send({"type": "http.response.start", "status": status, "headers": lines})
    await send({"type": "http.response.body", "body": content, "more_body": True})
    left = DRAIN_MOST
    while left > 0:
        message = await receive()
        left -= len(message.get("body", b""))
        if not message.get("more_body"):
            break
    await send({"type": "http.response.body", "body": b""})


async def _other(scope: Scope, receive: Receive, send: Send) -> None:
    """The two other kinds of scope: a start and a stop without work, and no WebSockets."""
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.close", "code": 1000})
        return
    while True:
        message = await receive()
        if message["type"] == "lifespan.startup":
            await send({"type": "lifespan.startup.complete"})
        elif message["type"] == "lifespan.shutdown":
            await send({"type": "lifespan.shutdown.complete"})
            return
