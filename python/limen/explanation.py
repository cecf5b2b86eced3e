"""Why a call costs what it does and goes where it goes, as typed structs: the answer of `engine.explain`."""

from datetime import datetime
from decimal import Decimal
from typing import Literal

import msgspec

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


class CounterState(Answer, kw_only=True):
    """A limit that the request meets: dollars where the kind is budget.

    Of a request that would be admitted `held` is as it would be afterwards, and `asked` what it takes; of one
    that is refused `asked` is the least that must fit. It is null where something else was in the way first.
    `retry_after` is after how many seconds a limit that refuses would not; null where waiting does not help.
    """

    level: Level
    owner_id: str
    limit_id: str
    kind: LimitKind
    limit: int | Decimal
    used: int | Decimal
    held: int | Decimal
    asked: int | Decimal | None
    resets_at: datetime
    refuses: bool
    retry_after: float | None


class Candidate(Answer, kw_only=True):
    """A place that the request may go to: its weight in the draw, null where it is in none, and its result.

    That is chosen, standing by as a fallback, not tried, or why it cannot serve, with the limits that refuse.
    `provider` is null where a rule's target leaves it to the key.
    """

    provider: str | None
    model: str
    key_id: str | None
    weight: float | None
    result: Literal[
        "chosen",
        "fallback",
        "not_tried",
        "provider_blocked",
        "model_blocked",
        "no_key",
        "no_weight",
        "price_unknown",
        "limits",
    ]
    limits: list[CounterState]


class Explanation(Answer, kw_only=True):
    """What `admit` would answer, and everything that took part, in its turn.

    `limits` are all those of the candidates that were looked at; first come those of the one that serves.
    """

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

    def told(self) -> list[str]:
        """The decision in sentences: whether and where, each rule, each candidate, each limit."""
        return [
            self._outcome(),
            *(f"rule {rule.name} ({rule.scope}): {rule.result}, {rule.reason}" for rule in self.rules),
            *map(_candidate, self.candidates),
            *map(_counter, self.limits),
        ]

    def whole_price(self) -> PriceExplanation | None:
        """The price, with the decision among its notes: what HTTP and the command line answer."""
        if self.price is None:
            return None
        return msgspec.structs.replace(self.price, notes=[*self.price.notes, *self.told()])

    def _outcome(self) -> str:
        if not self.allowed:
            return f"it would be refused: {self.code}"
        where = _place(self.provider, self.model, self.key_id)
        most = self.max_output_tokens
        cut = "" if most is None else f", with {most} output tokens at most"
        return f"it would be admitted{where and f', to {where}'}{cut}"


def _place(provider: str | None, model: str | None, key_id: str | None) -> str:
    where = "/".join(part for part in (provider, model) if part)
    return where if key_id is None else f"{where} with key {key_id}"


def _candidate(one: Candidate) -> str:
    weight = "" if one.weight is None else f" (weight {one.weight:g})"
    limits = "".join(f", {limit.kind} of {limit.level} {limit.owner_id}" for limit in one.limits)
    return f"candidate {_place(one.provider, one.model, one.key_id)}{weight}: {one.result}{limits}"


def _counter(one: CounterState) -> str:
    def amount(count: int | Decimal) -> str:
        return f"${count:f}" if one.kind == "budget" else str(count)

    told = f"{amount(one.used)} used and {amount(one.held)} held of {amount(one.limit)}"
    asked = "not asked" if one.asked is None else f"{amount(one.asked)} asked"
    verdict = ""
    if one.refuses:
        wait = "for good" if one.retry_after is None else f"for {one.retry_after:g} s"
        verdict = f": refuses {wait}"
    at = one.resets_at.isoformat().replace("+00:00", "Z")
    whose = f"{one.kind} of {one.level} {one.owner_id} ({one.limit_id})"
    return f"limit {whose}: {told}, {asked}, resets {at}{verdict}"
