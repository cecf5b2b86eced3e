"""Usage, open permits and idempotency ids across a restart, clean or not, and the periods that have ended."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import limen
from house import DAY, HOUR, MINUTE, START, House, refused
from kept import ENDED, LIMITS, Kept, ended, spend, used

RESTARTS: dict[str, Callable[[Kept], None]] = {
    "clean": Kept.restart,
    "crash after a flush": lambda kept: (kept.engine.flush(), kept.crash())[1],
}


@pytest.mark.parametrize("restart", RESTARTS.values(), ids=RESTARTS.keys())
def test_what_was_used_and_held_counts_on_after_a_restart(
    kept: Kept, restart: Callable[[Kept], None]
) -> None:
    key = kept.key(**LIMITS)
    spend(kept, key)
    text = kept.admit(key, tokens=20, cost_usd=1).token
    kept.engine.flush()  # a permit is written when it is older than one flush
    before = kept.counts(key)
    restart(kept)
    assert kept.counts(key) == before == [(7, 20), (2, 0), (250_000_000, 1_000_000_000)]
    settled = kept.engine.settle(text, tokens=5, cost_usd=0.1)
    assert (settled.tokens, settled.repeated) == (5, False)
    assert kept.counts(key) == [(12, 0), (2, 0), (350_000_000, 0)]


@pytest.mark.parametrize("restart", RESTARTS.values(), ids=RESTARTS.keys())
def test_a_permit_that_was_closed_answers_the_same_after_a_restart(
    kept: Kept, restart: Callable[[Kept], None]
) -> None:
    key = kept.key(**LIMITS)
    permit = kept.admit(key, tokens=20, cost_usd=1, id="once")
    text = permit.token
    kept.engine.flush()
    permit.settle(tokens=4, cost_usd=0.5)
    before = kept.counts(key)
    restart(kept)
    again = kept.engine.settle(text, tokens=4, cost_usd=0.5)
    assert (again.tokens, again.cost_nano_usd, again.repeated) == (4, 500_000_000, True)
    refused(lambda: kept.engine.settle(text, tokens=5, cost_usd=0.5), "settle_conflict")
    refused(lambda: kept.admit(key, tokens=20, cost_usd=1, id="once"), "id_conflict")
    assert kept.counts(key) == before


@pytest.mark.parametrize("restart", RESTARTS.values(), ids=RESTARTS.keys())
def test_an_id_whose_permit_is_open_is_answered_the_same_permit_after_a_restart(
    kept: Kept, restart: Callable[[Kept], None]
) -> None:
    key = kept.key(**LIMITS)
    permit = kept.admit(key, tokens=20, cost_usd=1, id="once")
    text = permit.token
    kept.engine.flush()
    before = kept.counts(key)
    restart(kept)
    again = kept.admit(key, tokens=20, cost_usd=1, id="once")
    assert (again.token, again.provider, again.model) == (text, "p", "m")
    assert kept.counts(key) == before


CORRECTIONS: dict[str, tuple[Callable[[Kept, Any], Any], list[tuple[int, int]]]] = {
    "a budget that was reset": (
        lambda kept, key: kept.engine.budgets.reset(key.budget.id, "r"),
        [(7, 0), (1, 0), (0, 0)],
    ),
    "a budget that was credited": (
        lambda kept, key: kept.engine.budgets.credit(key.budget.id, 0.2, "r"),
        [(7, 0), (1, 0), (50_000_000, 0)],
    ),
    "a rate limit that was reset": (
        lambda kept, key: kept.engine.rate_limits.reset(key.rate_limit.id, "r"),
        [(0, 0), (0, 0), (250_000_000, 0)],
    ),
}


@pytest.mark.parametrize(("correct", "left"), CORRECTIONS.values(), ids=CORRECTIONS.keys())
def test_a_correction_that_was_answered_outlives_a_crash(
    kept: Kept, correct: Callable[[Kept, Any], Any], left: list[tuple[int, int]]
) -> None:
    key = kept.key(**LIMITS)
    spend(kept, key)
    kept.engine.flush()
    correct(kept, key)
    kept.crash()
    assert kept.counts(key) == left


def test_a_permit_that_a_crash_has_lost_holds_nothing_and_its_text_names_no_other(kept: Kept) -> None:
    key = kept.key(**LIMITS)
    spend(kept, key)
    kept.engine.flush()
    lost = [kept.admit(key, tokens=20, cost_usd=1).token for _ in range(3)]
    kept.crash()
    assert kept.counts(key) == [(7, 0), (1, 0), (250_000_000, 0)]
    others = [kept.admit(key, tokens=20, cost_usd=1) for _ in range(3)]
    assert all(others)
    for text in lost:
        refused(lambda text=text: kept.engine.settle(text, as_held=True), "permit_not_found")
    assert not set(lost) & {permit.token for permit in others}


def test_a_permit_past_its_time_expires_when_the_store_is_opened_again(kept: Kept) -> None:
    key = kept.key(tokens=(1000, "1d"), budget=(10, "1d"))
    kept.admit(key, tokens=20, cost_usd=1)
    kept.engine.flush()
    kept.engine.close()
    kept.at(HOUR)
    kept.engine = kept.opened()
    kept.engine.sweep()
    assert kept.tokens(key) == (20, 0)


def test_a_window_that_has_ended_meanwhile_is_empty_after_a_restart(kept: Kept) -> None:
    key = kept.key(**LIMITS)
    spend(kept, key)
    kept.engine.close()
    kept.at(HOUR)
    kept.engine = kept.opened()
    assert kept.counts(key) == [(0, 0)] * 3


def test_a_sliding_window_counts_on_after_a_restart(kept: Kept) -> None:
    key = kept.key(requests=(3, "1m"), window="sliding")
    for second in range(3):
        kept.at(second * 1000)
        assert kept.admit(key)
    kept.restart()
    assert kept.admit(key).code == "request_limited"
    kept.at(MINUTE + 2 * 1000)
    assert kept.admit(key)


def test_usage_of_a_deleted_key_is_let_go_of(kept: Kept) -> None:
    key = kept.key(**LIMITS)
    spend(kept, key)
    kept.engine.flush()
    kept.engine.virtual_keys.delete(key.id)
    kept.engine.flush()
    with sqlite3.connect(kept.path) as connection:
        assert connection.execute("SELECT count(*) FROM counters").fetchone() == (0,)
    connection.close()


def test_what_a_disk_refuses_stays_pending_and_is_written_once(kept: Kept) -> None:
    key = kept.key(**LIMITS)
    spend(kept, key)
    store = kept.engine._book.keeper
    write = store._writer.write

    def refuse(*_: Any) -> None:
        raise limen.StorageError("storage_unavailable", "no space", None)

    store._writer.write = refuse
    kept.at(HOUR)
    spend(kept, key)  # the first window has ended: its period waits as well
    with pytest.raises(limen.StorageError):
        kept.engine.flush()
    spend(kept, key)
    with pytest.raises(limen.StorageError):
        kept.engine.flush()
    store._writer.write = write
    kept.engine.flush()
    kept.engine.flush()
    kept.restart()
    assert kept.counts(key) == [(14, 0), (2, 0), (500_000_000, 0)]
    assert used(ended(kept)) == ENDED


def test_a_flush_whose_end_nobody_knows_counts_a_period_once(kept: Kept) -> None:
    """The commit came through although it was told to have failed: what adds up is taken back first."""
    key = kept.key(**LIMITS)
    spend(kept, key)
    kept.at(HOUR)
    spend(kept, key)
    store = kept.engine._book.keeper

    class Torn:
        """A connection that commits and says that it has not."""

        def __init__(self, inner: sqlite3.Connection) -> None:
            self.inner = inner

        def execute(self, text: str, *words: Any) -> Any:
            found = self.inner.execute(text, *words)
            if text == "COMMIT":
                raise sqlite3.OperationalError("disk I/O error")
            return found

        def __getattr__(self, name: str) -> Any:
            return getattr(self.inner, name)

    store._writer._connection = Torn(store._writer._connection)
    with pytest.raises(limen.StorageError):
        kept.engine.flush()
    kept.engine.flush()
    assert used(ended(kept)) == ENDED


def test_a_period_that_has_ended_is_kept_with_its_limit_and_its_owner(kept: Kept) -> None:
    key = kept.key(**LIMITS)
    spend(kept, key)
    kept.at(HOUR)
    spend(kept, key)
    kept.engine.flush()
    found = ended(kept)
    assert used(found) == ENDED
    assert [(row.level, row.owner_id) for row in found] == [("virtual_key", key.id)] * 3
    assert {row.kind: row.limit for row in found} == {"tokens": 1000, "requests": 50, "budget": 10}
    assert {row.period_start.timestamp() * 1000 for row in found} == {START}
    running = [row for row in kept.engine.usage() if row not in found]
    assert used(running) == ENDED


def test_a_period_that_nobody_has_met_the_end_of_is_shown_as_ended(kept: Kept) -> None:
    key = kept.key(**LIMITS)
    spend(kept, key)
    kept.engine.flush()
    kept.at(2 * HOUR)
    assert used(ended(kept)) == ENDED


def test_a_late_settle_is_recorded_in_the_period_of_its_hold(kept: Kept) -> None:
    key = kept.key(**LIMITS)
    kept.at(HOUR - MINUTE)
    permit = kept.admit(key, tokens=100, cost_usd=2)
    kept.at(HOUR + MINUTE)
    spend(kept, key)  # rolls: the hold counts in the period that ends
    kept.engine.flush()
    assert used(ended(kept))["tokens"] == 100
    kept.engine.settle(permit.token, tokens=40, cost_usd=1)
    kept.engine.flush()
    assert used(ended(kept)) == {"tokens": 40, "requests": 1, "budget": 1}
    assert kept.tokens(key) == (7, 0)


def test_periods_are_kept_for_history_days(tmp_path: Path) -> None:
    kept = Kept(tmp_path / "limen.db", usage_flush_ms=3_600_000, history_days=2)
    key = kept.key(requests=(50, "1h"))
    for day in range(5):
        kept.at(day * DAY)
        kept.admit(key)
        kept.engine.flush()
    kept.restart()
    starts = [int(row.period_start.timestamp() * 1000 - START) // DAY for row in ended(kept)]
    assert starts == [3, 2]
    kept.engine.close()


FILTERS: dict[str, dict[str, Any]] = {
    "level": {"level": "team"},
    "owner": {"owner_id": "nobody"},
    "limit id": {"limit_id": "none"},
    "from": {"from": "2024-01-02T00:00:00Z"},
    "to": {"to": "2024-01-01T00:00:00Z"},
}


@pytest.mark.parametrize("filters", FILTERS.values(), ids=FILTERS.keys())
def test_a_filter_leaves_out_what_it_does_not_name(kept: Kept, filters: dict[str, Any]) -> None:
    spend(kept, kept.key(**LIMITS))
    kept.at(HOUR)
    kept.engine.flush()
    assert kept.engine.usage().count == 6
    assert kept.engine.usage(**filters).count == 0


@pytest.mark.parametrize(
    "filters",
    [{"level": "galaxy"}, {"from": "yesterday"}, {"to": 5}, {"limit": -1}, {"colour": "red"}],
    ids=lambda filters: next(iter(filters)),
)
def test_a_faulty_filter_is_refused_by_name(kept: Kept, filters: dict[str, Any]) -> None:
    refused(lambda: kept.engine.usage(**filters), "invalid_request", next(iter(filters)))


def test_in_memory_there_are_the_periods_that_run() -> None:
    house = House()
    house.admit(house.key(**LIMITS), tokens=5, cost_usd=0)
    assert used(house.engine.usage().usage) == {"tokens": 0, "requests": 1, "budget": 0}
    house.engine.flush()
