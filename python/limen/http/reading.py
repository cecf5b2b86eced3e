"""What admin routes read: a JSON body as it was written, the words after the question mark.

Numbers stay their text: a fraction is a Decimal, however large its exponent. What a field means, and what is
wrong with it, says the engine's resource; here is refused only what is no JSON or no query.
"""

from decimal import Decimal, InvalidOperation
from typing import Any, Final
from urllib.parse import parse_qsl

import msgspec
from msgspec import NODEFAULT, Struct

from limen.errors import Faults, fault
from limen.http.calls import malformed
from limen.http.json_guard import refuse_duplicates

_NO_NUMBER: Final = Decimal("NaN")
_NUMBERS: Final = frozenset(("limit", "offset"))
_DIGITS: Final = 19
_TRUTHS: Final = ("true", "false")


def _fraction(text: str) -> Decimal:
    """The number as it stands; one with an exponent that nobody counts to is refused where it is read."""
    try:
        return Decimal(text)
    except InvalidOperation:
        return _NO_NUMBER


_DECODER: Final = msgspec.json.Decoder(float_hook=_fraction)


def body_of(content: bytes) -> Any:
    """The body; InvalidError where it is no JSON, names a key twice, or nests too deep."""
    try:
        found = _DECODER.decode(content)
    except (ValueError, RecursionError) as error:
        raise malformed(error) from None
    refuse_duplicates(content)
    return found


def words_of(body: Any, kind: type[Struct]) -> dict[str, Any]:
    """The fields of an action's body, by name; one that is left out and has no default is None."""
    if not isinstance(body, dict):
        raise fault("invalid_request", "must be an object")
    faults = Faults()
    known = {field.name: field for field in msgspec.structs.fields(kind)}
    for word in body:
        if word not in known:
            shown = "".join(c if c.isprintable() else "?" for c in word[:64])
            faults.add(shown, "is not a field of this object")
    faults.check()
    defaults = {word: None if field.default is NODEFAULT else field.default for word, field in known.items()}
    return {**defaults, **body}


def filters_of(query: bytes) -> dict[str, Any]:
    """The words of a query by name; `limit` and `offset` as numbers. `from_memory` changes nothing."""
    try:
        pairs = parse_qsl(
            query.decode("ascii"), keep_blank_values=True, strict_parsing=bool(query), errors="strict"
        )
    except ValueError:
        raise fault("invalid_request", "the query is not formed as one") from None
    found: dict[str, Any] = {}
    for word, text in pairs:
        name = word[:64]
        if word in found:
            raise fault("invalid_request", "stands twice", name)
        found[word] = _whole(text, name) if word in _NUMBERS else text
    if found.pop("from_memory", "true") not in _TRUTHS:
        raise fault("invalid_request", "must be true or false", "from_memory")
    return found


def no_filters(query: bytes) -> None:
    """InvalidError for a query where a route has no parameters."""
    for word in filters_of(query):
        raise fault("invalid_request", "is not a parameter of this route", word[:64])


def _whole(text: str, word: str) -> int:
    digits = text.removeprefix("-")
    if not (digits.isascii() and digits.isdigit() and len(digits) <= _DIGITS):
        raise fault("invalid_request", "must be a whole number", word)
    return int(text)
