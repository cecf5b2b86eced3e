"""The oracle against figures worked out by hand: whoever judges the engine is judged first."""

from __future__ import annotations

import pytest

from model import Allowed, Config, Denied, Key, MisuseError, Oracle, Request, Settings
from model_counter import Counter, calendar_bounds

SECOND, MINUTE, DAY = 1_000, 60_000, 86_400_000


def oracle_with(*limits: tuple[str, int, str, str], **settings: object) -> Oracle:
    """A key `k` that may use everything, with these (kind, limit, per, window) limits of its own, at 0."""
    oracle = Oracle(Settings(**settings))
    oracle.keys["k"] = Key("k", configs=[Config("1", "p", 1.0, ["*"])])
    for kind, limit, per, window in limits:
        name = f"b{per}" if kind == "budget" else "rl"
        oracle.limit("virtual_key", "k", name, kind, limit, per, window, now=0)
    return oracle


def ask(oracle: Oracle, now: int, **request: object) -> Allowed | Denied:
    return oracle.admit(now, Request("k", "m", provider="p", **request))


def allowed(answer: Allowed | Denied) -> Allowed:
    assert isinstance(answer, Allowed), answer
    return answer


def denied(answer: Allowed | Denied) -> Denied:
    assert isinstance(answer, Denied), answer
    return answer


PERIODS = [
    ("1d", "2024-02-29 is a day", 1_709_164_800_000 + 5, 1_709_164_800_000, 1_709_251_200_000),
    ("1w", "the epoch's week began on Monday, 1969-12-29", 0, -3 * DAY, 4 * DAY),
    ("2w", "pairs of weeks count from 1970-01-05", 4 * DAY, 4 * DAY, 18 * DAY),
    ("1M", "February 2024 has 29 days", 1_709_164_800_000, 1_706_745_600_000, 1_709_251_200_000),
    ("3M", "three months are a calendar quarter", 1_709_164_800_000, 1_704_067_200_000, 1_711_929_600_000),
    ("1Y", "2024 has 366 days", 1_709_164_800_000, 1_704_067_200_000, 1_735_689_600_000),
    (
        "5Y",
        "five years count from year 0: 2020 to 2025",
        1_709_164_800_000,
        1_577_836_800_000,
        1_735_689_600_000,
    ),
]


@pytest.mark.parametrize(("per", "why", "now", "start", "end"), PERIODS, ids=[row[1] for row in PERIODS])
def test_calendar_periods(per: str, why: str, now: int, start: int, end: int) -> None:
    assert calendar_bounds(per, now) == (start, end)


def test_a_window_admits_its_limit_and_says_when_it_admits_again() -> None:
    oracle = oracle_with(("requests", 2, "1m", "fixed"))
    allowed(ask(oracle, 59_000)), allowed(ask(oracle, 59_998))
    refusal = denied(ask(oracle, 59_999))
    assert (refusal.status, refusal.code, refusal.retry_ms) == (429, "request_limited", 1)
    allowed(ask(oracle, 60_000))


def test_a_sliding_entry_counts_through_one_sub_window_more_than_the_window() -> None:
    counter = Counter("rl", "requests", 1, "1m", "sliding", now=0)
    counter.add(500, used=1)
    assert counter.leaves_at(counter.entries[0]) == 61_000
    assert [counter.fits(at, 1) for at in (60_500, 60_999, 61_000)] == [False, False, True]
    assert counter.passes_at(60_500, 1) == 61_000


def test_a_maximum_is_cut_to_the_room_and_a_guess_to_its_share() -> None:
    oracle = oracle_with(("tokens", 100, "1m", "fixed"))
    guess = allowed(ask(oracle, 0, input_tokens=5))
    assert (guess.tokens, guess.max_output_tokens) == (15, None)
    cut = allowed(ask(oracle, 0, input_tokens=5, max_output_tokens=200))
    assert (cut.tokens, cut.max_output_tokens) == (85, 80)
    refusal = denied(ask(oracle, 0, max_output_tokens=1))
    assert (refusal.limits[0].held, refusal.limits[0].asked, refusal.fits) == (100, 1, None)


def test_a_maximum_under_deny_is_refused_with_what_would_fit() -> None:
    oracle = oracle_with(("tokens", 100, "1m", "fixed"), fit="deny")
    refusal = denied(ask(oracle, 0, input_tokens=40, max_output_tokens=70))
    assert (refusal.limits[0].asked, refusal.limits[0].never, refusal.fits) == (110, True, 60)
    assert refusal.retry_ms is None


def test_a_late_settle_charges_only_the_excess_to_the_new_window() -> None:
    oracle = oracle_with(("tokens", 100, "1m", "fixed"))
    counter = oracle.counters()[0]
    below, above = allowed(ask(oracle, 0, tokens=10)), allowed(ask(oracle, 0, tokens=10))
    oracle.settle(MINUTE, below, tokens=3)
    assert counter.used(MINUTE) == 0
    oracle.settle(MINUTE, above, tokens=17)
    assert (counter.used(MINUTE), counter.held(MINUTE)) == (7, 0)


def test_growth_after_the_window_is_final() -> None:
    oracle = oracle_with(("tokens", 100, "1m", "fixed"))
    counter = oracle.counters()[0]
    permit = allowed(ask(oracle, 0, tokens=10))
    assert oracle.update(MINUTE, permit, tokens=120)[0].used == 110
    oracle.settle(MINUTE, permit, tokens=50)
    assert counter.used(MINUTE) == 110


@pytest.mark.parametrize(("on_expiry", "used"), [("charge", 10), ("give_back", 0)])
def test_an_expired_hold_is_charged_or_given_back_and_a_late_settle_corrects_it(
    on_expiry: str, used: int
) -> None:
    oracle = oracle_with(("tokens", 100, "1h", "fixed"), ttl_ms=SECOND, on_expiry=on_expiry)
    counter = oracle.counters()[0]
    permit = allowed(ask(oracle, 0, tokens=10))
    assert (oracle.sweep(999), oracle.sweep(1_000)) == (0, 1)
    assert (counter.used(SECOND), counter.held(SECOND)) == (used, 0)
    assert oracle.settle(1_500, permit, tokens=4).expired
    assert counter.used(SECOND) == 4


def test_a_release_gives_back_the_hold_and_only_where_said_the_request() -> None:
    oracle = oracle_with(("tokens", 100, "1m", "fixed"), ("requests", 2, "1m", "fixed"))
    tokens, requests = oracle.counters()
    first, second = allowed(ask(oracle, 0, tokens=10)), allowed(ask(oracle, 0, tokens=10))
    oracle.release(0, first)
    assert (tokens.held(0), requests.used(0)) == (10, 2)
    oracle.release(0, second, request=True)
    assert (tokens.held(0), requests.used(0)) == (0, 1)
    with pytest.raises(MisuseError, match="permit_closed"):
        oracle.settle(0, second, tokens=1)


def test_a_new_duration_keeps_usage_on_the_lattice_of_the_old_last_reset() -> None:
    counter = Counter("rl", "requests", 5, "1m", "fixed", now=10_000)
    counter.add(75_000, used=3)
    counter.reshape(80_000, "1h", "fixed")
    assert (counter.used(80_000), counter.reset_at(80_000)) == (3, 70_000 + 3_600_000)
    assert counter.used(70_000 + 3_600_000) == 0


def test_alignment_switched_on_empties_the_budget_and_off_keeps_it() -> None:
    oracle = oracle_with(("budget", 100, "1d", "fixed"))
    counter = oracle.counters()[0]
    permit = allowed(ask(oracle, 5, cost=40))
    oracle.limit("virtual_key", "k", "b1d", "budget", 100, "1d", "calendar", now=10)
    assert (counter.used(10), counter.held(10), counter.bounds(10)) == (0, 0, (0, DAY))
    oracle.settle(20, permit, cost=50)
    assert counter.used(20) == 10
    oracle.limit("virtual_key", "k", "b1d", "budget", 100, "1w", "fixed", now=30)
    assert (counter.used(30), counter.bounds(30)) == (10, (0, 7 * DAY))


def test_time_set_back_opens_no_spent_window() -> None:
    counter = Counter("rl", "requests", 1, "1m", "fixed", now=0)
    counter.add(10, used=1)
    counter.add(70_000, used=1)
    assert not counter.fits(10, 1)
    assert counter.passes_at(10, 1) == 120_000
