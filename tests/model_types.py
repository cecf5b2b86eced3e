"""What the oracle is asked and what it answers: settings, keys, requests, denials, permits, as plain records.

Instants and waits are milliseconds, money is nano-dollars, everything else counts tokens or requests.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from model_counter import Counter, Entry

TEXT_TYPES = ("chat_completion", "text_completion", "responses")
STATUS = {
    "virtual_key_required": 401,
    "virtual_key_not_found": 401,
    "virtual_key_blocked": 403,
    "provider_blocked": 403,
    "model_blocked": 403,
    "mcp_tool_blocked": 403,
    "price_unknown": 402,
    "budget_exceeded": 402,
    "token_limited": 429,
    "request_limited": 429,
    "rate_limited": 429,
    "too_many_permits": 503,
}


class MisuseError(Exception):
    """A misuse that the engine raises, known by its code."""


@dataclass
class Settings:
    require_virtual_key: bool = True
    output_tokens: int = 1_024
    share: str = "0.1"
    fit: str = "shrink"
    unknown_price: str | None = None
    ttl_ms: int = 600_000
    on_expiry: str = "charge"
    max_open_permits: int = 1_000_000


@dataclass
class Config:
    """A provider config of a key. `key_ids` None is any key."""

    id: str
    provider: str
    weight: float | None
    models: list[str]
    key_ids: list[str] | None = None

    def allows(self, model: str) -> bool:
        return "*" in self.models or model in self.models


@dataclass
class Key:
    id: str
    active: bool = True
    expires_at: int | None = None
    team: str | None = None
    customer: str | None = None
    configs: list[Config] = field(default_factory=list)
    tools: dict[str, list[str]] = field(default_factory=dict)


@dataclass
class ProviderKey:
    id: str
    provider: str
    enabled: bool = True
    models: list[str] = field(default_factory=lambda: ["*"])
    batch: bool = False

    def serves(self, target: Target) -> bool:
        return self.enabled and ("*" in self.models or target.model in self.models)


@dataclass
class RuleTarget:
    """Where a rule sends. What is None is the request's own; the first that can serve is drawn."""

    provider: str | None
    model: str | None
    key_id: str | None = None


@dataclass
class Rule:
    """A routing rule. `scope` is global, or a level with the id of its owner; `condition` names one of those
    in `model_rules`. Of several targets the first weighs all but a millionth of a millionth."""

    id: str
    scope: str
    scope_id: str | None
    priority: int
    made: int
    condition: str
    targets: list[RuleTarget]
    fallbacks: list[str]
    enabled: bool = True
    matches: int = 0

    def has_one_model(self) -> bool:
        return not self.fallbacks and len({target.model for target in self.targets}) == 1


@dataclass
class Override:
    """Another price of a token of model `e`, in femto-dollars: of a virtual key, of a provider, of all."""

    id: str
    scope: str
    scope_id: str | None
    femto_usd: int
    made: int


@dataclass
class Request:
    """A request as given. `key` is the id of a virtual key, None for no key. Money is nano-dollars."""

    key: str | None
    model: str | None
    input_tokens: int = 0
    max_output_tokens: int | None = None
    provider: str | None = None
    request_type: str = "chat_completion"
    tokens: int | None = None
    cost: int | None = None
    mcp_tool: str | None = None
    fallbacks: tuple[str, ...] | None = None
    id: str | None = None
    tier: str | None = None
    """The header of this name: rules read it, and it is no part of what makes two requests the same."""

    @property
    def stated(self) -> int:
        return self.input_tokens if self.tokens is None else self.tokens

    def guesses(self) -> bool:
        """Whether output is guessed: text, and nothing said about it."""
        text = self.request_type in TEXT_TYPES and self.model is not None
        return text and self.max_output_tokens is None and self.tokens is None

    def sameness(self) -> tuple[object, ...]:
        """What makes two requests with one id the same request."""
        what = (self.provider or "", self.model, self.request_type, self.mcp_tool)
        fallbacks = None if self.fallbacks is None else tuple(self.fallbacks)
        return (*what, fallbacks, self.stated, self.max_output_tokens, self.guesses(), self.cost)


@dataclass
class Violation:
    kind: str
    level: str
    owner_id: str
    limit_id: str
    limit: int
    used: int
    held: int
    asked: int
    reset_at: int
    retry_ms: int | None
    never: bool


@dataclass
class Denied:
    """`shared`: only limits that every target meets are in the way. `perhaps`: what may be excluded as well,
    if it was drawn before. `of`: how many of those excluded speak; None for all."""

    code: str
    limits: list[Violation] = field(default_factory=list)
    fits: int | None = None
    excluded: list[Exclusion] = field(default_factory=list)
    reason: str = ""
    shared: bool = False
    perhaps: list[Exclusion] = field(default_factory=list)
    of: int | None = None

    @property
    def status(self) -> int:
        return STATUS[self.code]

    @property
    def retry_ms(self) -> int | None:
        """The longest of all its limits, the soonest of several targets; None where waiting does not help."""
        own = [limit.retry_ms for limit in self.limits]
        known = [wait for wait in own if wait is not None]
        waits = [one.refusal.retry_ms for one in self.excluded]
        if known and len(known) == len(own):
            waits.append(max(known))
        return min((wait for wait in waits if wait is not None), default=None)


@dataclass
class Exclusion:
    """A target that was left out, and its own refusal."""

    provider: str
    model: str
    refusal: Denied

    @property
    def reason(self) -> str:
        return self.refusal.reason or self.refusal.code


@dataclass
class Hold:
    """What a permit put into one counter: `amount` in its entry, `final` charged after its window rolled."""

    level: str
    owner_id: str
    counter: Counter
    entry: Entry
    amount: int
    final: int = 0


@dataclass(eq=False)
class Allowed:
    provider: str
    model: str
    requests: int
    tokens: int
    cost: int
    max_output_tokens: int | None
    expires_at: int
    request: Request
    holds: list[Hold]
    state: str = "open"
    expired: bool = False
    closed_at: int = 0
    totals: dict[str, int] = field(default_factory=lambda: {"tokens": 0, "budget": 0})
    outcome: tuple[object, ...] = ()
    answer: Settled | None = None
    key_id: str | None = None
    rule_id: str | None = None
    femto_usd: int | None = None
    """What a token costs, where that is known: whatever the price is by then, it is settled by this one."""

    def of(self, kind: str) -> list[Hold]:
        return [hold for hold in self.holds if hold.counter.kind == kind]

    def amount(self, kind: str) -> int:
        return self.tokens if kind == "tokens" else self.cost


@dataclass
class Settled:
    tokens: int
    cost: int
    overrun: bool
    repeated: bool
    expired: bool


@dataclass
class Target:
    """`pin`: the only provider key that may serve. `one_model`: whoever else may be tried is for this one."""

    provider: str
    model: str
    pin: str | None = None
    one_model: bool = False
