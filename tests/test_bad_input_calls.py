"""What a faulty call gets: the named error, a stable code, the field's path, and nothing is changed.

One row is one faulty argument. Before and after it every counter of a small house is compared.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from decimal import Decimal
from math import inf, nan
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest

import limen
from house import House, refused

LONG = "x" * 10_000
COUNTS = [-1, nan, inf, -inf, 1e400, True, False, 2**63, 2**64, -(2**64), "5", "", b"5", 1.5, [1], {}, 1j]
"""Wrong wherever a number of things is meant."""

MONEY = [
    -1,
    -1e-12,
    nan,
    inf,
    1e400,
    True,
    2**63,
    2**64,
    9_223_372_037,
    "5",
    b"5",
    [],
    Decimal("nan"),
    Decimal(-1),
]
SECONDS = [-1, nan, inf, True, 2**64, "5", []]
NAMES = ["", LONG, "a\nb", "a\x00b", "\x7f", 5, b"m", [], True]
"""Wrong wherever a name is meant."""

COUNT_WORDS = [
    "prompt_tokens",
    "completion_tokens",
    "cached_read_tokens",
    "cached_write_tokens",
    "cached_write_1h_tokens",
    "reasoning_tokens",
    "input_audio_tokens",
    "output_audio_tokens",
    "input_image_tokens",
    "output_image_tokens",
    "cached_read_image_tokens",
    "cached_read_audio_tokens",
    "cached_write_audio_tokens",
    "characters",
    "images",
    "image_width",
    "image_height",
    "input_images",
    "input_pixels",
    "searches",
    "queries",
    "sessions",
    "tokens",
]
WORDS = [
    ("search_context", ["huge", "", 5, True, LONG]),
    ("image_quality", [5, True, LONG]),
    ("service_tier", [5, True, LONG]),
    ("batch", ["yes", 1, 2.0, [], LONG]),
    ("input_seconds", SECONDS),
    ("output_seconds", SECONDS),
    ("cost_usd", MONEY),
    ("reported_cost_usd", MONEY),
    ("nonsense", [1, None]),
]


class Bench(House):
    """A key with a limit of each kind, one open permit, one that was settled."""

    def __init__(self) -> None:
        super().__init__()
        self.subject = self.key(
            tokens=(1_000, "1h"),
            requests=(1_000, "1h"),
            budget=(100, "1h"),
            mcp_configs=[{"mcp_client_name": "files", "tools_to_execute": ["*"]}],
        )
        self.permit = self.admit(self.subject, tokens=10, cost_usd=1)
        self.settled = self.admit(self.subject, tokens=10, cost_usd=1)
        self.settled.settle(tokens=5, cost_usd=1)

    def shown(self) -> list[tuple[int, int]]:
        return [self.tokens(self.subject), self.requests(self.subject), self.budget(self.subject)]

    def unchanged(self, call: Callable[[], Any], code: str, param: str | None) -> Any:
        before = (self.shown(), self.engine.open_permits())
        fault = refused(call, code, param)
        assert (self.shown(), self.engine.open_permits()) == before
        return fault


@pytest.fixture(scope="module")
def bench() -> Bench:
    return Bench()


def short(value: Any) -> str:
    text = ascii(value)
    return text if len(text) < 30 else f"{text[:12]}... of {len(text)}"


def rows(*tables: tuple[str, dict[str, Any]]) -> Any:
    return pytest.mark.parametrize(
        ("param", "request_"), tables, ids=[f"{param}: {short(words)}" for param, words in tables]
    )


def bad_requests() -> Iterator[tuple[str, dict[str, Any]]]:
    """(the field at fault, arguments of admit)."""
    for name in ("input_tokens", "max_output_tokens", "tokens"):
        yield from ((name, {name: value}) for value in COUNTS)
    yield from (("cost_usd", {"cost_usd": value}) for value in MONEY)
    yield from (("model", {"model": value}) for value in [None, *NAMES])
    yield from (("provider", {"provider": value}) for value in NAMES if value != "")
    yield from (("id", {"id": value}) for value in NAMES)
    yield from (("sticky", {"sticky": value}) for value in (LONG, 5, b"x", True, []))
    yield from (("key", {"key": value}) for value in (5, True, b"key", [], 1.0, {}))
    yield from (
        ("request_type", {"request_type": value}) for value in ("", "chat", "Chat_Completion", LONG, 5, True)
    )
    yield from (
        ("mcp_tool", {"mcp_tool": value})
        for value in ("", "files", "files/", "/read", "files/a\nb", LONG, 5, True)
    )
    yield from (("fallbacks", {"fallbacks": value}) for value in ("p/m", 5, {"p": "m"}, ["p/m"] * 1_001))
    yield from (
        ("fallbacks[1]", {"fallbacks": ["p/m", value]}) for value in ("", "m", "/m", LONG, 5, None, "p/a\nb")
    )
    yield from (("headers", {"headers": value}) for value in (5, "a", ["a"], [("a", "b")]))
    yield from (("params", {"params": value}) for value in (5, "a", ["a"]))
    yield ("headers.a", {"headers": {"a": 5}})
    yield ("params.a", {"params": {"a": b"x"}})
    yield from (("usage", {"usage": value}) for value in (5, "prompt_tokens", ["prompt_tokens"], True))
    for name in COUNT_WORDS:
        yield from ((f"usage.{name}", {"usage": {name: value}}) for value in COUNTS)
    for name, values in WORDS:
        yield from ((f"usage.{name}", {"usage": {name: value}}) for value in values)
    yield ("input_tokens", {"usage": {"prompt_tokens": 1}, "input_tokens": 1})
    yield ("tokens", {"usage": {"prompt_tokens": 1}, "tokens": 1})
    yield ("cost_usd", {"usage": {"prompt_tokens": 1}, "cost_usd": 1})
    yield ("tokens", {"tokens": 1, "input_tokens": 1})
    yield ("max_output_tokens", {"tokens": 1, "max_output_tokens": 1})


@rows(*bad_requests())
@pytest.mark.parametrize("call", ["admit", "peek"])
def test_a_faulty_request_is_refused_with_the_field(
    bench: Bench, call: str, param: str, request_: dict[str, Any]
) -> None:
    whole = {"key": bench.subject.value, "model": "m", "provider": "p"} | request_
    if "usage" not in request_:
        whole = {"cost_usd": 0} | whole
    fault = bench.unchanged(lambda: getattr(bench.engine, call)(**whole), "invalid_request", param)
    assert isinstance(fault, limen.InvalidError)
    assert fault.status == 400
    assert len(str(fault)) < 1_000


def bad_usage() -> Iterator[tuple[str, dict[str, Any]]]:
    """(the field at fault, arguments of settle and update)."""
    for name in COUNT_WORDS:
        yield from ((name, {name: value}) for value in COUNTS)
    for name, values in WORDS:
        yield from ((name, {name: value}) for value in values)
    yield ("usage", {LONG: 1})


@rows(*bad_usage())
@pytest.mark.parametrize("call", ["settle", "update"])
def test_faulty_usage_is_refused_with_the_word(
    bench: Bench, call: str, param: str, request_: dict[str, Any]
) -> None:
    fault = bench.unchanged(
        lambda: getattr(bench.engine, call)(bench.permit, **request_), "invalid_request", param
    )
    assert isinstance(fault, limen.InvalidError)


NOTHING = [("settle", {}), ("update", {}), ("settle", {"as_held": False}), ("settle", {"batch": True})]


@pytest.mark.parametrize(("call", "words"), NOTHING, ids=[f"{call} {words}" for call, words in NOTHING])
def test_no_usage_is_a_fault(bench: Bench, call: str, words: dict[str, Any]) -> None:
    bench.unchanged(lambda: getattr(bench.permit, call)(**words), "invalid_request", None)


@pytest.mark.parametrize("value", [5, None, b"x", [], True, {}], ids=short)
@pytest.mark.parametrize("call", ["settle", "update", "release"])
def test_what_cannot_be_a_permit_is_refused(bench: Bench, call: str, value: Any) -> None:
    words = {} if call == "release" else {"tokens": 1}
    bench.unchanged(lambda: getattr(bench.engine, call)(value, **words), "invalid_request", "permit")


def texts(bench: Bench) -> list[str]:
    token = bench.permit.token
    flipped = [
        token[:at] + ("A" if token[at] != "A" else "B") + token[at + 1 :] for at in range(len(token) - 1)
    ]
    return [
        "",
        "x",
        LONG,
        "\N{SNOWMAN}",
        "\x00",
        token[:-1],
        token + "A",
        token.swapcase(),
        token * 2,
        *flipped,
    ]


@pytest.mark.parametrize("call", ["settle", "update", "release"])
def test_a_forged_permit_is_not_found(bench: Bench, call: str) -> None:
    words = {} if call == "release" else {"tokens": 1}
    for text in texts(bench):
        bench.unchanged(
            lambda text=text: getattr(bench.engine, call)(text, **words), "permit_not_found", None
        )


@pytest.mark.parametrize("call", ["settle", "update", "release"])
def test_a_permit_of_another_engine_is_not_found(bench: Bench, call: str) -> None:
    other = Bench()
    words = {} if call == "release" else {"tokens": 1}
    for permit in (other.permit, other.permit.token):
        bench.unchanged(
            lambda permit=permit: getattr(bench.engine, call)(permit, **words), "permit_not_found", None
        )


def test_a_permit_settled_twice_otherwise_is_a_conflict(bench: Bench) -> None:
    for words in ({"tokens": 6, "cost_usd": 1}, {"tokens": 5, "cost_usd": 2}):
        fault = bench.unchanged(lambda words=words: bench.settled.settle(**words), "settle_conflict", None)
        assert isinstance(fault, limen.ConflictError)
    bench.unchanged(lambda: bench.settled.update(tokens=6), "permit_closed", None)
    bench.unchanged(lambda: bench.settled.release(), "permit_closed", None)


def test_a_permit_belongs_to_the_credential_it_was_given_to(bench: Bench) -> None:
    stranger = bench.key()
    text = bench.permit.token
    bench.engine.check_credential(text, bench.subject.value)
    for value in (stranger.value, "", "nobody", LONG):
        refused(lambda value=value: bench.engine.check_credential(text, value), "permit_not_found")


def test_a_permit_of_a_deleted_key_is_still_good() -> None:
    bench = Bench()
    bench.engine.virtual_keys.delete(bench.subject.id)
    assert bench.engine.settle(bench.permit.token, tokens=5).tokens == 5
    refused(lambda: bench.engine.settle(bench.permit.token, tokens=6), "settle_conflict")


def test_whole_numbers_are_taken_however_they_are_written(bench: Bench) -> None:
    permit = bench.admit(bench.subject, input_tokens=7.0, max_output_tokens=3.0, cost_usd=Decimal("0.5"))
    assert (permit.held.tokens, permit.held.cost_nano_usd) == (10, 500_000_000)
    assert permit.settle(prompt_tokens=2.0, cost_usd=0.25).tokens == 2


HANDLES = [
    ({"value": "sk-bf-nobody"}, "virtual_key_not_found"),
    ({"id": "nobody"}, "virtual_key_not_found"),
    ({"value": LONG}, "virtual_key_not_found"),
    ({}, "invalid_request"),
    ({"value": 5}, "invalid_request"),
    ({"id": True}, "invalid_request"),
    ({"value": "a", "id": "b"}, "invalid_request"),
]


@pytest.mark.parametrize(("words", "code"), HANDLES, ids=[f"{short(words)}" for words, _ in HANDLES])
def test_a_handle_of_nobody_is_refused(bench: Bench, words: dict[str, Any], code: str) -> None:
    bench.unchanged(lambda: bench.engine.handle(**words), code, None)


@pytest.mark.parametrize("call", ["admit", "peek", "quota", "handle"])
def test_a_handle_is_good_in_its_engine_and_for_its_key_alone(call: str, tmp_path: Path) -> None:
    file = tmp_path / "policy.json"
    file.write_text(
        json.dumps({"virtual_keys": [{"id": "one", "name": "one", "value": "sk-bf-one-0123456789"}]})
    )
    engine, other = limen.Engine(), limen.Engine()
    for each in (engine, other):
        each.load(file)
    handle = engine.handle(id="one")
    more = ("m",) if call in ("admit", "peek") else ()
    refused(lambda: getattr(other, call)(handle, *more), "invalid_request", "key")
    engine.virtual_keys.delete("one")
    engine.load(file)
    if more:
        assert getattr(engine, call)(handle, *more).code == "virtual_key_not_found"
    else:
        refused(lambda: getattr(engine, call)(handle), "virtual_key_not_found", None)


def test_a_batch_answers_a_fault_as_an_item_and_goes_on(bench: Bench) -> None:
    value = bench.subject.value
    good = {"key": value, "model": "m", "provider": "p", "tokens": 1, "cost_usd": 0}
    bad = [
        {**good, "tokens": -1},
        {**good, "nonsense": 1},
        {"key": value},
        5,
        None,
        "x",
        (),
        (value,),
        (value, "m", 1, 2, 3),
        (value, "m", nan),
        {**good, "request_type": "chat"},
        {1: 2},
    ]
    used, held = bench.requests(bench.subject)
    answers = bench.engine.admit_many([good, *bad, good])
    assert [bool(answers[0]), bool(answers[-1])] == [True, True]
    assert [type(answer) for answer in answers[1:-1]] == [limen.InvalidError] * len(bad)
    assert [answer.code for answer in answers[1:-1]] == ["invalid_request"] * len(bad)
    assert bench.requests(bench.subject) == (used + 2, held)

    first, last = answers[0], answers[-1]
    settlements = [
        {"permit": first, "tokens": 1},
        {"permit": first, "tokens": -1},
        {"permit": first, "tokens": 2},
        {"permit": "forged", "tokens": 1},
        {"tokens": 1},
        {"permit": last},
        {"permit": last, "nonsense": 1},
        5,
        {"permit": last.token, "as_held": True},
    ]
    settled = bench.engine.settle_many(settlements)
    assert [getattr(answer, "code", None) for answer in settled] == [
        None,
        "invalid_request",
        "settle_conflict",
        "permit_not_found",
        "invalid_request",
        "invalid_request",
        "invalid_request",
        "invalid_request",
        None,
    ]


@pytest.mark.parametrize("value", [5, None, "x", {"key": "k"}, True], ids=short)
@pytest.mark.parametrize("call", ["admit_many", "settle_many"])
def test_a_batch_that_is_no_list_is_refused(bench: Bench, call: str, value: Any) -> None:
    bench.unchanged(lambda: getattr(bench.engine, call)(value), "invalid_request", None)


def test_a_time_of_ones_own_needs_a_clock_of_ones_own() -> None:
    engine = limen.Engine()
    refused(lambda: engine.admit(None, "m", now_ms=1), "invalid_request", "now_ms")
    house = House()
    for value in (nan, "5", True, 2**63, -(2**64), 1.5):
        refused(lambda value=value: house.admit(house.key(), now_ms=value), "invalid_request", "now_ms")


@pytest.mark.parametrize(
    ("param", "call"),
    [
        *(("seed", lambda value=value: limen.Engine(seed=value)) for value in (-1, 2**64, True, 1.5, "5")),
        *(("clock", lambda value=value: limen.Engine(clock=value)) for value in (5, "x", limen.ManualClock)),
        *(
            ("data", lambda value=value: House().engine.restore(value))
            for value in (5, "x", None, bytearray())
        ),
        *(
            ("path", lambda value=value: House().engine.load(value))
            for value in (0, 5, None, "\0", "/no/file")
        ),
        *(("key", lambda value=value: House().engine.quota(value)) for value in (5, None, b"x", [])),
    ],
)
def test_what_an_engine_is_made_of_and_fed_with_is_read_as_strictly(
    param: str, call: Callable[[], Any]
) -> None:
    refused(call, "invalid_request", param)


def test_a_batch_takes_any_mapping(bench: Bench) -> None:
    request = {"key": bench.subject.value, "model": "m", "provider": "p", "tokens": 1, "cost_usd": 0}
    (permit,) = bench.engine.admit_many([MappingProxyType(request)])
    (settled,) = bench.engine.settle_many([MappingProxyType({"permit": permit, "tokens": 1})])
    assert settled.tokens == 1
