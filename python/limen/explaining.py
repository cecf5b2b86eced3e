"""How a request is explained: what `peek` answers, and the price that the core traces for it."""

from collections.abc import Mapping
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final, TypeAlias, cast, get_args

from limen.answers import usd
from limen.bodies import OverrideScope
from limen.errors import LimenError
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
    from limen.reports import Level

_SCOPES: Final = get_args(OverrideScope)
_AMOUNTS: Final = {
    "input_tokens": "prompt_tokens",
    "max_output_tokens": "completion_tokens",
    "tokens": "tokens",
}


def explain(engine: "Engine", request: dict[str, Any], words: Mapping[str, Any]) -> Explanation:
    """What takes part in a request, given as `admit` takes it; `words` is the usage to price."""
    answer = engine.peek(**request)
    provider, model, key_id = _target(engine, request, answer)
    virtual_key = _key_of(engine, request["key"])
    usage = dict(words) or _expected(request)
    price = None
    if model is not None:
        price = _price(engine, (virtual_key, provider, key_id), model, request, usage)
    return Explanation(
        allowed=bool(answer),
        code=None if answer else answer.code,
        provider=provider,
        model=model,
        key_id=key_id,
        rule_id=answer.rule_id if answer else None,
        max_output_tokens=answer.max_output_tokens if answer else None,
        price=price,
        rules=_rules(engine, request),
        candidates=_candidates(engine, virtual_key, model, answer),
        limits=_limits(engine, answer),
    )


Target: TypeAlias = tuple[str | None, str | None, str | None]
"""Provider, model, key_id."""


def _target(engine: "Engine", request: dict[str, Any], answer: Any) -> Target:
    """Where the request goes; where it is refused, what is in its way first, or what it names."""
    if answer:
        return answer.provider or None, answer.model or None, answer.key_id
    if answer.excluded:
        first = answer.excluded[0]
        return first.provider or None, first.model, first.key_id
    provider, model = request.get("provider") or None, request.get("model")
    if model is not None and provider is None:
        prefix, _, rest = model.partition("/")
        if rest and prefix in {row.name for row in engine.providers.known.list()}:
            return prefix, rest, None
    if model is not None and provider is not None and model.startswith(f"{provider}/"):
        model = model.removeprefix(f"{provider}/") or model
    return provider, model, None


def _key_of(engine: "Engine", key: Any) -> str | None:
    try:
        return None if key is None else engine.handle(key).id
    except LimenError:
        return None


def _expected(request: dict[str, Any]) -> dict[str, Any]:
    if request.get("usage"):
        return dict(request["usage"])
    return {word: request[name] for name, word in _AMOUNTS.items() if request.get(name)}


def _rules(engine: "Engine", request: dict[str, Any]) -> list[Any]:
    """Every rule that is looked at; none where nobody is known to ask."""
    try:
        return engine.evaluate(**request).steps
    except LimenError:
        return []


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


def _candidates(engine: "Engine", virtual_key: str | None, model: str | None, answer: Any) -> list[Candidate]:
    """Every provider config of the key: chosen, left out with the reason, or standing by."""
    if virtual_key is None or model is None:
        return []
    excluded = {} if answer else {one.provider: one.reason for one in answer.excluded}
    standing_by = {text.partition("/")[0] for text in answer.fallbacks} if answer else set()
    found = []
    for config in engine.virtual_keys.get(virtual_key).provider_configs:
        if answer and config.provider == answer.provider:
            result = "chosen"
        elif config.provider in excluded:
            result = excluded[config.provider]
        elif "*" not in config.allowed_models and model not in config.allowed_models:
            result = "model_blocked"
        elif config.provider in standing_by:
            result = "fallback"
        else:
            result = "no_weight" if config.weight is None else "not_tried"
        found.append(Candidate(provider=config.provider, weight=config.weight, result=result))
    return found


def _limits(engine: "Engine", answer: Any) -> list[CounterState]:
    if answer:
        told = engine.trace_limits(answer)
    else:
        told = [
            (one.level, one.owner_id, one.limit_id, one.kind, one.limit, one.used, one.held, one.reset_at_ms)
            for one in answer.limits
        ]
    return [
        CounterState(
            level=cast("Level", level),
            owner_id=owner,
            limit_id=id,
            kind=kind,
            limit=usd(limit) if kind == "budget" else limit,
            used=usd(used) if kind == "budget" else used,
            held=usd(held) if kind == "budget" else held,
            resets_at=moment(resets),
        )
        for level, owner, id, kind, limit, used, held, resets in told
    ]
