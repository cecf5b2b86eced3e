"""Where the virtual key may stand, what a gateway token opens, and what is compared with what."""

from __future__ import annotations

from typing import Any

import pytest
from door import Door

TOKEN = "a-gateway-token-for-this-test"
GATEWAY = {"authorization": f"Bearer {TOKEN}"}
TOKENS = [{"name": "first", "token": "another-gateway-token"}, {"name": "second", "token": TOKEN}]


@pytest.fixture
def door() -> Door:
    return Door(gateway_tokens=TOKENS)


def ask(door: Door, headers: dict[str, str] | None = None, **body: Any) -> Any:
    return door.post("/v1/admit", {"model": "m", "provider": "p", **body}, headers)


@pytest.mark.parametrize(
    ("header", "form"),
    [
        ("x-bf-vk", "{}"),
        ("authorization", "Bearer {}"),
        ("authorization", "bearer  {} "),
        ("x-api-key", "{}"),
        ("x-goog-api-key", "{}"),
    ],
)
def test_the_key_may_come_in_a_header(door: Door, header: str, form: str) -> None:
    key = door.key()
    assert ask(door, {header: form.format(key.value)}).status == 200
    assert ask(door, {header: form.format(key.value)}, virtual_key=key.value).status == 200


@pytest.mark.parametrize("header", ["x-bf-vk", "x-api-key", "x-goog-api-key"])
def test_a_key_in_a_header_and_another_in_the_body_is_refused(door: Door, header: str) -> None:
    reply = ask(door, {header: door.key().value}, virtual_key=door.key().value)
    assert (reply.status, reply.code, reply.param) == (400, "invalid_request", "virtual_key")


def test_two_headers_with_different_keys_are_refused(door: Door) -> None:
    reply = ask(door, {"x-bf-vk": door.key().value, "x-api-key": door.key().value})
    assert (reply.status, reply.code) == (400, "invalid_request")


def test_a_gateway_token_beside_a_key_is_no_second_key(door: Door) -> None:
    assert ask(door, {**GATEWAY, "x-bf-vk": door.key().value}).status == 200


def test_a_gateway_may_name_the_key_by_id(door: Door) -> None:
    key = door.key(requests=(5, "1m"))
    assert ask(door, GATEWAY, virtual_key_id=key.id).status == 200
    assert door.requests(key) == (1, 0)


@pytest.mark.parametrize(
    "headers", [None, {"authorization": "Bearer wrong"}, {"authorization": "Basic YTpi"}]
)
def test_an_id_without_a_gateway_token_is_refused(door: Door, headers: dict[str, str] | None) -> None:
    reply = ask(door, headers, virtual_key_id=door.key().id)
    assert (reply.status, reply.code) == (401, "gateway_token_required")


def test_the_admin_token_is_no_gateway_token() -> None:
    admin = {"name": "a", "token": "an-admin-token-for-this-test", "role": "admin"}
    door = Door(gateway_tokens=TOKENS, admin_tokens=[admin])
    reply = ask(door, {"authorization": f"Bearer {admin['token']}"}, virtual_key_id=door.key().id)
    assert (reply.status, reply.code) == (401, "gateway_token_required")


def test_a_key_may_name_its_own_id_and_no_other(door: Door) -> None:
    mine, other = door.key(), door.key()
    assert ask(door, {"x-bf-vk": mine.value}, virtual_key_id=mine.id).status == 200
    for headers in ({"x-bf-vk": mine.value}, {**GATEWAY, "x-bf-vk": mine.value}):
        reply = ask(door, headers, virtual_key_id=other.id)
        assert (reply.status, reply.code, reply.param) == (400, "invalid_request", "virtual_key_id")


def test_an_id_and_a_value_exclude_each_other(door: Door) -> None:
    key = door.key()
    reply = ask(door, GATEWAY, virtual_key_id=key.id, virtual_key=key.value)
    assert (reply.status, reply.param) == (400, "virtual_key_id")


def test_an_unknown_id_is_an_unknown_key(door: Door) -> None:
    reply = ask(door, GATEWAY, virtual_key_id="nobody")
    assert (reply.status, reply.code) == (401, "virtual_key_not_found")


@pytest.mark.parametrize("key", ["sk-bf-nobody", "x" * 10_000, "\u00e9"])
def test_an_unknown_key_is_refused(door: Door, key: str) -> None:
    reply = ask(door, virtual_key=key)
    assert (reply.status, reply.code) == (401, "virtual_key_not_found")


@pytest.mark.parametrize("body", [{}, {"virtual_key": ""}, {"virtual_key": None}])
def test_a_request_without_a_key_is_refused_where_one_is_required(door: Door, body: dict[str, Any]) -> None:
    for headers in (None, GATEWAY):
        reply = ask(door, headers, **body)
        assert (reply.status, reply.code) == (401, "virtual_key_required")


def test_where_no_key_is_required_a_gateway_token_still_is() -> None:
    door = Door(require_virtual_key=False, gateway_tokens=TOKENS)
    reply = ask(door)
    assert (reply.status, reply.code) == (401, "gateway_token_required")
    assert ask(door, GATEWAY).status == 200


@pytest.mark.parametrize("path", ["/v1/settle", "/v1/update", "/v1/release"])
def test_a_key_beside_a_permit_must_be_the_permit_s_own(door: Door, path: str) -> None:
    key, other = door.key(), door.key()
    body = {"permit": ask(door, virtual_key=key.value).body["permit"]}
    if path != "/v1/release":
        body["prompt_tokens"] = 1
    for stranger in (other.value, "sk-bf-nobody"):
        reply = door.post(path, body, {"x-bf-vk": stranger})
        assert (reply.status, reply.code) == (404, "permit_not_found")
    assert door.post(path, body, {"x-bf-vk": key.value}).status == 200
    assert door.post(path, body, GATEWAY).status == 200
    assert door.post(path, body).status == 200


@pytest.mark.parametrize("path", ["/v1/settle", "/v1/update", "/v1/release"])
def test_a_value_that_was_rotated_acts_on_its_key_s_permits_in_its_grace_and_after(
    door: Door, path: str
) -> None:
    key, other = door.key(), door.key()
    permits = [ask(door, virtual_key=key.value).body["permit"]]
    rotated = door.engine.virtual_keys.rotate(key.id, grace=60)
    permits += [ask(door, virtual_key=value).body["permit"] for value in (key.value, rotated.value)]
    permits.append(ask(door, GATEWAY, virtual_key_id=key.id).body["permit"])
    usage = {} if path == "/v1/release" else {"prompt_tokens": 1}
    for offset in (0, 61_000):
        door.at(offset)
        for permit in permits:
            for value in (key.value, rotated.value):
                assert door.post(path, {"permit": permit, **usage}, {"x-bf-vk": value}).status == 200
            reply = door.post(path, {"permit": permit, **usage}, {"x-bf-vk": other.value})
            assert (reply.status, reply.code) == (404, "permit_not_found")


def test_a_key_that_was_deleted_since_still_settles_its_permits(door: Door) -> None:
    key = door.key()
    text = ask(door, virtual_key=key.value).body["permit"]
    door.engine.virtual_keys.delete(key.id)
    reply = door.post("/v1/settle", {"permit": text, "prompt_tokens": 1}, {"x-bf-vk": key.value})
    assert reply.status == 200


def test_the_headers_of_a_batch_hold_for_each_of_its_calls(door: Door) -> None:
    mine, other = door.key(), door.key()
    call = {"op": "admit", "model": "m", "provider": "p"}
    body = {"calls": [call, {**call, "virtual_key": mine.value}, {**call, "virtual_key": other.value}]}
    results = door.post("/v1/batch", body, {"x-bf-vk": mine.value}).body["results"]
    assert [result["status"] for result in results] == [200, 200, 400]


def test_a_header_that_decides_may_not_stand_twice(door: Door) -> None:
    from door import drive

    line = (b"x-bf-vk", door.key().value.encode())
    base = [(b"host", b"localhost"), (b"content-type", b"application/json")]
    reply = drive(door.app, "POST", "/v1/admit", [b'{"model": "m"}'], [*base, line, line])
    assert (reply.status, reply.code) == (400, "invalid_request")


@pytest.mark.parametrize(
    ("host", "known"),
    [
        ("localhost", True),
        ("LOCALHOST:8080", True),
        ("127.0.0.1:1", True),
        ("127.8.9.10", True),
        ("[::1]:8080", True),
        ("gate.example", True),
        ("gate.example:8080", True),
        ("other.example", False),
        ("localhost.evil.example", False),
        ("127.0.0.1.evil.example", False),
        ("10.0.0.1", False),
        ("", False),
        (None, False),
        ("\u00e9", False),
    ],
)
def test_a_foreign_host_is_not_answered(host: str | None, known: bool) -> None:
    door = Door(allowed_hosts=["gate.example"])
    reply = door.call("GET", "/health", headers={"host": host})
    assert reply.status == (200 if known else 421)
    if not known:
        assert reply.code == "foreign_host"
