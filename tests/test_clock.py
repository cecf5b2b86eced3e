"""Time is handed in: what an engine does when it passes, is set back or wrong, or is the caller's own."""

from __future__ import annotations

import limen
from house import DAY, HOUR, MINUTE, START, House, refused


def test_time_that_passes_rolls_windows_and_expires_permits() -> None:
    house = House(permit_ttl_seconds=60, on_expiry="give_back")
    key = house.key(tokens=(10, "1d"), requests=(2, "1m"))
    assert house.admit(key, tokens=10)
    assert house.tokens(key) == (0, 10)
    house.clock.advance(MINUTE)
    assert house.engine.sweep() == 1
    assert (house.tokens(key), house.requests(key)) == ((0, 0), (0, 0))
    assert house.admit(key, tokens=10)


def test_a_wall_set_back_opens_no_spent_window() -> None:
    house = House()
    key = house.key(requests=(1, "1h"))
    assert house.admit(key)
    for step in (-1, -10 * DAY):
        house.clock.jump(step)
        assert not house.admit(key)
    house.at(HOUR)
    assert house.admit(key)


def test_a_wall_set_ahead_by_hours_is_followed() -> None:
    house = House()
    key = house.key(requests=(1, "1h"))
    assert house.admit(key)
    house.clock.jump(HOUR)
    assert house.engine.clock_jump_ms() is None
    assert house.admit(key)


def test_a_wall_set_ahead_by_days_is_reported_and_not_followed_until_it_is_accepted() -> None:
    house = House()
    key = house.key(requests=(1, "1h"))
    assert house.admit(key)
    house.clock.jump(2 * DAY)
    assert house.engine.clock_jump_ms() == 2 * DAY
    assert house.engine.now_ms() == START
    assert not house.admit(key)
    house.clock.advance(HOUR)
    assert house.engine.now_ms() == START + HOUR, "time goes on by the other hand"
    assert house.admit(key)
    house.engine.accept_clock_jump()
    assert house.engine.clock_jump_ms() is None
    assert house.engine.now_ms() == START + 2 * DAY + HOUR
    assert house.admit(key)


def test_a_wall_that_is_set_right_again_needs_nobody() -> None:
    house = House()
    house.clock.jump(3 * DAY)
    assert house.engine.clock_jump_ms() == 3 * DAY
    house.clock.jump(-3 * DAY)
    assert house.engine.clock_jump_ms() is None
    assert house.engine.now_ms() == START


def test_two_engines_may_share_a_clock() -> None:
    clock = limen.ManualClock(START)
    one, other = limen.Engine(clock=clock), limen.Engine(clock=clock)
    clock.advance(5)
    assert one.now_ms() == other.now_ms() == START + 5


def test_a_replay_states_the_time_of_each_call() -> None:
    house = House()
    key = house.key(requests=(1, "1m"))
    instants = [0, 1, 59_999, 60_000, 60_001, 120_000]
    admitted = [bool(house.admit(key, now_ms=START + offset)) for offset in instants]
    assert admitted == [True, False, False, True, False, True]
    refused(lambda: limen.Engine().admit(None, "m", now_ms=START), "invalid_request", "now_ms")
