"""All routes in one screen, and the way of a request: head, body, decision, answer.

    app = Application(engine, Access(gateway_tokens=["..."]), key_required=True)     # any ASGI server

There is no router and no request object on the way of a decision: a look-up by path, one pass over the
headers, one function from bytes to bytes. What a function raises becomes the one error body.

Administration may wait for the disk, and decisions must not: its routes are called on threads of their own,
few of them, so that however busy the one is the other goes on.
"""

import asyncio
import contextvars
import logging
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Final, TypeAlias
from urllib.parse import quote

from limen.actor import actor
from limen.errors import LimenError, fault
from limen.http import admin, manual
from limen.http.auth import NOBODY, Access, Caller, single
from limen.http.data import DataPlane
from limen.http.health import Health
from limen.http.responses import Answer, fault_answer

if TYPE_CHECKING:
    from limen import Engine

Scope: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send: TypeAlias = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Decide: TypeAlias = Callable[[bytes, Caller], Answer]

BODY_MOST: Final = 1 << 20
DRAIN_MOST: Final = 8 << 20
_VERSIONS: Final = frozenset(("1.1", "1.0"))
_SIZE_DIGITS: Final = len(str(BODY_MOST))
_ADMIN_THREADS: Final = 4
_READS: Final = frozenset(("GET", "HEAD"))
_CLOSE: Final = (b"connection", b"close")
_CHALLENGES: Final = [
    (b"www-authenticate", b'Bearer realm="limen"'),
    (b"www-authenticate", b'Basic realm="limen", charset="UTF-8"'),
]
_log = logging.getLogger("limen.http")


def routes(engine: "Engine", *, key_required: bool) -> dict[str, dict[str, Decide]]:
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
        "/api/version": {"GET": health.version, "HEAD": health.version},
        "/openapi.json": {"GET": manual.openapi, "HEAD": manual.openapi},
        "/docs": {"GET": manual.docs, "HEAD": manual.docs},
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
        self._administration = admin.routes(engine)
        self._threads = ThreadPoolExecutor(_ADMIN_THREADS, "limen-admin")

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
            if scope["path"] in self._routes:
                decide, caller = self._open(scope)
                body = await _whole(receive) if scope["method"] == "POST" else b""
                answer = None if body is None else decide(body, caller)
            else:
                answer = await self._administer(scope, receive)
            if answer is None:
                return  # the client is gone before it had asked
            status, lines, content = answer
        except LimenError as error:
            if error.code == "body_too_large":
                await _refuse_body(error, receive, send)
                return
            status, lines, content = self._fault(error, scope)
        except Exception:  # noqa: BLE001 - as above
            status, lines, content = _failure()
        await send({"type": "http.response.start", "status": status, "headers": lines})
        await send({"type": "http.response.body", "body": content})

    async def _administer(self, scope: Scope, receive: Receive) -> Answer | None:
        """The answer of an admin route, called on a thread; None where the client went away."""
        headers = self._head(scope)
        methods, at = self._find(scope)
        route = methods.get(scope["method"])
        if route is None:
            raise fault("method_not_allowed")
        key, context = None, contextvars.copy_context()
        if route.who == "admin":
            asks = self._access.admins.admit(headers.get(b"authorization"), _peer(scope))
            if asks.role == "read" and scope["method"] not in _READS:
                raise fault("read_only")
            context.run(actor.set, asks.name)
        elif route.who == "holder":
            key = self._access.caller(headers).key
        body = b""
        if scope["method"] in ("POST", "PUT"):
            _check_content(headers)
            whole = await _whole(receive)
            if whole is None:
                return None
            body = whole
        asked = admin.Asked(scope["headers"], scope.get("query_string", b""), body, at, key)
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._threads, context.run, route.call, asked)

    def _find(self, scope: Mapping[str, Any]) -> tuple[Mapping[str, Any], Mapping[str, str]]:
        """The routes of a path by method, and its parameters."""
        methods = self._routes.get(scope["path"])
        if methods is not None:
            return methods, {}
        found = self._administration.find(scope.get("raw_path") or quote(scope["path"]).encode())
        if found is None:
            raise fault("not_found", "there is no such route")
        return found

    def _head(self, scope: Mapping[str, Any]) -> dict[bytes, bytes]:
        """What every head must have: a host of ours, and no way to be read in two ways."""
        headers = single(scope["headers"])
        self._access.refuse_foreign_host(headers.get(b"host"))
        _check_framing(scope, headers)
        return headers

    def _open(self, scope: Mapping[str, Any]) -> tuple[Decide, Caller]:
        """What the head alone decides: the host, the method, the media type, the credentials."""
        headers = self._head(scope)
        decide = self._routes[scope["path"]].get(scope["method"])
        if decide is None:
            raise fault("method_not_allowed")
        if scope["method"] != "POST":
            return decide, NOBODY
        _check_content(headers)
        return decide, self._access.caller(headers)

    def _fault(self, error: LimenError, scope: Mapping[str, Any]) -> Answer:
        lines: list[tuple[bytes, bytes]] = []
        if error.code == "method_not_allowed":
            lines = [(b"allow", ", ".join(self._find(scope)[0]).encode())]
        elif error.code == "admin_required":
            lines = _CHALLENGES
        elif error.code == "too_many_logins":
            lines = [(b"retry-after", b"%d" % self._access.admins.wait(_peer(scope)))]
        return fault_answer(error, lines)


def _peer(scope: Mapping[str, Any]) -> str:
    """Whom failed logins are counted by: the address; all who come by a Unix socket are one."""
    client = scope.get("client")
    return str(client[0]) if client else ""


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
