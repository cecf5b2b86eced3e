"""Calendar periods: every day of four centuries, and the rows that the core's own tests read too.

The oracle computes no period. It walks over `datetime.date` and notes the days on which one begins: a month
where the day is the first, a week where it is a Monday, and of those every nth. A period ends where the next
begins.
"""

from __future__ import annotations

import json
from datetime import date, timedelta
from functools import cache
from itertools import pairwise
from pathlib import Path

import pytest

import limen

VECTORS = Path(__file__).parent / "vectors"
CALENDAR = json.loads((VECTORS / "calendar.json").read_text())
DURATIONS = json.loads((VECTORS / "durations.json").read_text())

DAY_MS = 86_400_000
EPOCH = date(1970, 1, 1)
FIRST_MONDAY = date(1970, 1, 5)
LAST = date(2400, 12, 31)
GROUPINGS = [1, 2, 3, 5, 6, 12]


@cache
def every_day() -> list[date]:
    """From well before 1970 to well after 2400, so that every period in between has both of its ends."""
    first, last = date(1950, 1, 1), date(2425, 1, 1)
    return [first + timedelta(days=n) for n in range((last - first).days)]


def begins(day: date, count: int, unit: str) -> bool:
    """Whether a period of `count` units begins on this day."""
    if unit == "d":
        return (day - EPOCH).days % count == 0
    if unit == "w":
        return day.isoweekday() == 1 and (day - FIRST_MONDAY).days // 7 % count == 0
    months = day.year * 12 + day.month - 1
    return day.day == 1 and months % (count if unit == "M" else 12 * count) == 0


def days_since_epoch(day: date) -> int:
    return (day - EPOCH).days


@pytest.mark.parametrize("count", GROUPINGS)
@pytest.mark.parametrize("unit", ["d", "w", "M", "Y"])
def test_every_day_lies_in_the_period_that_a_walk_finds(unit: str, count: int) -> None:
    counter = limen.BudgetCounter(1, f"{count}{unit}", calendar_aligned=True)
    starts = [days_since_epoch(day) for day in every_day() if begins(day, count, unit)]
    assert starts[0] <= 0, "the walk must begin before 1970"
    assert starts[-1] > days_since_epoch(LAST), "the walk must end after 2400"
    wrong = [
        (day, reset)
        for start, end in pairwise(starts)
        for day in range(max(start, 0), min(end, days_since_epoch(LAST) + 1))
        if (reset := counter.status(day * DAY_MS).reset_at_ms) != end * DAY_MS
    ]
    assert wrong == []


@pytest.mark.parametrize("row", CALENDAR, ids=lambda row: f"{row['count']}{row['unit']}-{row['now']}")
def test_a_period_resets_at_its_end_and_began_where_the_one_before_ended(row: dict) -> None:
    def reset_at(now_ms: int) -> int:
        per = f"{row['count']}{row['unit']}"
        return limen.BudgetCounter(1, per, calendar_aligned=True).status(now_ms).reset_at_ms

    assert reset_at(row["now_ms"]) == row["end_ms"]
    assert reset_at(row["start_ms"]) == row["end_ms"]
    assert reset_at(row["end_ms"] - 1) == row["end_ms"]
    assert reset_at(row["start_ms"] - 1) == row["start_ms"]


@pytest.mark.parametrize("row", [row for row in DURATIONS if "ms" in row], ids=lambda row: row["text"])
def test_a_duration_is_as_long_as_it_says(row: dict) -> None:
    assert limen.FixedWindow(1, row["text"]).status(0).reset_at_ms == row["ms"]


@pytest.mark.parametrize(
    "row", [row for row in DURATIONS if "says" in row], ids=lambda row: ascii(row["text"])
)
def test_a_text_that_is_no_duration_is_refused_with_its_reason(row: dict) -> None:
    with pytest.raises(limen.InvalidError) as fault:
        limen.FixedWindow(1, row["text"])
    assert row["says"] in fault.value.message
