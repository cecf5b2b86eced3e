"""`limen usage`: how full every limit is."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, Final, NamedTuple

import click
from msgspec import convert
from rich.text import Text

from limen.commands.common import print_json
from limen.commands.place import EXIT_CODES, Place, opened, place_options
from limen.commands.tables import dollars, print_table, table
from limen.model import (
    ListCustomersResponse,
    ListModelConfigsResponse,
    ListProviderGovernanceResponse,
    ListTeamsResponse,
    ListVirtualKeysResponse,
    Page,
    RateLimit,
)
from limen.resources.reading import parse_duration

_LEVELS: Final[dict[str, tuple[str, type[Page[Any]], str]]] = {
    # level -> the route of its owners, the struct of their list, the field that names one
    "virtual_key": ("/api/governance/virtual-keys", ListVirtualKeysResponse, "name"),
    "team": ("/api/governance/teams", ListTeamsResponse, "name"),
    "customer": ("/api/governance/customers", ListCustomersResponse, "name"),
    "model": ("/api/governance/model-configs", ListModelConfigsResponse, "model_name"),
    "provider": ("/api/governance/providers", ListProviderGovernanceResponse, "provider"),
}
_NAMES: Final = ("provider_config", *_LEVELS)
_BAR: Final = 20
_HALF: Final = Decimal("0.5")


class Row(NamedTuple):
    """A limit as it stands. `resets_at` is None where a window slides, and gives back bit by bit."""

    level: str
    owner: str
    owner_id: str
    limit_id: str
    kind: str
    limit: int | Decimal
    used: int | Decimal
    held: int | Decimal
    per: str
    resets_at: datetime | None

    @property
    def share(self) -> Decimal:
        """How full it is; a limit of nothing is full."""
        return Decimal(self.used + self.held) / Decimal(self.limit) if self.limit else Decimal(1)


@click.command(
    epilog="""
\b
Try it:
  limen usage --top 10
  limen usage --level team --search growth
  limen usage --db limen.db --json
"""
    + EXIT_CODES
)
@click.option("--level", type=click.Choice(_NAMES), help="The limits of one level alone.")
@click.option("--search", metavar="TEXT", help="Those of owners whose name holds this, in any case.")
@click.option("--top", type=click.IntRange(min=1), metavar="N", help="The N that are fullest.")
@click.option("--json", "as_json", is_flag=True, help="Print the rows as one JSON document.")
@place_options
def usage(
    level: str | None, search: str | None, top: int | None, as_json: bool, url: str | None, db: Path | None
) -> None:
    """Show how full every limit is, the fullest first.

    A bar has what was used, then what open permits hold beside it. "resets in" is the time until the window
    of the limit ends; one that slides gives back bit by bit. Of a running server (--url), or of a store that
    no server has open (--db).
    """
    with opened(url, db) as place:
        found = [row for row in _rows(place, level) if _matches(row, search)]
    found.sort(key=lambda row: (-row.share, row.level, row.owner, row.kind, row.per))
    if top is not None:
        found = found[:top]
    if as_json:
        print_json([row._asdict() for row in found])
        return
    shown = table(
        "level", "owner", "limit", "", "used", "held", "of", "resets in", right=("used", "held", "of")
    )
    now = datetime.now(UTC)
    for row in found:
        say = dollars if row.kind == "budget" else "{:,}".format
        amounts = say(row.used), say(row.held), say(row.limit)
        shown.add_row(
            row.level, row.owner, f"{row.kind}/{row.per}", bar(row), *amounts, left(row.resets_at, now)
        )
    print_table(shown, "no limits")


def _matches(row: Row, search: str | None) -> bool:
    return search is None or search.casefold() in row.owner.casefold()


def _rows(place: Place, level: str | None) -> Iterator[Row]:
    for name, (route, kind, title) in _LEVELS.items():
        with_configs = name == "virtual_key" and level in (None, "provider_config")
        if level not in (None, name) and not with_configs:
            continue
        for owner in convert(place.ask("GET", route), kind).items:
            called = getattr(owner, title)
            if level in (None, name):
                provider = owner.provider if name == "model" else None
                shown = called if provider is None else f"{called} on {provider}"
                yield from _limits(name, shown, getattr(owner, "id", called), owner)
            for config in owner.provider_configs if with_configs else ():
                yield from _limits("provider_config", f"{called}/{config.provider}", str(config.id), config)


def _limits(level: str, called: str, id: str, owner: Any) -> Iterator[Row]:
    for one in owner.budgets:
        ends = ends_at(one.last_reset, one.reset_duration, one.calendar_aligned)
        amounts = one.max_limit, one.current_usage, one.held
        yield Row(level, called, id, one.id, "budget", *amounts, one.reset_duration, ends)
    rate: RateLimit | None = owner.rate_limit
    if rate is None:
        return
    tokens = rate.token_max_limit, rate.token_current_usage, rate.token_held
    requests = (
        rate.request_max_limit,
        rate.request_current_usage,
        0,
    )  # one is made, or it is not: none is held
    for kind, (most, used, held), per, start in (
        ("tokens", tokens, rate.token_reset_duration, rate.token_last_reset),
        ("requests", requests, rate.request_reset_duration, rate.request_last_reset),
    ):
        if most is not None and per is not None:
            reset = None if rate.window == "sliding" else ends_at(start, per, False)
            yield Row(level, called, id, rate.id, kind, most, used, held, per, reset)


def ends_at(start: datetime, per: str, aligned: bool) -> datetime:
    """The end of a window that began at `start`; months and years of the calendar are as long as they are.

    >>> ends_at(datetime(2024, 1, 1, tzinfo=UTC), "2M", True).date().isoformat()
    '2024-03-01'
    """
    seconds, unit = parse_duration(per)
    if aligned and unit in "MY":
        months = start.month - 1 + int(per[:-1]) * (12 if unit == "Y" else 1)
        return start.replace(year=start.year + months // 12, month=months % 12 + 1)
    return start + timedelta(seconds=seconds)


def left(end: datetime | None, now: datetime) -> str:
    """The time until then, in its two largest units.

    >>> left(datetime(2024, 1, 3, 5, tzinfo=UTC), datetime(2024, 1, 1, tzinfo=UTC))
    '2d 5h'
    """
    if end is None:
        return "slides"
    seconds = max(0, int((end - now).total_seconds()))
    parts = []
    for unit, size in (("d", 86_400), ("h", 3600), ("m", 60), ("s", 1)):
        count, seconds = divmod(seconds, size)
        parts.append(f"{count}{unit}")
    first = next((index for index, part in enumerate(parts) if not part.startswith("0")), 3)
    return " ".join(parts[first : first + 2])


def bar(row: Row) -> Text:
    """Used, held and free, in twenty cells; above the limit it is full."""
    used = _cells(row, row.used)
    held = min(_cells(row, row.used + row.held), _BAR) - used
    colour = "red" if row.share >= 1 else "yellow" if row.share >= Decimal("0.8") else "green"
    free = _BAR - used - held
    return Text.assemble(("█" * used, colour), ("▒" * held, colour), ("·" * free, "dim"))


def _cells(row: Row, amount: int | Decimal) -> int:
    """Anything used shows, and only what is full is full."""
    if not row.limit:
        return _BAR
    share = Decimal(amount) / Decimal(row.limit)
    if share <= 0 or share >= 1:
        return 0 if share <= 0 else _BAR
    return min(max(1, int(share * _BAR + _HALF)), _BAR - 1)
