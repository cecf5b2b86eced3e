"""What is told of periods that have ended, past edits, deletions, crashes and sums that nobody can count."""

from __future__ import annotations

import sqlite3
import threading
from contextlib import closing
from typing import Any

from house import HOUR, SECOND
from kept import ENDED, LIMITS, Kept, ended, spend, used
from limen.model import usd

MOST = 2**63 - 1
PATIENCE_S = 60


def test_a_rate_limit_that_counts_something_else_by_now_keeps_its_name(kept: Kept) -> None:
    """Its only counter leaves, and with it the name of the limit: what is told next needs it again."""
    key = kept.key(tokens=(1000, "1h"))
    kept.admit(key, tokens=5, cost_usd=0).settle(tokens=5, cost_usd=0)
    kept.engine.flush()
    other = {"token_max_limit": None, "token_reset_duration": None}
    kept.engine.virtual_keys.update(
        key.id, {"rate_limit": {**other, "request_max_limit": 50, "request_reset_duration": "1h"}}
    )
    # The window of the tokens has ended with their limit; past the age of periods nothing of it is left.
    kept.at(401 * 24 * HOUR)
    kept.engine.flush()
    kept.admit(key)
    kept.engine.flush()
    kept.at(402 * 24 * HOUR)
    kept.admit(key)
    kept.engine.flush()
    assert used(ended(kept)) == {"requests": 1}


def test_periods_are_found_under_what_their_owner_is_called_now(kept: Kept) -> None:
    limit = {"request_max_limit": 5, "request_reset_duration": "1h"}
    config = kept.engine.model_configs.create({"model_name": "m", "rate_limit": limit})
    key = kept.key()
    for hour in range(2):
        kept.at(hour * HOUR)
        kept.admit(key)
        kept.engine.flush()
    kept.engine.model_configs.update(config.id, {"provider": "p"})
    kept.at(2 * HOUR)
    kept.admit(key)
    kept.engine.flush()
    assert kept.engine.usage(level="model").count == 0
    assert kept.engine.usage(level="model_provider").count == 3


def test_more_than_can_be_counted_of_a_period_is_the_largest_number(kept: Kept) -> None:
    kept.engine.close()
    kept.settings = {"on_expiry": "give_back", "permit_ttl_seconds": 3000, "usage_flush_ms": 3_600_000}
    kept.engine = kept.opened()
    key = kept.key(budget=(9_000_000_000, "1h"))
    permits = [kept.admit(key, tokens=1, cost_usd=1) for _ in range(4)]
    for permit in permits[:2]:
        permit.settle(tokens=1, cost_usd=9_000_000_000)
    kept.at(3_100 * SECOND)
    kept.engine.sweep()
    kept.at(HOUR)
    kept.admit(key, tokens=1, cost_usd=1)
    # What they were given back is charged after all, in the period that has ended: before and after that is
    # written.
    for permit in permits[2:]:
        permit.settle(tokens=1, cost_usd=0.5)
        kept.engine.flush()
        assert used(ended(kept)) == {"budget": usd(MOST)}


def test_a_limit_that_is_deleted_leaves_what_was_used_of_it(kept: Kept) -> None:
    key = kept.key(**LIMITS)
    spend(kept, key)
    kept.engine.flush()
    spend(kept, key)
    kept.engine.virtual_keys.delete(key.id)
    kept.engine.flush()
    told = {"tokens": 14, "requests": 2, "budget": usd(500_000_000)}
    assert used(list(kept.engine.usage(owner_id=key.id).usage)) == told
    kept.restart()
    assert used(list(kept.engine.usage(owner_id=key.id).usage)) == told


def test_a_limit_that_is_deleted_before_a_crash_leaves_what_was_flushed_of_it(kept: Kept) -> None:
    key = kept.key(**LIMITS)
    spend(kept, key)
    kept.engine.flush()
    kept.engine.virtual_keys.delete(key.id)
    kept.crash()
    told = {"tokens": 7, "requests": 1, "budget": usd(250_000_000)}
    for _ in range(2):
        assert used(list(kept.engine.usage(owner_id=key.id).usage)) == told
        with closing(sqlite3.connect(kept.path)) as connection:
            assert connection.execute("SELECT count(*) FROM counters").fetchone() == (0,)
        kept.restart()


def test_pages_of_periods_are_parts_of_the_whole(kept: Kept) -> None:
    keys = [kept.key(**LIMITS) for _ in range(2)]
    for hour in range(3):
        kept.at(hour * HOUR)
        spend(kept, keys[0])
        if hour < 2:
            spend(kept, keys[1])  # whose second period nobody has met the end of
        kept.engine.flush()
    whole = list(kept.engine.usage().usage)
    assert len(whole) == 6 + 6 + 6
    paged = [row for offset in range(0, 24, 4) for row in kept.engine.usage(limit=4, offset=offset).usage]
    assert paged == whole
    assert kept.engine.usage(owner_id=keys[1].id).count == 9


def test_periods_are_read_while_the_store_is_busy_writing(kept: Kept) -> None:
    spend(kept, kept.key(**LIMITS))
    kept.at(HOUR)
    kept.engine.flush()
    begun, read, in_time = threading.Event(), threading.Event(), []

    def job(connection: Any) -> None:
        begun.set()
        in_time.append(read.wait(PATIENCE_S))

    writer = kept.engine._book.keeper._writer
    writing = threading.Thread(target=writer.write, args=(job, job))
    writing.start()
    assert begun.wait(PATIENCE_S)
    assert used(ended(kept)) == ENDED
    read.set()
    writing.join()
    assert in_time == [True]
