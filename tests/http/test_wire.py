"""A real server on loopback and real sockets: routes, media types, the body's cap while it is read."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator

import pytest
from door import Door
from served import WAIT, Running

from limen.http.app import BODY_MOST


@pytest.fixture(scope="module")
def running() -> Iterator[Running]:
    it = Running()
    yield it
    it.stop()


def head(path: str = "/v1/admit", *lines: str, method: str = "POST") -> bytes:
    fixed = (f"{method} {path} HTTP/1.1", "host: localhost", "content-type: application/json")
    return "\r\n".join((*fixed, *lines, "", "")).encode()


def test_a_connection_serves_one_request_after_another(running: Running) -> None:
    key = running.door.key(requests=(2, "1d"))
    client = http.client.HTTPConnection("127.0.0.1", running.port, timeout=WAIT)
    body = json.dumps({"virtual_key": key.value, "model": "m", "provider": "p"})
    statuses = []
    for _ in range(3):
        client.request("POST", "/v1/admit", body, {"content-type": "application/json"})
        reply = client.getresponse()
        statuses.append((reply.status, reply.getheader("server")))
        reply.read()
    client.close()
    assert statuses == [(200, None), (200, None), (429, None)]


def test_a_body_may_come_in_pieces(running: Running) -> None:
    key = running.door.key()
    body = json.dumps({"virtual_key": key.value, "model": "m", "provider": "p"}).encode()
    chunks = b"".join(b"1\r\n%c\r\n" % byte for byte in body) + b"0\r\n\r\n"
    status, reply = running.send(head("/v1/admit", "transfer-encoding: chunked") + chunks)
    assert (status, reply["allowed"]) == (200, True)


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/v1/admit", 405, "method_not_allowed"),
        ("PUT", "/v1/batch", 405, "method_not_allowed"),
        ("POST", "/health", 405, "method_not_allowed"),
        ("POST", "/v1/admit/", 404, "not_found"),
        ("POST", "/v1/nothing", 404, "not_found"),
        ("GET", "/", 404, "not_found"),
        ("GET", "/%2e%2e/etc/passwd", 404, "not_found"),
    ],
)
def test_other_routes_and_methods_are_refused_in_the_one_body(
    running: Running, method: str, path: str, status: int, code: str
) -> None:
    found, body = running.send(head(path, "content-length: 0", method=method))
    assert (found, body["status_code"], body["type"]) == (status, status, code)


def test_a_refused_method_is_told_the_right_one() -> None:
    assert Door().call("GET", "/v1/admit").headers["allow"] == "POST"
    assert Door().call("POST", "/health").headers["allow"] == "GET, HEAD"


@pytest.mark.parametrize(
    ("kind", "status"),
    [
        ("application/json", 400),
        ("Application/JSON; charset=UTF-8", 400),
        ('application/json;charset="utf-8"', 400),
        (None, 415),
        ("", 415),
        ("text/plain", 415),
        ("application/x-www-form-urlencoded", 415),
        ("application/jsonp", 415),
        ("application/json; charset=latin-1", 415),
    ],
)
def test_only_json_is_read(kind: str | None, status: int) -> None:
    reply = Door().call("POST", "/v1/admit", [b"[]"], {"content-type": kind})
    assert reply.status == status
    assert reply.code == ("unsupported_media_type" if status == 415 else "invalid_request")


def padded(size: int) -> bytes:
    """A body of exactly so many bytes, with a fault that is found only when it is read."""
    return b'{"nope": "' + b"x" * (size - 12) + b'"}'


def test_a_body_at_the_cap_is_read_and_one_byte_more_is_not(running: Running) -> None:
    for size, code in ((BODY_MOST, "invalid_request"), (BODY_MOST + 1, "body_too_large")):
        raw = head("/v1/admit", f"content-length: {size}") + padded(size)
        assert running.send(raw)[1]["type"] == code


def test_a_stated_size_beyond_the_cap_is_refused_before_any_of_it_is_sent(running: Running) -> None:
    with running.connect() as connection:
        connection.sendall(head("/v1/admit", f"content-length: {BODY_MOST + 1}"))
        reply = http.client.HTTPResponse(connection)
        reply.begin()
        assert (reply.status, reply.getheader("connection")) == (413, "close")
        assert json.loads(reply.read())["type"] == "body_too_large"


def test_chunks_beyond_the_cap_are_refused_while_they_come(running: Running) -> None:
    chunk = b"10000\r\n" + b"x" * 0x10000 + b"\r\n"
    raw = head("/v1/admit", "transfer-encoding: chunked") + chunk * 17 + b"0\r\n\r\n"
    assert running.send(raw) == (413, running.door.call("POST", "/v1/admit", [padded(BODY_MOST + 1)]).body)


def test_the_cap_counts_the_parts_together() -> None:
    parts = [b"x" * (BODY_MOST // 2), b"x" * (BODY_MOST // 2), b"x"]
    assert Door().call("POST", "/v1/admit", parts).status == 413


def test_what_is_no_http_gets_the_one_body(running: Running) -> None:
    status, body = running.send(b"NONSENSE\r\n\r\n")
    assert (status, body["type"], body["status_code"]) == (400, "invalid_request", 400)


def test_a_lying_length_is_a_broken_body(running: Running) -> None:
    with running.connect() as connection:
        connection.sendall(
            head("/v1/admit", "content-length: 5") + b"[1, 2, 3]" + head("/health", method="GET")
        )
        reply = http.client.HTTPResponse(connection)
        reply.begin()
        assert (reply.status, json.loads(reply.read())["type"]) == (400, "invalid_request")
