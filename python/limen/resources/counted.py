"""What is counted for a record: each kind of each of its limits, under its key and its owner's name."""

from collections.abc import Iterator
from typing import Final, NamedTuple, get_args

from limen.reports import LimitKind
from limen.resources.change import Named
from limen.resources.records import BudgetRow, Kind, ModelConfigRow, Owner, RateRow, Record, VirtualKeyRow

LIMIT_KINDS: Final[tuple[LimitKind, ...]] = get_args(LimitKind)
"""In the order of their numbers in a key."""


class Counted(NamedTuple):
    """One kind of one limit: `key` is the limit's number * 4 + kind."""

    key: int
    named: Named
    kind: LimitKind
    most: int


def counted(kind: Kind, record: Record | None) -> Iterator[Counted]:
    """All of them, at any depth."""
    if not isinstance(record, Owner):
        return
    level: str = kind
    if isinstance(record, ModelConfigRow):
        level = "model" if record.provider is None else "model_provider"
    yield from _of(level, record.id, record.budgets, record.rate)
    if isinstance(record, VirtualKeyRow):
        for config in record.providers:
            yield from _of("provider_config", str(config.id), config.budgets, config.rate)


def _of(level: str, owner_id: str, budgets: list[BudgetRow], rate: RateRow | None) -> Iterator[Counted]:
    if rate is not None:
        named = Named(level, owner_id, rate.id)
        if rate.tokens is not None:
            yield Counted(rate.number * 4, named, "tokens", rate.tokens)
        if rate.requests is not None:
            yield Counted(rate.number * 4 + 1, named, "requests", rate.requests)
    for budget in budgets:
        named = Named(level, owner_id, budget.id)
        yield Counted(budget.number * 4 + 2, named, "budget", budget.nano_usd)
