"""Administration over a real socket: it may wait, and nobody waits for it; bodies as clients send them."""

from __future__ import annotations

import http.client
import json
import socket
from collections.abc import Iterator
from contextlib import suppress

import pytest
from served import WAIT, Running

TEAMS = "/api/governance/teams"
JSON = {"content-type": "application/json"}


@pytest.fixture
def running() -> Iterator[Running]:
    running = Running()
    yield running
    running.stop()


def connect(running: Running) -> http.client.HTTPConnection:
    return http.client.HTTPConnection("127.0.0.1", running.port, timeout=WAIT)


def test_decisions_go_on_while_edits_wait_and_reads_of_the_configuration_with_them(running: Running) -> None:
    engine = running.door.engine
    key = running.door.key()
    waiting = [connect(running) for _ in range(9)]
    deciding = connect(running)
    with engine._book.lock:  # what an edit holds while the disk writes
        for number, connection in enumerate(waiting):
            connection.request("POST", TEAMS, json.dumps({"name": f"team {number}"}), JSON)
        for _ in range(20):
            body = {"virtual_key": key.value, "model": "m", "provider": "p", "tokens": 1}
            deciding.request("POST", "/v1/admit", json.dumps(body), JSON)
            reply = deciding.getresponse()
            assert (reply.status, json.loads(reply.read())["allowed"]) == (200, True)
            deciding.request("GET", "/health")
            assert deciding.getresponse().read()
    assert [connection.getresponse().status for connection in waiting] == [200] * 9
    assert engine.teams.list().count == 9
    for connection in (*waiting, deciding):
        connection.close()


def test_requests_of_one_connection_are_answered_in_their_order(running: Running) -> None:
    heads = [f"{TEAMS}?limit=1", "/health", f"{TEAMS}/nobody", "/api/version", "/metrics"]
    raw = "".join(f"GET {head} HTTP/1.1\r\nhost: localhost\r\n\r\n" for head in heads)
    last = "GET /v1/admit HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n"
    assert running.talk((raw + last).encode()) == [200, 200, 404, 200, 200, 405]


def test_a_head_and_a_reader_who_has_it_get_no_body(running: Running) -> None:
    team = running.door.engine.teams.create({"name": "t"})
    connection = connect(running)
    connection.request("GET", f"{TEAMS}/{team.id}")
    reply = connection.getresponse()
    body, tag = reply.read(), reply.headers["etag"]
    connection.request("HEAD", f"{TEAMS}/{team.id}")
    reply = connection.getresponse()
    assert (reply.status, reply.read(), reply.headers["content-length"]) == (200, b"", str(len(body)))
    connection.request("GET", f"{TEAMS}/{team.id}", headers={"if-none-match": tag})
    reply = connection.getresponse()
    assert (reply.status, reply.read(), reply.headers["etag"]) == (304, b"", tag)
    connection.request("GET", TEAMS)
    assert connection.getresponse().status == 200, "the connection goes on"
    connection.close()


@pytest.mark.parametrize(
    ("head", "body", "status"),
    [
        ("content-length: 13", b'{"name": "n"}', 200),
        ("transfer-encoding: chunked", b'd\r\n{"name": "n"}\r\n0\r\n\r\n', 200),
        ("transfer-encoding: chunked", b'7\r\n{"name"\r\n6\r\n: "n"}\r\n0\r\n\r\n', 200),
        ("transfer-encoding: chunked", b"100001\r\n" + b"x" * 0x100001 + b"\r\n0\r\n\r\n", 413),
        ("content-length: 1048577", b"x", 413),
        ("content-length: 99999999999999999999", b"x", 400),
        ("content-length: 5", b'{"name": "n"}', 400),
        ("content-length: 13\r\ntransfer-encoding: chunked", b"0\r\n\r\n", 400),
        ("content-length: 13\r\ncontent-length: 14", b'{"name": "n"}', 400),
        ("content-length: -1", b'{"name": "n"}', 400),
        ("x-nothing: 1", b"", 400),
    ],
)
def test_a_body_is_as_long_as_it_is(running: Running, head: str, body: bytes, status: int) -> None:
    raw = f"POST {TEAMS} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n{head}\r\n\r\n"
    with running.connect() as connection:
        connection.sendall(raw.encode())
        with suppress(OSError):  # it may be answered before it was read
            connection.sendall(body)
        reply = http.client.HTTPResponse(connection)
        reply.begin()
        assert reply.status == status
        assert json.loads(reply.read())["status_code"] == status if status != 200 else True
    assert running.door.engine.teams.list().count == (status == 200)


def test_a_client_that_leaves_before_its_edit_is_done_harms_nobody(running: Running) -> None:
    engine = running.door.engine
    body = json.dumps({"name": "left"}).encode()
    head = f"POST {TEAMS} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
    with engine._book.lock:
        connection = running.connect()
        connection.sendall(f"{head}content-length: {len(body)}\r\n\r\n".encode() + body)
        connection.shutdown(socket.SHUT_WR)
        connection.close()
    status, listed = running.send(f"GET {TEAMS} HTTP/1.1\r\nhost: localhost\r\n\r\n".encode())
    assert status == 200
    assert listed["count"] in (0, 1), "it may have been taken, and nothing else has happened"
