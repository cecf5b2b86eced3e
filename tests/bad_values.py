"""Values that are wrong wherever a certain kind of value is meant: the rows of the tests of bad input."""

from __future__ import annotations

from decimal import Decimal
from math import inf, nan

LONG = "x" * 10_000
DOLLARS = [
    -1,
    -1e-12,
    nan,
    inf,
    -inf,
    1e400,
    True,
    "5",
    "NaN",
    b"5",
    [],
    {},
    2**63,
    2**64,
    9_223_372_037,
    1e-10,
    Decimal("NaN"),
    Decimal("Infinity"),
    Decimal("1e400"),
    Decimal("1e999999"),
    Decimal("-1e-400"),
    10**400,
]
COUNTS = [
    -1,
    nan,
    inf,
    1e400,
    True,
    False,
    "5",
    b"5",
    1.5,
    [],
    {},
    2**63,
    2**64,
    Decimal("1e400"),
    Decimal("NaN"),
    Decimal("0.5"),
    Decimal("1e-999999"),
    10**400,
]
DURATIONS = [
    "0s",
    "-1h",
    "+1h",
    "1.5d",
    "1h30m",
    "1 d",
    " 1d",
    "1",
    "d",
    "",
    "1D",
    "1y",
    "1ms",
    "٣d",
    "²d",
    "36501d",
    "101Y",
    "1217M",
    "99999999999s",
    LONG,
    60,
    True,
    None,
    b"1d",
    ["1d"],
]
NAMES = [
    "",
    "   ",
    "x" * 257,
    LONG,
    "a\nb",
    "a\x00b",
    "\x7f",
    "a\u2028b",
    "\ud800",
    5,
    True,
    b"n",
    [],
    {},
    None,
]
WEIGHTS = [-1, -0.1, nan, inf, True, "1", b"1", [], {}, Decimal("1e-400"), Decimal("1e400"), 1e300]
TRUTHS = [1, 0, "true", 1.0, [], {}]
TIMES = ["2030", "2030-01-01", "2030-01-01T00:00:00", "x", "", 5, True, 1e9, LONG, ["2030-01-01T00:00:00Z"]]
TEXT_LISTS = ["*", {}, 5, True, ["*"] * 1001]
