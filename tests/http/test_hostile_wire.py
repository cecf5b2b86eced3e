"""Hostile bytes on real sockets: a clear refusal each, and neither a call unmade nor one made twice.

Behind each goes a well-formed request on the same connection. It is answered, or the connection has ended:
what came before it is never taken for a part of it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from served import Running

HOST = "host: localhost\r\n"
JSON = "content-type: application/json\r\n"
BEHIND = f"GET /health HTTP/1.1\r\n{HOST}connection: close\r\n\r\n"
CHUNKS = "2\r\n[]\r\n0\r\n\r\n"


@pytest.fixture(scope="module")
def running() -> Iterator[Running]:
    it = Running()
    yield it
    it.stop()


def get(*lines: str, target: str = "/health", version: str = "HTTP/1.1", host: str = HOST) -> str:
    return f"GET {target} {version}\r\n{host}" + "".join(f"{line}\r\n" for line in lines) + "\r\n"


def post(*lines: str, body: str = "", path: str = "/v1/admit") -> str:
    return f"POST {path} HTTP/1.1\r\n{HOST}{JSON}" + "".join(f"{line}\r\n" for line in lines) + "\r\n" + body


CLOSED = [400]
"""Refused, and the connection ended: where the next request begins cannot be known."""
FRAMING = {
    "a tunnel": (f"CONNECT localhost:1 HTTP/1.1\r\n{HOST}\r\n", CLOSED),
    "HTTP/0.9 with a head": ("GET /health HTTP/0.9\r\n\r\n", [421]),
    "HTTP/2 by its name": (get(version="HTTP/2.0"), CLOSED),
    "HTTP/2 by its preface": ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", CLOSED),
    "a TLS greeting": ("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", CLOSED),
    "a list of codings": (post("transfer-encoding: gzip, chunked", body=CHUNKS), [400, 200]),
    "codings in the wrong order": (post("transfer-encoding: chunked, gzip", body=CHUNKS), CLOSED),
    "another coding": (post("transfer-encoding: gzip", body=CHUNKS), CLOSED),
    "a coding that is like it": (post("transfer-encoding: xchunked", body=CHUNKS), CLOSED),
    "chunked twice in one": (post("transfer-encoding: chunked, chunked", body=CHUNKS), CLOSED),
    "chunked twice": (post(*["transfer-encoding: chunked"] * 2, body=CHUNKS), CLOSED),
    "length, then coding": (post("content-length: 2", "transfer-encoding: chunked", body=CHUNKS), CLOSED),
    "coding, then length": (post("transfer-encoding: chunked", "content-length: 2", body=CHUNKS), CLOSED),
    "a chunk without a size": (post("transfer-encoding: chunked", body="zz\r\n[]\r\n0\r\n\r\n"), CLOSED),
    "a chunk of a negative size": (post("transfer-encoding: chunked", body="-2\r\n[]\r\n0\r\n\r\n"), CLOSED),
    "a chunk of a huge size": (post("transfer-encoding: chunked", body="f" * 18 + "\r\n[]"), CLOSED),
    "a negative length": (post("content-length: -1"), CLOSED),
    "a length with a sign": (post("content-length: +2", body="[]"), CLOSED),
    "a length in hex": (post("content-length: 0x2", body="[]"), CLOSED),
    "a list of lengths": (post("content-length: 2, 2", body="[]"), CLOSED),
    "two lengths": (post("content-length: 2", "content-length: 3", body="[]"), CLOSED),
    "two equal lengths": (post("content-length: 2", "content-length: 2", body="[]"), CLOSED),
    "no number as length": (post("content-length: ", body="[]"), CLOSED),
    "a length beyond 64 bits": (post("content-length: 99999999999999999999999", body="[]"), CLOSED),
    "a length of many digits": (post("content-length: 00000000000000002", body="[]"), [400, 200]),
    "a length that is too short": (post("content-length: 1", body="[]"), [400, 400]),
    "no length": (post(body="[]"), [400, 400]),
    "an encoded body": (post("content-encoding: gzip", "content-length: 2", body="[]"), [415, 200]),
    "a body that a GET should not have": (
        get("content-length: 5").rstrip("\r\n") + "\r\n\r\nhello",
        [200, 200],
    ),
    "a space before the colon": (get("x : y"), CLOSED),
    "a folded line": (get("x: y", " z"), CLOSED),
    "a line without a colon": (get("nothing"), CLOSED),
    "a nameless line": (get(": x"), CLOSED),
    "a zero byte": (get("x: a\0b"), CLOSED),
    "bare line feeds": (get().replace("\r\n", "\n"), CLOSED),
    "bare carriage returns": (get().replace("\r\n", "\r"), CLOSED),
    "a space in the target": (get(target="/hea lth"), CLOSED),
    "an unknown method": (get().replace("GET", "FOO"), CLOSED),
    "a method in lower case": (get().replace("GET", "get"), CLOSED),
}


@pytest.mark.parametrize("name", FRAMING)
def test_a_message_whose_frame_is_in_doubt_is_refused_and_nothing_is_read_twice(
    running: Running, name: str
) -> None:
    raw, statuses = FRAMING[name]
    assert running.talk((raw + BEHIND).encode("latin-1")) == statuses


HOSTS = {
    "localhost": 200,
    "localhost:": 200,
    "LOCALHOST:80": 200,
    "[::1]:80": 200,
    "127.0.0.1": 200,
    "": 421,
    "localhost:abc": 421,
    "localhost:99999999": 421,
    "localhost, evil.example": 421,
    "localhost evil.example": 421,
    "localhost/evil": 421,
    "localhost@evil.example": 421,
    "evil.example@localhost": 421,
    "localhost#": 421,
    "localhost?": 421,
    "[::1": 421,
    "::1": 421,
    "[::1]evil.example": 421,
    "[::1]:80:90": 421,
    "[localhost]": 421,
    "[]": 421,
}


@pytest.mark.parametrize("host", HOSTS)
def test_a_host_that_is_not_well_formed_is_nobody_s(running: Running, host: str) -> None:
    raw = get(host=f"host: {host}\r\n") + BEHIND
    assert running.talk(raw.encode()) == [HOSTS[host], 200]


TARGETS = {
    ("http://localhost/health", "localhost"): 200,
    ("HTTP://LOCALHOST/health", "localhost"): 200,
    ("http://localhost:80/health", "localhost:80"): 200,
    ("http://evil.example/health", "localhost"): 421,
    ("http://localhost/health", "evil.example"): 421,
    ("http://evil.example/health", "evil.example"): 421,
    ("http://localhost@evil.example/health", "localhost"): 421,
    ("http://evil.example/health", "localhost:80"): 421,
    ("ftp://localhost/health", "localhost"): 421,
    ("//evil.example/health", "localhost"): 404,
}


@pytest.mark.parametrize(("target", "host"), TARGETS)
def test_a_whole_url_as_the_target_does_not_go_past_the_host_check(
    running: Running, target: str, host: str
) -> None:
    raw = get(target=target, host=f"host: {host}\r\n") + BEHIND
    assert running.talk(raw.encode()) == [TARGETS[target, host], 200]


@pytest.mark.parametrize("hosts", [[], ["localhost", "localhost"], ["localhost", "evil.example"]])
def test_one_host_header_is_needed_and_no_more(running: Running, hosts: list[str]) -> None:
    raw = get(host="".join(f"host: {host}\r\n" for host in hosts)) + BEHIND
    assert running.talk(raw.encode()) == [400 if hosts else 421, 200]


class Caller:
    """A key of one server, and how often it was admitted."""

    def __init__(self, running: Running) -> None:
        self.house = running.door
        self.key = self.house.key(requests=(1_000, "1d"))
        self.body = json.dumps({"virtual_key": self.key.value, "model": "m", "provider": "p"})

    def admit(self, *lines: str) -> str:
        return post(*lines, f"content-length: {len(self.body)}", body=self.body)

    def admitted(self) -> int:
        return self.house.requests(self.key)[0]


@pytest.fixture
def caller(running: Running) -> Caller:
    return Caller(running)


@pytest.mark.parametrize("line", ["connection: close", "connection: keep-alive, close"])
def test_calls_behind_one_that_closes_the_connection_are_not_made(
    running: Running, caller: Caller, line: str
) -> None:
    raw = caller.admit() + caller.admit(line) + caller.admit() * 3
    assert running.talk(raw.encode()) == [200, 200]
    assert caller.admitted() == 2


def test_calls_behind_one_of_http_1_0_are_not_made(running: Running, caller: Caller) -> None:
    raw = caller.admit().replace("HTTP/1.1", "HTTP/1.0") + caller.admit()
    assert running.talk(raw.encode()) == [200]
    assert caller.admitted() == 1


def test_calls_behind_a_refused_frame_are_not_made(running: Running, caller: Caller) -> None:
    for raw, statuses in FRAMING.values():
        if statuses == CLOSED:
            running.talk((raw + caller.admit()).encode("latin-1"))
    assert caller.admitted() == 0


@pytest.mark.parametrize("wish", ["h2c", "websocket", "anything"])
@pytest.mark.parametrize("size", [1, 7, 1 << 16])
def test_a_wish_for_another_protocol_is_ignored_and_nothing_behind_it_is_lost(
    running: Running, caller: Caller, wish: str, size: int
) -> None:
    raw = caller.admit("connection: Upgrade, HTTP2-Settings", f"upgrade: {wish}", "http2-settings: AAMA") * 2
    raw += caller.admit() + caller.admit("connection: upgrade, close", f"upgrade: {wish}")
    with running.connect() as connection:
        for at in range(0, len(raw), size):
            connection.sendall(raw.encode()[at : at + size])
        received = b""
        while part := connection.recv(1 << 16):
            received += part
    assert received.count(b"HTTP/1.1 200 OK") == 4
    assert caller.admitted() == 4


@pytest.mark.parametrize(
    "raw",
    [
        get(*(f"x-{n}: y" for n in range(20_000))),
        get("x: " + "y" * 200_000),
        get(target="/" + "a" * 200_000),
        "\r\n" * 100_000,
    ],
    ids=["many headers", "one long header", "a long target", "empty lines"],
)
def test_a_head_without_end_is_cut_off_and_the_server_goes_on(running: Running, raw: str) -> None:
    assert running.talk(raw.encode()) in ([400], [])  # none where the client was still sending
    assert running.talk(BEHIND.encode()) == [200]


def test_a_body_that_is_announced_and_does_not_come_is_answered_by_the_end(running: Running) -> None:
    assert running.talk(post("content-length: 1000", body="[]").encode(), is_all=True) == []
    assert running.talk(post("content-length: 2000000", body="[]").encode(), is_all=True) == [413]
    assert running.talk(BEHIND.encode()) == [200]
