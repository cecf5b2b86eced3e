"""The naive oracle: what the engine must answer, in exact integers, one thread, as plain as can be said.

It knows a policy (owners with limits, keys with provider configs) and the calls admit, update, settle,
release. Limits are logs (`model_counter`), permits remember their entries, every decision looks anew.

    oracle = Oracle(Settings())
    oracle.keys["k"] = Key("k", configs=[Config("1", "p", weight=1, models=["*"])])
    oracle.limit("virtual_key", "k", "rl", "requests", 1, "1m", "fixed", now=0)
    oracle.admit(0, Request("k", "m", provider="p"))     # Allowed
    oracle.admit(1, Request("k", "m", provider="p"))     # Denied("request_limited"), passes again at 60,000

Where a draw decides, the oracle is told what was drawn (`drawn`) and says whether that was possible.
"""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from math import floor

from model_counter import Counter
from model_permits import Chain, Permits, price, violations
from model_rules import CONDITIONS, Facts
from model_types import (
    Allowed,
    Config,
    Denied,
    Exclusion,
    Hold,
    Key,
    MisuseError,
    Override,
    ProviderKey,
    Request,
    Rule,
    RuleTarget,
    Settings,
    Settled,
    Target,
    Violation,
)

__all__ = [
    "Allowed",
    "Config",
    "Denied",
    "Key",
    "MisuseError",
    "Oracle",
    "Override",
    "ProviderKey",
    "Request",
    "Rule",
    "RuleTarget",
    "Settings",
    "Settled",
    "Violation",
]

KIND_ORDER = {"tokens": 0, "requests": 1, "budget": 2}
CODE = {"tokens": "token_limited", "requests": "request_limited", "budget": "budget_exceeded"}
Verdict = tuple[Allowed, Chain]
TELLING = ("limits", "price_unknown", "no_key", "no_weight", "model_blocked", "provider_blocked")


class Oracle(Permits):
    """`limits`: every limit by its owner (level, owner id). `permits`: every permit that is remembered."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        self.keys: dict[str, Key] = {}
        self.team_customer: dict[str, str | None] = {}
        self.model_configs: dict[str, tuple[str, str | None]] = {}
        self.provider_keys: list[ProviderKey] = []
        self.rules: list[Rule] = []
        self.catalogue: dict[str, int] = {}
        self.overrides: list[Override] = []
        self.provider_names: set[str] = set()

    # The policy

    def limit(
        self, level: str, owner: str, limit_id: str, kind: str, limit: int, per: str, window: str, now: int
    ) -> Counter:
        """A new limit, or an edit of the one that has this id and kind."""
        of_owner = self.limits.setdefault((level, owner), [])
        for counter in of_owner:
            if (counter.limit_id, counter.kind) == (limit_id, kind):
                counter.limit = limit
                counter.reshape(now, per, window)
                return counter
        counter = Counter(limit_id, kind, limit, per, window, now)
        of_owner.append(counter)
        of_owner.sort(key=lambda c: KIND_ORDER[c.kind])
        return counter

    def retire(self, level: str, owner: str, limit_id: str | None = None, kind: str | None = None) -> None:
        """A limit is gone, or all of an owner's: what permits hold in it no longer matters to anyone."""
        kept = [
            counter
            for counter in self.limits.pop((level, owner), [])
            if limit_id is not None and (counter.limit_id, counter.kind) != (limit_id, kind)
        ]
        if kept:
            self.limits[level, owner] = kept

    def known_providers(self) -> set[str]:
        return (
            self.provider_names
            | {config.provider for key in self.keys.values() for config in key.configs}
            | {key.provider for key in self.provider_keys}
            | {provider for _, provider in self.model_configs.values() if provider}
            | {target.provider for rule in self.rules for target in rule.targets if target.provider}
            | {fallback.partition("/")[0] for rule in self.rules for fallback in rule.fallbacks}
        )

    # Admission

    def admit(self, now: int, request: Request, drawn: str | None = None) -> Allowed | Denied:
        """The decision, and what it takes. MisuseError where an idempotency id is used twice."""
        self.sweep(now)
        code = self.identity(now, request)
        if code:
            return Denied(code)
        for permit in self.permits:
            asked = permit.request
            if request.id is not None and (asked.id, asked.key) == (request.id, request.key):
                if permit.state == "open" and asked.sameness() == request.sameness():
                    return permit
                raise MisuseError("id_conflict")
        answer = self.decide(now, request, drawn, take=True)
        if isinstance(answer, Denied):
            return answer
        if sum(p.state == "open" for p in self.permits) >= self.settings.max_open_permits:
            return Denied("too_many_permits")
        permit, chain = answer
        for level, owner, counter in chain:
            if counter.kind == "requests":
                permit.holds.append(Hold(level, owner, counter, counter.add(now, used=1), 1))
            else:
                amount = permit.amount(counter.kind)
                permit.holds.append(Hold(level, owner, counter, counter.add(now, held=amount), amount))
        self.permits.append(permit)
        return permit

    def peek(self, now: int, request: Request, drawn: str | None = None) -> Allowed | Denied:
        """The answer of admit, and nothing is taken."""
        self.sweep(now)
        code = self.identity(now, request)
        answer = Denied(code) if code else self.decide(now, request, drawn)
        return answer if isinstance(answer, Denied) else answer[0]

    def identity(self, now: int, request: Request) -> str | None:
        if request.key is None:
            return "virtual_key_required" if self.settings.require_virtual_key else None
        key = self.keys.get(request.key)
        if key is None:
            return "virtual_key_not_found"
        lapsed = key.expires_at is not None and now >= key.expires_at
        return "virtual_key_blocked" if lapsed or not key.active else None

    def decide(self, now: int, request: Request, drawn: str | None, take: bool = False) -> Denied | Verdict:
        key = None if request.key is None else self.keys[request.key]
        if request.mcp_tool is not None and key is not None:
            client, tool = request.mcp_tool.split("/", 1)
            if not {"*", tool} & set(key.tools.get(client, [])):
                return Denied("mcp_tool_blocked")
        if request.model is None:
            return self.serve(now, request, Target("", ""))
        provider, model = self.split(request.provider or "", request.model)
        rule = self.first_rule(now, request, key, Target(provider, model))
        if rule is not None:
            rule.matches += take
            return self.bound(now, request, rule, Target(provider, model), drawn)
        own = [fallback.partition("/") for fallback in request.fallbacks or ()]
        targets = [Target(name, named or model) for name, _, named in own]
        if provider or key is None:
            tried = [Target(provider, model, one_model=not targets), *targets]
            return self.first_of(now, request, tried, [], plain=not targets)
        wanted = Target("", model, one_model=not targets)
        found = self.draw(now, request, wanted, request.fallbacks is None, drawn)
        return self.first_of(now, request, targets, found) if isinstance(found, list) else found

    # Rules

    def first_rule(self, now: int, request: Request, key: Key | None, incoming: Target) -> Rule | None:
        """Section 6: the first enabled rule that holds, narrow scopes first."""
        team = None if key is None else key.team
        customer = None if key is None else key.customer
        if team is not None:
            customer = self.team_customer[team]
        scopes = [("virtual_key", request.key), ("team", team), ("customer", customer)]
        ids: dict[str, str | None] = {scope: id for scope, id in scopes if id is not None} | {"global": None}
        chain = [counter for _, _, counter in self.chain(request, incoming)]
        facts = Facts(now, request, incoming, chain)
        for scope, id in ids.items():
            listed = [rule for rule in self.rules if (rule.scope, rule.scope_id) == (scope, id)]
            for rule in sorted(listed, key=lambda rule: (rule.priority, rule.made, rule.id)):
                if rule.enabled and CONDITIONS[rule.condition](facts):
                    return rule
        return None

    def bound(
        self, now: int, request: Request, rule: Rule, incoming: Target, drawn: str | None
    ) -> Denied | Verdict:
        """Its targets, the heavy one first, then its fallbacks; nobody else, whatever becomes of them."""
        excluded: list[Exclusion] = []
        speaking = 0
        own = [(target.provider, target.model, target.key_id) for target in rule.targets]
        named = [(name, model or None, None) for name, _, model in (f.partition("/") for f in rule.fallbacks)]
        for place, (provider, model, pin) in enumerate([*own, *named]):
            is_own = place < len(own)
            target = Target(provider or incoming.provider, model or incoming.model, pin)
            target.one_model = is_own and rule.has_one_model()
            answer: Denied | Verdict | list[Exclusion]
            if request.key is not None and not target.provider:
                stand_by = not rule.fallbacks and request.fallbacks is None
                answer = self.draw(now, request, target, stand_by, drawn)
            else:
                answer = self.serve(now, request, target)
            if isinstance(answer, tuple):
                answer[0].rule_id = rule.id
                return answer
            if isinstance(answer, Denied):
                if answer.shared:
                    return replace(answer, excluded=excluded)
                answer = [Exclusion(target.provider, target.model, answer)]
            excluded += answer
            speaking = speaking or len(excluded)
        return most_telling(excluded, speaking)

    def split(self, provider: str, model: str) -> tuple[str, str]:
        """`a/b` names provider a where it is known, or stated beside; else it is a name with a slash."""
        first, slash, rest = model.partition("/")
        if slash and rest and (first == provider or (not provider and first in self.known_providers())):
            return first, rest
        return provider, model

    # Several targets

    def draw(
        self, now: int, request: Request, wanted: Target, stand_by: bool, drawn: str | None
    ) -> Denied | Verdict | list[Exclusion]:
        """Section 7. `drawn` is the provider that was drawn; it must be one of those that could be.
        Where none can serve, everybody who was left out."""
        assert request.key is not None
        configs, model = self.keys[request.key].configs, wanted.model
        allowing = [config for config in configs if config.allows(model)]
        positive = [replace(wanted, provider=config.provider) for config in allowing if config.weight]
        answers = {target.provider: self.serve(now, request, target) for target in positive}
        unable = [
            Exclusion(name, model, refusal)
            for name, refusal in answers.items()
            if isinstance(refusal, Denied) and not refusal.shared
        ]
        able = [target.provider for target in positive if target.provider not in {x.provider for x in unable}]
        if able:
            if drawn is not None:
                assert drawn in able, f"drew {drawn!r}, but only {able} can serve"
                return answers[drawn]
            refusal = answers[able[0]]
            assert isinstance(refusal, Denied), f"refused, although {able} can serve"
            return replace(refusal, perhaps=unable)
        if stand_by:
            for name in sorted(config.provider for config in allowing if config.weight == 0):
                answer = self.serve(now, request, replace(wanted, provider=name))
                if not isinstance(answer, Denied):
                    return answer
                if answer.shared:
                    return replace(answer, excluded=unable)
                unable.append(Exclusion(name, model, answer))
        weightless = Denied("provider_blocked", reason="no_weight")
        for config in configs:
            if config not in allowing:
                unable.append(Exclusion(config.provider, model, Denied("model_blocked")))
            elif config.weight is None or (config.weight == 0 and not stand_by):
                unable.append(Exclusion(config.provider, model, weightless))
        return unable

    def first_of(
        self,
        now: int,
        request: Request,
        targets: list[Target],
        before: list[Exclusion],
        plain: bool = False,
    ) -> Denied | Verdict:
        """The first target that can serve; where none can, each with its reason, after those `before`.
        `plain`: there is but one, and its refusal is the whole answer, unless it only lacks a key."""
        excluded = list(before)
        for target in targets:
            answer = self.serve(now, request, target)
            if not isinstance(answer, Denied):
                return answer
            if answer.shared or (plain and answer.reason != "no_key"):
                return replace(answer, excluded=excluded)
            excluded.append(Exclusion(target.provider, target.model, answer))
        return most_telling(excluded)

    # One target

    def access(self, request: Request, target: Target) -> tuple[str | None, str | None]:
        """What closes the target, and the provider key that serves it."""
        registered = [key for key in self.provider_keys if key.provider == target.provider]
        if request.key is None:
            if target.pin is None:
                return None, None
            open_keys = [key.id for key in registered if key.serves(target)]
            if target.provider not in self.known_providers():
                return "provider_blocked", None
            return (None, target.pin) if target.pin in open_keys else ("no_key", None)
        configs = [
            config
            for config in self.keys[request.key].configs
            if config.provider == target.provider and config.key_ids != []
        ]
        if not configs:
            return "provider_blocked", None
        configs = [config for config in configs if config.allows(target.model)]
        if not configs:
            return "model_blocked", None
        serving = [
            key.id
            for key in registered
            if key.serves(target)
            and any(config.key_ids is None or key.id in config.key_ids for config in configs)
        ]
        if target.pin is not None:
            return (None, target.pin) if target.pin in serving else ("no_key", None)
        if registered and not serving:
            return "no_key", None
        return None, serving[0] if serving else None

    def chain(self, request: Request, target: Target) -> Chain:
        """Every limit that applies, in rank order."""
        owners: list[tuple[str, str]] = []
        if request.key is not None:
            key = self.keys[request.key]
            if request.model is not None:
                owners += [("provider_config", c.id) for c in key.configs if c.provider == target.provider]
            owners.append(("virtual_key", key.id))
            customer = key.customer
            if key.team is not None:
                owners.append(("team", key.team))
                customer = self.team_customer[key.team]
            if customer is not None:
                owners.append(("customer", customer))
        if request.model is not None:
            for level, wanted in (("model_provider", target.provider), ("model", None)):
                owners += [
                    (level, config)
                    for config, (model, provider) in self.model_configs.items()
                    if model == target.model and provider == wanted and wanted != ""
                ]
            owners.append(("provider", target.provider))
        return [(*owner, counter) for owner in owners for counter in self.limits.get(owner, [])]

    def serve(self, now: int, request: Request, target: Target) -> Denied | Verdict:
        """Access, price, limits of one target: a denial, or the permit and what it is to be taken from."""
        blocked, key_id = self.access(request, target) if request.model is not None else (None, None)
        if blocked:
            return Denied("provider_blocked" if blocked == "no_key" else blocked, reason=blocked)
        chain = self.chain(request, target)
        budgets = [counter for _, _, counter in chain if counter.kind == "budget"]
        policy = self.settings.unknown_price
        rate = self.rate(request, target)
        unpriced = request.cost is None and rate is None and request.model is not None
        cost = price(rate, request.stated) if request.cost is None else request.cost
        if unpriced and (policy == "deny" or (policy is None and budgets)):
            return Denied("price_unknown", reason="price_unknown")

        stated, most = request.stated, request.max_output_tokens or 0
        least = most if self.settings.fit == "deny" else min(most, 1)
        asked = {"tokens": stated + least, "requests": 1, "budget": cost}
        limited = [counter for _, _, counter in chain if counter.kind == "tokens"]
        room = min((counter.room(now) for counter in limited), default=0) - stated
        violated = [entry for entry in chain if not entry[2].fits(now, asked[entry[2].kind])]
        if violated:
            denied = refusal(violations(now, violated, asked, self.given_back()))
            shared = {"virtual_key", "team", "customer"} | ({"model"} if target.one_model else set())
            denied.shared = {limit.level for limit in denied.limits} <= shared
            tokens = any(limit.kind == "tokens" for limit in denied.limits)
            helps = all(counter.fits(now, stated) for counter in limited)
            if tokens and helps and self.settings.fit == "deny" and request.max_output_tokens is not None:
                denied.fits = min(room, most)
            return denied

        cut = None
        output = 0
        if request.max_output_tokens is not None and limited:
            output = min(most, room)
            cut = output if output < most else None
        elif request.guesses() and limited:
            shares = [floor(Decimal(self.settings.share) * counter.limit) for counter in limited]
            output = max(0, min(self.settings.output_tokens, room, *shares))
        permit = Allowed(
            target.provider,
            target.model,
            int(any(counter.kind == "requests" for _, _, counter in chain)),
            stated + output if limited else 0,
            asked["budget"] if budgets else 0,
            cut,
            now + self.settings.ttl_ms,
            request,
            [],
            key_id=key_id,
            femto_usd=rate,
        )
        return permit, chain

    def rate(self, request: Request, target: Target) -> int | None:
        """Femto-dollars a token: of the narrowest override, the oldest of several, else the row's."""
        base = self.catalogue.get(target.model)
        for scope, id in (("virtual_key", request.key), ("provider", target.provider), ("global", None)):
            met = [one for one in self.overrides if (one.scope, one.scope_id) == (scope, id)]
            if met and base is not None:
                return min(met, key=lambda one: (one.made, one.id)).femto_usd
        return base


def refusal(limits: list[Violation]) -> Denied:
    """The code is that of the first limit, or of a rate limit that is violated in both of its kinds."""
    first = limits[0]
    kinds = {limit.kind for limit in limits if limit.limit_id == first.limit_id}
    code = "rate_limited" if kinds == {"tokens", "requests"} else CODE[first.kind]
    return Denied(code, limits, reason="limits")


def most_telling(excluded: list[Exclusion], of: int | None = None) -> Denied:
    """Nobody could serve: limits say when to come again, so they come before a price, that before access.
    The first `of` of them speak."""
    for reason in TELLING:
        for one in excluded[:of]:
            if one.reason == reason:
                fits = [x.refusal.fits for x in excluded if x.refusal.fits is not None]
                told = one.refusal
                return Denied(told.code, told.limits, fits[0] if fits else None, excluded, told.reason, of=of)
    return Denied("provider_blocked", of=of)
