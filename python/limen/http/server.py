"""uvicorn with what it leaves open: deadlines, a bound on what one request may send, a clean end.

A connection is always in one phase of one request: its head is awaited, its body, or the client's reading
of the answer. Nothing is timed while requests run. Once a second a sweep looks at every connection, and one
that it finds in the same phase of the same request for too long is closed. So deadlines cost the requests
nothing, and hold to within a second.

A request of a known route is answered where it was parsed, when its body is there: one call, one write, no
task and no messages. Everything else goes the way of ASGI, through the same application.

uvicorn ends by raising the signal again that stopped it, which makes a clean stop look like a crash to
whoever started the process; here a stop by SIGTERM or SIGINT returns.
"""

import contextlib
import re
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, Final, cast

import httptools
import uvicorn
from uvicorn._types import HTTPScope
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from limen.http.app import BODY_MOST, Application
from limen.http.overload import CONNECTIONS_MOST, SPARE_MOST, SPARE_SECONDS, OneRequest
from limen.http.responses import answer
from limen.wire import error_body

HEAD_SECONDS: Final = 10.0
BODY_SECONDS: Final = 30.0
ANSWER_SECONDS: Final = 30.0
IDLE_SECONDS: Final = 75
DRAIN_SECONDS: Final = 30
HEAD_MOST: Final = 64 << 10
WIRE_MOST: Final = 16 << 20

_TICKS_A_SECOND: Final = 10
_OF_THE_WISH: Final = frozenset((b"upgrade", b"connection", b"http2-settings"))
_AUTHORITY: Final = re.compile(rb"https?://(?:[^/?#]*@)?(?P<host>[^/?#@]*)(?=[/?#]|$)", re.IGNORECASE)
_IDLE, _HEAD, _BODY, _ANSWER = range(4)
_SECONDS: Final = {
    _IDLE: IDLE_SECONDS,
    _HEAD: HEAD_SECONDS,
    _BODY: BODY_SECONDS,
    _ANSWER: ANSWER_SECONDS,
}


class Protocol(HttpToolsProtocol):
    """One connection. What the parser keeps of a request (head, trailers) is bounded by its bytes."""

    def __init__(self, *args: Any, most: int = CONNECTIONS_MOST, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._application = self.app if isinstance(self.app, Application) else None
        self._most = most
        self._is_spare = False
        self._parts: list[bytes] | None = None
        self._size = 0
        self._is_awaited = False
        self._is_idle = False
        self._wished: list[bytes] = []
        self._counted: object = None
        self._taken = 0
        self._seen: tuple[object, int] = (None, _IDLE)
        self._since = 0.0

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        over = len(self.connections) - self._most
        if over > SPARE_MOST:
            transport.abort()
        elif over > 0:
            self._is_spare = True
            self.app = OneRequest(self.app)
            self._application = None

    def on_headers_complete(self) -> None:
        if self.parser.should_upgrade() and self.parser.get_method() != b"CONNECT":
            # A wish for another protocol is ignored here, but the parser has given up on what follows.
            version = self.parser.get_http_version().encode()
            self._wished = [b"%b %b HTTP/%b" % (self.parser.get_method(), self.url, version)]
            for name, value in self.headers:
                if name == b"connection" and b"close" in value.lower():
                    self._wished.append(b"connection: close")
                elif name not in _OF_THE_WISH:
                    self._wished.append(b"%b: %b" % (name, value))
            return
        cycle: RequestResponseCycle | None = self.cycle
        if (
            self._application is None
            or self.url not in self._application.paths
            or self.expect_100_continue
            # A client that does not read its answers is waited for, and only a task can wait.
            or self.flow.write_paused
            or not (cycle is None or cycle.response_complete)
        ):
            self._begin()
        else:
            self.scope["method"] = self.parser.get_method().decode()
            self._parts = []
            self._size = 0
            self._is_awaited = False

    def _begin(self) -> None:
        """The way of ASGI, for the request whose head is there."""
        super().on_headers_complete()
        if not self.url.startswith((b"/", b"*")):
            # A whole URL as the target must be of the host that the Host header names; else it is of none.
            found = _AUTHORITY.match(self.url)
            host = found["host"].lower() if found else b""
            self.headers[:] = [
                (name, b"" if name == b"host" and value.lower() != host else value)
                for name, value in self.headers
            ]

    def on_body(self, body: bytes) -> None:
        if self._parts is None:
            super().on_body(body)
        else:
            self._parts.append(body)
            self._size += len(body)

    def _may_wait(self) -> bool:
        """Whether the rest of a body may be awaited; what is too long is refused before it has come."""
        if not self._is_awaited:
            # Once: trailers come into the same list, and would be looked through for every packet of them.
            self._is_awaited = True
            announced = [int(value) for name, value in self.headers if name == b"content-length"]
            self._size = max(self._size, *announced, 0)
        return self._size <= BODY_MOST

    def _take_the_long_way(self, parts: list[bytes]) -> None:
        self._parts = None
        self._begin()
        for part in parts:
            super().on_body(part)

    def on_message_complete(self) -> None:
        if self._wished:
            return
        parts = self._parts
        if parts is not None:
            body = parts[0] if len(parts) == 1 else b"".join(parts)
            if len(body) <= BODY_MOST:
                self._parts = None
                self._answer(body)
                return
            self._take_the_long_way(parts)
        super().on_message_complete()

    def _answer(self, body: bytes) -> None:
        assert self._application is not None
        version = self.parser.get_http_version()
        scope = self.scope
        scope["http_version"] = version
        scope["path"] = self.url.decode()
        status, lines, content = self._application.respond(scope, body)
        reply = [STATUS_LINE[status]]
        for name, value in self.server_state.default_headers:
            reply += (name, b": ", value, b"\r\n")
        for name, value in lines:
            reply += (name, b": ", value, b"\r\n")
        is_kept = version != "1.0" and self.parser.should_keep_alive()
        reply.append(b"\r\n" if is_kept else b"connection: close\r\n\r\n")
        if scope["method"] != "HEAD":
            reply.append(content)
        self.transport.write(b"".join(reply))
        self.server_state.total_requests += 1
        self._is_idle = True
        if not is_kept:
            self.transport.close()

    def data_received(self, data: bytes) -> None:
        self._unset_keepalive_if_required()
        self._is_idle = False
        self._feed(data)
        if self._parts is not None and not self._may_wait():
            self._take_the_long_way(self._parts)
        scope = self.scope
        if scope is not self._counted:
            self._counted = scope
            self._taken = len(data)
        else:
            self._taken += len(data)
        if self._taken > HEAD_MOST and self._head_is_open():
            self.send_400_response(f"a head may have {HEAD_MOST} bytes")
        elif self._taken > WIRE_MOST:
            self.transport.abort()

    def _feed(self, data: bytes) -> None:
        while data and not self.transport.is_closing():
            try:
                self.parser.feed_data(data)
                return
            except httptools.HttpParserUpgrade as upgrade:
                # The same request without the wish, to a parser that has not given up.
                rest = data[upgrade.args[0] :]
                data = b"\r\n".join([*self._wished, b"", rest])
                self._wished = []
                self.parser = httptools.HttpRequestParser(self)
                # As uvicorn sets its own: what follows a close is left, and no fault of what came before.
                self.parser.set_dangerous_leniencies(lenient_data_after_close=True)
            except httptools.HttpParserError:
                self.send_400_response("this is no HTTP request")
                return

    def send_400_response(self, msg: str) -> None:
        """What cannot be parsed as HTTP gets the error body of everything else."""
        status, lines, content = answer(400, error_body(400, "invalid_request", msg))
        head = [b"HTTP/1.1 %d Bad Request\r\n" % status]
        head += [name + b": " + value + b"\r\n" for name, value in lines]
        self.transport.write(b"".join([*head, b"connection: close\r\n\r\n", content]))
        self.transport.close()
        self._parts = None

    def close_if_overdue(self, now: float) -> None:
        """The sweep asks: close if this has been in one phase for longer than the phase may take."""
        phase = self._phase()
        if self.scope is not self._seen[0] or phase != self._seen[1]:
            self._seen = (self.scope, phase)
            self._since = now
        elif self.timeout_keep_alive_task is None and now - self._since >= self._patience(phase):
            if self._parts is not None or (phase == _HEAD and self._taken):
                self.send_400_response("the request did not come in time")
            else:
                self.transport.abort()

    def _patience(self, phase: int) -> float:
        return SPARE_SECONDS if self._is_spare and phase == _HEAD else _SECONDS[phase]

    def _phase(self) -> int:
        if self._parts is not None:
            return _BODY
        cycle: RequestResponseCycle | None = self.cycle
        if cycle is not None and not cycle.response_complete:
            return _BODY if cycle.more_body else _ANSWER
        # The first byte of the next request ends the rest between two; uvicorn's own timer runs after a task.
        return _IDLE if self._is_idle or self.timeout_keep_alive_task is not None else _HEAD

    def _head_is_open(self) -> bool:
        # The scope is made when a head begins; the method is written into it when the head is complete.
        scope: HTTPScope | None = self.scope
        return scope is None or "method" not in scope


class Server(uvicorn.Server):
    """uvicorn's server, with the sweep, a word when it is ready, and a clean end."""

    def __init__(
        self, config: uvicorn.Config, ready: Callable[[], None], expire: Callable[[], object]
    ) -> None:
        super().__init__(config)
        self._ready = ready
        self._expire = expire

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._ready()

    async def on_tick(self, counter: int) -> bool:
        if counter % _TICKS_A_SECOND == 0:
            self._expire()
            for connection in list(self.server_state.connections):
                if isinstance(connection, Protocol):
                    connection.close_if_overdue(connection.loop.time())
        return await super().on_tick(counter)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """A signal asks for the end, a second SIGINT for a hasty one; none is raised again afterwards."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {
            number: signal.signal(number, self.handle_exit) for number in (signal.SIGINT, signal.SIGTERM)
        }
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def make_server(
    app: Application,
    ready: Callable[[], None] = lambda: None,
    *,
    connections: int = CONNECTIONS_MOST,
    tls_cert: Path | None = None,
    tls_key: Path | None = None,
) -> Server:
    """A server for bound sockets: `make_server(app).run([socket])` returns when it was stopped."""
    config = uvicorn.Config(
        app,
        loop="uvloop",
        http=cast("type[Protocol]", partial(Protocol, most=connections)),
        ws="none",
        interface="asgi3",
        lifespan="off",
        workers=1,
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        timeout_keep_alive=IDLE_SECONDS,
        timeout_graceful_shutdown=DRAIN_SECONDS,
        ssl_certfile=tls_cert,
        ssl_keyfile=tls_key,
    )
    return Server(config, ready, app.expire)
