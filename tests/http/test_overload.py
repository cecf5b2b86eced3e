"""More connections than there is room for: decisions on them get 503 at once, administration is answered."""

from __future__ import annotations

import asyncio
import http.client
import json
import resource
from collections.abc import Iterator
from typing import Any

import pytest
from served import WAIT, Running
from test_connection import WHOLE, Connection, head

from limen.http import overload
from limen.http.overload import CONNECTIONS_MOST, SPARE_MOST, SPARE_SECONDS, room
from limen.http.server import BODY_SECONDS

MOST = 3
TEAMS = "/api/governance/teams"


@pytest.fixture
def running() -> Iterator[Running]:
    running = Running(MOST)
    yield running
    running.stop()


class Callers:
    """Connections of a gateway, as many as there is room for, all between two requests."""

    def __init__(self, running: Running) -> None:
        self.running = running
        self.body = {"virtual_key": running.door.key().value, "model": "m", "provider": "p"}
        self.open: list[http.client.HTTPConnection] = []
        for _ in range(MOST):
            assert self.admit(self.connect())[0] == 200

    def connect(self) -> http.client.HTTPConnection:
        connection = http.client.HTTPConnection("127.0.0.1", self.running.port, timeout=WAIT)
        self.open.append(connection)
        return connection

    def admit(self, connection: http.client.HTTPConnection) -> tuple[int, Any]:
        return self.ask(connection, "POST", "/v1/admit", self.body)

    def ask(
        self, connection: http.client.HTTPConnection, method: str, path: str, body: Any = None
    ) -> tuple[int, Any]:
        connection.request(method, path, json.dumps(body), {"content-type": "application/json"})
        reply = connection.getresponse()
        self.headers = reply.headers
        return reply.status, json.loads(reply.read())


@pytest.fixture
def callers(running: Running) -> Iterator[Callers]:
    callers = Callers(running)
    yield callers
    for connection in callers.open:
        connection.close()


def test_a_decision_beyond_the_bound_is_refused_and_those_within_go_on(callers: Callers) -> None:
    for _ in range(SPARE_MOST + 5):  # each ends with its answer, so none of them keeps the next one out
        spare = callers.connect()
        status, body = callers.admit(spare)
        assert (status, body["type"]) == (503, "overloaded")
        assert (callers.headers["connection"], callers.headers["retry-after"]) == ("close", "1")
    for connection in callers.open[:MOST]:
        assert callers.admit(connection)[0] == 200


def test_administration_gets_in_whoever_presses(callers: Callers) -> None:
    for number in range(5):
        assert callers.admit(callers.connect())[0] == 503
        status, body = callers.ask(callers.connect(), "POST", TEAMS, {"name": f"t{number}"})
        assert (status, body["team"]["name"]) == (200, f"t{number}")
        assert callers.headers["connection"] == "close"
        assert callers.ask(callers.connect(), "GET", "/health")[0] == 200
    assert callers.running.door.engine.teams.list().count == 5


def test_the_spare_ones_are_bounded_too_and_room_that_is_made_is_used(callers: Callers) -> None:
    silent = [callers.connect() for _ in range(SPARE_MOST)]
    for connection in silent:
        connection.connect()
    with pytest.raises(OSError):  # reset, or ended without an answer
        callers.admit(callers.connect())
    for connection in callers.open[:MOST]:
        assert callers.admit(connection)[0] == 200
    for connection in silent:
        connection.close()
    callers.open[0].close()
    # The ends that were closed are met in the order in which they came, before what comes later.
    assert callers.admit(callers.connect())[0] == 200


def test_a_spare_connection_that_says_nothing_ends_soon_and_another_does_not() -> None:
    async def scene() -> None:
        usual, spare = Connection(), Connection(most=0)
        for connection in (usual, spare):
            assert not connection.is_ended_at(50)
            assert not connection.is_ended_at(50 + SPARE_SECONDS - 0.1)
        assert spare.is_ended_at(50 + SPARE_SECONDS)
        assert not usual.is_ended_at(50 + SPARE_SECONDS)
        usual.protocol.connection_lost(None)

    asyncio.run(scene())


def test_a_spare_connection_serves_one_request_also_where_more_were_sent_ahead() -> None:
    async def scene(*parts: bytes) -> bytes:
        connection = Connection(most=0)
        await connection.send(*parts)
        assert connection.wire.ended
        connection.protocol.connection_lost(None)
        return connection.wire.written

    for first, status in ((WHOLE, b"200 OK"), (head("content-length: 2") + b"[]", b"503 Service")):
        for parts in ((first + WHOLE,), (first, WHOLE)):
            written = asyncio.run(scene(*parts))
            assert written.startswith(b"HTTP/1.1 " + status)
            assert written.count(b"HTTP/1.1 ") == 1


def test_a_body_on_a_spare_connection_has_its_deadline() -> None:
    async def scene() -> None:
        connection = Connection(most=0)
        await connection.send(head("content-length: 9", path=TEAMS))
        assert not connection.is_ended_at(50)
        assert not connection.is_ended_at(50 + SPARE_SECONDS)
        assert connection.is_ended_at(50 + BODY_SECONDS)
        connection.protocol.connection_lost(None)
        await connection.send()

    asyncio.run(scene())


NO_END = resource.RLIM_INFINITY
WANTED = CONNECTIONS_MOST + SPARE_MOST + 64


@pytest.mark.parametrize(
    ("limits", "asked", "found"),
    [
        ((NO_END, NO_END), None, CONNECTIONS_MOST),
        ((10**6, 10**6), None, CONNECTIONS_MOST),
        ((WANTED, WANTED), None, CONNECTIONS_MOST),
        ((1024, NO_END), (WANTED, NO_END), CONNECTIONS_MOST),
        ((1024, 10**6), (WANTED, 10**6), CONNECTIONS_MOST),
        ((1024, 2048), (2048, 2048), 2048 - SPARE_MOST - 64),
        ((256, 256), (256, 256), 160),
        ((20, 20), (20, 20), 1),
    ],
)
def test_there_is_room_for_as_many_as_the_process_has_files(
    monkeypatch: pytest.MonkeyPatch, limits: tuple[int, int], asked: tuple[int, int] | None, found: int
) -> None:
    set_to: list[tuple[int, int]] = []
    monkeypatch.setattr(overload.resource, "getrlimit", lambda kind: limits)
    monkeypatch.setattr(overload.resource, "setrlimit", lambda kind, pair: set_to.append(pair))
    assert room() == found
    assert set_to == ([asked] if asked else [])
