"""The counters by themselves, against the oracle's log: random calls, time set back, give-backs, holds."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, strategies as st

import limen
from house import DAY, HOUR, MINUTE, START
from model_counter import Counter, Entry

EARLIEST = -(2**62)


def log(limit: int, per: str, window: str, buckets: int = 60) -> Counter:
    """The oracle's counter, without a creation that time could not be set back behind."""
    counter = Counter("w", "requests", limit, per, window, now=0, buckets=buckets)
    counter.newest = EARLIEST
    return counter


steps = st.lists(
    st.tuples(
        st.sampled_from(["take", "take", "take", "peek", "give_back"]),
        st.integers(0, 6),
        st.sampled_from(
            [0, 1, 16, 17, 116, 117, 118, 500, 999, 1_000, 1_001, 7_000, 59_999, 60_000, -1, -900, -60_000]
        ),
    ),
    max_size=60,
)


def side_by_side(window: Any, counter: Counter, calls: list[tuple[str, int, int]]) -> None:
    now = START
    taken: list[tuple[int, int, Entry]] = []
    for call, cost, step in calls:
        now += step
        if call == "take":
            fits = counter.fits(now, cost)
            assert window.take(cost, now) == fits, f"take {cost} at {now}"
            if fits:
                entry = counter.add(now, used=cost)
                taken.append((cost, entry.at, entry))
        elif call == "peek":
            assert window.peek(cost, now) == counter.fits(now, cost)
        elif taken:
            given, at, entry = taken.pop()
            window.give_back(given, at)
            entry.used = 0
        status = window.status(now)
        assert (status.limit, status.used, status.held) == (counter.limit, counter.used(now), 0)
        assert status.remaining == max(0, counter.room(now))
        assert status.reset_at_ms == counter.reset_at(now)
        passes_at = counter.passes_at(now, 1)
        if passes_at is not None and not counter.fits(now, 1):
            assert status.retry_after_ms == passes_at - now


@given(limit=st.integers(0, 12), per=st.sampled_from(["1s", "7s", "1m"]), calls=steps)
def test_a_fixed_window_is_its_log(limit: int, per: str, calls: list[tuple[str, int, int]]) -> None:
    side_by_side(limen.FixedWindow(limit, per), log(limit, per, "fixed"), calls)


@given(
    limit=st.integers(0, 12),
    per=st.sampled_from(["1s", "7s", "1m"]),
    buckets=st.sampled_from([60, 60, 1, 4, 100]),
    calls=steps,
)
def test_a_sliding_window_is_its_log(
    limit: int, per: str, buckets: int, calls: list[tuple[str, int, int]]
) -> None:
    window = limen.SlidingWindow(limit, per, buckets=buckets)
    side_by_side(window, log(limit, per, "sliding", buckets), calls)


@given(anchor=st.integers(-10_000_000, 10_000_000), offset=st.integers(0, 10_000_000))
def test_boundaries_lie_on_the_lattice_of_the_anchor(anchor: int, offset: int) -> None:
    window = limen.FixedWindow(1, "7s", anchor_ms=anchor)
    end = window.status(START + offset).reset_at_ms
    assert (end - anchor) % 7_000 == 0
    assert 0 < end - (START + offset) <= 7_000


@given(
    limit=st.sampled_from([2**63 - 1, 2**62, 2**53 + 1]), costs=st.lists(st.integers(0, 2**62), max_size=6)
)
def test_large_numbers_are_exact_and_never_wrap(limit: int, costs: list[int]) -> None:
    window, counter = limen.FixedWindow(limit, "1m"), log(limit, "1m", "fixed")
    for cost in costs:
        fits = counter.fits(START, cost)
        assert window.take(cost, START) == fits
        if fits:
            counter.add(START, used=cost)
        assert window.status(START).used == counter.used(START)


@given(
    calls=st.lists(
        st.tuples(st.sampled_from("abc"), st.integers(0, 3), st.sampled_from([0, 0, 1, 30_000, 60_000])),
        max_size=60,
    ),
    window=st.sampled_from(["fixed", "sliding"]),
)
def test_keys_count_for_themselves(calls: list[tuple[str, int, int]], window: Any) -> None:
    limiter = limen.KeyedLimiter(5, "1m", window=window)
    logs = {key: log(5, "1m", window) for key in "abc"}
    now = START
    for key, cost, step in calls:
        now += step
        counter = logs[key]
        fits = counter.fits(now, cost)
        assert limiter.peek(key, cost, now) == fits
        assert limiter.take(key, cost, now) == fits
        if fits:
            counter.add(now, used=cost)
        assert limiter.status(key, now).used == counter.used(now)


def test_a_batch_of_keys_is_taken_in_order() -> None:
    limiter = limen.KeyedLimiter(2, "1m")
    assert limiter.take_many(["a", "b", "a", "a", "b"], now_ms=START) == bytes([1, 1, 1, 0, 1])
    assert limiter.take_many(["c", "c", "c"], [1, 2, 1], START) == bytes([1, 0, 1])
    assert limiter.take_many([], now_ms=START) == b""


def test_a_full_limiter_drops_keys_whose_window_is_empty_and_refuses_new_ones_else() -> None:
    limiter = limen.KeyedLimiter(5, "1m", max_keys=3)
    for key in "abc":
        assert limiter.take(key, 1, START)
    assert not limiter.take("d", 1, START + MINUTE - 1)
    assert (limiter.refused_new, len(limiter)) == (1, 3)
    assert limiter.take("a", 4, START)
    assert not limiter.take("a", 1, START)
    assert limiter.take("d", 1, START + MINUTE)
    assert len(limiter) <= 3
    assert limiter.refused_new == 1


def test_a_forgotten_key_starts_empty() -> None:
    limiter = limen.KeyedLimiter(1, "1h")
    assert limiter.take("a", 1, START)
    assert [limiter.forget("a"), limiter.forget("a")] == [True, False]
    assert len(limiter) == 0
    assert limiter.take("a", 1, START)


budget_calls = st.lists(
    st.tuples(
        st.sampled_from(["reserve", "reserve", "settle", "give_back", "charge"]),
        st.integers(0, 80),
        st.sampled_from([0, 1, HOUR - 1, HOUR, DAY, 31 * DAY]),
    ),
    max_size=50,
)


@given(
    limit=st.integers(0, 100),
    shape=st.sampled_from([("1h", "fixed"), ("1d", "calendar"), ("1M", "calendar"), ("30d", "fixed")]),
    calls=budget_calls,
)
def test_a_budget_counter_is_its_log(
    limit: int, shape: tuple[str, str], calls: list[tuple[str, int, int]]
) -> None:
    budget = limen.BudgetCounter(limit * 1e-9, shape[0], calendar_aligned=shape[1] == "calendar")
    counter = log(limit, *shape)
    now = START
    holds: list[Entry] = []
    for call, amount, step in calls:
        now += step
        if call == "reserve":
            fits = counter.fits(now, amount)
            assert budget.reserve(amount, now) == fits
            if fits:
                holds.append(counter.add(now, held=amount))
        elif call == "charge":
            budget.charge(amount, now)
            counter.add(now, used=amount)
        elif holds:
            entry = holds.pop()
            if call == "give_back":
                budget.give_back(entry.held, entry.at)
            else:
                budget.charge(0, now)
                counter.add(now)
                budget.settle(entry.held, amount, entry.at)
                if counter.counts(entry, now):
                    entry.used = amount
                elif amount > entry.held:
                    counter.add(now, used=amount - entry.held)
            entry.held = 0
        status = budget.status(now)
        assert (status.used, status.held) == (counter.used(now), counter.held(now))
        assert status.reset_at_ms == counter.reset_at(now)


SHOWN = [
    (limen.FixedWindow(5, "1m"), "fixed"),
    (limen.SlidingWindow(5, "1m"), "sliding"),
]


@pytest.mark.parametrize(("window", "name"), SHOWN, ids=[name for _, name in SHOWN])
def test_without_a_time_the_system_clock_counts(window: Any, name: str) -> None:
    assert window.take()
    assert window.status().used == 1
    window.give_back(1)
    assert window.status().used == 0
