"""What a faulty body gets: 400 with the field's path, in the one error body, and nothing is taken."""

from __future__ import annotations

import json
from typing import Any

import pytest
from door import Door
from hypothesis import given, strategies as st

NUMBERS = ["-1", "1.5", "true", '"5"', "[]", "{}", "9223372036854775808", "18446744073709551616", "1e400"]
COUNTS = ["input_tokens", "max_output_tokens", "tokens"]


@pytest.fixture(scope="module")
def door() -> Door:
    return Door()


@pytest.fixture(scope="module")
def value(door: Door) -> str:
    return str(door.key(requests=(1_000_000, "1d")).value)


def ask(door: Door, value: str, field: str, text: str) -> Any:
    body = f'{{"virtual_key": "{value}", "model": "m", "provider": "p", "{field}": {text}}}'
    return door.post("/v1/admit", body.encode())


@pytest.mark.parametrize("text", NUMBERS)
@pytest.mark.parametrize("field", COUNTS)
def test_a_count_is_a_whole_number(door: Door, value: str, field: str, text: str) -> None:
    reply = ask(door, value, field, text)
    assert (reply.status, reply.code, reply.param) == (400, "invalid_request", field)


@pytest.mark.parametrize("field", COUNTS)
@pytest.mark.parametrize("text", ["3.0", "30e-1", "3"])
def test_a_whole_number_may_be_written_as_a_fraction(door: Door, value: str, field: str, text: str) -> None:
    assert ask(door, value, field, text).status == 200


@pytest.mark.parametrize(
    "text",
    ["-1", "-1e-9", "true", '"5"', "[]", "{}", "9223372037", "1e400", "1e999999999", "9223372036854775808"],
)
def test_money_is_a_number_of_dollars_in_range(door: Door, value: str, text: str) -> None:
    reply = ask(door, value, "cost_usd", text)
    assert (reply.status, reply.code, reply.param) == (400, "invalid_request", "cost_usd")


@pytest.mark.parametrize(
    ("field", "text", "param"),
    [
        ("model", "3", "model"),
        ("provider", "[]", "provider"),
        ("headers", '{"a": 1}', "headers"),
        ("params", "[]", "params"),
        ("fallbacks", '["a/b", 3]', "fallbacks[1]"),
        ("fallbacks", '"a/b"', "fallbacks"),
        ("usage", '{"nope": 1}', "usage.nope"),
        ("usage", '{"prompt_tokens": "5"}', "usage.prompt_tokens"),
        ("usage", '{"prompt_tokens": 1.5}', "usage.prompt_tokens"),
        ("usage", '{"cost_usd": "5"}', "usage.cost_usd"),
        ("request_type", '"nope"', "request_type"),
        ("sticky", "{}", "sticky"),
        ("id", "3", "id"),
        ("id", json.dumps("x" * 4097), "id"),
        ("model", json.dumps("x" * 10_000), "model"),
        ("mcp_tool", "3", "mcp_tool"),
        ("key", '"k"', "key"),
        ("now_ms", "1", "now_ms"),
        ("model2", "1", "model2"),
    ],
)
def test_a_faulty_field_is_named_by_its_path(
    door: Door, value: str, field: str, text: str, param: str
) -> None:
    fields = {"virtual_key": f'"{value}"', "model": '"m"', "provider": '"p"', field: text}
    body = "{" + ", ".join(f'"{name}": {shown}' for name, shown in fields.items()) + "}"
    reply = door.post("/v1/admit", body.encode())
    assert (reply.status, reply.code, reply.param) == (400, "invalid_request", param)


@pytest.mark.parametrize(
    ("path", "text", "param"),
    [
        ("/v1/settle", "{}", "permit"),
        ("/v1/settle", '{"permit": null}', "permit"),
        ("/v1/settle", '{"permit": 5, "prompt_tokens": 1}', "permit"),
        ("/v1/settle", '{"permit": "p", "tokenz": 1}', "tokenz"),
        ("/v1/settle", '{"permit": "p", "cost_usd": "0.1"}', "cost_usd"),
        ("/v1/settle", '{"permit": "p", "reported_cost_usd": true}', "reported_cost_usd"),
        ("/v1/settle", '{"permit": "p", "prompt_tokens": 1.5}', "prompt_tokens"),
        ("/v1/settle", '{"permit": "p", "images": 1e400}', "images"),
        ("/v1/settle", '{"permit": "p", "input_seconds": 1e999999}', "input_seconds"),
        ("/v1/settle", '{"permit": "p", "as_held": 1}', "as_held"),
        ("/v1/settle", '{"permit": "p", "usage": {}}', "format"),
        ("/v1/settle", '{"permit": "p", "format": "openai"}', "usage"),
        ("/v1/settle", '{"permit": "p", "usage": {}, "format": "other"}', "format"),
        ("/v1/settle", '{"permit": "p", "usage": [], "format": "openai"}', "usage"),
        ("/v1/settle", '{"permit": "p", "usage": {}, "format": "openai"}', "usage.prompt_tokens"),
        (
            "/v1/settle",
            '{"permit": "p", "usage": {"prompt_tokens": 1}, "format": "openai", "prompt_tokens": 1}',
            "prompt_tokens",
        ),
        ("/v1/update", "{}", "permit"),
        ("/v1/update", '{"permit": "p", "as_held": true}', "as_held"),
        ("/v1/update", '{"permit": "p", "usage": {}, "format": "openai"}', "usage"),
        ("/v1/release", '{"permit": "p", "request": 1}', "request"),
        ("/v1/release", '{"permit": "p", "reason": 1}', "reason"),
        ("/v1/release", '{"permit": "p", "prompt_tokens": 1}', "prompt_tokens"),
        ("/v1/admit", '{"a": 1, "a": 2}', "a"),
        ("/v1/admit", '{"model": "m", "model": "n"}', "model"),
        ("/v1/admit", '{"headers": {"a": "1", "a": "1"}}', "headers.a"),
        ("/v1/admit", '{"headers": {"a": "1", "\\u0061": "1"}}', "headers.a"),
    ],
)
def test_a_faulty_call_is_refused_by_the_name_of_its_field(
    door: Door, path: str, text: str, param: str
) -> None:
    reply = door.post(path, text.encode())
    assert (reply.status, reply.code, reply.param) == (400, "invalid_request", param)


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"null",
        b"[]",
        b"5",
        b"{",
        b'{"model": "m"',
        b'{"model": "m"} {}',
        b'{"model": "m",}',
        b"{'model': 'm'}",
        b'{"input_tokens": NaN}',
        b'{"input_tokens": Infinity}',
        b'{"input_tokens": 01}',
        b'\xef\xbb\xbf{"model": "m"}',
        b'{"model": "\xff"}',
        b'{"model": "\\ud800"}',
        b'{"model": "a\x00b"}',
        b'{"cost_usd": 1e99999999999999999999}',
        b'{"tokens": ' + b"9" * 5000 + b"}",
        b"[" * 100_000,
        b'{"usage":' * 100_000,
        b'{"usage": ' + b'{"a":' * 64 + b"1" + b"}" * 64 + b"}",
        b'{"input_tokens": ' + b"[" * 500 + b"]" * 500 + b"}",
    ],
    ids=lambda raw: repr(raw[:40]),
)
@pytest.mark.parametrize("path", ["/v1/admit", "/v1/settle", "/v1/batch"])
def test_what_is_no_json_of_ours_is_refused_in_the_one_body(door: Door, path: str, raw: bytes) -> None:
    reply = door.post(path, raw)
    assert (reply.status, reply.code) == (400, "invalid_request")
    assert set(reply.body) == {"is_bifrost_error", "status_code", "type", "error", "extra_fields"}


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
FIELDS = st.sampled_from(
    [
        *(
            "virtual_key",
            "model",
            "provider",
            "input_tokens",
            "max_output_tokens",
            "tokens",
            "cost_usd",
            "usage",
        ),
        *("headers", "params", "mcp_tool", "fallbacks", "sticky", "id", "request_type", "permit", "as_held"),
        *("format", "prompt_tokens", "images", "reason", "request", "calls", "op", "service_tier", "batch"),
    ]
)
PATHS = st.sampled_from(["/v1/admit", "/v1/settle", "/v1/update", "/v1/release", "/v1/peek", "/v1/batch"])


@given(path=PATHS, body=st.dictionaries(FIELDS, JSON, max_size=6) | JSON)
def test_no_body_gets_a_500(path: str, body: Any) -> None:
    assert SHARED.post(path, body).status < 500


@given(path=PATHS, raw=st.binary(max_size=40))
def test_no_bytes_get_a_500(path: str, raw: bytes) -> None:
    assert SHARED.post(path, raw).status < 500


SHARED = Door()
