"""Windows: fixed, calendar and sliding ones, time set back, and what edits of a limit do to its usage."""

from __future__ import annotations

from typing import Any

import pytest

from house import DAY, HOUR, MINUTE, SECOND, START, House
from rows import Policy, Row, allow, at, deny, do, edit, instant, limited, reads, release, settle

HUNDRED = limited(tokens=(100, "1m"))
TWICE = limited(requests=(2, "1m"))
SLIDING = limited(requests=(2, "1m"), window="sliding")
CENT = 10_000_000
FEBRUARY_29 = 59 * DAY


def aligned(dollars: float, per: str) -> Policy:
    return lambda house: house.key(budget=(dollars, per), aligned=True)


def late(policy: Policy, offset_ms: int) -> Policy:
    """The same key, created later."""

    def made(house: House) -> Any:
        house.at(offset_ms)
        return policy(house)

    return made


def ends_at(offset_ms: int) -> Any:
    """The current window of the key's first limit ends there."""

    def check(scene: Any) -> None:
        limit = scene.key.budget or scene.key.rate_limit
        kind = "budget" if scene.key.budget else "requests"
        assert scene.house.engine.read([(limit.id, kind)])[0][3] == START + offset_ms

    return do(check)


def budget(**body: Any) -> Any:
    return edit(budget=body)


def rate_limit(**body: Any) -> Any:
    return edit(rate_limit=body)


FIXED = [
    Row(
        "a refusal lasts until the promised instant",
        limited(requests=(1, "1m")),
        [
            allow(),
            deny("request_limited", first={"reset_at_ms": instant(MINUTE)}, retry_after=60.0),
            at(MINUTE - 1),
            deny("request_limited", retry_after=0.001),
            at(MINUTE),
            allow(),
        ],
    ),
    Row(
        "boundaries lie on the lattice of the creation, whenever traffic comes",
        late(TWICE, 10_500),
        [at(170_000), allow(), allow(), deny("request_limited", retry_after=20.5), at(190_500), allow()],
    ),
    Row(
        "an expired window is an empty one for the very next read",
        HUNDRED,
        [
            allow(tokens=70),
            settle(tokens=70),
            at(MINUTE - 1),
            reads(tokens=(70, 0)),
            at(MINUTE),
            reads(tokens=(0, 0)),
        ],
    ),
    Row(
        "a hold leaves the counter with its window",
        HUNDRED,
        [allow(tokens=70), at(MINUTE), reads(tokens=(0, 0)), allow("b", tokens=100)],
    ),
    Row(
        "many empty windows are one step",
        TWICE,
        [allow(), allow(), at(400 * DAY + 1), allow(), allow(), deny("request_limited", retry_after=59.999)],
    ),
    Row(
        "a rolling month is 30 days",
        limited(budget=(1, "1M")),
        [ends_at(30 * DAY)],
    ),
    Row(
        "a rolling year is 365 days",
        limited(budget=(1, "1Y")),
        [ends_at(365 * DAY)],
    ),
    Row(
        "a long number of seconds is a month",
        limited(budget=(1, "2592000s")),
        [ends_at(30 * DAY)],
    ),
]

CALENDAR = [
    Row("a calendar day ends at midnight", late(aligned(1, "1d"), 5 * HOUR), [ends_at(DAY)]),
    Row("a calendar week ends on Monday", late(aligned(1, "1w"), 3 * DAY), [ends_at(7 * DAY)]),
    Row("a pair of weeks counts from Monday 1970-01-05", aligned(1, "2w"), [ends_at(7 * DAY)]),
    Row("a pair of days counts from 1970-01-01", late(aligned(1, "2d"), DAY), [ends_at(3 * DAY)]),
    Row("a calendar month has its own length", late(aligned(1, "1M"), FEBRUARY_29), [ends_at(60 * DAY)]),
    Row("three months are a calendar quarter", late(aligned(1, "3M"), FEBRUARY_29), [ends_at(91 * DAY)]),
    Row("a leap year has 366 days", aligned(1, "1Y"), [ends_at(366 * DAY)]),
    Row("five years count from year 0", aligned(1, "5Y"), [ends_at(366 * DAY)]),
    Row(
        "a budget created aligned starts at the period's start, and refuses until its end",
        late(aligned(1, "1M"), FEBRUARY_29 + 5 * HOUR),
        [
            allow(cost_usd=1),
            deny("budget_exceeded", request={"cost_usd": 0}, retry_after=19 * 3600.0),
            at(60 * DAY - 1),
            deny("budget_exceeded", request={"cost_usd": 0}, retry_after=0.001),
            at(60 * DAY),
            allow(cost_usd=1),
        ],
    ),
]

SLIDE = [
    Row(
        "a sliding limit admits again when the sub-window of an admission left, one later than the window",
        SLIDING,
        [
            at(500),
            allow(),
            at(30_000),
            allow(),
            deny("request_limited", retry_after=31.0, first={"used": 2, "reset_at_ms": instant(91_000)}),
            at(60_999),
            deny("request_limited", retry_after=0.001),
            at(61_000),
            reads(requests=(1, 0)),
            allow(),
            deny("request_limited", retry_after=30.0),
        ],
    ),
    Row(
        "a sliding limit has no boundary to crowd",
        SLIDING,
        [at(59_000), allow(), allow(), at(MINUTE), deny("request_limited", retry_after=60.0)],
    ),
    Row(
        "a wait is long enough for everything that is asked",
        limited(tokens=(100, "1m"), window="sliding"),
        [
            allow(tokens=50),
            at(10_000),
            allow(tokens=30),
            at(20_000),
            allow(tokens=20),
            deny("token_limited", request={"tokens": 50}, retry_after=41.0),
            deny("token_limited", request={"tokens": 51}, retry_after=51.0),
            deny("token_limited", request={"tokens": 81}, retry_after=61.0),
        ],
    ),
    Row(
        "a hold in a sliding window is settled in the sub-window of its admission",
        limited(tokens=(100, "1m"), window="sliding"),
        [
            allow(tokens=50),
            at(30_000),
            settle(tokens=40),
            reads(tokens=(40, 0)),
            at(60_999),
            reads(tokens=(40, 0)),
            at(61_000),
            reads(tokens=(0, 0)),
        ],
    ),
    Row(
        "a give-back after its sub-window left changes nothing",
        limited(tokens=(100, "1m"), window="sliding"),
        [allow(tokens=50), at(70_000), allow("b", tokens=10), release(), reads(tokens=(0, 10))],
    ),
    Row(
        "sub-windows of a length that 60 does not divide are rounded up",
        limited(requests=(1, "7s"), window="sliding"),
        [
            allow(),
            deny("request_limited", first={"reset_at_ms": START // 117 * 117 + 61 * 117}),
            at(START // 117 * 117 + 61 * 117 - START - 1),
            deny("request_limited", retry_after=0.001),
            at(START // 117 * 117 + 61 * 117 - START),
            allow(),
        ],
    ),
]

BACK = [
    Row(
        "time set back opens no spent window",
        TWICE,
        [
            allow(),
            at(70_000),
            allow(),
            allow(),
            at(10_000),
            deny("request_limited", first={"used": 2, "reset_at_ms": instant(120_000)}, retry_after=110.0),
        ],
    ),
    Row(
        "refusals and reads do not move the counter's own time",
        TWICE,
        [
            allow(),
            allow(),
            at(70_000),
            reads(requests=(0, 0)),
            at(10_000),
            reads(requests=(2, 0)),
            deny("request_limited", retry_after=50.0),
        ],
    ),
    Row(
        "time set back in a sliding window counts as its newest",
        SLIDING,
        [
            at(100_000),
            allow(),
            at(10_000),
            allow(),
            deny("request_limited", first={"used": 2}, retry_after=151.0),
        ],
    ),
]

EDITS = [
    Row(
        "lowering a limit below its usage refuses at once",
        limited(requests=(5, "1m")),
        [
            allow(),
            allow(),
            allow(),
            rate_limit(request_max_limit=2),
            reads(requests=(3, 0)),
            deny("request_limited", first={"limit": 2, "used": 3}),
            at(MINUTE),
            allow(),
        ],
    ),
    Row(
        "raising a limit admits at once and refunds nothing",
        TWICE,
        [
            allow(),
            allow(),
            deny("request_limited"),
            rate_limit(request_max_limit=3),
            allow(),
            reads(requests=(3, 0)),
            deny("request_limited", retry_after=60.0),
        ],
    ),
    Row(
        "a new duration keeps the usage, on the lattice of the old last_reset",
        late(TWICE, 10_000),
        [
            at(75_000),
            allow(),
            rate_limit(request_reset_duration="1h"),
            reads(requests=(1, 0)),
            ends_at(70_000 + HOUR),
            allow(),
            deny("request_limited", retry_after=3595.0),
            at(70_000 + HOUR),
            allow(),
        ],
    ),
    Row(
        "a shorter duration keeps the usage in the window that contains the edit",
        limited(requests=(2, "1h")),
        [
            allow(),
            allow(),
            at(30 * MINUTE + 20_000),
            rate_limit(request_reset_duration="1m"),
            deny("request_limited", first={"used": 2}, retry_after=40.0),
            at(31 * MINUTE),
            allow(),
        ],
    ),
    Row(
        "a hold follows its counter through a new duration",
        HUNDRED,
        [
            allow(tokens=40),
            rate_limit(token_reset_duration="1h"),
            at(30 * MINUTE),
            reads(tokens=(0, 40)),
            settle(tokens=10),
            reads(tokens=(10, 0)),
        ],
        {"permit_ttl_seconds": 7_200},
    ),
    Row(
        "alignment switched on sets usage to zero and starts at the period's start",
        late(limited(budget=(1, "1d")), 5 * HOUR),
        [
            allow(cost_usd=0.5),
            budget(calendar_aligned=True),
            reads(budget=(0, 0)),
            ends_at(DAY),
            settle(cost_usd=0.4),
            reads(budget=(0, 0)),
        ],
    ),
    Row(
        "what exceeds a hold from before the alignment is charged to the new window",
        late(limited(budget=(1, "1d")), 5 * HOUR),
        [
            allow(cost_usd=0.5),
            budget(calendar_aligned=True),
            settle(cost_usd=0.75),
            reads(budget=(25 * CENT, 0)),
        ],
    ),
    Row(
        "alignment on where it is on changes nothing",
        aligned(1, "1d"),
        [allow(cost_usd=0.5), budget(calendar_aligned=True), reads(budget=(0, 50 * CENT))],
    ),
    Row(
        "alignment switched off keeps the usage, on the lattice of the old last_reset",
        late(aligned(1, "1M"), 10 * DAY),
        [
            allow(cost_usd=0.5),
            settle(cost_usd=0.5),
            budget(calendar_aligned=False),
            reads(budget=(50 * CENT, 0)),
            ends_at(30 * DAY),
        ],
    ),
    Row(
        "an aligned budget with another duration keeps its usage in the period of the edit",
        late(aligned(1, "1d"), 5 * HOUR),
        [
            allow(cost_usd=0.5),
            settle(cost_usd=0.5),
            budget(reset_duration="1w"),
            ends_at(7 * DAY),
            reads(budget=(50 * CENT, 0)),
        ],
    ),
    Row(
        "a window that expired before the edit is not revived by it",
        TWICE,
        [allow(), allow(), at(MINUTE), rate_limit(request_reset_duration="1h"), reads(requests=(0, 0))],
    ),
    Row(
        "a limit that is removed and made again starts empty",
        TWICE,
        [
            allow(),
            allow(),
            edit(rate_limit={}),
            allow(),
            rate_limit(request_max_limit=2, request_reset_duration="1m"),
            reads(requests=(0, 0)),
            allow(),
        ],
    ),
    Row(
        "a fixed window made sliding keeps what counts",
        TWICE,
        [
            allow(),
            allow(),
            at(5 * SECOND),
            rate_limit(window="sliding"),
            reads(requests=(2, 0)),
            deny("request_limited"),
        ],
    ),
    Row(
        "a sliding window made fixed keeps what counts",
        SLIDING,
        [
            allow(),
            allow(),
            at(5 * SECOND),
            rate_limit(window="fixed"),
            reads(requests=(2, 0)),
            deny("request_limited"),
        ],
    ),
]

ROWS = FIXED + CALENDAR + SLIDE + BACK + EDITS


@pytest.mark.parametrize("row", ROWS, ids=[row.says for row in ROWS])
def test_row(row: Row) -> None:
    row.play()
