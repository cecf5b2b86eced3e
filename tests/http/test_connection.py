"""One connection by itself: what it may send, how long it may take, in which order it is answered.

The clock is the sweep's argument.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
import uvicorn
from door import Door
from uvicorn.server import ServerState

from house import MINUTE
from limen.http.server import (
    ANSWER_SECONDS,
    BODY_SECONDS,
    HEAD_MOST,
    HEAD_SECONDS,
    IDLE_SECONDS,
    WIRE_MOST,
    Protocol,
    make_server,
)


class Wire:
    """Stands in for the transport: what was written, and whether the connection was ended."""

    def __init__(self) -> None:
        self.written = b""
        self.ended = False

    def write(self, data: bytes) -> None:
        self.written += data

    def close(self) -> None:
        self.ended = True

    abort = close

    def is_closing(self) -> bool:
        return self.ended

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return default

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...


class Connection:
    """A connection of a server, without the socket."""

    def __init__(self, app: Any = None, **more: int) -> None:
        config = uvicorn.Config(
            app or Door().app,
            http=Protocol,
            ws="none",
            interface="asgi3",
            lifespan="off",
            log_config=None,
            proxy_headers=False,
        )
        self.wire = Wire()
        self.protocol = Protocol(config, ServerState(), {}, asyncio.get_running_loop(), **more)
        self.protocol.connection_made(self.wire)

    async def send(self, *parts: bytes) -> None:
        for part in parts:
            if not self.wire.ended:
                self.protocol.data_received(part)
            await settle()

    def is_ended_at(self, now: float) -> bool:
        self.protocol.close_if_overdue(now)
        return self.wire.ended


async def settle() -> None:
    """Lets every task go on until it waits for the connection."""
    for _ in range(5):
        await asyncio.sleep(0)


def head(*lines: str, method: str = "POST", path: str = "/v1/admit") -> bytes:
    fixed = (f"{method} {path} HTTP/1.1", "host: localhost", "content-type: application/json")
    return "\r\n".join((*fixed, *lines, "", "")).encode()


WHOLE = head(method="GET", path="/health")
CHUNKED = head("transfer-encoding: chunked")


@pytest.mark.parametrize(
    ("raw", "seconds"),
    [
        (b"\r\n", HEAD_SECONDS),
        (b"POST /v1/ad", HEAD_SECONDS),
        (WHOLE[:-2], HEAD_SECONDS),
        (head("content-length: 9"), BODY_SECONDS),
        (head("content-length: 9") + b"{", BODY_SECONDS),
        (CHUNKED + b"1\r\n{\r\n", BODY_SECONDS),
    ],
    ids=["empty line", "half a line", "half a head", "no body", "half a body", "half the chunks"],
)
@pytest.mark.parametrize("before", [b"", WHOLE], ids=["first request", "later request"])
def test_what_does_not_come_in_time_ends_the_connection(raw: bytes, seconds: float, before: bytes) -> None:
    async def scene() -> None:
        connection = Connection()
        if before:
            await connection.send(before)
            assert b"200 OK" in connection.wire.written
        await connection.send(raw)
        assert not connection.is_ended_at(50)
        assert not connection.is_ended_at(50 + seconds - 0.1)
        assert b"400 Bad Request" not in connection.wire.written
        assert connection.is_ended_at(50 + seconds)
        assert connection.wire.written.count(b"HTTP/1.1 400 Bad Request") == 1
        assert b"did not come in time" in connection.wire.written

    asyncio.run(scene())


@pytest.mark.parametrize("raw", [b"", b"{"], ids=["no body", "half a body"])
def test_a_change_whose_body_does_not_come_in_time_ends_the_connection_and_is_not_made(raw: bytes) -> None:
    async def scene() -> None:
        door = Door()
        connection = Connection(door.app)
        await connection.send(head("content-length: 13", path="/api/governance/teams") + raw)
        assert not connection.is_ended_at(50)
        assert not connection.is_ended_at(50 + BODY_SECONDS - 0.1)
        assert connection.is_ended_at(50 + BODY_SECONDS)
        connection.protocol.connection_lost(None)
        await settle()
        assert door.engine.teams.list().count == 0

    asyncio.run(scene())


def test_a_connection_that_says_nothing_ends() -> None:
    async def scene() -> None:
        connection = Connection()
        assert not connection.is_ended_at(0)
        assert connection.is_ended_at(HEAD_SECONDS)

    asyncio.run(scene())


def test_an_idle_connection_between_requests_ends_when_it_has_been_idle_for_long() -> None:
    async def scene() -> None:
        connection = Connection()
        for _ in range(2):
            await connection.send(WHOLE)
            assert not connection.is_ended_at(50)
            assert not connection.is_ended_at(50 + IDLE_SECONDS - 0.1)
        assert connection.is_ended_at(50 + 2 * IDLE_SECONDS)

    asyncio.run(scene())


def test_an_idle_connection_after_a_task_is_left_to_its_own_timer() -> None:
    async def scene() -> None:
        connection = Connection()
        await connection.send(head(method="GET", path="/nowhere"))
        assert b"404 Not Found" in connection.wire.written
        assert not connection.is_ended_at(0)
        assert not connection.is_ended_at(1e6)
        connection.protocol.connection_lost(None)

    asyncio.run(scene())


def test_steady_traffic_is_never_overdue() -> None:
    async def scene() -> None:
        connection = Connection()
        for second in range(100):
            await connection.send(WHOLE)
            assert not connection.is_ended_at(second)
        connection.protocol.connection_lost(None)

    asyncio.run(scene())


def test_a_client_that_does_not_read_its_answer_ends() -> None:
    async def stuck(scope: Any, receive: Any, send: Any) -> None:
        await asyncio.Event().wait()

    async def scene() -> None:
        connection = Connection(stuck)
        await connection.send(WHOLE)
        assert not connection.is_ended_at(0)
        assert connection.is_ended_at(ANSWER_SECONDS)
        for task in connection.protocol.tasks:
            task.cancel()
        await settle()

    asyncio.run(scene())


def repeated(line: bytes, most: int) -> Callable[[], list[bytes]]:
    piece = line * (8192 // len(line) + 1)
    return lambda: [piece] * (most // len(piece) + 2)


@pytest.mark.parametrize(
    ("start", "more"),
    [
        (b"", repeated(b"\r\n", HEAD_MOST)),
        (b"GET /", repeated(b"a", HEAD_MOST)),
        (WHOLE[:-2] + b"x: ", repeated(b"a", HEAD_MOST)),
        (WHOLE[:-2], repeated(b"x: y\r\n", HEAD_MOST)),
        (CHUNKED + b"0\r\n", repeated(b"x: y\r\n", WIRE_MOST)),
        (CHUNKED + b"1;", repeated(b"a", WIRE_MOST)),
    ],
    ids=["empty lines", "url", "one long header", "many headers", "trailers", "chunk extension"],
)
def test_a_request_that_never_ends_is_cut_off(start: bytes, more: Callable[[], list[bytes]]) -> None:
    async def scene() -> None:
        connection = Connection()
        await connection.send(start, *more())
        assert connection.wire.ended
        connection.protocol.connection_lost(None)
        await settle()

    asyncio.run(scene())


def test_a_head_of_ordinary_size_passes_however_it_is_cut() -> None:
    async def scene() -> None:
        raw = head(*(f"x-{n}: {'y' * 60}" for n in range(200)), method="GET", path="/health")
        connection = Connection()
        await connection.send(*(raw[at : at + 100] for at in range(0, len(raw), 100)))
        assert b"200 OK" in connection.wire.written
        connection.protocol.connection_lost(None)

    asyncio.run(scene())


FAULTY = head("content-length: 2") + b"[]"


@pytest.mark.parametrize("raw", [WHOLE, FAULTY, head("transfer-encoding: chunked") + b"2\r\n[]\r\n0\r\n\r\n"])
def test_an_answer_is_the_same_however_the_request_was_cut(raw: bytes) -> None:
    async def scene(size: int) -> bytes:
        connection = Connection()
        await connection.send(*(raw[at : at + size] for at in range(0, len(raw), size)))
        connection.protocol.connection_lost(None)
        return connection.wire.written

    whole, pieces = asyncio.run(scene(len(raw))), asyncio.run(scene(1))
    assert whole == pieces
    assert whole.startswith(b"HTTP/1.1 ")


@pytest.mark.parametrize("size", [1, 7, 100, 10_000])
def test_requests_sent_ahead_are_answered_in_their_order(size: int) -> None:
    async def scene() -> list[bytes]:
        raw = (FAULTY + WHOLE) * 3 + head("connection: close", method="GET", path="/health")
        connection = Connection()
        await connection.send(*(raw[at : at + size] for at in range(0, len(raw), size)))
        await settle()
        assert connection.wire.ended
        connection.protocol.connection_lost(None)
        return [line for line in connection.wire.written.split(b"\r\n") if b"HTTP/1.1" in line]

    statuses = [line.rpartition(b"HTTP/1.1 ")[2][:3] for line in asyncio.run(scene())]
    assert statuses == [b"400", b"200"] * 3 + [b"200"]


def test_a_head_request_is_answered_without_a_body() -> None:
    async def scene() -> bytes:
        connection = Connection()
        await connection.send(head(method="HEAD", path="/health"))
        connection.protocol.connection_lost(None)
        return connection.wire.written

    lines, _, body = asyncio.run(scene()).partition(b"\r\n\r\n")
    assert b"200 OK" in lines
    assert body == b""


def test_a_connection_of_http_1_0_ends_with_its_answer() -> None:
    async def scene() -> None:
        connection = Connection()
        await connection.send(WHOLE.replace(b"HTTP/1.1", b"HTTP/1.0"))
        assert b"connection: close" in connection.wire.written
        assert connection.wire.ended

    asyncio.run(scene())


def test_a_client_that_waits_for_leave_to_send_gets_it() -> None:
    async def scene() -> None:
        connection = Connection()
        await connection.send(head("content-length: 2", "expect: 100-continue"))
        assert connection.wire.written == b"HTTP/1.1 100 Continue\r\n\r\n"
        await connection.send(b"[]")
        assert b"400 Bad Request" in connection.wire.written
        connection.protocol.connection_lost(None)

    asyncio.run(scene())


def test_a_server_without_traffic_expires_what_is_overdue() -> None:
    door = Door()
    key = door.key(tokens=(100, "1h"))
    door.admit(key, tokens=40)
    door.at(10 * MINUTE)
    server = make_server(door.app)
    server.config.load()
    asyncio.run(server.on_tick(0))
    assert door.engine.open_permits() == 0
    assert door.tokens(key) == (40, 0)
