"""The data plane's answers: the bodies, the headers, the numbers, through the whole application."""

from __future__ import annotations

import json
import re
from decimal import Decimal
from typing import Any

import orjson
import pytest
from door import Door

import limen
from house import MINUTE
from limen.http.responses import dollars
from limen.wire import instant


@pytest.fixture
def door() -> Door:
    return Door()


def admit(door: Door, key: Any, **more: Any) -> Any:
    return door.post("/v1/admit", {"virtual_key": key.value, "model": "m", "provider": "p", **more})


def permit(door: Door, key: Any, **more: Any) -> str:
    return str(admit(door, key, **more).body["permit"])


def test_an_admitted_request_gets_all_that_its_gateway_needs(door: Door) -> None:
    key = door.key(tokens=(10_000, "1m"))
    reply = admit(door, key, input_tokens=812, max_output_tokens=400)
    body = reply.body
    assert reply.status == 200
    assert len(body.pop("permit")) > 20
    assert body == {
        "allowed": True,
        "provider": "p",
        "model": "m",
        "key_id": None,
        "fallbacks": [],
        "rule_id": None,
        "max_output_tokens": None,
        "held": {"requests": 0, "tokens": 1212, "cost_usd": 0},
        "expires_at": "2024-01-01T00:10:00.000Z",
    }
    assert reply.headers["content-type"] == "application/json"


AMOUNTS = [
    0,
    1,
    12,
    9_999,
    10_000,
    12_345,
    99_990,
    10**8,
    123_456_789,
    10**9,
    10**9 + 1,
    25 * 10**8,
    10**15 + 7,
]


@pytest.mark.parametrize("nano", AMOUNTS)
def test_what_an_answer_writes_itself_is_written_as_orjson_would(door: Door, nano: int) -> None:
    model, fallback = "".join(map(chr, range(0x20, 0x7F))) + "\u2028\U0001f600/m", 'q/"\\'
    key = door.key(tokens=(2**62, "1d"), budget=(9_000_000_000, "1d"))
    ask = {"key": key.value, "model": model, "provider": "p", "fallbacks": [fallback]}
    permit = door.engine.admit(**ask, tokens=nano, cost_usd=Decimal(nano).scaleb(-9))
    body = {
        "allowed": True,
        "permit": permit.token,
        "provider": "p",
        "model": model,
        "key_id": None,
        "fallbacks": [fallback],
        "rule_id": None,
        "max_output_tokens": None,
        "held": {"requests": 0, "tokens": nano, "cost_usd": dollars(nano)},
        "expires_at": instant(permit.expires_at_ms),
    }
    assert permit.json() == orjson.dumps(body)
    settled = permit.settle(tokens=nano + 1, cost_usd=Decimal(nano).scaleb(-9))
    charged = {"settled": True, "cost_usd": dollars(nano), "tokens": nano + 1}
    charged |= {"overrun": True, "repeated": False, "expired": False, "price": "stated"}
    assert settled.json() == orjson.dumps(charged)
    both = [body | {"status": 200}, charged | {"status": 200}]
    assert door.engine.json_list([permit, settled], bytes) == orjson.dumps(both)


@pytest.mark.parametrize(
    "day",
    [0, 58, 59, 60, 788, 789, 790, 11_016, 11_017, 19_722, 19_723, 47_540, 47_541, 2_932_896, 2_932_897, -1],
)
def test_an_instant_is_written_as_text_on_every_kind_of_day(day: int) -> None:
    ttl = 600_000
    for ms in (0, 1, 43_200_999, 86_399_999):
        clock = limen.ManualClock(day * 86_400_000 + ms - ttl)
        permit = limen.Engine(clock=clock, settings={"require_virtual_key": False}).admit(
            None, "m", provider="p"
        )
        assert json.loads(permit.json())["expires_at"] == instant(day * 86_400_000 + ms)


def test_an_admitted_request_is_told_what_remains(door: Door) -> None:
    reply = admit(door, door.key(requests=(5, "1m")))
    assert '"virtual_key-requests-1m"' in reply.headers["ratelimit-policy"]
    assert "q=5" in reply.headers["ratelimit-policy"]
    assert "r=4" in reply.headers["ratelimit"]


def test_a_peek_is_told_what_would_remain_and_takes_nothing(door: Door) -> None:
    key = door.key(requests=(5, "1m"), tokens=(1_000, "1h"))
    body = {"virtual_key": key.value, "model": "m", "provider": "p", "input_tokens": 100}
    for _ in range(2):
        reply = door.post("/v1/peek", {**body, "max_output_tokens": 50})
        assert reply.headers["ratelimit"] == (
            '"virtual_key-tokens-1h";r=850;t=3600, "virtual_key-requests-1m";r=4;t=60'
        )
        assert reply.headers["ratelimit-policy"] == (
            '"virtual_key-tokens-1h";q=1000;w=3600, "virtual_key-requests-1m";q=5;w=60'
        )
    assert (door.requests(key), door.tokens(key)) == ((0, 0), (0, 0))
    admitted = admit(door, key, input_tokens=100, max_output_tokens=50)
    assert admitted.headers["ratelimit"] == reply.headers["ratelimit"]


def test_no_integer_of_a_header_field_has_more_than_15_digits(door: Door) -> None:
    key = door.key(tokens=(2**63 - 1, "1h"), budget=(9_000_000_000, "36500d"))
    for reply in (admit(door, key, cost_usd=0), admit(door, key, cost_usd=9_223_372_036)):
        numbers = re.findall(r"[0-9]+", reply.headers["ratelimit"] + reply.headers["ratelimit-policy"])
        assert max(len(number) for number in numbers) <= 15
    largest = admit(door, key, cost_usd=0)
    assert "r=999999999999999" in largest.headers["ratelimit"]
    assert "q=999999999999999" in largest.headers["ratelimit-policy"]


def test_a_denial_lists_the_limit_and_the_wait(door: Door) -> None:
    key = door.key(requests=(1, "1m"))
    admit(door, key)
    door.at(20_500)
    reply = admit(door, key)
    assert (reply.status, reply.headers["retry-after"], reply.headers["retry-after-ms"]) == (
        429,
        "40",
        "39500",
    )
    assert "x-should-retry" not in reply.headers
    assert '"virtual_key-requests-1m"' in reply.headers["ratelimit"]
    body = reply.body
    assert body["error"].pop("message")
    assert body == {
        "is_bifrost_error": False,
        "status_code": 429,
        "type": "request_limited",
        "error": {"type": "request_limited"},
        "extra_fields": {
            "limits": [
                {
                    "kind": "requests",
                    "level": "virtual_key",
                    "owner_id": key.id,
                    "limit_id": key.rate_limit.id,
                    "limit": 1,
                    "used": 1,
                    "held": 0,
                    "asked": 1,
                    "resets_at": "2024-01-01T00:01:00.000Z",
                    "retry_after": 39.5,
                    "never": False,
                }
            ]
        },
    }


def test_a_refusal_that_no_wait_can_help_says_so_to_sdks(door: Door) -> None:
    reply = admit(door, door.key(tokens=(10, "1m")), input_tokens=11)
    (limit,) = reply.body["extra_fields"]["limits"]
    assert (reply.status, reply.code) == (429, "token_limited")
    assert (limit["never"], limit["retry_after"]) == (True, None)
    assert reply.headers["x-should-retry"] == "false"
    assert "retry-after" not in reply.headers
    assert "retry-after-ms" not in reply.headers


def test_a_refused_maximum_is_told_what_would_fit() -> None:
    door = Door(estimate={"fit": "deny"})
    reply = admit(door, door.key(tokens=(100, "1m")), input_tokens=40, max_output_tokens=61)
    assert reply.body["extra_fields"]["fits"] == 60


def test_a_denial_names_what_was_left_out_and_why(door: Door) -> None:
    key = door.key(provider_configs=[{"provider": "p", "allowed_models": ["*"]}])
    reply = door.post("/v1/admit", {"virtual_key": key.value, "model": "m"})
    assert (reply.status, reply.code) == (403, "provider_blocked")
    (target,) = reply.body["extra_fields"]["excluded"]
    assert (target["provider"], target["reason"]) == ("p", "no_weight")


def test_peek_answers_like_admit_and_takes_nothing(door: Door) -> None:
    key = door.key(requests=(1, "1m"))
    for _ in range(3):
        reply = door.post("/v1/peek", {"virtual_key": key.value, "model": "m", "provider": "p"})
        assert (reply.status, reply.body["allowed"]) == (200, True)
    assert door.requests(key) == (0, 0)


@pytest.mark.parametrize(
    ("stated", "nano"),
    [
        ("0.1", 100_000_000),
        ("1e-9", 1),
        ("1E+2", 100_000_000_000),
        ("9007199.254740993", 2**53 + 1),
        ("9223372036", 9_223_372_036_000_000_000),
        ("0.0000000001", 1),
        ("3.0", 3_000_000_000),
    ],
)
def test_money_goes_in_and_comes_out_exactly(door: Door, stated: str, nano: int) -> None:
    key = door.key(budget=(9_223_372_036, "1d"))
    text = f'{{"virtual_key": "{key.value}", "model": "m", "provider": "p", "cost_usd": {stated}}}'
    reply = door.post("/v1/admit", text.encode())
    shown = json.loads(reply.content, parse_float=Decimal, parse_int=Decimal)["held"]["cost_usd"]
    assert shown * 10**9 == nano
    assert door.budget(key) == (0, nano)


def test_a_budget_is_shown_in_dollars(door: Door) -> None:
    key = door.key(budget=(0.3, "1d"))
    (limit,) = admit(door, key, cost_usd=0.4).body["extra_fields"]["limits"]
    assert (limit["kind"], limit["limit"], limit["asked"], limit["used"]) == ("budget", 0.3, 0.4, 0)


def test_settling_answers_what_was_charged(door: Door) -> None:
    key = door.key(tokens=(10_000, "1m"))
    text = permit(door, key, input_tokens=100, max_output_tokens=50)
    settle = {"permit": text, "prompt_tokens": 90, "completion_tokens": 20, "cost_usd": 0.0125}
    assert door.post("/v1/settle", settle).body == {
        "settled": True,
        "cost_usd": 0.0125,
        "tokens": 110,
        "overrun": False,
        "repeated": False,
        "expired": False,
        "price": "stated",
    }
    assert door.post("/v1/settle", settle).body["repeated"] is True
    assert door.tokens(key) == (110, 0)


def test_another_settle_of_the_same_permit_is_a_conflict_that_sdks_do_not_retry(door: Door) -> None:
    text = permit(door, door.key())
    door.post("/v1/settle", {"permit": text, "prompt_tokens": 1})
    reply = door.post("/v1/settle", {"permit": text, "prompt_tokens": 2})
    assert (reply.status, reply.code) == (409, "settle_conflict")
    assert reply.headers["x-should-retry"] == "false"


@pytest.mark.parametrize(
    ("format", "usage", "tokens"),
    [
        ("openai", {"prompt_tokens": 30, "completion_tokens": 12, "total_tokens": 42}, 42),
        ("responses", {"input_tokens": 30, "output_tokens": 12, "total_tokens": 42}, 42),
        ("anthropic", {"input_tokens": 10, "cache_read_input_tokens": 20, "output_tokens": 12}, 42),
        ("gemini", {"promptTokenCount": 30, "candidatesTokenCount": 5, "thoughtsTokenCount": 7}, 42),
    ],
)
def test_a_provider_s_usage_object_settles_as_it_came(
    door: Door, format: str, usage: dict[str, int], tokens: int
) -> None:
    key = door.key(tokens=(10_000, "1m"))
    body = {"permit": permit(door, key, input_tokens=100), "usage": usage, "format": format}
    assert door.post("/v1/settle", body).body["tokens"] == tokens
    assert door.tokens(key) == (tokens, 0)


def test_a_permit_can_be_settled_as_it_was_held(door: Door) -> None:
    key = door.key(tokens=(10_000, "1m"))
    body = {"permit": permit(door, key, input_tokens=100, max_output_tokens=50), "as_held": True}
    assert door.post("/v1/settle", body).body["tokens"] == 150


def test_an_update_names_the_limits_that_are_over(door: Door) -> None:
    key = door.key(tokens=(100, "1m"))
    text = permit(door, key, input_tokens=50, max_output_tokens=10)
    assert door.post("/v1/update", {"permit": text, "completion_tokens": 5}).body == {
        "updated": True,
        "over": [],
    }
    body = door.post("/v1/update", {"permit": text, "prompt_tokens": 50, "completion_tokens": 70}).body
    (limit,) = body["over"]
    assert (body["updated"], limit["kind"], limit["limit"], limit["limit_id"]) == (
        True,
        "tokens",
        100,
        key.rate_limit.id,
    )


def test_a_release_gives_back(door: Door) -> None:
    key = door.key(requests=(5, "1m"), tokens=(100, "1m"))
    text = permit(door, key, input_tokens=50)
    body = {"permit": text, "reason": "upstream was down", "request": True}
    assert door.post("/v1/release", body).body == {"released": True}
    assert (door.requests(key), door.tokens(key)) == ((0, 0), (0, 0))


def test_a_tool_call_needs_no_model(door: Door) -> None:
    key = door.key(mcp_configs=[{"mcp_client_name": "files", "tools_to_execute": ["read"]}])
    assert door.post("/v1/admit", {"virtual_key": key.value, "mcp_tool": "files/read"}).status == 200
    reply = door.post("/v1/admit", {"virtual_key": key.value, "mcp_tool": "files/write"})
    assert (reply.status, reply.code) == (403, "mcp_tool_blocked")


def test_the_same_id_gets_the_same_permit(door: Door) -> None:
    key = door.key(requests=(1, "1m"))
    assert permit(door, key, id="r-1") == permit(door, key, id="r-1")


def test_a_batch_answers_each_call_as_if_it_had_come_alone(door: Door) -> None:
    key = door.key(requests=(2, "1m"))
    ask = {"op": "admit", "virtual_key": key.value, "model": "m", "provider": "p"}
    text = permit(door, key)
    reply = door.post(
        "/v1/batch",
        {
            "calls": [
                {"op": "settle", "permit": text, "prompt_tokens": 3},
                ask,
                ask,
                {**ask, "op": "peek"},
                {"op": "update", "permit": "none"},
                {"op": "release", "permit": text},
                {**ask, "input_tokens": -1},
            ]
        },
    )
    results = reply.body["results"]
    assert reply.status == 200
    assert [result["status"] for result in results] == [200, 200, 429, 429, 404, 409, 400]
    assert results[0]["tokens"] == 3
    assert results[1]["allowed"] is True
    assert (results[2]["type"], results[2]["status_code"]) == ("request_limited", 429)
    assert results[2]["retry_after"] == MINUTE / 1000
    assert results[6]["error"]["param"] == "input_tokens"


@pytest.mark.parametrize(
    ("call", "status", "param"),
    [
        ("3", 400, None),
        ("{}", 400, "op"),
        ('{"op": "explain"}', 400, "op"),
        ('{"op": "admit", "modell": "m"}', 400, "modell"),
        ('{"op": "release", "permit": "a", "permit": "b"}', 400, "permit"),
        ('{"op": "release", "permit": "a", "op": "settle"}', 400, None),
        ('{"op": "release", "permit": 1}', 400, "permit"),
        ('{"op": "release"}', 400, "permit"),
        ('{"op": "settle", "permit": "a", "usage": {"a": {"b": 1, "b": 2}}}', 400, "usage.a.b"),
    ],
)
@pytest.mark.parametrize("spaces", ["", " "])
def test_one_faulty_call_does_not_spoil_the_others(
    door: Door, call: str, status: int, param: str | None, spaces: str
) -> None:
    key = door.key()
    good = json.dumps({"op": "admit", "virtual_key": key.value, "model": "m", "provider": "p"})
    text = f'{{{spaces}"calls":{spaces}[{good},{spaces}{call}{spaces},{good}]{spaces}}}'
    first, faulty, last = door.post("/v1/batch", text.encode()).body["results"]
    assert (first["status"], last["status"]) == (200, 200)
    assert (faulty["status"], faulty["type"]) == (status, "invalid_request")
    if param is not None:
        assert faulty["error"]["param"] == param


@pytest.mark.parametrize(
    ("text", "param"),
    [
        ('{"calls": [], "calls": []}', "calls"),
        ('{"calls": [], "more": 1}', "more"),
        ('{"calls": {}}', "calls"),
        ("{}", "calls"),
        ("[]", None),
        ('{"calls": [1,]}', None),
        ('{"calls": []} {}', None),
        ('{"calls": []}x', None),
        ('{"calls": [' + ",".join(["{}"] * 1025) + "]}", "calls"),
    ],
)
def test_a_faulty_batch_is_refused_whole(door: Door, text: str, param: str | None) -> None:
    reply = door.post("/v1/batch", text.encode())
    assert (reply.status, reply.code, reply.param) == (400, "invalid_request", param)


def test_calls_of_a_batch_take_effect_in_their_order_and_faults_stay_in_their_places(door: Door) -> None:
    key = door.key(requests=(3, "1m"), tokens=(100, "1m"))
    open_one = permit(door, key, tokens=60)
    ask = {"op": "admit", "virtual_key": key.value, "model": "m", "provider": "p"}
    settle = {"op": "settle", "permit": open_one, "tokens": 10}
    calls = [
        {**ask, "tokens": 50},
        {**ask, "tokens": -1},
        settle,
        {**settle, "permit": "pmt_none"},
        {**ask, "op": "peek", "tokens": 50},
        {**ask, "tokens": 50},
        {**ask, "tokens": 1, "virtual_key_id": "both"},
        {**ask, "tokens": 41},
        {**ask, "tokens": 1},
        {**ask, "tokens": 1},
    ]
    results = door.post("/v1/batch", {"calls": calls}).body["results"]
    # Before the settle 60 were held, after it 10 are used; then 50 more, and three requests in all.
    assert [result["status"] for result in results] == [429, 400, 200, 404, 200, 200, 400, 429, 200, 429]
    assert [results[place]["error"]["param"] for place in (1, 6)] == ["tokens", "virtual_key_id"]
    assert results[9]["type"] == "request_limited"
    assert door.tokens(key) == (10, 51)


def test_a_batch_holds_as_many_calls_as_promised(door: Door) -> None:
    results = door.post("/v1/batch", {"calls": [{"op": "release", "permit": "none"}] * 1024}).body["results"]
    assert [result["type"] for result in results] == ["permit_not_found"] * 1024


def test_health_tells_what_is_open(door: Door) -> None:
    permit(door, door.key())
    reply = door.call("GET", "/health")
    memory = {"store": "memory", "usage_flush_ms": None}
    assert (reply.status, reply.body) == (200, {"status": "ok", **memory, "open_permits": 1, "degraded": []})
