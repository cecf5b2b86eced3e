"""The answers of decisions and the error body, as structs: what the OpenAPI document says of them.

Nothing is encoded through these, since a decision writes its own bytes; a test holds every answer to them.
"""

from datetime import datetime
from decimal import Decimal
from typing import Any, Literal

from msgspec import UNSET, Struct, UnsetType

from limen.http.calls import Item
from limen.reports import Level, LimitKind


class Calls(Struct, kw_only=True, forbid_unknown_fields=True):
    """Several calls, at most 1,024; each is answered for itself."""

    calls: list[Item]


class HeldAmounts(Struct, kw_only=True):
    """What is held until the permit is settled: the most that any level holds."""

    requests: int
    tokens: int
    cost_usd: Decimal


class Admitted(Struct, kw_only=True):
    """The request may go ahead, to this provider and model, with this API key."""

    allowed: bool
    permit: str
    provider: str
    model: str | None
    key_id: str | None
    fallbacks: list[str]
    rule_id: str | None
    max_output_tokens: int | None
    held: HeldAmounts
    expires_at: datetime


class Settled(Struct, kw_only=True):
    """What was charged."""

    settled: bool
    cost_usd: Decimal
    tokens: int
    overrun: bool
    repeated: bool
    expired: bool
    price: Literal["known", "stated", "reported", "default", "held", "zero"]


class LimitState(Struct, kw_only=True):
    """A limit that is in the way; amounts are dollars where the kind is budget."""

    kind: LimitKind
    level: Level
    owner_id: str
    limit_id: str
    limit: Decimal
    used: Decimal
    held: Decimal
    asked: Decimal
    resets_at: datetime
    retry_after: float | None
    never: bool


class Updated(Struct, kw_only=True):
    """It is noted; `over` are the limits that are exceeded by now."""

    updated: bool
    over: list[LimitState]


class Released(Struct, kw_only=True):
    """What was held is given back."""

    released: bool


class Results(Struct, kw_only=True):
    """The answers in order, each with its `status` beside what it would have been alone."""

    results: list[dict[str, Any]]


class ExcludedTarget(Struct, kw_only=True):
    """A target that was left out, and why."""

    provider: str
    model: str | None
    key_id: str | None
    reason: str
    limits: list[LimitState] | UnsetType = UNSET


class ErrorDetail(Struct, kw_only=True):
    """What is wrong; `param` is the path of the field."""

    message: str
    type: str
    param: str | UnsetType | None = UNSET


class ErrorFields(Struct, kw_only=True):
    """What a denial adds: its limits, what would fit, what was left out; and a fault: what else is wrong."""

    limits: list[LimitState] | UnsetType = UNSET
    fits: int | UnsetType = UNSET
    excluded: list[ExcludedTarget] | UnsetType = UNSET
    faults: list[ErrorDetail] | UnsetType = UNSET


class Error(Struct, kw_only=True):
    """The one error body. `type` is the code, which never changes; the message may."""

    is_bifrost_error: bool
    status_code: int
    type: str
    error: ErrorDetail
    extra_fields: ErrorFields


class HealthState(Struct, kw_only=True):
    """Whether it decides, and what is degraded; `usage_flush_ms` is the most usage that a crash loses."""

    status: Literal["ok", "degraded"]
    store: Literal["memory", "sqlite"]
    usage_flush_ms: int | None
    open_permits: int
    degraded: list[str]


class Version(Struct, kw_only=True):
    """Which version this is."""

    version: str
