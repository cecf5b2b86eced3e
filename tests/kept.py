"""An engine in a file, that a test restarts, or leaves as a crash would leave it."""

from __future__ import annotations

import shutil
import sqlite3
from pathlib import Path
from typing import Any

import limen
from house import START, House

LIMITS: dict[str, Any] = {"tokens": (1000, "1h"), "requests": (50, "1h"), "budget": (10, "1h")}


class Kept(House):
    """An engine in a file: it can be restarted, or left as a crash would leave it."""

    def __init__(self, path: Path, **settings: Any) -> None:
        self.path = path
        self.settings = settings
        self.clock = limen.ManualClock(START)
        self.made = 0
        self.engine = self.opened()

    def opened(self) -> Any:
        return limen.Engine.open(self.path, settings=self.settings, clock=self.clock, seed=7)

    def restart(self) -> None:
        self.engine.close()
        self.engine = self.opened()

    def crash(self) -> None:
        """What is on the disk at this instant is all that the next engine finds."""
        copy = self.path.with_name("crashed.db")
        # A copy of a database with its log: as it would be found after kill -9.
        with sqlite3.connect(self.path) as source, sqlite3.connect(copy) as target:
            source.backup(target)
        target.close()
        source.close()
        self.engine.close()
        shutil.move(copy, self.path)
        self.engine = self.opened()

    def counts(self, key: Any) -> list[tuple[int, int]]:
        return [self.tokens(key), self.requests(key), self.budget(key)]


def spend(kept: Kept, key: Any, tokens: int = 10, **words: Any) -> Any:
    permit = kept.admit(key, tokens=tokens, cost_usd=0.5, **words)
    assert permit, permit.body()
    permit.settle(tokens=tokens - 3, cost_usd=0.25)
    return permit


ENDED = {"tokens": 7, "requests": 1, "budget": limen.model.usd(250_000_000)}


def ended(kept: Kept, **filters: Any) -> list[Any]:
    now = kept.engine.now_ms()
    return [row for row in kept.engine.usage(**filters) if row.period_end.timestamp() * 1000 <= now]


def used(rows: list[Any]) -> dict[str, Any]:
    assert len({row.kind for row in rows}) == len(rows)
    return {row.kind: row.used for row in rows}
