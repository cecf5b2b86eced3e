"""Denials as the HTTP face words them, for those who embed the engine as well: the one error body.

    {"is_bifrost_error": false, "status_code": 429, "type": "token_limited",
     "error": {"message": "...", "type": "token_limited"}, "extra_fields": {"limits": [...]}}

Amounts of money are dollars: a `Decimal` here; whoever encodes JSON passes a writer of its own.
"""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import lru_cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from limen import Denial, Limit

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LAST_MS = 253_402_300_799_999  # 9999-12-31T23:59:59.999Z: RFC 3339 has four digits for the year
_MILLIS = [f".{ms:03}Z" for ms in range(1000)]


def error_body(
    status: int, code: str, message: str, param: str | None = None, extra: dict[str, Any] | None = None
) -> dict[str, Any]:
    """The one error body."""
    error = {"message": message, "type": code}
    if param is not None:
        error["param"] = param
    return {
        "is_bifrost_error": False,
        "status_code": status,
        "type": code,
        "error": error,
        "extra_fields": extra or {},
    }


def _dollars(nano: int) -> Decimal:
    return Decimal(nano).scaleb(-9).normalize()


def denial_body(denial: "Denial", dollars: Callable[[int], Any] = _dollars) -> dict[str, Any]:
    """The error body of a denial: every violated limit, and what was left out and why."""
    extra: dict[str, Any] = {"limits": wire_limits(denial.limits, dollars)}
    if denial.fits is not None:
        extra["fits"] = denial.fits
    if denial.excluded:
        extra["excluded"] = [
            {
                "provider": target.provider,
                "model": target.model,
                "key_id": target.key_id,
                "reason": target.reason,
                **({"limits": wire_limits(target.limits, dollars)} if target.limits else {}),
            }
            for target in denial.excluded
        ]
    return error_body(denial.status, denial.code, denial.message, extra=extra)


def wire_limits(limits: "Sequence[Limit]", dollars: Callable[[int], Any] = _dollars) -> list[dict[str, Any]]:
    """Limits as clients see them: dollars where the kind is budget, instants as text, waits in seconds."""
    return [_wire_limit(limit, dollars if limit.kind == "budget" else int) for limit in limits]


def _wire_limit(limit: "Limit", amount: Callable[[int], Any]) -> dict[str, Any]:
    return {
        "kind": limit.kind,
        "level": limit.level,
        "owner_id": limit.owner_id,
        "limit_id": limit.limit_id,
        "limit": amount(limit.limit),
        "used": amount(limit.used),
        "held": amount(limit.held),
        "asked": amount(limit.asked),
        "resets_at": instant(limit.reset_at_ms),
        "retry_after": limit.retry_after,
        "never": limit.never,
    }


def instant(ms: int) -> str:
    """Milliseconds since the epoch as RFC 3339 in UTC, to the millisecond."""
    if not 0 <= ms <= _LAST_MS:
        ms = min(max(ms, 0), _LAST_MS)
    return _second(ms // 1000) + _MILLIS[ms % 1000]


@lru_cache(maxsize=256)  # answers of one moment name the same few seconds
def _second(second: int) -> str:
    return f"{_EPOCH + timedelta(seconds=second):%Y-%m-%dT%H:%M:%S}"
