"""Durations of Go, as Bifrost reads them, written as ours.

>>> written("1h30m"), written("1.5d"), written("monthly"), written("30s")
('90m', '36h', '1M', '30s')
"""

import re
from fractions import Fraction
from typing import Final

from limen.resources.reading import parse_duration

_WORDS: Final = {"daily": "1d", "weekly": "1w", "monthly": "1M", "yearly": "1Y"}
# Bifrost reads "1.5d" as 1.5 hours, and multiplies.
_TIMES: Final = {"d": 24, "w": 24 * 7, "M": 24 * 30, "Y": 24 * 365}
_GO: Final = {
    "ns": Fraction(1, 10**9),
    "us": Fraction(1, 10**6),
    "µs": Fraction(1, 10**6),
    "μs": Fraction(1, 10**6),
    "ms": Fraction(1, 1000),
    "s": Fraction(1),
    "m": Fraction(60),
    "h": Fraction(3600),
}
_PART: Final = re.compile(r"(\d{1,12}(?:\.\d{0,12})?|\.\d{1,12})(ns|us|µs|μs|ms|s|m|h)", re.ASCII)
_MOST: Final = 64


def written(text: str) -> str:
    """The duration as one whole number and one unit; ValueError where there is none."""
    text = _WORDS.get(text.lower(), text)
    try:
        parse_duration(text)
    except ValueError:
        pass
    else:
        return text
    unit = text[-1:]
    times = _TIMES.get(unit)
    seconds = _seconds(text if times is None else f"{text[:-1]}h") * (times or 1)
    if seconds.denominator != 1 or seconds <= 0:
        raise ValueError(f"is {float(seconds):g} seconds: limen counts in whole seconds, above zero")
    found = next(
        f"{seconds.numerator // size}{name}"
        for name, size in (("h", 3600), ("m", 60), ("s", 1))
        if seconds.numerator % size == 0
    )
    parse_duration(found)
    return found


def _seconds(text: str) -> Fraction:
    """A sum of numbers with units, as Go writes it."""
    if len(text) > _MOST:
        raise ValueError("is no duration")
    end, total = 0, Fraction(0)
    for part in _PART.finditer(text.removeprefix("+")):
        if part.start() != end:
            break
        end = part.end()
        total += Fraction(part[1]) * _GO[part[2]]
    if end == 0 or end != len(text.removeprefix("+")):
        raise ValueError("is no duration")
    return total
