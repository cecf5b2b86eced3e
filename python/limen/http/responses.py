"""What leaves the server: the one error body, the wire form of limits, exact money.

Everything that can go wrong has one shape, whoever refuses:

    {"is_bifrost_error": false, "status_code": 429, "type": "token_limited",
     "error": {"message": "...", "type": "token_limited"}, "extra_fields": {"limits": [...]}}

Money leaves as a JSON number written from the integer, digit by digit: a float would round large amounts.
"""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import TYPE_CHECKING, Any, TypeAlias

import orjson

from limen.errors import LimenError

if TYPE_CHECKING:
    from limen import Denial, Limit, Permit, Settlement

Headers: TypeAlias = list[tuple[bytes, bytes]]
Answer: TypeAlias = tuple[int, Headers, bytes]
"""Status, headers without the two of the content, and the body."""

_NANO = 1_000_000_000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LAST_MS = 253_402_300_799_999  # 9999-12-31T23:59:59.999Z: RFC 3339 has four digits for the year
_MILLIS = [f".{ms:03}Z" for ms in range(1000)]
_NAMES: dict[str, bytes] = {}  # header names of the engine: a handful
_JSON = (b"content-type", b"application/json")
_NO_RETRY = (b"x-should-retry", b"false")
_FREE = orjson.Fragment(b"0")


def answer(status: int, body: Any, headers: Sequence[tuple[bytes, bytes]] = ()) -> Answer:
    """An answer with a JSON body; the headers of the content are put in front."""
    content = orjson.dumps(body)
    return status, [_JSON, (b"content-length", b"%d" % len(content)), *headers], content


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


def fault_body(error: LimenError) -> dict[str, Any]:
    """The error body of a fault."""
    return error_body(error.status, error.code, error.message, error.param)


def fault_answer(error: LimenError, headers: Sequence[tuple[bytes, bytes]] = ()) -> Answer:
    """The answer to a fault. SDKs retry a 409 by themselves; they are told where that cannot help."""
    if error.status == 409 and error.code != "id_in_progress":
        headers = [*headers, _NO_RETRY]
    return answer(error.status, fault_body(error), headers)


def denial_body(denial: "Denial") -> dict[str, Any]:
    """The error body of a denial: every violated limit, and what was left out and why."""
    extra: dict[str, Any] = {"limits": wire_limits(denial.limits)}
    if denial.fits is not None:
        extra["fits"] = denial.fits
    if denial.excluded:
        extra["excluded"] = [
            {
                "provider": target.provider,
                "model": target.model,
                "key_id": target.key_id,
                "reason": target.reason,
                **({"limits": wire_limits(target.limits)} if target.limits else {}),
            }
            for target in denial.excluded
        ]
    return error_body(denial.status, denial.code, denial.message, extra=extra)


def permit_body(permit: "Permit") -> dict[str, Any]:
    """What an admitted request may do, and the text that settles it."""
    held = permit.held
    return {
        "allowed": True,
        "permit": permit.token,
        "provider": permit.provider,
        "model": permit.model,
        "key_id": permit.key_id,
        "fallbacks": permit.fallbacks,
        "rule_id": permit.rule_id,
        "max_output_tokens": permit.max_output_tokens,
        "held": {"requests": held.requests, "tokens": held.tokens, "cost_usd": dollars(held.cost_nano_usd)},
        "expires_at": instant(permit.expires_at_ms),
    }


def settlement_body(settlement: "Settlement") -> dict[str, Any]:
    """What a settle charged."""
    return {
        "settled": True,
        "cost_usd": dollars(settlement.cost_nano_usd),
        "tokens": settlement.tokens,
        "overrun": settlement.overrun,
        "repeated": settlement.repeated,
        "expired": settlement.expired,
        "price": settlement.price,
    }


def wire_limits(limits: "Sequence[Limit]") -> list[dict[str, Any]]:
    """Limits as clients see them: dollars where the kind is budget, instants as text, waits in seconds."""
    return [_wire_limit(limit, dollars if limit.kind == "budget" else int) for limit in limits]


def _wire_limit(limit: "Limit", amount: Any) -> dict[str, Any]:
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


def dollars(nano: int) -> orjson.Fragment:
    """Nano-dollars as the shortest decimal number of dollars that is exactly them, without an exponent."""
    if not nano:
        return _FREE
    whole, rest = divmod(abs(nano), _NANO)
    text = f"{whole}.{rest:09}".rstrip("0") if rest else str(whole)
    return orjson.Fragment(text if nano > 0 else f"-{text}")


def instant(ms: int) -> str:
    """Milliseconds since the epoch as RFC 3339 in UTC, to the millisecond."""
    if not 0 <= ms <= _LAST_MS:
        ms = min(max(ms, 0), _LAST_MS)
    return _second(ms // 1000) + _MILLIS[ms % 1000]


@lru_cache(maxsize=256)  # answers of one moment name the same few seconds
def _second(second: int) -> str:
    return f"{_EPOCH + timedelta(seconds=second):%Y-%m-%dT%H:%M:%S}"


def header_lines(headers: dict[str, str]) -> Headers:
    """The engine's header fields as ASGI wants them: bytes, names in lower case."""
    try:
        return [(_NAMES[name], value.encode()) for name, value in headers.items()]
    except KeyError:
        _NAMES.update((name, name.lower().encode()) for name in headers)
        return header_lines(headers)
