"""Windows lie where they lay after a restart: an engine made anew from the records has the same ones."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, cast

import pytest

import limen
from house import DAY, HOUR, MINUTE, START, House, limits
from limen.resources.anchors import limit_rows
from limen.resources.limits import core_limits
from limen.resources.rows import core_row

CREATED = 17 * MINUTE + 3
"""When the limits are created; the instants of the rows count from then."""

Step = tuple[int, dict[str, Any] | None, list[int]]
"""At this instant: the body of an edit, or None for a look; after it, the start of each limit's window."""


def budget(per: str, aligned: bool = False) -> dict[str, Any]:
    return {"budget": {"reset_duration": per, "calendar_aligned": aligned}}


def rate(**body: Any) -> dict[str, Any]:
    return {"rate_limit": body}


ROWS: dict[str, tuple[dict[str, Any], list[Step]]] = {
    "a limit begins at its creation": (limits(budget=(5, "1h")), [(90 * MINUTE, None, [HOUR])]),
    "another number moves nothing": (
        limits(budget=(5, "1h")),
        [(90 * MINUTE, {"budget": {"max_limit": 7}}, [HOUR]), (200 * MINUTE, None, [3 * HOUR])],
    ),
    "another duration goes on from the window that runs": (
        limits(budget=(5, "1h")),
        [
            (90 * MINUTE, budget("7h"), [HOUR]),
            (20 * HOUR, None, [15 * HOUR]),
            (21 * HOUR, budget("2d"), [15 * HOUR]),
            (5 * DAY, None, [15 * HOUR + 4 * DAY]),
        ],
    ),
    "alignment, and back": (
        limits(budget=(5, "1d")),
        [
            (HOUR, budget("1d", True), [-CREATED]),
            (2 * HOUR, budget("1M", True), [-CREATED]),
            (3 * DAY, budget("2d"), [2 * DAY - CREATED]),
            (4 * DAY, None, [4 * DAY - CREATED]),
        ],
    ),
    "tokens and requests have windows of their own": (
        limits(tokens=(5, "7m"), requests=(5, "1h")),
        [
            (10 * MINUTE, rate(token_reset_duration="1h"), [7 * MINUTE, 0]),
            (20 * MINUTE, None, [7 * MINUTE, 0]),
            (200 * MINUTE, rate(request_reset_duration="5h"), [187 * MINUTE, 180 * MINUTE]),
            (300 * MINUTE, None, [247 * MINUTE, 180 * MINUTE]),
        ],
    ),
    "a kind that is limited later begins then": (
        limits(tokens=(5, "7m")),
        [
            (10 * MINUTE, rate(request_max_limit=3, request_reset_duration="1h"), [7 * MINUTE, 10 * MINUTE]),
            (20 * MINUTE, rate(token_max_limit=None, token_reset_duration=None), [10 * MINUTE]),
            (30 * MINUTE, rate(token_max_limit=3, token_reset_duration="1h"), [30 * MINUTE, 10 * MINUTE]),
            (40 * MINUTE, None, [30 * MINUTE, 10 * MINUTE]),
        ],
    ),
    "sliding, and back": (
        limits(tokens=(5, "1h")),
        [
            (50 * MINUTE, rate(window="sliding"), []),
            (55 * MINUTE, rate(window="fixed", token_reset_duration="50m"), [55 * MINUTE]),
        ],
    ),
}


def reopened(house: House) -> Any:
    """The core alone, made anew from the records."""
    core = limen._core.Engine(house.engine.settings.core(), house.clock)
    book = house.engine._book
    core.apply([core_row("customer", book.get("customer", id)) for id in ids(house)])
    return core


def ids(house: House) -> list[str]:
    return list(house.engine._book.records["customer"])


def kinds(house: House) -> list[tuple[str, str]]:
    record = cast("Any", house.engine._book.get("customer", ids(house)[0]))
    return [(row["id"], row["kind"]) for row in core_limits(record)]


@pytest.mark.parametrize(("body", "steps"), ROWS.values(), ids=ROWS)
def test_windows_lie_where_they_lay(body: dict[str, Any], steps: list[Step]) -> None:
    house = House()
    house.at(CREATED)
    customer = house.engine.customers.create({"name": "acme", **body})
    for offset, edit, starts in steps:
        house.at(CREATED + offset)
        if edit is not None:
            house.engine.customers.update(customer.id, edit)
        windows = house.engine.read(kinds(house))
        if starts:
            assert [start - START - CREATED for _, _, start, _ in windows] == starts
        assert reopened(house).read(kinds(house)) == windows


def test_a_number_is_never_another_limits() -> None:
    house = House()
    seen: set[int] = set()
    for _ in range(3):
        customer = house.engine.customers.create(
            {"name": "acme", **limits(tokens=(5, "1h"), budget=(5, "1h"))}
        )
        record = cast("Any", house.engine._book.get("customer", customer.id))
        numbers = {row.number for row in limit_rows(record)}
        assert len(numbers) == 2
        assert not numbers & seen
        seen |= numbers
        house.engine.customers.update(customer.id, budget("2h"))
        after = cast("Any", house.engine._book.get("customer", customer.id))
        assert {row.number for row in limit_rows(after)} == numbers
        house.engine.customers.delete(customer.id)


def test_a_limit_of_a_file_keeps_number_and_anchor_when_it_is_loaded_again(tmp_path: Path) -> None:
    house = House()
    file = tmp_path / "policy.json"

    def load(per: str) -> Any:
        budget = {"max_limit": 1, "reset_duration": per}
        file.write_text(json.dumps({"customers": [{"name": "acme", "budget": budget}]}))
        report = house.engine.load(file)
        (row,) = limit_rows(house.engine._book.get("customer", ids(house)[0]))
        return report.unchanged, row

    _, first = load("1h")
    house.at(90 * MINUTE)
    unchanged, again = load("1h")
    assert (unchanged, again) == (1, first)
    _, edited = load("7h")
    assert (edited.number, edited.anchor) == (first.number, START + HOUR)
    assert edited.since == START + 90 * MINUTE
