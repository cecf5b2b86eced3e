"""What do other limiters for Python cost, beside `dict[k] += 1`, and how much do they let through?

A row is the peer's cost in D, for a check by string among the hot keys, each as its documentation shows it.
The note says how many times its limit a limiter let through within less than one of its windows: one call,
half a window of quiet, then as many calls as it takes.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import NamedTuple

import floodgate
import limits
import pyrate_limiter
import rust_py_rate_limit
import throttled
from common import QUICK, WORKLOADS, Dict, hot_keys, in_turn, print_ratio, side

import limen

ROOMY = WORKLOADS["sliding"]["limit"]
HOUR = 3_600
LIMIT = 100

Check = Callable[[str], bool]


class Peer(NamedTuple):
    """How to make its check: limit, seconds."""

    row: str
    make: Callable[[int, int], Check]
    calls: int


def limits_check(limit: int, seconds: int, strategy: type[limits.strategies.RateLimiter]) -> Check:
    item = limits.RateLimitItemPerSecond(limit, seconds)
    hit = strategy(limits.storage.MemoryStorage()).hit
    return lambda key: hit(item, key)


def limits_fixed(limit: int, seconds: int) -> Check:
    return limits_check(limit, seconds, limits.strategies.FixedWindowRateLimiter)


def limits_sliding(limit: int, seconds: int) -> Check:
    return limits_check(limit, seconds, limits.strategies.SlidingWindowCounterRateLimiter)


def throttled_check(limit: int, seconds: int) -> Check:
    quota = throttled.rate_limiter.per_duration(timedelta(seconds=seconds), limit)
    throttle = throttled.Throttled(using="token_bucket", quota=quota, store=throttled.MemoryStore())
    return lambda key: not throttle.limit(key).limited


class Buckets(pyrate_limiter.BucketFactory):
    """One exact log a name, as its documentation makes it."""

    def __init__(self, rate: pyrate_limiter.Rate) -> None:
        self.rate = rate
        self.clock = pyrate_limiter.MonotonicClock()
        self.buckets: dict[str, pyrate_limiter.InMemoryBucket] = {}

    def wrap_item(self, name: str, weight: int = 1) -> pyrate_limiter.RateItem:
        return pyrate_limiter.RateItem(name, self.clock.now(), weight=weight)

    def get(self, item: pyrate_limiter.RateItem) -> pyrate_limiter.InMemoryBucket:
        if item.name not in self.buckets:
            self.buckets[item.name] = self.create(pyrate_limiter.InMemoryBucket, [self.rate])
        return self.buckets[item.name]


def pyrate_check(limit: int, seconds: int) -> Check:
    limiter = pyrate_limiter.Limiter(Buckets(pyrate_limiter.Rate(limit, seconds * 1_000)))
    return lambda key: limiter.try_acquire(key, blocking=False)


def rust_py_check(limit: int, seconds: int) -> Check:
    return rust_py_rate_limit.RateLimiter(limit=limit, window_seconds=seconds).allow


def floodgate_check(limit: int, seconds: int) -> Check:
    trigger = floodgate.FixedMapping(capacity=limit, period=timedelta(seconds=seconds)).trigger
    return lambda key: trigger(key) is None


def ours_fixed(limit: int, seconds: int) -> Check:
    return limen.KeyedLimiter(limit, seconds * 1_000).take


def ours_sliding(limit: int, seconds: int) -> Check:
    return limen.KeyedLimiter(limit, seconds * 1_000, window="sliding").take


PEERS = (
    Peer("peer_limen_fixed", ours_fixed, 20_000),
    Peer("peer_limen_sliding", ours_sliding, 20_000),
    Peer("peer_rust_py_rate_limit", rust_py_check, 20_000),
    Peer("peer_floodgate_rs", floodgate_check, 20_000),
    Peer("peer_limits_fixed", limits_fixed, 2_000),
    Peer("peer_limits_sliding", limits_sliding, 2_000),
    Peer("peer_throttled", throttled_check, 2_000),
    Peer("peer_pyrate", pyrate_check, 2_000),
)


def let_through(check: Check) -> int:
    """Admitted within less than one window of a second."""
    assert check("greedy")
    time.sleep(0.5)
    end = time.monotonic() + 0.98
    admitted = 0
    while time.monotonic() < end:
        admitted += check("greedy")
        time.sleep(0.001)
        while time.monotonic() < end and check("greedy"):
            admitted += 1
    return admitted


def main() -> None:
    names, order = hot_keys()
    keys = [names[number] for number in order]
    for row, make, calls in PEERS:
        # Exact: as many as the limit, and then none.
        answers = [check(names[0]) for check in [make(LIMIT, HOUR)] for _ in range(LIMIT + 10)]
        assert answers == [True] * LIMIT + [False] * 10, row
        check, refused = make(ROOMY, HOUR), [0]

        def loop(keys: Sequence[str], check=check, refused=refused) -> None:
            for key in keys:
                if not check(key):
                    refused[0] += 1

        some = keys[: 500 if QUICK else calls]
        peer, theirs = in_turn([side(Dict(names).loop, some), side(loop, some)])
        assert refused == [0], row
        note = "" if QUICK else f"let through {let_through(make(LIMIT, 1)) / LIMIT:.2f} times its limit"
        print_ratio(row, theirs, peer, note)


if __name__ == "__main__":
    main()
