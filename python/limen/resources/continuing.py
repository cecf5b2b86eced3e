"""How a record that a file describes anew continues the one that is there: ids, times and usage go on."""

from typing import TypeVar

from limen.resources.limits import graft, graft_rate
from limen.resources.records import (
    McpRow,
    Owner,
    ProviderConfigRow,
    ProviderKeyRow,
    ProviderRow,
    Record,
    VirtualKeyRow,
)

R = TypeVar("R", bound=Record)


def continue_record(old: Record, new: R) -> R:
    """`new` with all that a file does not say taken from `old`."""
    new.created, new.updated, new.row = old.created, old.updated, old.row
    if isinstance(new, Owner) and isinstance(old, Owner):
        new.budgets = graft(old.budgets, new.budgets)
        new.rate = graft_rate(old.rate, new.rate)
    if isinstance(new, ProviderRow) and isinstance(old, ProviderRow):
        new.number = old.number
    if isinstance(new, ProviderKeyRow) and isinstance(old, ProviderKeyRow):
        new.number = old.number
    if isinstance(new, VirtualKeyRow) and isinstance(old, VirtualKeyRow):
        new.sha256, new.mask, new.former = old.sha256, old.mask, old.former
        _continue_providers(old.providers, new.providers)
        _continue_mcp(old.mcp, new.mcp)
        new.providers.sort(key=_place)
        new.mcp.sort(key=_place)
    return new


def _place(row: ProviderConfigRow | McpRow) -> tuple[bool, int]:
    """Those that continue one by its id, then the new ones."""
    return row.id == 0, row.id


def _continue_providers(old: list[ProviderConfigRow], new: list[ProviderConfigRow]) -> None:
    left = list(old)
    for row in new:
        match = next((other for other in left if other.provider == row.provider), None)
        if match is not None:
            left.remove(match)
            row.id = match.id
            row.budgets = graft(match.budgets, row.budgets)
            row.rate = graft_rate(match.rate, row.rate)


def _continue_mcp(old: list[McpRow], new: list[McpRow]) -> None:
    left = list(old)
    for row in new:
        match = next((other for other in left if other.client == row.client), None)
        if match is not None:
            left.remove(match)
            row.id = match.id
