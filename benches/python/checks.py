"""What does one check of one limit cost, beside `dict[k] += 1`?"""

from __future__ import annotations

from collections.abc import Sequence

from common import WORKLOADS, Dict, hot_keys, in_turn, print_ratio, side

import limen

SLIDING = WORKLOADS["sliding"]


def main() -> None:
    names, order = hot_keys()
    keys = [names[number] for number in order]
    yardstick = Dict(names)
    still = WORKLOADS["per"]["still"]
    limiter = limen.KeyedLimiter(SLIDING["limit"], still)
    windows = [limen.FixedWindow(SLIDING["limit"], still) for _ in names]

    def by_string(keys: Sequence[str]) -> None:
        take = limiter.take
        for key in keys:
            take(key)

    def by_handle(windows: Sequence[limen.FixedWindow]) -> None:
        for window in windows:
            window.take()

    sides = [
        side(yardstick.loop, keys),
        side(by_string, keys),
        side(by_handle, [windows[number] for number in order]),
    ]
    peer, string, handle = in_turn(sides)
    # Every take was counted, so every one was answered with True.
    counted = [limiter.status(name).used for name in names]
    assert counted == [window.status().used for window in windows] == list(yardstick.counts.values())
    print_ratio("py_keyed_limiter", string, peer)
    print_ratio("py_fixed_window", handle, peer)


if __name__ == "__main__":
    main()
