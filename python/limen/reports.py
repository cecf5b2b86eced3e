"""Answers that are no entity: who changed what, what was used, what a file brought."""

from datetime import datetime
from decimal import Decimal
from typing import Any, Literal, TypeAlias

from limen.answers import Answer, Page

Level: TypeAlias = Literal[
    "provider_config", "virtual_key", "team", "customer", "model_provider", "model", "provider"
]
"""Whose a limit is, in rank order."""
LimitKind: TypeAlias = Literal["tokens", "requests", "budget"]
"""What a limit counts, in the order of the numbers in a key."""


class AuditEntry(Answer, kw_only=True):
    """One change: when, by whom, of what; the entity `before` and `after`, null where there is none."""

    at: datetime
    actor: str
    action: str
    entity: str
    id: str
    before: dict[str, Any] | None
    after: dict[str, Any] | None


class ListAuditResponse(Page[AuditEntry], kw_only=True):
    """A page of the audit, newest first."""

    audit: list[AuditEntry]


class UsagePeriod(Answer, kw_only=True):
    """What was used of a limit in one period: tokens and requests as integers, a budget in dollars.

    `limit` is what was allowed when the period ended (null where that is not known); of the running period,
    what is allowed now.
    """

    level: Level
    owner_id: str
    limit_id: str
    kind: LimitKind
    period_start: datetime
    period_end: datetime
    limit: int | Decimal | None
    used: int | Decimal


class ListUsageResponse(Page[UsagePeriod], kw_only=True):
    """A page of periods, the newest first."""

    usage: list[UsagePeriod]


class CatalogReport(Answer):
    """What became of a price file.

    `source` is where it was, `entries` how many models it prices, `fields_taken` how many prices they have.
    `not_taken` has the fields about prices that mean nothing here, by model; `rounded` those with more than
    15 decimals, rounded half to even; `skipped` the entries that could not be read, each with the reason.
    """

    source: str
    entries: int
    fields_taken: int
    not_taken: dict[str, list[str]]
    rounded: dict[str, list[str]]
    skipped: dict[str, str]


class LoadReport(Answer, kw_only=True):
    """What a configuration file changed: entries as `virtual_keys/bot`, by what became of them.

    `restored` are those of `updated` that somebody had changed by hand since the file was last loaded.
    `prices` is the report on the price catalogue, where the file names one.
    """

    created: list[str]
    updated: list[str]
    removed: list[str]
    restored: list[str]
    unchanged: int
    warnings: list[str]
    prices: CatalogReport | None = None
