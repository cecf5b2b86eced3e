"""How a request is explained: the decision and the price that the core traces for it, as structs."""

from collections.abc import Mapping
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final, get_args

from limen.answers import usd
from limen.bodies import OverrideScope
from limen.explanation import (
    AppliedOverride,
    Candidate,
    CounterState,
    Explanation,
    OtherOverride,
    PriceExplanation,
    PriceLine,
    PriceRow,
)
from limen.resources.reading import moment

if TYPE_CHECKING:
    from limen.engine import Engine
    from limen.model import PricingOverride

_SCOPES: Final = get_args(OverrideScope)
_AMOUNTS: Final = {
    "input_tokens": "prompt_tokens",
    "max_output_tokens": "completion_tokens",
    "tokens": "tokens",
}


def explain(engine: "Engine", request: dict[str, Any], words: Mapping[str, Any]) -> Explanation:
    """What takes part in a request, given as `admit` takes it.

    `words` is the usage to price, and what is expected where the request itself does not say.
    """
    if request.get("cost_usd") is None and not any(map(request.get, ("usage", "input_tokens", "tokens"))):
        request = {**request, "usage": words}
    traced = engine.trace_decision(request)
    answer, model = traced["answer"], traced["model"]
    price = None
    if model is not None:
        ids = (traced["virtual_key_id"], traced["provider"], traced["key_id"])
        price = _price(engine, ids, model, request, dict(words) or _expected(request))
    return Explanation(
        allowed=bool(answer),
        code=None if answer else answer.code,
        provider=traced["provider"],
        model=model,
        key_id=traced["key_id"],
        rule_id=answer.rule_id if answer else None,
        max_output_tokens=answer.max_output_tokens if answer else None,
        price=price,
        rules=engine.routing_rules.steps(traced["steps"]),
        candidates=[_candidate(*one) for one in traced["candidates"]],
        limits=[_counter(*one) for one in traced["counters"]],
    )


def _candidate(
    provider: str | None, model: str, key_id: str | None, weight: float | None, result: Any, limits: list[Any]
) -> Candidate:
    refusing = [_counter(*one) for one in limits]
    return Candidate(
        provider=provider, model=model, key_id=key_id, weight=weight, result=result, limits=refusing
    )


def _counter(
    level: Any,
    owner_id: str,
    limit_id: str,
    kind: Any,
    limit: int,
    used: int,
    held: int,
    asked: int | None,
    reset_at_ms: int,
    refuses: bool,
    wait_ms: int | None,
) -> CounterState:
    def amount(count: int) -> int | Decimal:
        return usd(count) if kind == "budget" else count

    return CounterState(
        level=level,
        owner_id=owner_id,
        limit_id=limit_id,
        kind=kind,
        limit=amount(limit),
        used=amount(used),
        held=amount(held),
        asked=None if asked is None else amount(asked),
        resets_at=moment(reset_at_ms),
        refuses=refuses,
        retry_after=None if wait_ms is None else wait_ms / 1_000,
    )


def _expected(request: dict[str, Any]) -> dict[str, Any]:
    if request.get("usage"):
        return dict(request["usage"])
    return {word: request[name] for name, word in _AMOUNTS.items() if request.get(name)}


def _price(
    engine: "Engine",
    ids: tuple[str | None, str | None, str | None],
    model: str,
    request: dict[str, Any],
    usage: dict[str, Any],
) -> PriceExplanation:
    kind = request.get("request_type") or "chat_completion"
    stated = {name: usage.pop(name) for name in ("cost_usd", "reported_cost_usd") if name in usage}
    traced = engine.trace_price(ids, model, kind, usage)
    notes: list[str] = []
    row = None
    if traced["row"] is not None:
        name, by, in_part = traced["row"]
        row = PriceRow(name=name, found_by=by, catalog=engine.prices.source)
        notes.append(f"the row {name} was found by {by}")
        if in_part:
            left = ", ".join(engine.prices.not_taken.get(name, []))
            notes.append(f"the price file says more of this model than is taken: {left}")
    else:
        notes.append("the price catalogue has no row for this model")
    lines = [
        PriceLine(
            component=component,
            quantity=Decimal(quantity),
            rate=None if rate is None else Decimal(rate),
            amount=Decimal(amount),
        )
        for component, quantity, rate, amount in traced["lines"]
    ]
    missing = [line.component for line in lines if line.rate is None]
    policy = engine.settings.unknown_price or "deny where a budget applies, else count_zero"
    if missing:
        notes.append(f"no price for {', '.join(missing)}: unknown_price is {policy}")
    elif traced["source"] is None:
        notes.append(f"nothing is known of its price: unknown_price is {policy}")
    if traced["source"] == "default":
        notes.append("priced by default_price")
    if traced["free"]:
        notes.append("the override makes it free")
    if "cost_usd" in stated or request.get("cost_usd") is not None:
        notes.append("cost_usd is stated, and stands for this price")
    if "reported_cost_usd" in stated and engine.settings.trust_reported_cost:
        notes.append("reported_cost_usd is believed, and stands for this price")
    return PriceExplanation(
        cost_usd=usd(traced["nano_usd"]),
        cost_nano_usd=traced["nano_usd"],
        exact_usd=traced["exact_usd"],
        row=row,
        override=_override(engine, traced["overrides"], kind),
        tier=traced["tier"] or None,
        lines=lines,
        notes=notes,
    )


def _override(engine: "Engine", met: list[tuple[str, bool]], kind: str) -> AppliedOverride | None:
    found = [(engine.pricing_overrides.get(id), is_for) for id, is_for in met]
    winner = next((override for override, is_for in found if is_for), None)
    if winner is None:
        return None
    others = [
        OtherOverride(
            id=override.id,
            name=override.name,
            why=_why_not(override, winner) if is_for else f"it is not for {kind}",
        )
        for override, is_for in found
        if override is not winner
    ]
    rivals = [override for override, is_for in found if is_for and override.scope_kind == winner.scope_kind]
    why = f"its scope, {winner.scope_kind}, is the narrowest that the call meets"
    if len(rivals) > 1:
        why = f"in the narrowest scope that the call meets, {winner.scope_kind}, it comes first"
    return AppliedOverride(
        id=winner.id,
        name=winner.name,
        scope_kind=winner.scope_kind,
        match_type=winner.match_type,
        pattern=winner.pattern,
        free=winner.free,
        why=why,
        others=others,
    )


def _why_not(other: "PricingOverride", winner: "PricingOverride") -> str:
    if other.scope_kind != winner.scope_kind:
        wider = _SCOPES.index(other.scope_kind) > _SCOPES.index(winner.scope_kind)
        return f"its scope, {other.scope_kind}, is {'wider' if wider else 'narrower'}"
    if other.match_type != winner.match_type:
        return "a wildcard comes after an exact name"
    if len(other.pattern) != len(winner.pattern):
        return "its pattern is shorter"
    if other.created_at != winner.created_at:
        return "it was made later"
    return "its id comes later"
