"""The engine and the oracle side by side: every call goes to both, every answer is compared.

Instants are absolute milliseconds; limits are written as `Spec`; owners are known by (level, id) as the
engine names them. The engine's ids are the only thing that the oracle takes from it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

import limen
from model import (
    Allowed,
    Config,
    Denied,
    Key,
    MisuseError,
    Oracle,
    Override,
    ProviderKey,
    Request,
    Rule,
    Settings,
    Violation,
    most_telling,
)

PRICES = Path(__file__).parent / "oracle_prices.json"
RESOURCE = {
    "customer": "customers",
    "team": "teams",
    "virtual_key": "virtual_keys",
    "model_config": "model_configs",
    "provider": "providers",
}


@dataclass
class Budget:
    nano_usd: int
    per: str
    calendar: bool = False
    id: str | None = None


@dataclass
class Spec:
    """The limits of one owner, as a body says them."""

    tokens: tuple[int, str] | None = None
    requests: tuple[int, str] | None = None
    window: str = "fixed"
    budgets: list[Budget] = field(default_factory=list)

    def body(self, whole: bool = False) -> dict[str, Any]:
        """`whole`: also what is not limited is said, as an update needs it."""
        rate_limit: dict[str, Any] = {}
        for name, limited in (("token", self.tokens), ("request", self.requests)):
            if limited or whole:
                limit, per = limited or (None, None)
                rate_limit |= {f"{name}_max_limit": limit, f"{name}_reset_duration": per}
        if self.tokens or self.requests:
            rate_limit["window"] = self.window
        else:
            rate_limit = {}
        budgets = [
            {
                "max_limit": budget.nano_usd / 1e9,
                "reset_duration": budget.per,
                "calendar_aligned": budget.calendar,
            }
            | ({"id": budget.id} if budget.id else {})
            for budget in self.budgets
        ]
        body: dict[str, Any] = {}
        if rate_limit or whole:
            body["rate_limit"] = rate_limit
        if budgets or whole:
            body["budgets"] = budgets
        return body


@dataclass
class Owner:
    """An owner of limits: its id for the engine, and for a provider config the key it belongs to."""

    level: str
    id: str
    spec: Spec


class Twin:
    def __init__(self, start_ms: int, settings: Settings) -> None:
        self.clock = limen.ManualClock(start_ms)
        self.engine = limen.Engine(
            settings={
                "require_virtual_key": settings.require_virtual_key,
                "estimate": {
                    "output_tokens": settings.output_tokens,
                    "share": float(settings.share),
                    "fit": settings.fit,
                },
                **({"unknown_price": settings.unknown_price} if settings.unknown_price else {}),
                "permit_ttl_seconds": settings.ttl_ms // 1_000,
                "on_expiry": settings.on_expiry,
                "max_open_permits": settings.max_open_permits,
            },
            clock=self.clock,
            seed=1,
        )
        self.oracle = Oracle(settings)
        self.engine.load_prices(PRICES)
        self.oracle.catalogue = {"e": 350_000}
        self.owners: list[Owner] = []
        self.values: dict[str, str] = {}
        self.permits: list[tuple[Any, Allowed]] = []
        self.made = 0

    @property
    def now(self) -> int:
        return self.clock.now_ms

    def owners_of(self, *levels: str) -> list[Owner]:
        return [owner for owner in self.owners if owner.level in levels]

    # The clock

    def move(self, step_ms: int) -> None:
        """Forwards with both hands, backwards with the wall clock alone; then what is overdue expires."""
        if step_ms < 0:
            self.clock.jump(step_ms)
        else:
            self.clock.advance(step_ms)
        assert self.engine.sweep() == self.oracle.sweep(self.now), "permits expired"

    # The policy

    def create(self, level: str, body: dict[str, Any], spec: Spec) -> Owner:
        self.made += 1
        resource = getattr(self.engine, RESOURCE[level])
        if level == "provider":
            made = resource.update(body["name"], spec.body(whole=True))
            owner = Owner(level, body["name"], spec)
        else:
            named = body if level == "model_config" else {"name": f"{level} {self.made}", **body}
            made = resource.create({**named, **spec.body()})
            owner = Owner(level, made.id, spec)
        self.owners.append(owner)
        self.enter(owner, body, made)
        self.mirror(owner, made)
        return owner

    def enter(self, owner: Owner, body: dict[str, Any], made: Any) -> None:
        """The new owner as the oracle knows it."""
        if level_is(owner, "team"):
            self.oracle.team_customer[owner.id] = body.get("customer_id")
        elif level_is(owner, "model_config"):
            self.oracle.model_configs[owner.id] = (body["model_name"], body.get("provider"))
            owner.level = "model_provider" if body.get("provider") else "model"
        elif level_is(owner, "provider"):
            self.oracle.provider_names.add(owner.id)
        elif level_is(owner, "virtual_key"):
            self.values[owner.id] = made.value
            key = Key(owner.id, team=body.get("team_id"), customer=body.get("customer_id"))
            for config in made.provider_configs:
                key.configs.append(
                    Config(str(config.id), config.provider, config.weight, list(config.allowed_models))
                )
            self.oracle.keys[owner.id] = key

    def create_key(self, spec: Spec, configs: list[tuple[dict[str, Any], Spec]], **body: Any) -> Owner:
        """`configs`: (body, limits) of each provider config, in order."""
        bodies = [{**config, **limits.body()} for config, limits in configs]
        owner = self.create("virtual_key", {"provider_configs": bodies, **body}, spec)
        made = self.engine.virtual_keys.get(owner.id)
        for config, (_, limits) in zip(made.provider_configs, configs, strict=True):
            part = Owner("provider_config", str(config.id), limits)
            self.owners.append(part)
            self.mirror(part, config)
        return owner

    def mirror(self, owner: Owner, made: Any) -> None:
        """Enter the limits of `owner.spec` into the oracle under the ids that the engine gave them."""
        before = list(self.oracle.limits.get((owner.level, owner.id), []))
        rows = []
        for kind, limited in (("tokens", owner.spec.tokens), ("requests", owner.spec.requests)):
            if limited:
                rows.append((made.rate_limit.id, kind, *limited, owner.spec.window))
        for budget, given in zip(owner.spec.budgets, made.budgets, strict=True):
            budget.id = given.id
            window = "calendar" if budget.calendar else "fixed"
            rows.append((given.id, "budget", budget.nano_usd, budget.per, window))
        for row in rows:
            self.oracle.limit(owner.level, owner.id, *row, now=self.now)
        kept = {row[:2] for row in rows}
        for counter in before:
            if (counter.limit_id, counter.kind) not in kept:
                self.oracle.retire(owner.level, owner.id, counter.limit_id, counter.kind)

    def edit(self, owner: Owner, spec: Spec) -> None:
        """Other limits for the same owner, in one update."""
        owner.spec = spec
        body = spec.body(whole=True)
        if owner.level == "provider_config":
            key = next(k for k in self.oracle.keys.values() if owner.id in [c.id for c in k.configs])
            configs = [{"id": int(c.id)} | (body if c.id == owner.id else {}) for c in key.configs]
            made = self.engine.virtual_keys.update(key.id, {"provider_configs": configs})
            self.mirror(owner, next(c for c in made.provider_configs if str(c.id) == owner.id))
            return
        self.mirror(owner, self.resource(owner).update(owner.id, body))

    def delete(self, owner: Owner) -> None:
        resource = self.resource(owner)
        getattr(resource, "known", resource).delete(owner.id)  # a provider as such, not its limits alone
        gone = [owner]
        if level_is(owner, "virtual_key"):
            configs = [config.id for config in self.oracle.keys.pop(owner.id).configs]
            gone += [o for o in self.owners_of("provider_config") if o.id in configs]
        elif level_is(owner, "team"):
            del self.oracle.team_customer[owner.id]
            for key in self.oracle.keys.values():
                key.team = None if key.team == owner.id else key.team
        elif level_is(owner, "customer"):
            for team, customer in self.oracle.team_customer.items():
                self.oracle.team_customer[team] = None if customer == owner.id else customer
            for key in self.oracle.keys.values():
                key.customer = None if key.customer == owner.id else key.customer
        elif level_is(owner, "provider"):
            self.oracle.provider_names.discard(owner.id)
            keys = [key for key in self.oracle.provider_keys if key.provider != owner.id]
            self.oracle.provider_keys = keys
        else:
            del self.oracle.model_configs[owner.id]
        for one in gone:
            self.oracle.retire(one.level, one.id)
        if level_is(owner, "virtual_key"):
            others = [one for one in self.oracle.overrides if one.scope_id != owner.id]
            self.oracle.overrides = others
        bound = [rule for rule in self.oracle.rules if (rule.scope, rule.scope_id) == (owner.level, owner.id)]
        self.oracle.rules = [rule for rule in self.oracle.rules if rule not in bound]
        self.owners = [one for one in self.owners if one not in gone]

    def attach(self, owner: Owner, team: str | None, customer: str | None) -> None:
        """Another team or customer for a key."""
        body = {"team_id": team} if team or not customer else {"customer_id": customer}
        if not team and not customer:
            body = {"team_id": None, "customer_id": None}
        self.engine.virtual_keys.update(owner.id, body)
        key = self.oracle.keys[owner.id]
        key.team, key.customer = team, None if team else customer

    def activate(self, owner: Owner, active: bool) -> None:
        self.engine.virtual_keys.update(owner.id, {"is_active": active})
        self.oracle.keys[owner.id].active = active

    def register_key(self, provider: str, models: list[str]) -> None:
        """A key of a provider that has none: whatever it may serve is its own from here on."""
        body = {"provider": provider, "name": f"key of {provider}", "value": "s", "weight": 1}
        made = self.engine.provider_keys.create({**body, "models": models})
        self.oracle.provider_keys.append(ProviderKey(made.key_id, provider, models=models))

    def create_rule(self, rule: Rule) -> None:
        """The rule for both, under the id that the engine gives it."""
        self.made += 1
        shares = [1.0] if len(rule.targets) == 1 else [1 - 1e-12, 1e-12]
        targets = [
            {name: value for name, value in vars(target).items() if value is not None} | {"weight": share}
            for target, share in zip(rule.targets, shares, strict=True)
        ]
        body = {"name": f"rule {self.made}", "scope": rule.scope, "priority": rule.priority}
        body |= {"scope_id": rule.scope_id} if rule.scope_id else {}
        body |= {"cel_expression": rule.condition, "targets": targets, "fallbacks": rule.fallbacks}
        rule.id, rule.made = self.engine.routing_rules.create(body).id, self.now
        self.oracle.rules.append(rule)

    def create_override(self, override: Override) -> None:
        """Another price of `e` for both."""
        body = {"name": "o", "scope_kind": override.scope, "match_type": "exact", "pattern": "e"}
        body |= {f"{override.scope}_id": override.scope_id} if override.scope_id else {}
        patch = {"input_cost_per_token": Decimal(override.femto_usd).scaleb(-15)}
        made = self.engine.pricing_overrides.create({**body, "request_types": ["embedding"], "patch": patch})
        override.id, override.made = made.id, self.now
        self.oracle.overrides.append(override)

    def delete_override(self, override: Override) -> None:
        self.engine.pricing_overrides.delete(override.id)
        self.oracle.overrides.remove(override)

    def switch_rule(self, rule: Rule) -> None:
        rule.enabled = not rule.enabled
        self.engine.routing_rules.update(rule.id, {"enabled": rule.enabled})

    def delete_rule(self, rule: Rule) -> None:
        self.engine.routing_rules.delete(rule.id)
        self.oracle.rules.remove(rule)

    def resource(self, owner: Owner) -> Any:
        level = "model_config" if owner.level in ("model", "model_provider") else owner.level
        return getattr(self.engine, RESOURCE[level])

    # The calls

    def ask(self, request: Request, peek: bool = False) -> Any:
        """admit or peek on both; answers the engine's answer."""
        value = None if request.key is None else self.values.get(request.key, "sk-bf-unknown")
        words = {
            "provider": request.provider,
            "request_type": request.request_type,
            "tokens": request.tokens,
            "cost_usd": None if request.cost is None else request.cost / 1e9,
            "mcp_tool": request.mcp_tool,
            "fallbacks": None if request.fallbacks is None else list(request.fallbacks),
            "id": request.id,
            "headers": None if request.tier is None else {"Tier": request.tier},
        }
        call = self.engine.peek if peek else self.engine.admit
        judge = self.oracle.peek if peek else self.oracle.admit
        args = (request.model, request.input_tokens, request.max_output_tokens)
        real, fault = outcome(lambda: call(value, *args, **words))
        drawn = real.provider if real else None
        expected, expected_fault = outcome(lambda: judge(self.now, request, drawn))
        assert fault == expected_fault, f"{request}: raised {fault}, oracle {expected_fault}"
        if fault is None:
            compare(real, expected)
            matches = [self.engine.rule_health(rule.id)[0] for rule in self.oracle.rules]
            assert matches == [rule.matches for rule in self.oracle.rules], f"rules that {request} met"
            if real and not peek and all(expected is not known for _, known in self.permits):
                self.permits.append((real, expected))
        return real

    def forgotten_ahead(self, twin: Allowed) -> bool:
        """Forgotten at an instant that is the future again, the clock set back: either answer is right."""
        self.oracle.sweep(self.now)
        known = any(twin is permit for permit in self.oracle.permits)
        return not known and self.now < twin.closed_at + self.oracle.settings.ttl_ms

    def settle(self, index: int, by_text: bool = False, **usage: Any) -> None:
        """Usage in the oracle's words: tokens, cost (nano-dollars), as_held."""
        permit, twin = self.permits[index % len(self.permits)]
        if self.forgotten_ahead(twin):
            return
        real, fault = outcome(
            lambda: self.engine.settle(permit.token if by_text else permit, **engine_words(usage))
        )
        expected, expected_fault = outcome(lambda: self.oracle.settle(self.now, twin, **usage))
        assert fault == expected_fault, f"settle {usage}: raised {fault}, oracle {expected_fault}"
        if fault is None:
            shown = (real.tokens, real.cost_nano_usd, real.overrun, real.repeated, real.expired)
            assert shown == tuple(vars(expected).values()), f"settle {usage}: {shown}, oracle {expected}"

    def update(self, index: int, **usage: Any) -> None:
        permit, twin = self.permits[index % len(self.permits)]
        if self.forgotten_ahead(twin):
            return
        real, fault = outcome(lambda: permit.update(**engine_words(usage)))
        expected, expected_fault = outcome(lambda: self.oracle.update(self.now, twin, **usage))
        assert fault == expected_fault, f"update {usage}: raised {fault}, oracle {expected_fault}"
        if fault is None:
            over = [(x.kind, x.level, x.owner_id, x.limit_id, x.limit, x.used, x.held) for x in real]
            told = [(x.kind, x.level, x.owner_id, x.limit_id, x.limit, x.used, x.held) for x in expected]
            assert over == told

    def release(self, index: int, request: bool = False) -> None:
        permit, twin = self.permits[index % len(self.permits)]
        if self.forgotten_ahead(twin):
            return
        _, fault = outcome(lambda: self.engine.release(permit, request=request))
        _, expected_fault = outcome(lambda: self.oracle.release(self.now, twin, request))
        assert fault == expected_fault, f"release: raised {fault}, oracle {expected_fault}"

    def read_back(self) -> None:
        """Every counter shows what the oracle shows."""
        counters = self.oracle.counters()
        shown = self.engine.read([(counter.limit_id, counter.kind) for counter in counters])
        for counter, (used, held, start, end) in zip(counters, shown, strict=True):
            what = f"{counter.kind} of {counter.limit_id} ({counter.window} {counter.per}) at {self.now}"
            assert (used, held) == (counter.used(self.now), counter.held(self.now)), what
            if counter.window != "sliding":
                assert (start, end) == counter.bounds(counter.time(self.now)), what


def level_is(owner: Owner, level: str) -> bool:
    return owner.level == level


def engine_words(usage: dict[str, Any]) -> dict[str, Any]:
    words = {name: value for name, value in usage.items() if name != "cost" and value is not None}
    if usage.get("cost") is not None:
        words["cost_usd"] = usage["cost"] / 1e9
    return words


def outcome(call: Callable[[], Any]) -> tuple[Any, str | None]:
    """The answer, or the code of the fault."""
    try:
        return call(), None
    except limen.LimenError as fault:
        return None, fault.code
    except MisuseError as fault:
        return None, str(fault)


def compare(real: Any, expected: Allowed | Denied) -> None:
    """One answer of the engine against the oracle's, field by field."""
    if isinstance(expected, Allowed):
        assert real, f"refused with {real.code}, the oracle admits"
        shown = (
            real.provider,
            real.model,
            real.key_id,
            real.rule_id,
            real.held.requests,
            real.held.tokens,
            real.held.cost_nano_usd,
            real.max_output_tokens,
            real.expires_at_ms,
        )
        held = (expected.requests, expected.tokens, expected.cost)
        where = (expected.provider, expected.model, expected.key_id, expected.rule_id)
        assert shown == (*where, *held, expected.max_output_tokens, expected.expires_at)
        return
    assert not real, f"admitted, the oracle refuses: {expected}"
    assert (real.status, real.retry_after) == (expected.status, seconds(expected.retry_ms))
    known = {(x.provider, x.model, x.reason): x for x in expected.excluded + expected.perhaps}
    shown = [(x.provider, x.model, x.reason) for x in real.excluded]
    must = Counter((x.provider, x.model, x.reason) for x in expected.excluded)
    assert must <= Counter(shown) <= must + Counter(list(known)), f"excluded: {shown}, oracle {must}"
    for exclusion, what in zip(real.excluded, shown, strict=True):
        compare_limits(exclusion.limits, known[what].refusal.limits)
    if expected.excluded and not expected.shared:
        # Draws decide the order, and the order decides which of them speaks for all.
        expected = most_telling([known[what] for what in shown], expected.of)
    assert (real.code, real.fits) == (expected.code, expected.fits)
    compare_limits(real.limits, expected.limits)


def compare_limits(real: list[Any], expected: list[Violation]) -> None:
    shown = [
        (x.kind, x.level, x.owner_id, x.limit_id, x.limit, x.used, x.held, x.asked, x.reset_at_ms, x.never)
        for x in real
    ]
    told = [
        (x.kind, x.level, x.owner_id, x.limit_id, x.limit, x.used, x.held, x.asked, x.reset_at, x.never)
        for x in expected
    ]
    assert shown == told
    assert [x.retry_after for x in real] == [seconds(x.retry_ms) for x in expected]


def seconds(wait_ms: int | None) -> float | None:
    return None if wait_ms is None else wait_ms / 1_000
