"""What leaves the server: the one error body, the wire form of limits, exact money.

Everything that can go wrong has one shape, whoever refuses:

    {"is_bifrost_error": false, "status_code": 429, "type": "token_limited",
     "error": {"message": "...", "type": "token_limited"}, "extra_fields": {"limits": [...]}}

Money leaves as a JSON number that reads back to the same integer, also where a float would have rounded it.
Permits and settlements write their own bodies (`json`): nearly every answer is one, and nobody here reads it.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

import orjson

from limen import wire
from limen.errors import LimenError
from limen.model import to_json
from limen.wire import error_body

if TYPE_CHECKING:
    from limen import Denial, Limit

Headers: TypeAlias = list[tuple[bytes, bytes]]
Answer: TypeAlias = tuple[int, Headers, bytes]
"""Status, headers without the two of the content, and the body."""

FAULTS_MOST = 100
_NANO = 1_000_000_000
_NAMES: dict[str, bytes] = {}  # header names of the engine: a handful
_JSON = (b"content-type", b"application/json")
_NO_STORE = (b"cache-control", b"no-store")
_NO_RETRY = (b"x-should-retry", b"false")
_FLOAT_IS_EXACT = 10**15


def answer(status: int, body: Any, headers: Sequence[tuple[bytes, bytes]] = ()) -> Answer:
    """An answer with a JSON body."""
    return written(status, orjson.dumps(body), headers)


def written(status: int, content: bytes, headers: Sequence[tuple[bytes, bytes]] = ()) -> Answer:
    """An answer whose JSON is there already; the headers of the content are put in front."""
    return status, [_JSON, (b"content-length", b"%d" % len(content)), *headers], content


def entity_answer(status: int, body: Any, headers: Sequence[tuple[bytes, bytes]] = ()) -> Answer:
    """An answer of structs, some of which hold a secret: nobody on the way may keep one.

    msgspec writes structs as they are, and their Decimals as numbers, digit for digit; orjson knows neither.
    """
    content = to_json(body)
    return status, [_JSON, (b"content-length", b"%d" % len(content)), _NO_STORE, *headers], content


def fault_body(error: LimenError) -> dict[str, Any]:
    """The error body of a fault; what else is wrong stands beside it, as far as there is room."""
    more = [
        {"message": found.message, "type": found.code, "param": found.param}
        for found in error.faults[1:FAULTS_MOST]
    ]
    return error_body(
        error.status, error.code, error.message, error.param, {"faults": more} if more else None
    )


def fault_answer(error: LimenError, headers: Sequence[tuple[bytes, bytes]] = ()) -> Answer:
    """The answer to a fault. SDKs retry a 409 by themselves; they are told where that cannot help."""
    if error.status == 409 and error.code != "id_in_progress":
        headers = [*headers, _NO_RETRY]
    return answer(error.status, fault_body(error), headers)


def denial_body(denial: "Denial") -> dict[str, Any]:
    """The error body of a denial, ready to be encoded."""
    return wire.denial_body(denial, dollars)


def wire_limits(limits: "Sequence[Limit]") -> list[dict[str, Any]]:
    """Limits as clients see them, ready to be encoded."""
    return wire.wire_limits(limits, dollars)


def dollars(nano: int) -> int | float | orjson.Fragment:
    """Nano-dollars as dollars that orjson writes exactly, with no digit too many."""
    whole, rest = divmod(nano, _NANO)
    if not rest:
        return whole
    if -_FLOAT_IS_EXACT < nano < _FLOAT_IS_EXACT:
        # 15 digits survive the way through a float and its shortest text.
        return nano / _NANO
    sign, (whole, rest) = ("-", divmod(-nano, _NANO)) if nano < 0 else ("", (whole, rest))
    return orjson.Fragment(f"{sign}{whole}.{rest:09}".rstrip("0"))


def header_lines(headers: dict[str, str]) -> Headers:
    """The engine's header fields as ASGI wants them: bytes, names in lower case."""
    try:
        return [(_NAMES[name], value.encode()) for name, value in headers.items()]
    except KeyError:
        _NAMES.update((name, name.lower().encode()) for name in headers)
        return header_lines(headers)
