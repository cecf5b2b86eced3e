"""A batch: plain calls in one crossing, all others one by one, and no telling them apart."""

from __future__ import annotations

import re
from typing import Any

import pytest
from door import Door, Reply
from hypothesis import example, given, settings, strategies as st

from house import MINUTE

ASKED = {"model": "m", "provider": "p"}


@pytest.fixture
def door() -> Door:
    return Door()


def counted(door: Door, name: str, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many calls cross by this method of the engine, each time."""
    many, crossings = getattr(door.engine, name), []

    def crossed(given: list[Any]) -> Any:
        crossings.append(len(given))
        return many(given)

    monkeypatch.setattr(door.engine, name, crossed)
    return crossings


def test_plain_calls_never_come_to_python(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    key = door.key()
    admit = {
        "op": "admit",
        "virtual_key": key.value,
        "model": "m",
        "provider": "p",
        "cost_usd": 0.25,
        "id": "1",
    }
    text = door.post("/v1/admit", {name: value for name, value in admit.items() if name != "op"}).body[
        "permit"
    ]
    settles = [
        {"op": "settle", "permit": text, "prompt_tokens": 2, "completion_tokens": 3, "cost_usd": 1},
        {"op": "settle", "permit": text, "as_held": False, "reasoning_tokens": 4},
    ]
    monkeypatch.setattr("limen.http.calls.read", None)
    reply = door.post("/v1/batch", {"calls": [admit] * 3 + settles})
    assert [one["status"] for one in reply.body["results"]] == [200, 200, 200, 200, 409]


def test_a_run_of_other_admits_or_settles_is_one_crossing(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    admits, settles = (counted(door, name, monkeypatch) for name in ("admit_many", "settle_many"))
    key = door.key()
    admit = {"op": "admit", "virtual_key": key.value, "model": "m", "provider": "p"}
    other = {**admit, "headers": {}}
    text = door.post("/v1/admit", {name: value for name, value in admit.items() if name != "op"}).body[
        "permit"
    ]
    settle = {"op": "settle", "permit": text, "tokens": 1, "service_tier": "flex"}
    calls = [other] * 5 + [settle] * 3 + [other] * 2 + [admit] + [other] * 4
    reply = door.post("/v1/batch", {"calls": calls})
    assert [one["status"] for one in reply.body["results"]] == [200] * len(calls)
    assert (admits, settles) == ([5, 2, 4], [3])


# Of what is said otherwise in two engines: their own texts, and how far into a text a parser has come.
OWN = re.compile(rb"pmt_[0-9a-f]+|[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}|\(byte [0-9]+\)")
VALUES = [
    *('"<key>"', '"<permit>"', '"m"', '"p"', '""', '"\\u006d"', '"\\ud800"', '"\u00e9"', '"\x7f"', '"m\\n"'),
    *("null", "true", "false", "0", "-0", "3", "-1", "3.0", "2.5", "1e2", "-0.5", "1" * 40, "99999999999"),
    *("0.01", "0.0000000001", "1e-50", "0." + "0" * 50 + "1", "9223372036854775807", "9223372036854775808"),
    *("{}", '{"a": "b"}', '{"a": 1, "a": 2}', '["p/m"]', "[]", "[1", "01", "NaN", "'m'", "[" * 40 + "]" * 40),
    *(
        "[" * 63 + "]" * 63,
        '"' + "x" * 4097 + '"',
        '{"prompt_tokens": 3}',
        '"embedding"',
        '"nothing"',
        '"flex"',
    ),
]
NAMES = [
    *("virtual_key", "model", "provider", "input_tokens", "max_output_tokens", "tokens", "cost_usd", "usage"),
    *(
        "headers",
        "fallbacks",
        "mcp_tool",
        "sticky",
        "id",
        "request_type",
        "virtual_key_id",
        "permit",
        "now_ms",
    ),
    *("as_held", "prompt_tokens", "completion_tokens", "images", "input_seconds", "batch", "service_tier"),
    *("reported_cost_usd", "reason", "request", "format", "op", "modell", "m\\u006fdel", ""),
]
ADMIT = ['"virtual_key":"<key>"', '"model":"m"', '"provider":"p"']
SETTLE = ['"permit":"<permit>"']
OPS = {"admit": ADMIT, "peek": ADMIT, "settle": SETTLE, "update": SETTLE, "release": SETTLE, "explain": []}
members = st.builds("{}:{}".format, st.sampled_from(NAMES).map('"{}"'.format), st.sampled_from(VALUES))


@st.composite
def calls(draw: Any) -> str:
    op = draw(st.sampled_from(["admit", "settle", *OPS]))
    found = [f'"op":"{op}"', *OPS[op], *draw(st.lists(members, max_size=3))]
    if draw(st.integers(0, 3)) == 0:
        found = draw(st.permutations(found))[draw(st.integers(0, 2)) :]
    return "{" + ",".join(found) + "}"


SINGLE = calls() | calls() | calls() | st.sampled_from(["3", "[]", "null", "{}", "{,}", '{"op" :"admit" }'])
BATCHES = st.builds(
    "{0}[{1}]{2}".format,
    st.sampled_from(['{"calls":'] * 9 + [' {\n"calls" : ', '{"more":1,"calls":', '{"c\\u0061lls":', ""]),
    st.lists(SINGLE, max_size=6).map(", ".join),
    st.sampled_from(["}"] * 9 + [" }\t", ',"calls":[]}', ',"more":1}', "}x", ",]}", ""]),
)


def furnished(is_plain: bool) -> Door:
    door = Door()
    if not is_plain:
        setattr(door.engine, "answer_batch", lambda *_: None)  # noqa: B010 - an extension's method
    return door


DOORS = [furnished(True), furnished(False)]
KEYS = [one.key(requests=(20, "1m"), tokens=(100_000, "1m")).value for one in DOORS]


def masked(reply: Reply) -> tuple[int, bytes]:
    return reply.status, OWN.sub(b"", reply.content)


@settings(max_examples=300)
@given(BATCHES)
@example('{"calls":[{"op":"admit","virtual_key":"<key>","model":"m","provider":"p"}]}')
# As many members as a body has room for: each compared with all others would be the better part of a minute.
@example('{"calls":[{"op":"admit",' + ",".join(f'"{name:x}":1' for name in range(100_000)) + "}]}")
def test_a_batch_is_answered_alike_whoever_reads_its_calls(text: str) -> None:
    told = []
    for one, key in zip(DOORS, KEYS, strict=True):
        one.clock.advance(MINUTE // 4)
        body = {"virtual_key": key, "model": "m", "provider": "p", "tokens": 1}
        permit = one.post("/v1/admit", body).body.get("permit", "pmt_")
        own = text.replace("<key>", key).replace("<permit>", permit)
        told.append(masked(one.post("/v1/batch", own.encode())))
    assert told[0] == told[1]
