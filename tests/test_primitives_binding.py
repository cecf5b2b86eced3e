"""The border of the primitives: what a call looks like and takes, what threads do, and the bound on keys."""

from __future__ import annotations

import random
from array import array
from collections import Counter, UserList
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, strategies as st

import limen
import model_counter
from house import MINUTE, START, refused

THREADS = 8
MADE = [
    limen.FixedWindow(1, "1m"),
    limen.SlidingWindow(1, "1m"),
    limen.KeyedLimiter(1, "1m"),
    limen.BudgetCounter(1, "1m"),
    limen.WeightedSampler([1]),
    limen.FixedWindow(1, "1m").status(START),
    limen.ManualClock(START),
]


@pytest.mark.parametrize("made", MADE, ids=lambda made: type(made).__name__)
@pytest.mark.parametrize("name", ["limit", "now_ms", "anything"])
def test_nothing_can_be_set_on_a_primitive(made: Any, name: str) -> None:
    with pytest.raises(AttributeError):
        setattr(made, name, 5)


@pytest.mark.parametrize(
    "call",
    [
        lambda: limen.FixedWindow(1, "1m", 5),
        lambda: limen.SlidingWindow(1, "1m", 5),
        lambda: limen.KeyedLimiter(1, "1m", "fixed"),
        lambda: limen.WeightedSampler([1], 5),
        lambda: limen.FixedWindow(1, "1m").take(costs=1),
        lambda: limen.WindowStatus(),
    ],
)
def test_arguments_out_of_place_are_a_type_error(call: Callable[[], Any]) -> None:
    with pytest.raises(TypeError):
        call()


def test_a_float_that_is_an_integer_is_one() -> None:
    window = limen.FixedWindow(2.0, 1_000.0, anchor_ms=0.0)
    assert window.take(2.0, float(START))
    assert window.status(START).used == 2


@pytest.mark.parametrize("value", [1, 1.0, Decimal("1.00"), Decimal("1e0")])
def test_a_budget_is_read_from_every_kind_of_number(value: Any) -> None:
    assert limen.BudgetCounter(value, "1d").status(START).limit == 1_000_000_000


@pytest.mark.parametrize("keys", [["a", "b"], ("a", "b"), UserList(["a", "b"])])
def test_a_batch_is_any_sequence(keys: Any) -> None:
    limiter = limen.KeyedLimiter(1, "1m")
    assert limiter.take_many(keys, UserList([1, 2]), START) == bytes([1, 0])


@pytest.mark.parametrize("keys", [{"a": 1}, {"a"}, "ab", b"ab", bytearray(b"ab"), iter(["a"]), None, 5])
def test_a_batch_is_nothing_else(keys: Any) -> None:
    refused(lambda: limen.KeyedLimiter(1, "1m").take_many(keys), param="keys")


def test_a_key_is_any_text_that_can_be_written_down() -> None:
    limiter = limen.KeyedLimiter(1, "1m")
    for key in ("", "\0", "\u00e9\U0001f600", "x" * 4_096):
        assert limiter.take(key, 1, START)
        assert not limiter.take(key, 1, START)
    refused(lambda: limiter.take("\ud800"), param="key")


@pytest.mark.parametrize("now", [-(2**63), -(2**62), -1, 2**62, 2**63 - 1])
@pytest.mark.parametrize("per", [1, "1s", 36_500 * 86_400_000])
def test_no_instant_and_no_amount_is_too_far_for_any_counter(per: Any, now: int) -> None:
    most = 2**63 - 1
    windows: list[Any] = [limen.FixedWindow(most, per, anchor_ms=now), limen.SlidingWindow(2**46 - 2, per)]
    for window in windows:
        for cost in (0, 1, 2**45, most, 1):
            window.take(cost, now)
            window.peek(cost, now)
        status = window.status(now)
        assert 0 <= status.used <= status.limit
        window.give_back(most, now)
        window.give_back(1, -now - 1)
        assert window.status(START).used >= 0
    budget = limen.BudgetCounter(9_223_372_036, per)
    for _ in range(2):
        budget.reserve(most, now)
        budget.charge(most, now)
        budget.settle(0, most, now)
        budget.settle(most, 0, now)
        budget.give_back(most, now)
    assert budget.status(now).remaining >= 0


# Draws


def test_many_draws_are_the_same_as_single_ones() -> None:
    one, other = (
        limen.WeightedSampler([1, 2, 3], seed=2**64 - 1),
        limen.WeightedSampler([1, 2, 3], seed=2**64 - 1),
    )
    assert other.pick_many(50) == array("I", [one.pick() for _ in range(50)])
    assert one.pick() == other.pick()


def test_draws_of_a_part_are_their_own_and_repeatable() -> None:
    def drawn() -> tuple[array[int], array[int]]:
        whole = limen.WeightedSampler([1, 1, 1, 1], seed=9)
        return whole.without([]).pick_many(200), whole.pick_many(200)

    part, whole = drawn()
    assert (part, whole) == drawn()
    assert part != whole


def test_no_more_draws_are_made_than_fit_in_forty_megabytes() -> None:
    refused(lambda: limen.WeightedSampler([1]).pick_many(10_000_001), param="n")


def test_threads_share_one_sequence_of_draws() -> None:
    shared, alone = limen.WeightedSampler(range(1, 100), seed=4), limen.WeightedSampler(range(1, 100), seed=4)
    drawn = Counter(index for part in together(lambda _: shared.pick_many(1_000)) for index in part)
    assert drawn == Counter(alone.pick_many(1_000 * THREADS))


# Threads


def together(work: Callable[[int], Any]) -> list[Any]:
    """The same work in eight threads at once; what each answered."""
    with ThreadPoolExecutor(THREADS) as pool:
        return list(pool.map(work, range(THREADS)))


@pytest.mark.parametrize("window", ["fixed", "sliding"])
def test_threads_take_exactly_the_limit_of_each_key_in_batches(window: Any) -> None:
    limiter = limen.KeyedLimiter(1_000, "1h", window=window)
    keys = [f"key {n % 5}" for n in range(2_000)]
    taken = together(lambda _: limiter.take_many(keys, now_ms=START))
    admitted = Counter(key for batch in taken for key, byte in zip(keys, batch, strict=True) if byte)
    assert admitted == {f"key {n}": 1_000 for n in range(5)}
    assert len(limiter) == 5


def test_threads_take_exactly_the_limit_of_keys_that_nobody_knew() -> None:
    limiter = limen.KeyedLimiter(3, "1h")
    orders = [random.Random(n).sample(range(1_000), 1_000) for n in range(THREADS)]
    taken = together(lambda n: limiter.take_many([str(key) for key in orders[n]], now_ms=START))
    assert sum(map(sum, taken)) == 3 * 1_000
    assert len(limiter) == 1_000


@pytest.mark.parametrize("window", ["fixed", "sliding"])
def test_threads_never_count_into_a_key_that_is_dropped(window: Any) -> None:
    limiter = limen.KeyedLimiter(2, "1m", window=window, max_keys=4)
    keys = [f"key {n}" for n in range(6)] * 10
    before = 0
    for step in range(100):
        # Nothing counts any more: takes of known keys race with their being dropped for others.
        now = START + step * 2 * MINUTE

        def take(n: int, now: int = now) -> list[str]:
            order = random.Random(n).sample(keys, len(keys))
            taken = limiter.take_many(order, now_ms=now)
            return [key for key, byte in zip(order, taken, strict=True) if byte]

        admitted = Counter(key for part in together(take) for key in part)
        assert admitted == dict.fromkeys(admitted, 2)
        assert len(admitted) == len(limiter) == 4
        turned_away = limiter.refused_new - before
        before = limiter.refused_new
        assert turned_away == THREADS * 20


def test_threads_that_forget_and_take_leave_no_key_behind() -> None:
    limiter = limen.KeyedLimiter(5, "1h", max_keys=2)

    def work(n: int) -> None:
        for key in random.Random(n).choices("abc", k=2_000):
            limiter.take_many([key, "d"], now_ms=START)
            limiter.forget(key)

    together(work)
    for key in "abcd":
        limiter.forget(key)
    assert len(limiter) == 0
    assert limiter.take_many(list("efg"), now_ms=START) == bytes([1, 1, 0])


# The bound on keys


@given(
    calls=st.lists(
        st.tuples(
            st.sampled_from("abcdefgh"),
            st.integers(0, 4),
            st.sampled_from([0, 0, 1, 999, 1_000, 20_000, 60_000]),
        ),
        max_size=60,
    ),
    window=st.sampled_from(["fixed", "sliding"]),
    max_keys=st.integers(1, 4),
)
def test_a_new_key_is_refused_exactly_while_every_other_one_counts(
    calls: list[tuple[str, int, int]], window: Any, max_keys: int
) -> None:
    limiter = limen.KeyedLimiter(3, "1m", window=window, max_keys=max_keys)
    logs: dict[str, model_counter.Counter] = {}
    now, turned_away = START, 0
    for key, cost, step in calls:
        now += step
        logs = {key: log for key, log in logs.items() if log.used(now)}
        log = logs.get(key) or model_counter.Counter("w", "requests", 3, "1m", window, now=0, buckets=60)
        no_room = key not in logs and len(logs) == max_keys and cost > 0
        fits = log.fits(now, cost) and not no_room
        assert limiter.peek(key, cost, now) == fits
        assert limiter.take(key, cost, now) == fits
        if fits and cost:
            log.add(now, used=cost)
            logs[key] = log
        turned_away += no_room and log.fits(now, cost)
        assert limiter.refused_new == turned_away
        assert len(logs) <= len(limiter) <= max_keys


@pytest.mark.parametrize("window", ["fixed", "sliding"])
def test_the_one_empty_key_among_many_makes_room(window: Any) -> None:
    limiter = limen.KeyedLimiter(5, "1m", window=window, max_keys=1_000)
    keys = [f"key {n}" for n in range(1_000)]
    assert all(limiter.take_many(keys, now_ms=START))
    assert not limiter.take("new", 1, START + 1)
    later = START + 2 * MINUTE
    used = keys[:700] + keys[701:]
    assert all(limiter.take_many(used, now_ms=later))
    assert limiter.take("new", 1, later)
    assert not limiter.take("another", 1, later)
    assert limiter.status("key 700", later).used == 0
    assert [limiter.status(key, later).used for key in used] == [1] * 999
    assert (len(limiter), limiter.refused_new) == (1_000, 2)


def test_a_key_that_was_forgotten_makes_room() -> None:
    limiter = limen.KeyedLimiter(1, "1h", max_keys=1)
    for _ in range(3):
        assert limiter.take("a", 1, START)
        assert not limiter.take("b", 1, START)
        assert limiter.forget("a")
    assert limiter.take("b", 1, START)
    assert (len(limiter), limiter.refused_new) == (1, 3)


def test_what_counts_nothing_is_not_remembered() -> None:
    limiter = limen.KeyedLimiter(5, "1m")
    assert limiter.take("free", 0, START)
    assert not limiter.take("too much", 6, START)
    assert limiter.status("unknown", START).remaining == 5
    assert limiter.peek("unknown", 5, START)
    assert (len(limiter), limiter.refused_new) == (0, 0)
    assert not limen.KeyedLimiter(0, "1m").take("a", 0, START)
