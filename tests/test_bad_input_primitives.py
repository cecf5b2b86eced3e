"""What a faulty call of a primitive gets: InvalidError with the argument's name, and nothing is changed."""

from __future__ import annotations

from math import inf, nan
from typing import Any

import pytest

import limen
from house import START, refused

LONG = "x" * 10_000
COUNTS = [-1, nan, inf, 1e400, True, 2**63, 2**64, "5", b"5", None, 1.5, [], {}]
DURATIONS = [
    "", "0s", "00h",
    "-1h", "+1h", "1.5d", "1h30m", "1 d", " 1d", "1d ", "1", "h", "1x", "1D", "1S",
    "\u0663h", "\uff11h", "12345678901s", "36501d", "101Y", "1217M", "5215w", "9999999999Y",
    "1" * 10_000 + "s", "1h\n",
    0, -1, 1.5, nan, inf, True, None, [], b"1h", 36_500 * 86_400_000 + 1, 2**63, 2**64,
]  # fmt: skip
GOOD_DURATIONS = [
    ("1s", 1_000), ("0000000001s", 1_000), ("2592000s", 2_592_000_000), ("1M", 2_592_000_000),
    ("100Y", 3_153_600_000_000), ("36500d", 3_153_600_000_000), (1, 1),
    (36_500 * 86_400_000, 3_153_600_000_000),
]  # fmt: skip
DOLLARS = [-1, -0.01, nan, inf, True, "5", b"5", None, [], 2**63, 9_223_372_037, 1e-10]
INSTANTS = [nan, inf, True, 2**63, 2**64, -(2**64), "5", 1.5, []]


def short(value: Any) -> str:
    text = ascii(value)
    return text if len(text) < 30 else f"{text[:12]}... of {len(text)}"


@pytest.mark.parametrize("value", DURATIONS, ids=short)
@pytest.mark.parametrize("made", ["FixedWindow", "SlidingWindow", "KeyedLimiter", "BudgetCounter"])
def test_a_faulty_duration_is_refused(made: str, value: Any) -> None:
    fault = refused(lambda: getattr(limen, made)(1, value), param="per")
    assert isinstance(fault, limen.InvalidError)
    assert len(str(fault)) < 1_000


@pytest.mark.parametrize(("value", "length"), GOOD_DURATIONS, ids=short)
def test_a_duration_is_taken_up_to_a_hundred_years(value: Any, length: int) -> None:
    window = limen.FixedWindow(1, value, anchor_ms=START)
    assert window.status(START).reset_at_ms == START + length


@pytest.mark.parametrize("value", COUNTS, ids=short)
@pytest.mark.parametrize("made", ["FixedWindow", "SlidingWindow", "KeyedLimiter"])
def test_a_faulty_limit_is_refused(made: str, value: Any) -> None:
    refused(lambda: getattr(limen, made)(value, "1m"), param="limit")


@pytest.mark.parametrize("value", DOLLARS, ids=short)
def test_a_faulty_budget_is_refused(value: Any) -> None:
    refused(lambda: limen.BudgetCounter(value, "1h"), param="limit_usd")


@pytest.mark.parametrize("value", [v for v in COUNTS if v is not None], ids=short)
@pytest.mark.parametrize("call", ["take", "peek", "give_back"])
@pytest.mark.parametrize("made", ["FixedWindow", "SlidingWindow"])
def test_a_faulty_cost_is_refused(made: str, call: str, value: Any) -> None:
    window = getattr(limen, made)(10, "1h")
    window.take(5, START)
    refused(lambda: getattr(window, call)(value, START), param="cost")
    assert window.status(START).used == 5


@pytest.mark.parametrize("value", INSTANTS, ids=short)
@pytest.mark.parametrize("made", ["FixedWindow", "SlidingWindow"])
def test_a_faulty_instant_is_refused(made: str, value: Any) -> None:
    window = getattr(limen, made)(10, "1h")
    for call in (lambda: window.take(1, value), lambda: window.peek(1, value), lambda: window.status(value)):
        refused(call, param="now_ms")
    refused(lambda: window.give_back(1, value), param="taken_at_ms")
    assert window.status(START).used == 0


MAKINGS = [
    (lambda: limen.SlidingWindow(1, "1m", buckets=0), "buckets"),
    (lambda: limen.SlidingWindow(1, "1m", buckets=-1), "buckets"),
    (lambda: limen.SlidingWindow(1, "1m", buckets=2**40), "buckets"),
    (lambda: limen.SlidingWindow(1, "1m", buckets=True), "buckets"),
    (lambda: limen.SlidingWindow(2**46 - 1, "1m"), "limit"),
    (lambda: limen.SlidingWindow(2**63 - 1, "1m"), "limit"),
    (lambda: limen.KeyedLimiter(2**46 - 1, "1m", window="sliding"), "limit"),
    (lambda: limen.FixedWindow(1, "1m", anchor_ms=nan), "anchor_ms"),
    (lambda: limen.FixedWindow(1, "1m", anchor_ms=2**63), "anchor_ms"),
    (lambda: limen.KeyedLimiter(1, "1m", window="other"), "window"),
    (lambda: limen.KeyedLimiter(1, "1m", window=5), "window"),
    (lambda: limen.KeyedLimiter(1, "1m", max_keys=-1), "max_keys"),
    (lambda: limen.KeyedLimiter(1, "1m", max_keys=0), "max_keys"),
    (lambda: limen.KeyedLimiter(1, "1m", max_keys=2**63), "max_keys"),
    (lambda: limen.BudgetCounter(1, "1h", calendar_aligned=True), "per"),
    (lambda: limen.BudgetCounter(1, "90m", calendar_aligned=True), "per"),
    (lambda: limen.BudgetCounter(1, 86_400_000, calendar_aligned=True), "per"),
]


@pytest.mark.parametrize(
    ("make", "param"), MAKINGS, ids=[f"{i} {param}" for i, (_, param) in enumerate(MAKINGS)]
)
def test_a_primitive_is_not_made_from_faulty_arguments(make: Any, param: str) -> None:
    refused(make, param=param)


@pytest.mark.parametrize("value", [LONG, 5, None, b"key", True, []], ids=short)
def test_a_faulty_key_is_refused(value: Any) -> None:
    limiter = limen.KeyedLimiter(1, "1m")
    for call in (limiter.take, limiter.peek, limiter.status, limiter.forget):
        refused(lambda call=call: call(value), param="key")
    refused(lambda: limiter.take_many(["a", value]), param="keys[1]")
    assert len(limiter) == 0


MANY = [
    ((5,), "keys"),
    (("abc",), "keys"),
    ((["a", "b"], [1]), "costs"),
    ((["a", "b"], 5), "costs"),
    ((["a", "b"], [1, -1]), "costs[1]"),
    ((["a", "b"], [1, True]), "costs[1]"),
    ((["a", "b"], [1, 2**63]), "costs[1]"),
]


@pytest.mark.parametrize(("args", "param"), MANY, ids=[short(args) for args, _ in MANY])
def test_a_faulty_batch_of_keys_takes_nothing(args: tuple[Any, ...], param: str) -> None:
    limiter = limen.KeyedLimiter(5, "1m")
    refused(lambda: limiter.take_many(*args), param=param)
    assert len(limiter) == 0


@pytest.mark.parametrize("value", [v for v in COUNTS if v is not None], ids=short)
def test_a_faulty_amount_of_money_is_refused(value: Any) -> None:
    budget = limen.BudgetCounter(1, "1h")
    assert budget.reserve(500, START)
    for call in (budget.reserve, budget.give_back, budget.charge):
        refused(lambda call=call: call(value, START), param="nano_usd")
    refused(lambda: budget.settle(value, 1, START), param="held_nano_usd")
    refused(lambda: budget.settle(1, value, START), param="real_nano_usd")
    status = budget.status(START)
    assert (status.used, status.held) == (0, 500)


WEIGHTS = [
    ([], "weights"), ([0], "weights"), ([0, 0.0], "weights"), (5, "weights"),
    ("12", "weights"), (None, "weights"),
    ([1, -1], "weights[1]"), ([1, nan], "weights[1]"), ([1, inf], "weights[1]"), ([1, True], "weights[1]"),
    ([1, "5"], "weights[1]"), ([1, None], "weights[1]"), ([1, 1e400], "weights[1]"),
]  # fmt: skip


@pytest.mark.parametrize(("weights", "param"), WEIGHTS, ids=[short(weights) for weights, _ in WEIGHTS])
def test_faulty_weights_are_refused(weights: Any, param: str) -> None:
    refused(lambda: limen.WeightedSampler(weights), param=param)


def test_a_sampler_refuses_faulty_calls() -> None:
    sampler = limen.WeightedSampler([1, 2])
    for n in (-1, True, 1.5, "5", 2**63, nan):
        refused(lambda n=n: sampler.pick_many(n), param="n")
    for key in (5, None, b"x", LONG):
        refused(lambda key=key: sampler.pick_sticky(key), param="key")
    for indices in ([2], [-1], [True], ["0"], [0, 1], 5):
        fault = refused(lambda indices=indices: sampler.without(indices))
        assert str(fault.param).startswith("indices")
    for seed in (-1, True, 1.5, "5", 2**64):
        refused(lambda seed=seed: limen.WeightedSampler([1], seed=seed), param="seed")


def test_a_clock_refuses_faulty_steps() -> None:
    clock = limen.ManualClock(START)
    for step in (-1, nan, True, "5", 2**63, 1.5):
        refused(lambda step=step: clock.advance(step), param="ms")
    for step in (nan, True, "5", 2**63, 1.5):
        refused(lambda step=step: clock.jump(step), param="ms")
    for start in (nan, True, "5", 2**63, 1.5):
        refused(lambda start=start: limen.ManualClock(start), param="start_ms")
    assert clock.now_ms == START
