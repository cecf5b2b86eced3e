"""How close the sliding window comes to an exact log, and that it never lets more through.

`limit` requests a minute in 60 sub-windows. An exact log of its own admissions judges the same traffic.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import deque
from collections.abc import Callable
from fractions import Fraction
from random import Random

import pytest

import limen
from house import MINUTE, START

WINDOWS = 21
Traffic = Callable[[int], list[int]]


def steady(factor: float) -> Traffic:
    def arrivals(limit: int) -> list[int]:
        count = int(limit * factor * WINDOWS)
        return [int(n * MINUTE * WINDOWS / count) for n in range(count)]

    return arrivals


def bursts(limit: int) -> list[int]:
    """Six times the limit for a third of each window, then nothing."""
    each = 2 * limit
    return [window * MINUTE + n * (MINUTE // 3) // each for window in range(8) for n in range(each)]


def edges(limit: int) -> list[int]:
    """A fifth of the limit in the last and again in the first millisecond of every tenth sub-window."""
    return [
        at + side for at in range(10_000, WINDOWS * MINUTE, 10_000) for side in (-1, 0) for _ in range(limit)
    ]


def poisson(limit: int) -> list[int]:
    chance = Random(limit)
    arrivals, at = [], 0.0
    while at < WINDOWS * MINUTE:
        arrivals.append(int(at))
        at += chance.expovariate(0.95 * limit / MINUTE)
    return arrivals


TRAFFIC = {
    "steady at 0.95": steady(0.95),
    "steady at 2": steady(2),
    "bursts of 6": bursts,
    "at the edges": edges,
    "Poisson at 0.95": poisson,
}


def exact(limit: int, arrivals: list[int]) -> int:
    """How many of them an exact log of the last minute admits."""
    log: deque[int] = deque()
    admitted = 0
    for at in arrivals:
        while log and log[0] <= at - MINUTE:
            log.popleft()
        if len(log) < limit:
            log.append(at)
            admitted += 1
    return admitted


@pytest.mark.parametrize("limit", [10, 100, 10_000])
@pytest.mark.parametrize("traffic", TRAFFIC)
def test_never_more_than_the_limit_and_hardly_less_than_an_exact_log(traffic: str, limit: int) -> None:
    arrivals = TRAFFIC[traffic](limit)
    window = limen.SlidingWindow(limit, "1m")
    admitted: list[int] = []
    for at in arrivals:
        if window.take(1, START + at):
            admitted.append(at)
        else:
            within_a_sub_window_more = len(admitted) - bisect_right(admitted, at - MINUTE - 1_000)
            assert within_a_sub_window_more >= limit, f"refused at {at} what 61 seconds would admit"
    for first, later in zip(admitted, admitted[limit:], strict=False):
        assert later - first >= MINUTE, f"more than {limit} within a minute from {first}"
    least = Fraction(20, 21) if limit == 10 else Fraction(95, 100)
    assert Fraction(len(admitted), exact(limit, arrivals)) >= least
