"""All routes in one screen, and the way of a request: head, body, decision, answer.

    app = Application(engine, Access(gateway_tokens=["..."]), key_required=True)     # any ASGI server

There is no router and no request object on the way: a look-up by path, one pass over the headers, one
function from bytes to bytes. What a function raises becomes the one error body.
"""

import logging
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from limen.errors import LimenError, fault
from limen.http.auth import NOBODY, Access, Caller, single
from limen.http.data import DataPlane
from limen.http.health import Health
from limen.http.responses import Answer, fault_answer

if TYPE_CHECKING:
    from limen import Engine

Scope: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send: TypeAlias = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Route: TypeAlias = Callable[[bytes, Caller], Answer]

BODY_MOST: Final = 1 << 20
DRAIN_MOST: Final = 8 << 20
_VERSIONS: Final = frozenset(("1.1", "1.0"))
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


class Application:
    """The ASGI application over one engine. Run it in one process only: the counters live in it.

    `respond` is the same application for a server that has the whole request at hand: a plain call, no task.
    """

    def __init__(self, engine: "Engine", access: Access, *, key_required: bool) -> None:
        self._routes = routes(engine, key_required=key_required)
        self.paths = frozenset(path.encode() for path in self._routes)
        # What nobody settles expires, also where nobody asks: the server calls this once a second.
        self.expire = engine.sweep
        self._access = access

    def respond(self, scope: Mapping[str, Any], body: bytes) -> Answer:
        """The answer to a request whose body is there, and is no longer than `BODY_MOST`. Never raises."""
        try:
            decide, caller = self._open(scope)
            return decide(body, caller)
        except LimenError as error:
            return self._fault(error, scope)
        except Exception:  # noqa: BLE001 - whatever it is, the client gets a body and no trace
            return _failure()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await _other(scope, receive, send)
            return
        try:
            decide, caller = self._open(scope)
            body = await _whole(receive) if scope["method"] == "POST" else b""
            if body is None:
                return  # the client is gone before it had asked
            status, lines, content = decide(body, caller)
        except LimenError as error:
            if error.code == "body_too_large":
                await _refuse_body(error, receive, send)
                return
            status, lines, content = self._fault(error, scope)
        except Exception:  # noqa: BLE001 - as above
            status, lines, content = _failure()
        await send({"type": "http.response.start", "status": status, "headers": lines})
        await send({"type": "http.response.body", "body": content})

    def _open(self, scope: Mapping[str, Any]) -> tuple[Route, Caller]:
        """What the head alone decides: the host, the route, the media type, the credentials."""
        headers = single(scope["headers"])
        self._access.refuse_foreign_host(headers.get(b"host"))
        _check_framing(scope, headers)
        methods = self._routes.get(scope["path"])
        if methods is None:
            raise fault("not_found", "there is no such route")
        decide = methods.get(scope["method"])
        if decide is None:
            raise fault("method_not_allowed")
        if scope["method"] != "POST":
            return decide, NOBODY
        _check_content(headers)
        return decide, self._access.caller(headers)

    def _fault(self, error: LimenError, scope: Mapping[str, Any]) -> Answer:
        found = fault_answer(error)
        if error.code == "method_not_allowed":
            found[1].append((b"allow", ", ".join(self._routes[scope["path"]]).encode()))
        return found


def _failure() -> Answer:
    _log.exception("a request failed in a way that has no code")
    return fault_answer(fault("internal_error"))


def _check_framing(scope: Mapping[str, Any], headers: dict[bytes, bytes]) -> None:
    """400 for a message that another reader on the way may have understood otherwise."""
    if scope.get("http_version", "1.1") not in _VERSIONS:
        raise fault("invalid_request", "this server speaks HTTP/1.1 and HTTP/1.0")
    coding = headers.get(b"transfer-encoding")
    if coding is not None and coding.lower() != b"chunked":
        raise fault("invalid_request", "the only transfer coding that is understood is chunked")


def _check_content(headers: dict[bytes, bytes]) -> None:
    """415 for what does not say that it is JSON: any web page may send plain forms to us, but not this."""
    kind = headers.get(b"content-type", b"")
    if kind != b"application/json":
        media, _, rest = kind.lower().partition(b";")
        charset = rest.strip().replace(b'"', b"")
        if media.strip() != b"application/json" or charset not in (b"", b"charset=utf-8"):
            raise fault("unsupported_media_type", "the content type must be application/json")
    if headers.get(b"content-encoding", b"identity").lower() != b"identity":
        raise fault("unsupported_media_type", "the body must not be encoded")
    size = headers.get(b"content-length", b"").lstrip(b"0")
    if len(size) >= _SIZE_DIGITS and (len(size) > _SIZE_DIGITS or int(size) > BODY_MOST):
        raise fault("body_too_large", f"a body may have {BODY_MOST} bytes")


async def _whole(receive: Receive) -> bytes | None:
    """The body, in however many parts it comes, none beyond the cap; None where the client went away."""
    parts: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] != "http.request":
            return None
        part = message.get("body", b"")
        size += len(part)
        if size > BODY_MOST:
            raise fault("body_too_large", f"a body may have {BODY_MOST} bytes")
        if not message.get("more_body"):
            return b"".join([*parts, part]) if parts else part
        parts.append(part)


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
