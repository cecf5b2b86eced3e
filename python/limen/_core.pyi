"""The compiled core: counters, admission, permits, policy, weighted choice.

Everything public is re-exported by `limen`. Money is integer nano-dollars, times are milliseconds since the
Unix epoch in UTC, tokens are integers.
"""

from array import array
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import Any, Literal, Self, TypeAlias, final

from typing_extensions import disjoint_base

__all__ = ["BasePrices", "BudgetCounter", "Cost", "CostLine", "Denial", "Edits", "Engine", "Exclusion"]
__all__ += ["FixedWindow", "Handle", "Held", "KeyedLimiter", "Limit", "ManualClock", "Permit", "PricingPatch"]
__all__ += ["RateCard", "Settlement", "SlidingWindow", "WeightedSampler", "WindowStatus", "__version__"]
__all__ += ["check_expression", "debug_build", "error_codes", "forked", "parse_dollars", "parse_duration"]
__all__ += ["trim"]

_Money: TypeAlias = int | float | Decimal
_Others: TypeAlias = Callable[[list[str]], list[Any]]
"""Dollars, read as the shortest decimal text that reads back to the same number."""

@final
class ManualClock:
    """A clock that stands still until it is moved: `advance` moves both hands, `jump` the wall alone."""

    def __new__(cls, start_ms: int = 0) -> Self: ...
    def advance(self, ms: int) -> None: ...
    def jump(self, ms: int) -> None: ...
    @property
    def now_ms(self) -> int: ...

@final
class WindowStatus:
    """What one counter shows: units of the counter (tokens, requests, nano-dollars), instants in ms."""

    @property
    def limit(self) -> int: ...
    @property
    def used(self) -> int: ...
    @property
    def held(self) -> int: ...
    @property
    def remaining(self) -> int: ...
    @property
    def reset_at_ms(self) -> int: ...
    @property
    def retry_after_ms(self) -> int: ...

@final
class FixedWindow:
    def __new__(cls, limit: int, per: str | int, *, anchor_ms: int = 0) -> Self: ...
    def take(self, cost: int = 1, now_ms: int | None = None) -> bool: ...
    def peek(self, cost: int = 1, now_ms: int | None = None) -> bool: ...
    def give_back(self, cost: int, taken_at_ms: int | None = None) -> None: ...
    def status(self, now_ms: int | None = None) -> WindowStatus: ...

@final
class SlidingWindow:
    def __new__(cls, limit: int, per: str | int, *, buckets: int = 60) -> Self: ...
    def take(self, cost: int = 1, now_ms: int | None = None) -> bool: ...
    def peek(self, cost: int = 1, now_ms: int | None = None) -> bool: ...
    def give_back(self, cost: int, taken_at_ms: int | None = None) -> None: ...
    def status(self, now_ms: int | None = None) -> WindowStatus: ...

@final
class KeyedLimiter:
    def __new__(
        cls,
        limit: int,
        per: str | int,
        *,
        window: Literal["fixed", "sliding"] = "fixed",
        max_keys: int = 1_000_000,
    ) -> Self: ...
    def take(self, key: str, cost: int = 1, now_ms: int | None = None) -> bool: ...
    def take_many(
        self, keys: Sequence[str], costs: Sequence[int] | None = None, now_ms: int | None = None
    ) -> bytes: ...
    def peek(self, key: str, cost: int = 1, now_ms: int | None = None) -> bool: ...
    def status(self, key: str, now_ms: int | None = None) -> WindowStatus: ...
    def forget(self, key: str) -> bool: ...
    def __len__(self) -> int: ...
    @property
    def refused_new(self) -> int: ...

@final
class BudgetCounter:
    def __new__(cls, limit_usd: _Money, per: str | int, *, calendar_aligned: bool = False) -> Self: ...
    def reserve(self, nano_usd: int, now_ms: int | None = None) -> bool: ...
    def settle(self, held_nano_usd: int, real_nano_usd: int, taken_at_ms: int | None = None) -> None: ...
    def give_back(self, nano_usd: int, taken_at_ms: int | None = None) -> None: ...
    def charge(self, nano_usd: int, now_ms: int | None = None) -> None: ...
    def status(self, now_ms: int | None = None) -> WindowStatus: ...

@final
class WeightedSampler:
    def __new__(cls, weights: Sequence[float], *, seed: int | None = None) -> Self: ...
    def pick(self) -> int: ...
    def pick_many(self, n: int) -> array[int]: ...
    def pick_sticky(self, key: str) -> int: ...
    def without(self, indices: Sequence[int]) -> WeightedSampler: ...
    def __len__(self) -> int: ...

@final
class PricingPatch:
    def __new__(cls, **fields: _Money | None) -> Self: ...
    def __eq__(self, other: object, /) -> bool: ...
    @property
    def fields(self) -> dict[str, str]: ...

@final
class BasePrices:
    def __new__(cls, rows: Sequence[tuple[str, str | None, RateCard]]) -> Self: ...
    def __len__(self) -> int: ...
    def strays(
        self, pattern: str, wildcard: bool, provider: str | None, patch: Mapping[str, int]
    ) -> tuple[str, str] | None: ...

@final
class RateCard:
    @staticmethod
    def from_catalog(entry: Mapping[str, Any]) -> RateCard: ...
    def patched(self, patch: PricingPatch) -> RateCard: ...
    def cost(self, usage: Mapping[str, Any], request_type: str | None = None) -> Cost: ...
    @property
    def request_type(self) -> str | None: ...
    @property
    def prices(self) -> dict[str, str]: ...
    @property
    def rounded(self) -> list[str]: ...
    @property
    def not_taken(self) -> list[str]: ...

@final
class Cost:
    def __eq__(self, other: object, /) -> bool: ...
    @property
    def nano_usd(self) -> int: ...
    @property
    def exact_usd(self) -> str: ...
    @property
    def tier(self) -> str | None: ...
    @property
    def lines(self) -> list[CostLine]: ...

@final
class CostLine:
    def __eq__(self, other: object, /) -> bool: ...
    @property
    def field(self) -> str: ...
    @property
    def quantity(self) -> str: ...
    @property
    def rate_usd(self) -> str: ...
    @property
    def amount_usd(self) -> str: ...

@final
class Handle:
    """A virtual key resolved once: it follows later edits of the key."""

    @property
    def id(self) -> str:
        """The id of its virtual key."""

@final
class Held:
    """What a permit holds: the largest that any level holds. Why so much: see `reason` and `price`."""

    @property
    def requests(self) -> int: ...
    @property
    def tokens(self) -> int: ...
    @property
    def cost_nano_usd(self) -> int: ...
    @property
    def reason(self) -> Literal["stated", "capped", "guessed"]: ...
    @property
    def price(self) -> Literal["known", "stated", "default", "zero"] | None: ...

@final
class Limit:
    """One limit that a request met. Numbers are tokens, requests, or nano-dollars where kind is budget."""

    @property
    def kind(self) -> Literal["tokens", "requests", "budget"]: ...
    @property
    def level(
        self,
    ) -> Literal[
        "provider_config", "virtual_key", "team", "customer", "model_provider", "model", "provider"
    ]: ...
    @property
    def owner_id(self) -> str: ...
    @property
    def limit_id(self) -> str: ...
    @property
    def limit(self) -> int: ...
    @property
    def used(self) -> int: ...
    @property
    def held(self) -> int: ...
    @property
    def asked(self) -> int: ...
    @property
    def reset_at_ms(self) -> int: ...
    @property
    def retry_after(self) -> float | None: ...
    @property
    def never(self) -> bool: ...
    @property
    def per(self) -> str: ...

@final
class Exclusion:
    """A target that could not serve, and why."""

    @property
    def provider(self) -> str: ...
    @property
    def model(self) -> str: ...
    @property
    def key_id(self) -> str | None: ...
    @property
    def reason(
        self,
    ) -> Literal["provider_blocked", "model_blocked", "no_key", "no_weight", "price_unknown", "limits"]: ...
    @property
    def limits(self) -> list[Limit]: ...

@final
class Permit:
    def __bool__(self) -> Literal[True]: ...
    @property
    def provider(self) -> str: ...
    @property
    def model(self) -> str: ...
    @property
    def key_id(self) -> str | None: ...
    @property
    def fallbacks(self) -> list[str]: ...
    @property
    def rule_id(self) -> str | None: ...
    @property
    def max_output_tokens(self) -> int | None: ...
    @property
    def held(self) -> Held: ...
    @property
    def expires_at_ms(self) -> int: ...
    @property
    def token(self) -> str: ...
    def json(self) -> bytes:
        """The body of the HTTP face."""

    def settle(
        self,
        prompt_tokens: int = 0,
        completion_tokens: int = 0,
        *,
        as_held: bool = False,
        **usage: Any,
    ) -> Settlement: ...
    def update(self, prompt_tokens: int = 0, completion_tokens: int = 0, **usage: Any) -> list[Limit]: ...
    def release(self, reason: str | None = None, request: bool = False) -> None: ...
    def headers(self) -> dict[str, str]: ...

@final
class Denial:
    def __bool__(self) -> Literal[False]: ...
    @property
    def status(self) -> int: ...
    @property
    def code(self) -> str: ...
    @property
    def message(self) -> str: ...
    @property
    def limits(self) -> list[Limit]: ...
    @property
    def fits(self) -> int | None: ...
    @property
    def excluded(self) -> list[Exclusion]: ...
    @property
    def retry_after(self) -> float | None: ...
    def headers(self) -> dict[str, str]: ...
    def body(self) -> dict[str, Any]: ...

@final
class Settlement:
    @property
    def cost_nano_usd(self) -> int: ...
    @property
    def tokens(self) -> int: ...
    @property
    def overrun(self) -> bool: ...
    @property
    def repeated(self) -> bool: ...
    @property
    def expired(self) -> bool: ...
    @property
    def price(self) -> Literal["known", "stated", "reported", "default", "held", "zero"]: ...
    def json(self) -> bytes:
        """The body of the HTTP face."""

@final
class Edits:
    """Rows that `Engine.check` has found good, for that engine's `apply`."""

    def __len__(self) -> int: ...

@disjoint_base
class Engine:
    """The decisions over one policy, of resolved rows: `limen.Engine` adds the entities."""

    def __new__(
        cls,
        settings: dict[str, Any],
        clock: ManualClock | None = None,
        seed: int | None = None,
        *,
        secret: bytes | None = None,
        boot: int | None = None,
    ) -> Self:
        """`secret`: 32 bytes of the store, by which permit texts of before are good; `boot` (below 2**24)
        rises with every engine of that store."""

    def keep_history(self, on: bool) -> None:
        """Tell periods that end, and keep ids, for `collect`: before the first request, or never."""

    def collect(
        self,
    ) -> tuple[
        list[tuple[int, bytes]],
        list[int],
        list[tuple[int, int, int, int, bytes]],
        list[int],
        list[tuple[int, int, int, int, int | None, int | None]],
    ]:
        """What changed since the last call: (permits, permits gone, counters, counters gone, periods).

        permits: (key, row); counters: (key, start, end, total, row), key = limit number * 4 + kind (tokens 0,
        requests 1, budget 2); periods: (key, start, end, limit, total, correction), one of the last two None.
        Gone are keys of rows to delete, before the rows of the same answer. Nothing is told twice: an answer
        that could not be written is kept, and the next one laid over it.
        """

    def restore_usage(
        self, permits: Sequence[tuple[int, bytes]], counters: Sequence[tuple[int, bytes]]
    ) -> dict[str, Any]:
        """Put back the rows of `collect`, the newest of each key: once, after the configuration and before
        the first request. {"counters": n, "permits": n, "unknown": [keys of counters without a limit]}."""

    def handle(self, value: str | Handle | None = None, *, id: str | None = None) -> Handle: ...
    def admit(
        self,
        key: str | Handle | None,
        model: str | None,
        input_tokens: int = 0,
        max_output_tokens: int | None = None,
        *,
        provider: str | None = None,
        request_type: str = "chat_completion",
        tokens: int | None = None,
        cost_usd: _Money | None = None,
        usage: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
        params: Mapping[str, str] | None = None,
        mcp_tool: str | None = None,
        fallbacks: Sequence[str] | None = None,
        sticky: str | None = None,
        id: str | None = None,
        now_ms: int | None = None,
    ) -> Permit | Denial: ...
    def peek(
        self,
        key: str | Handle | None,
        model: str | None,
        input_tokens: int = 0,
        max_output_tokens: int | None = None,
        *,
        provider: str | None = None,
        request_type: str = "chat_completion",
        tokens: int | None = None,
        cost_usd: _Money | None = None,
        usage: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
        params: Mapping[str, str] | None = None,
        mcp_tool: str | None = None,
        fallbacks: Sequence[str] | None = None,
        sticky: str | None = None,
        id: str | None = None,
        now_ms: int | None = None,
    ) -> Permit | Denial: ...
    def settle(
        self,
        permit: Permit | str,
        prompt_tokens: int = 0,
        completion_tokens: int = 0,
        *,
        as_held: bool = False,
        **usage: Any,
    ) -> Settlement: ...
    def update(
        self,
        permit: Permit | str,
        prompt_tokens: int = 0,
        completion_tokens: int = 0,
        **usage: Any,
    ) -> list[Limit]: ...
    def release(self, permit: Permit | str, reason: str | None = None, request: bool = False) -> None: ...
    def check_credential(self, permit: str, key: str) -> None:
        """Raise NotFoundError `permit_not_found` unless `key` is the value that the permit was given to."""

    def admit_many(self, requests: Sequence[Mapping[str, Any] | tuple[Any, ...]]) -> list[Any]: ...
    def settle_many(self, settlements: Sequence[Mapping[str, Any] | tuple[Any, ...]]) -> list[Any]: ...
    def json_list(self, answers: list[Any], told: Callable[[Any], bytes]) -> bytes:
        """Many answers as one JSON list; `told` writes what is neither a permit nor a settlement."""

    def answer_batch(
        self, body: bytes, most: int, is_plain: bool, others: _Others, told: Callable[[Any], bytes]
    ) -> bytes | None:
        """The results of a batch, None where it is none; `others` answers calls that are not plain."""

    def now_ms(self) -> int: ...
    def clock_jump_ms(self) -> int | None:
        """By how many ms the system's clock has leapt ahead without being followed."""

    def accept_clock_jump(self) -> None: ...
    def shut(self) -> None:
        """No call is answered any more: LimenError engine_closed."""

    def apply(self, edits: Sequence[Mapping[str, Any]] | Edits) -> None:
        """Resolved rows, published together as one snapshot. All or nothing."""

    def check(self, edits: Sequence[Mapping[str, Any]]) -> Edits:
        """Raise what `apply` would raise, and change nothing: the rows, ready for this engine's `apply`."""

    def read(self, limits: Sequence[tuple[str, str]]) -> list[tuple[int, int, int, int]]:
        """For each (limit_id, kind): used, held, start of the current window, its end (both in ms)."""

    def trace_price(
        self, ids: tuple[str | None, str | None, str | None], model: str, request_type: str, usage: Any
    ) -> dict[str, Any]: ...
    def trace_decision(self, request: Mapping[str, Any]) -> dict[str, Any]: ...
    def trace_rules(
        self, request: Mapping[str, Any]
    ) -> tuple[dict[str, Any], list[tuple[str, str, str]], Permit | Denial | None]:
        """(variables, steps as (rule id, result, reason), what `peek` answers under the rule that binds)."""

    def rule_health(self, rule_id: str) -> tuple[int, int, int, str | None, int | None]:
        """matches, errors, times over budget, the last error, the last match (in ms) of a rule."""

    def reset(self, limit_id: str, kind: str) -> None:
        """Usage to zero in the current window; what is held stays."""

    def credit(self, limit_id: str, nano_usd: int) -> None:
        """Lower (negative: raise) the usage of a budget in its current window, never below zero."""

    def open_permits(self) -> int: ...
    def sweep(self) -> int: ...
    def metrics(self) -> str: ...
    def snapshot(self) -> bytes: ...
    def restore(self, data: bytes) -> dict[str, int]:
        """Counters of limits that exist; answers {"restored": n, "unknown": n}."""

def forked() -> None:
    """Called in the child after fork: every engine of the parent raises ForkedError from now on."""

def trim() -> None:
    """Give memory that holds nothing any more back to the operating system."""

def check_expression(text: str) -> None:
    """Nothing where the text is an expression of a routing rule; InvalidError with the place otherwise."""

def parse_duration(text: str) -> tuple[int, str]:
    """(count, unit) of a duration text; InvalidError with the reason otherwise."""

def parse_dollars(value: _Money, rounding: Literal["exact", "up"] = "exact") -> int:
    """Dollars to nano-dollars. exact: within 1e-12 of a whole one, else InvalidError; up: rounded up."""

def error_codes() -> list[str]: ...

__version__: str
debug_build: bool
