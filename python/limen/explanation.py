"""Why a call costs what it does and goes where it goes, as typed structs: the answer of `engine.explain`."""

from datetime import datetime
from decimal import Decimal
from typing import Literal

from limen.answers import Answer
from limen.bodies import MatchType, OverrideScope
from limen.evaluation import RuleStep
from limen.reports import Level, LimitKind


class PriceRow(Answer, kw_only=True):
    """The entry of the price catalogue, and what it was found by."""

    name: str
    found_by: Literal["provider and name", "provider/name", "name"]
    catalog: str


class OtherOverride(Answer, kw_only=True):
    """An override whose scope and pattern the call meets too, and why it does not apply."""

    id: str
    name: str
    why: str


class AppliedOverride(Answer, kw_only=True):
    """The override that applies, why, and those that it won over."""

    id: str
    name: str
    scope_kind: OverrideScope
    match_type: MatchType
    pattern: str
    free: bool
    why: str
    others: list[OtherOverride]


class PriceLine(Answer, kw_only=True):
    """quantity x rate = amount, exactly; a rate that is missing is null, and adds nothing."""

    component: str
    quantity: Decimal
    rate: Decimal | None
    amount: Decimal


class PriceExplanation(Answer, kw_only=True):
    """What a call costs: the exact sum of the lines as text, and that sum rounded up to a nano-dollar."""

    cost_usd: Decimal
    cost_nano_usd: int
    exact_usd: str
    row: PriceRow | None
    override: AppliedOverride | None
    tier: str | None
    lines: list[PriceLine]
    notes: list[str]


class Candidate(Answer, kw_only=True):
    """A provider config of the key: its weight, and what became of it."""

    provider: str
    weight: float | None
    result: str


class CounterState(Answer, kw_only=True):
    """A limit that the request meets: dollars where the kind is budget. Held as it would be afterwards."""

    level: Level
    owner_id: str
    limit_id: str
    kind: LimitKind
    limit: int | Decimal
    used: int | Decimal
    held: int | Decimal
    resets_at: datetime


class Explanation(Answer, kw_only=True):
    """What `admit` would answer, and everything that took part. `limits` are those in the way, if any."""

    allowed: bool
    code: str | None
    provider: str | None
    model: str | None
    key_id: str | None
    rule_id: str | None
    max_output_tokens: int | None
    price: PriceExplanation | None
    rules: list[RuleStep]
    candidates: list[Candidate]
    limits: list[CounterState]
