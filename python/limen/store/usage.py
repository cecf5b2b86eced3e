"""What was used, on its way to the disk and back.

A flush takes what the engine says has changed, and writes it as one transaction. What could not be written
stays pending, and the next flush lays its own over it: the engine tells nothing twice.
"""

import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Final, NamedTuple, TypeAlias

from limen.errors import fault
from limen.resources.change import Named, Period, PeriodsSought
from limen.store.schema import usage_crc

Collected: TypeAlias = tuple[
    Sequence[tuple[int, bytes]],
    Sequence[int],
    Sequence[tuple[int, int, int, int, bytes]],
    Sequence[int],
    Sequence[tuple[int, int, int, int, int | None, int | None]],
]
"""permits (key, row) and permits gone; counters (key, start, end, total, row) and counters gone; periods
(key, start, end, limit, total, correction), of the last two one None."""

_PERMIT: Final = "INSERT OR REPLACE INTO permits (key, data, crc) VALUES (?, ?, ?)"
_COUNTER: Final = (
    "INSERT OR REPLACE INTO counters (key, start, finish, total, data, crc) VALUES (?, ?, ?, ?, ?, ?)"
)
# A correction may come before the total that it corrects: other threads told them.
_PERIOD: Final = (
    "INSERT INTO periods (key, start, finish, most, used) VALUES (?, ?, ?, ?, ?) ON CONFLICT (key, start)"
    # A sum that is no integer any more would be a fraction.
    " DO UPDATE SET used = min(9223372036854775807, used + excluded.used),"
    " most = coalesce(excluded.most, most)"
)
_NAMED: Final = "INSERT OR REPLACE INTO limits (number, level, owner_id, limit_id) VALUES (?, ?, ?, ?)"
# From the limits to what is told of them: their periods lie together, so nothing of another's is read.
_OF: Final = (
    " WHERE (:level IS NULL OR level = :level) AND (:owner_id IS NULL OR owner_id = :owner_id)"
    " AND (:limit_id IS NULL OR limit_id = :limit_id) AND finish > :since AND start < :until"
)
_TOLD: Final = (
    "SELECT key, start, finish, most, used, level, owner_id, limit_id FROM limits"  # noqa: S608 - texts of ours
    " CROSS JOIN periods ON key BETWEEN number * 4 AND number * 4 + 3" + _OF
)
# A counter whose window has ended and that nobody has met since counts for a period that has ended; of a
# sliding one the total is 0.
_STANDING: Final = (
    "SELECT key, start, finish, NULL, total, level, owner_id, limit_id FROM limits"  # noqa: S608 - as above
    " CROSS JOIN counters ON key BETWEEN number * 4 AND number * 4 + 3" + _OF + " AND finish <= :now"
    " AND total > 0 AND NOT EXISTS"
    " (SELECT 1 FROM periods WHERE periods.key = counters.key AND periods.start = counters.start)"
)
_COUNT: Final = f"SELECT (SELECT count(*) FROM ({_TOLD})) + (SELECT count(*) FROM ({_STANDING}))"  # noqa: S608 - as above
# Of either no more is sorted than the page can show.
_PAGE: Final = (
    f"SELECT * FROM ({_TOLD} ORDER BY start DESC, key LIMIT :most) UNION ALL"  # noqa: S608 - as above
    f" SELECT * FROM ({_STANDING} ORDER BY start DESC, key LIMIT :most)"
    " ORDER BY start DESC, key LIMIT :limit OFFSET :offset"
)
_UNUSED: Final = (
    "DELETE FROM limits WHERE number = :number AND NOT EXISTS"
    " (SELECT 1 FROM periods WHERE key BETWEEN :number * 4 AND :number * 4 + 3) AND NOT EXISTS"
    " (SELECT 1 FROM counters WHERE key BETWEEN :number * 4 AND :number * 4 + 3)"
)
# Of a sliding one the total is 0.
_LEFT: Final = (
    "INSERT OR IGNORE INTO periods (key, start, finish, most, used)"
    " SELECT key, start, finish, NULL, total FROM counters WHERE key = ? AND total > 0"
)
MOST: Final = 2**63 - 1
MOST_PERIODS: Final = 250_000
"""Periods that wait for the disk, at most."""


class Usage(NamedTuple):
    """What a store gives back to an engine that is opened on it."""

    permits: list[tuple[int, bytes]]
    counters: list[tuple[int, bytes]]


class Pending:
    """What is not on the disk yet."""

    def __init__(self) -> None:
        self.permits: dict[int, bytes | None] = {}
        self.counters: dict[int, tuple[int, int, int, bytes] | None] = {}
        self.periods: dict[tuple[int, int], tuple[int, int | None, int]] = {}
        self.lost = 0

    def __bool__(self) -> bool:
        return bool(self.permits or self.counters or self.periods)

    def lay(self, collected: Collected) -> None:
        """Lay what was collected over what is pending."""
        permits, gone, counters, counters_gone, periods = collected
        self.permits.update(dict.fromkeys(gone))
        self.permits.update(permits)
        self.counters.update(dict.fromkeys(counters_gone))
        self.counters.update({key: (start, end, total, row) for key, start, end, total, row in counters})
        for key, start, end, limit, total, correction in periods:
            known = self.periods.get((key, start))
            if known is None and len(self.periods) >= MOST_PERIODS:
                self.lost += 1
                continue
            _, most, used = known or (end, None, 0)
            if total is None:
                self.periods[key, start] = (end, most, min(MOST, used + (correction or 0)))
            else:
                self.periods[key, start] = (end, limit, min(MOST, used + total))

    def numbers(self) -> set[int]:
        """Of the limits that something is told of."""
        keys = [key for key, row in self.counters.items() if row is not None]
        return {key // 4 for key in (*keys, *(key for key, _ in self.periods))}

    def write(self, connection: sqlite3.Connection, named: Mapping[int, Named], before: int) -> set[int]:
        """Write all of it, with whose the limits of some numbers are, and let go of what ended `before`.

        The numbers of limits of which something is let go of: they may have no owner there any more.
        """
        gone = ((key,) for key, data in self.permits.items() if data is None)
        connection.executemany("DELETE FROM permits WHERE key = ?", gone)
        puts = ((key, data, usage_crc(key, data)) for key, data in self.permits.items() if data is not None)
        connection.executemany(_PERMIT, puts)
        ended = [key for key, row in self.counters.items() if row is None]
        connection.executemany("DELETE FROM counters WHERE key = ?", ((key,) for key in ended))
        rows = ((key, *row, usage_crc(key, row[3])) for key, row in self.counters.items() if row is not None)
        connection.executemany(_COUNTER, rows)
        connection.executemany(_NAMED, ((number, *owner) for number, owner in named.items()))
        connection.executemany(_PERIOD, self._periods(1))
        # Periods leave when others come: a store in which nothing ends needs no clock to stay small.
        old = list(connection.execute("SELECT key, start FROM periods WHERE finish < ?", (before,)))
        connection.executemany("DELETE FROM periods WHERE key = ? AND start = ?", old)
        left = {key // 4 for key in (*ended, *(key for key, _ in old))}
        connection.executemany(_UNUSED, ({"number": number} for number in left))
        return left

    def undo(self) -> Callable[[sqlite3.Connection], object]:
        """What takes back what adds up, of as much as is pending now. The rest is written again.

        A copy: more may be laid over what is pending before anybody knows what became of this.
        """
        undone = list(self._periods(-1))
        return lambda connection: connection.executemany(_PERIOD, undone)

    def _periods(self, sign: int) -> Iterator[tuple[int, int, int, int | None, int]]:
        for (key, start), (end, most, used) in self.periods.items():
            yield key, start, end, most, sign * used


def read_usage(connection: sqlite3.Connection) -> Usage:
    """Everything, to be put back; StorageError where a row is not what was written."""
    return Usage(
        list(_checked(connection.execute("SELECT key, data, crc FROM permits"), "permit")),
        list(_checked(connection.execute("SELECT key, data, crc FROM counters"), "counter")),
    )


def end_counters(connection: sqlite3.Connection, keys: Sequence[int]) -> None:
    """Counters of limits that were deleted after the last flush: their windows have ended with them."""
    connection.executemany(_LEFT, ((key,) for key in keys))
    connection.executemany("DELETE FROM counters WHERE key = ?", ((key,) for key in keys))
    connection.executemany(_UNUSED, ({"number": key // 4} for key in keys))


def _checked(rows: Iterable[tuple[int, bytes, int]], what: str) -> Iterator[tuple[int, bytes]]:
    for key, data, crc in rows:
        if usage_crc(key, data) != crc:
            raise fault("store_damaged", f"the {what} {key} is not what was written")
        yield key, data


def read_periods(
    connection: sqlite3.Connection, now: int, sought: PeriodsSought, limit: int | None, offset: int
) -> tuple[list[Period], int]:
    """A page of the periods that had ended at `now`, the newest first, and how many there are in all."""
    most = -1 if limit is None else min(MOST, limit + offset)
    page = {"limit": -1 if limit is None else limit, "offset": offset, "most": most}
    words = {**sought._asdict(), "now": now, **page}
    (count,) = connection.execute(_COUNT, words).fetchone()
    rows = connection.execute(_PAGE, words)
    return [
        Period(key, start, end, most, used, Named(*named)) for key, start, end, most, used, *named in rows
    ], count
