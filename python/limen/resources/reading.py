"""Readers of single values: each takes what a stranger sent and gives back a clean value, or notes a fault.

A reader is called as `read(value, at, faults)`; `at` is the path of the value. After a fault it answers BAD,
and the reading goes on, so that one run names everything.

    >>> faults = Faults()
    >>> dollars(0.1 * 3, "budget.max_limit", faults), duration("1M", "budget.reset_duration", faults)
    (300000000, '1M')
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Context, Decimal
from typing import Any, Final

import msgspec

from limen.errors import Faults

MAX_NAME: Final = 256
MAX_TEXT: Final = 4096
MAX_ID: Final = 128
MAX_LIST: Final = 1000
MAX_DEPTH: Final = 64
INT64: Final = 2**63 - 1
MAX_NANO_USD: Final = 9_223_372_036 * 10**9
MAX_RATE_USD: Final = 9_223
MAX_DURATION_S: Final = 36_500 * 86_400
_SECONDS: Final = {
    "s": 1,
    "m": 60,
    "h": 3600,
    "d": 86_400,
    "w": 7 * 86_400,
    "M": 30 * 86_400,
    "Y": 365 * 86_400,
}
# Wide enough that shifting by nine digits rounds nothing that matters, and without traps: a hostile exponent
# becomes an infinity or a zero, never an exception or a million digits.
_WIDE: Final = Context(prec=60, traps=[])
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class Bad:
    """The type of BAD, the answer of a reader that noted a fault."""


BAD: Final = Bad()
Reader = Callable[[Any, str, Faults], Any]


def _shown(value: object) -> str:
    """The kind of a value, for a message: the value itself might be a secret."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "a truth value"
    if isinstance(value, str):
        return "text"
    if isinstance(value, int | float | Decimal):
        return "a number"
    if isinstance(value, Mapping):
        return "an object"
    return "a list" if isinstance(value, Sequence) else type(value).__name__


def _text(value: object, at: str, faults: Faults, most: int) -> str | Bad:
    if not isinstance(value, str):
        faults.add(at, f"must be text, not {_shown(value)}")
    elif len(value) > most:
        faults.add(at, f"must have at most {most} characters")
    elif not value.isascii() and any(0xD800 <= ord(c) <= 0xDFFF for c in value):
        faults.add(at, "must be valid Unicode")
    else:
        return value
    return BAD


def _is_control(character: str) -> bool:
    code = ord(character)
    return code < 32 or 127 <= code < 160 or code in (0x2028, 0x2029)


def line(most: int) -> Reader:
    """One line of text: trimmed, not empty, without control characters, at most `most` long."""

    def read(value: object, at: str, faults: Faults) -> str | Bad:
        text = _text(value, at, faults, most)
        if isinstance(text, Bad):
            return BAD
        text = text.strip()
        if not text:
            faults.add(at, "must not be empty")
        elif not text.isprintable() and any(map(_is_control, text)):
            faults.add(at, "must not hold control characters")
        else:
            return text
        return BAD

    return read


name = line(MAX_NAME)
identifier = line(MAX_ID)


def description(value: object, at: str, faults: Faults) -> str | Bad:
    """Free text: control characters other than tabs and line ends are refused."""
    text = _text(value, at, faults, MAX_TEXT)
    if (
        isinstance(text, str)
        and not text.isprintable()
        and any(_is_control(c) and c not in "\t\r\n" for c in text)
    ):
        faults.add(at, "must not hold control characters")
        return BAD
    return text


def reference(value: object, at: str, faults: Faults) -> str | Bad | None:
    """The id of another entity; the empty text is none."""
    return None if isinstance(value, str) and not value else identifier(value, at, faults)


def optional_name(value: object, at: str, faults: Faults) -> str | Bad | None:
    """A name; the empty text is none."""
    return None if value == "" else name(value, at, faults)


def boolean(value: object, at: str, faults: Faults) -> bool | Bad:
    """True or false; no number, no text."""
    if isinstance(value, bool):
        return value
    faults.add(at, f"must be true or false, not {_shown(value)}")
    return BAD


def _number(value: object, at: str, faults: Faults) -> int | Decimal | Bad:
    """A finite number, exactly: a float is the shortest decimal text that reads back to it."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if isinstance(value, float):
        value = Decimal(repr(float(value)))
    if not isinstance(value, Decimal):
        faults.add(at, f"must be a number, not {_shown(value)}")
    elif not value.is_finite():
        faults.add(at, "must be a finite number")
    else:
        return value
    return BAD


def integer(low: int, high: int) -> Reader:
    """A whole number in [low, high]; 1.0 is one, 1.5 and true are not."""

    def read(value: object, at: str, faults: Faults) -> int | Bad:
        number = _number(value, at, faults)
        if isinstance(number, Bad):
            return BAD
        if isinstance(number, Decimal):
            # The exponent is bounded before anything is computed: as an integer 1e400000000 fills the memory.
            if number and not -MAX_TEXT < number.adjusted() < 20:
                faults.add(at, f"must be a whole number from {low} to {high}")
                return BAD
            if number != number.to_integral_value(context=_WIDE):
                faults.add(at, "must be a whole number")
                return BAD
            number = int(number)
        if low <= number <= high:
            return number
        faults.add(at, f"must be from {low} to {high}")
        return BAD

    return read


def real(low: float, high: float) -> Reader:
    """A finite number in [low, high], as a float; one so small that it would become zero is refused."""

    def read(value: object, at: str, faults: Faults) -> float | Bad:
        number = _number(value, at, faults)
        if isinstance(number, Bad):
            return BAD
        if not low <= number <= high:
            faults.add(at, f"must be from {low:g} to {high:g}")
            return BAD
        found = float(number)
        if number and not found:
            faults.add(at, "is too small to be told from zero")
            return BAD
        return found + 0.0

    return read


count = integer(0, INT64)
weight = real(0, 1e15)


def dollars_between(low_nano: int, high_nano: int) -> Reader:
    """Dollars as nano-dollars, where they are within 1e-12 dollars of a whole number of them."""
    low_usd, high_usd = Decimal(low_nano).scaleb(-9), Decimal(high_nano).scaleb(-9)

    def read(value: object, at: str, faults: Faults) -> int | Bad:
        number = _number(value, at, faults)
        if isinstance(number, Bad):
            return BAD
        # Compared before anything is scaled, so that no exponent can grow the number.
        if not low_usd <= number <= high_usd:
            faults.add(at, f"must be from {low_nano // 10**9} to {high_nano // 10**9} dollars")
            return BAD
        if isinstance(number, int):
            return number * 10**9
        scaled = _WIDE.scaleb(number, 9)
        whole = scaled.to_integral_value(context=_WIDE)
        if abs(_WIDE.subtract(scaled, whole)) > Decimal("0.001"):
            faults.add(at, "must be a whole number of nano-dollars (nine decimals)")
            return BAD
        return int(whole)

    return read


dollars = dollars_between(0, MAX_NANO_USD)
correction = dollars_between(-MAX_NANO_USD, MAX_NANO_USD)


def rate(value: object, at: str, faults: Faults) -> int | Bad:
    """Dollars per unit as femto-dollars, exactly: nothing is rounded, so that no price is another's."""
    number = _number(value, at, faults)
    if isinstance(number, Bad):
        return BAD
    if not 0 <= number <= MAX_RATE_USD:
        faults.add(at, f"must be from 0 to {MAX_RATE_USD} dollars a unit")
        return BAD
    if isinstance(number, int):
        return number * 10**15
    whole = _WIDE.scaleb(number, 15).to_integral_value(context=_WIDE)
    # Compared with what was sent: scaling a number of a hundred digits has rounded it already.
    if _WIDE.scaleb(whole, -15) != number:
        faults.add(at, "must have at most 15 decimals (femto-dollars)")
        return BAD
    return int(whole)


def parse_duration(text: str) -> tuple[int, str]:
    """(seconds, unit) of a duration, a month 30 days and a year 365. ValueError with the reason."""
    digits, unit = text[:-1], text[-1:]
    if unit not in _SECONDS:
        raise ValueError("must be a whole number and one unit of s, m, h, d, w, M, Y, such as 30s or 1M")
    if not (digits.isascii() and digits.isdigit()):
        raise ValueError(
            "must be a whole number and one unit, such as 30s or 1M, without sign, point or space"
        )
    if len(digits) > 10:
        raise ValueError("must have at most ten digits")
    seconds = int(digits) * _SECONDS[unit]
    if seconds == 0:
        raise ValueError("must be above zero")
    if seconds > MAX_DURATION_S:
        raise ValueError("must be at most 36500 days")
    return seconds, unit


def duration(value: object, at: str, faults: Faults) -> str | Bad:
    """A duration text such as 30s, 5m, 1M."""
    text = _text(value, at, faults, MAX_TEXT)
    if isinstance(text, str):
        try:
            parse_duration(text)
        except ValueError as error:
            faults.add(at, str(error))
            return BAD
    return text


def one_of(*words: str) -> Reader:
    """One of a few words."""

    def read(value: object, at: str, faults: Faults) -> str | Bad:
        if isinstance(value, str) and value in words:
            return value
        faults.add(at, f"must be one of {', '.join(words)}")
        return BAD

    return read


def instant(value: object, at: str, faults: Faults) -> int | Bad:
    """An instant, as RFC 3339 text with its offset or an aware datetime, in milliseconds since the epoch."""
    moment: datetime | None = value if isinstance(value, datetime) else None
    if isinstance(value, str) and len(value) <= 64:
        try:
            moment = msgspec.convert(value, datetime)
        except (msgspec.ValidationError, UnicodeEncodeError):  # the second: half a character pair
            moment = None
    if moment is None or moment.tzinfo is None:
        faults.add(at, "must be a time such as 2030-01-31T12:00:00Z, with its offset")
        return BAD
    return (moment - _EPOCH) // timedelta(milliseconds=1)


def moment(ms: int) -> datetime:
    """Milliseconds since the epoch as an aware datetime in UTC; out of its range, its first or last."""
    try:
        return _EPOCH + timedelta(milliseconds=ms)
    except OverflowError:
        return datetime.max.replace(tzinfo=UTC) if ms > 0 else datetime.min.replace(tzinfo=UTC)


def list_of(read_item: Reader, most: int = MAX_LIST) -> Reader:
    """A list of at most `most`, each read by `read_item`."""

    def read(value: object, at: str, faults: Faults) -> list[Any] | Bad:
        if not isinstance(value, list | tuple):
            faults.add(at, f"must be a list, not {_shown(value)}")
            return BAD
        if len(value) > most:
            faults.add(at, f"must have at most {most} entries")
            return BAD
        found = [read_item(item, f"{at}[{index}]", faults) for index, item in enumerate(value)]
        return BAD if BAD in found else found

    return read


names = list_of(name)


def free_object(value: object, at: str, faults: Faults) -> dict[str, Any] | Bad:
    """An object of the caller's own: any JSON, bounded in depth, length and text, numbers finite."""
    if not isinstance(value, Mapping):
        faults.add(at, f"must be an object, not {_shown(value)}")
        return BAD
    before = len(faults)
    found: dict[str, Any] = _free(value, at, faults, 1)
    return found if len(faults) == before else BAD


def _free(value: object, at: str, faults: Faults, depth: int) -> Any:
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return _text(value, at, faults, MAX_TEXT)
    if isinstance(value, int):
        return integer(-INT64 - 1, INT64)(value, at, faults)
    if isinstance(value, float | Decimal):
        return real(-1.7976931348623157e308, 1.7976931348623157e308)(value, at, faults)
    if not isinstance(value, Mapping | list | tuple):
        faults.add(at, "must be JSON")
    elif depth > MAX_DEPTH:
        faults.add(at[:MAX_NAME], f"is nested more than {MAX_DEPTH} deep")
    elif len(value) > MAX_LIST:
        faults.add(at, f"must have at most {MAX_LIST} entries")
    elif isinstance(value, Mapping):
        found = {}
        for key, item in value.items():
            word = _text(key, at, faults, MAX_NAME)
            if isinstance(word, str):
                found[word] = _free(item, f"{at}.{word}", faults, depth + 1)
        return found
    else:
        return [_free(item, f"{at}[{index}]", faults, depth + 1) for index, item in enumerate(value)]
    return BAD
