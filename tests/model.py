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

from decimal import Decimal
from math import floor

from model_counter import Counter
from model_types import (
    Allowed,
    Config,
    Denied,
    Hold,
    Key,
    MisuseError,
    ProviderKey,
    Request,
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
    "ProviderKey",
    "Request",
    "Settings",
    "Settled",
    "Violation",
]

TEXT_TYPES = ("chat_completion", "text_completion", "responses")
KIND_ORDER = {"tokens": 0, "requests": 1, "budget": 2}
CODE = {"tokens": "token_limited", "requests": "request_limited", "budget": "budget_exceeded"}
Chain = list[tuple[str, str, Counter]]
Verdict = tuple[Target, int, int, int | None]


class Oracle:
    """`limits`: every limit by its owner (level, owner id). `permits`: every permit that is remembered."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.limits: dict[tuple[str, str], list[Counter]] = {}
        self.keys: dict[str, Key] = {}
        self.team_customer: dict[str, str | None] = {}
        self.model_configs: dict[str, tuple[str, str | None]] = {}
        self.provider_keys: list[ProviderKey] = []
        self.provider_names: set[str] = set()
        self.permits: list[Allowed] = []

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

    def counters(self) -> list[Counter]:
        return [counter for of_owner in self.limits.values() for counter in of_owner]

    def known_providers(self) -> set[str]:
        return (
            self.provider_names
            | {config.provider for key in self.keys.values() for config in key.configs}
            | {key.provider for key in self.provider_keys}
            | {provider for _, provider in self.model_configs.values() if provider}
        )

    # Admission

    def admit(self, now: int, request: Request, drawn: str | None = None) -> Allowed | Denied:
        """The decision, and what it takes. MisuseError where an idempotency id is used twice."""
        self.sweep(now)
        code = self.identity(now, request)
        if code:
            return Denied(code)
        known = [
            p
            for p in self.permits
            if request.id and (p.request.id, p.request.key) == (request.id, request.key)
        ]
        if known:
            if known[0].state == "open" and known[0].request == request:
                return known[0]
            raise MisuseError("id_conflict")
        answer = self.decide(now, request, drawn)
        if isinstance(answer, Denied):
            return answer
        if sum(p.state == "open" for p in self.permits) >= self.settings.max_open_permits:
            return Denied("too_many_permits")
        target, tokens, cost, cut = answer
        permit = Allowed(
            target.provider,
            target.model,
            tokens,
            cost,
            cut,
            now + self.settings.ttl_ms,
            request,
            [],
        )
        for level, owner, counter in self.chain(request, target):
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
        if code:
            return Denied(code)
        answer = self.decide(now, request, drawn)
        if isinstance(answer, Denied):
            return answer
        target, tokens, cost, cut = answer
        return Allowed(
            target.provider, target.model, tokens, cost, cut, now + self.settings.ttl_ms, request, []
        )

    def identity(self, now: int, request: Request) -> str | None:
        if request.key is None:
            return "virtual_key_required" if self.settings.require_virtual_key else None
        key = self.keys.get(request.key)
        if key is None:
            return "virtual_key_not_found"
        lapsed = key.expires_at is not None and now >= key.expires_at
        return "virtual_key_blocked" if lapsed or not key.active else None

    def decide(self, now: int, request: Request, drawn: str | None) -> Denied | Verdict:
        if request.model is None:
            return self.serve(now, request, Target("", ""))
        provider, model = self.split(request.provider or "", request.model)
        if provider or request.key is None:
            tried = [Target(provider, model), *self.own_fallbacks(request, model)]
            return self.first_that_serves(now, request, tried, plain=len(tried) == 1)
        return self.choose(now, request, model, drawn)

    def split(self, provider: str, model: str) -> tuple[str, str]:
        """`a/b` names provider a where it is known, or stated beside; else it is a name with a slash."""
        first, slash, rest = model.partition("/")
        if slash and (first == provider or (not provider and first in self.known_providers())):
            return first, rest
        return provider, model

    def own_fallbacks(self, request: Request, model: str) -> list[Target]:
        parts = [fallback.partition("/") for fallback in request.fallbacks or ()]
        return [Target(provider, named or model) for provider, _, named in parts]

    def first_that_serves(
        self, now: int, request: Request, tried: list[Target], plain: bool
    ) -> Denied | Verdict:
        """In order; where none serves, the first one's refusal, and (not `plain`) why each was left out."""
        refusals = []
        for target in tried:
            answer = self.serve(now, request, target)
            if not isinstance(answer, Denied):
                return answer
            refusals.append(answer)
        first = refusals[0]
        if plain:
            return first
        excluded = [
            (target.provider, target.model, self.reason(request, target, refusal))
            for target, refusal in zip(tried, refusals, strict=True)
        ]
        return Denied(first.code, first.limits, first.fits, excluded, refusals)

    def choose(self, now: int, request: Request, model: str, drawn: str | None) -> Denied | Verdict:
        """Section 7. `drawn` is the provider that was drawn; it must be one of those that could be."""
        assert request.key is not None
        configs = self.keys[request.key].configs
        allowing = [config for config in configs if config.allows(model)]
        if not allowing:
            return Denied("model_blocked" if configs else "provider_blocked")
        if all(config.weight is None for config in allowing):
            excluded = [(config.provider, model, "no_weight") for config in allowing]
            refusals = [Denied("provider_blocked") for _ in allowing]
            return Denied("provider_blocked", excluded=excluded, refusals=refusals)
        positive = [Target(config.provider, model) for config in allowing if config.weight]
        able = {
            t.provider: answer for t in positive if isinstance(answer := self.serve(now, request, t), tuple)
        }
        if able:
            assert drawn in able, f"drew {drawn!r}, but only {list(able)} can serve"
            return able[drawn]
        spare = sorted(config.provider for config in allowing if config.weight == 0)
        automatic = [Target(provider, model) for provider in spare]
        after = automatic if request.fallbacks is None else self.own_fallbacks(request, model)
        return self.first_that_serves(now, request, positive + after, plain=False)

    def reason(self, request: Request, target: Target, refusal: Denied) -> str:
        if refusal.limits:
            return "limits"
        if refusal.code == "provider_blocked" and self.access(request, target) == "no_key":
            return "no_key"
        return refusal.code

    # One target

    def access(self, request: Request, target: Target) -> str | None:
        if request.key is None or request.model is None:
            return None
        configs = [
            config
            for config in self.keys[request.key].configs
            if config.provider == target.provider and config.key_ids != []
        ]
        if not configs:
            return "provider_blocked"
        configs = [config for config in configs if config.allows(target.model)]
        if not configs:
            return "model_blocked"
        registered = [key for key in self.provider_keys if key.provider == target.provider]
        serving = [
            key
            for key in registered
            if key.enabled
            and ("*" in key.models or target.model in key.models)
            and any(config.key_ids is None or key.id in config.key_ids for config in configs)
        ]
        return "no_key" if registered and not serving else None

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
        """Access, price, limits of one target: a denial, or tokens and cost to hold and the cut maximum."""
        blocked = self.access(request, target)
        if blocked:
            return Denied("provider_blocked" if blocked == "no_key" else blocked)
        if request.mcp_tool is not None and request.key is not None:
            client, tool = request.mcp_tool.split("/", 1)
            if not {"*", tool} & set(self.keys[request.key].tools.get(client, [])):
                return Denied("mcp_tool_blocked")
        chain = self.chain(request, target)
        budgets = [counter for _, _, counter in chain if counter.kind == "budget"]
        unpriced = request.cost is None and request.model is not None
        if unpriced and (
            self.settings.unknown_price == "deny" or (self.settings.unknown_price is None and budgets)
        ):
            return Denied("price_unknown")

        stated = request.input_tokens if request.tokens is None else request.tokens
        most = request.max_output_tokens or 0
        deny = self.settings.fit == "deny"
        asked = {
            "tokens": stated + (most if deny else min(most, 1)),
            "requests": 1,
            "budget": request.cost or 0,
        }
        violated = [
            (level, owner, counter)
            for level, owner, counter in chain
            if not counter.fits(now, asked[counter.kind])
        ]
        limited = [counter for _, _, counter in chain if counter.kind == "tokens"]
        room = min((counter.room(now) for counter in limited), default=0) - stated
        if violated:
            return self.refusal(now, violated, asked, room if deny and most else None)
        cut = None
        output = 0
        if not limited:
            stated = 0
        elif request.max_output_tokens is not None:
            output = min(most, room)
            cut = output if output < most else None
        elif request.request_type in TEXT_TYPES and request.tokens is None and request.model is not None:
            shares = [floor(Decimal(self.settings.share) * counter.limit) for counter in limited]
            output = max(0, min(self.settings.output_tokens, room, *shares))
        return target, stated + output, asked["budget"] if budgets else 0, cut

    def refusal(self, now: int, violated: Chain, asked: dict[str, int], room: int | None) -> Denied:
        limits = []
        for level, owner, counter in violated:
            least = asked[counter.kind]
            passes_at = counter.passes_at(now, least)
            limits.append(
                Violation(
                    counter.kind,
                    level,
                    owner,
                    counter.limit_id,
                    counter.limit,
                    counter.used(now),
                    counter.held(now),
                    least,
                    counter.reset_at(now),
                    None if passes_at is None else passes_at - now,
                    counter.never(least),
                )
            )
        first = limits[0]
        same = {
            v.kind
            for v in limits
            if (v.level, v.owner_id, v.limit_id) == (first.level, first.owner_id, first.limit_id)
        }
        code = "rate_limited" if same == {"tokens", "requests"} else CODE[first.kind]
        refused = room is not None and any(v.kind == "tokens" for v in limits)
        return Denied(code, limits, fits=max(0, room) if refused and room is not None else None)

    # Permits

    def sweep(self, now: int) -> int:
        """Permits past their time expire; closed ones are forgotten one time to live after closing."""
        overdue = [p for p in self.permits if p.state == "open" and now >= p.expires_at]
        for permit in overdue:
            permit.state, permit.expired, permit.closed_at = "expired", True, permit.expires_at
            for hold in permit.of("tokens") + permit.of("budget"):
                hold.entry.held = 0
                hold.entry.used = hold.amount if self.settings.on_expiry == "charge" else 0
        self.permits = [
            p for p in self.permits if p.state == "open" or now < p.closed_at + self.settings.ttl_ms
        ]
        return len(overdue)

    def find(self, now: int, permit: Allowed) -> None:
        self.sweep(now)
        if permit not in self.permits:
            raise MisuseError("permit_not_found")

    def settle(
        self,
        now: int,
        permit: Allowed,
        tokens: int | None = None,
        cost: int | None = None,
        as_held: bool = False,
    ) -> Settled:
        """Real amounts for held ones, once."""
        self.find(now, permit)
        if not as_held and tokens is None and cost is None:
            raise MisuseError("invalid_request")
        outcome = (tokens, cost, as_held)
        if permit.state == "released":
            raise MisuseError("permit_closed")
        if permit.answer is not None:
            if permit.outcome != outcome:
                raise MisuseError("settle_conflict")
            return Settled(
                permit.answer.tokens, permit.answer.cost, permit.answer.overrun, True, permit.expired
            )
        real = {
            "tokens": permit.tokens if as_held else tokens or 0,
            "budget": permit.cost if cost is None else cost,
        }
        overrun = False
        for kind, amount in real.items():
            overrun = overrun or (bool(permit.of(kind)) and amount > permit.amount(kind))
            for hold in permit.of(kind):
                charge_hold(now, hold, amount)
        permit.answer = Settled(real["tokens"], real["budget"], overrun, False, permit.expired)
        permit.state, permit.outcome, permit.closed_at = "settled", outcome, now
        return permit.answer

    def update(
        self, now: int, permit: Allowed, tokens: int | None = None, cost: int | None = None
    ) -> list[Violation]:
        """Totals so far (tokens that are not said are none); answers which limits are over."""
        self.find(now, permit)
        if permit.state != "open":
            raise MisuseError("permit_closed")
        if tokens is None and cost is None:
            raise MisuseError("invalid_request")
        given = {"tokens": tokens or 0, "budget": permit.totals["budget"] if cost is None else cost}
        if any(total < permit.totals[kind] for kind, total in given.items()):
            raise MisuseError("invalid_request")
        permit.totals |= given
        for kind, total in given.items():
            growth = total - permit.amount(kind)
            if growth <= 0 or not permit.of(kind):
                continue
            for hold in permit.of(kind):
                if hold.counter.counts(hold.entry, now):
                    hold.entry.held += growth
                    hold.amount += growth
                else:
                    hold.counter.add(now, used=growth)
                    hold.final += growth
            if kind == "tokens":
                permit.tokens = total
            else:
                permit.cost = total
        over = [
            (hold.level, hold.owner_id, hold.counter)
            for hold in permit.holds
            if hold.counter in self.counters() and hold.counter.room(now) < 0
        ]
        return self.refusal(now, over, {"tokens": 0, "requests": 0, "budget": 0}, None).limits if over else []

    def release(self, now: int, permit: Allowed, request: bool = False) -> None:
        """What is held goes back, and the request as well where that is said."""
        self.find(now, permit)
        if permit.state == "released" and permit.outcome == (request,):
            return
        if permit.state not in ("open", "expired"):
            raise MisuseError("permit_closed")
        for hold in permit.holds:
            if hold.counter.kind != "requests" or request:
                hold.entry.held = hold.entry.used = 0
        permit.state, permit.outcome, permit.closed_at = "released", (request,), now


def charge_hold(now: int, hold: Hold, real: int) -> None:
    """What was held becomes what was used, in its own window; what exceeds it goes where time is now."""
    hold.entry.held = 0
    if hold.counter.counts(hold.entry, now):
        hold.entry.used = max(0, real - hold.final)
        return
    hold.entry.used = min(real, hold.amount)
    excess = real - hold.amount - hold.final
    if excess > 0:
        hold.counter.add(now, used=excess)
