"""What does a weighted choice cost from Python, beside what the standard library has?

Both of these are ways that people really write it. The rows say how many times faster ours is.
"""

from __future__ import annotations

import random
from bisect import bisect
from collections.abc import Callable, Sequence
from itertools import accumulate
from typing import Any

from common import WORKLOADS, Spread, in_turn, print_row, side

import limen

WEIGHTS: list[float] = WORKLOADS["weights"]["four"]


def main() -> None:
    cumulative = list(accumulate(WEIGHTS))
    places = list(range(len(WEIGHTS)))
    sampler = limen.WeightedSampler(WEIGHTS, seed=WORKLOADS["seed"])
    generator = random.Random(WORKLOADS["seed"])
    sums = [[0, 0] for _ in range(3)]

    def counted(place: int, loop: Callable[[Sequence[Any]], int]) -> Callable[[Sequence[Any]], None]:
        def run(items: Sequence[Any]) -> None:
            sums[place][0] += loop(items)
            sums[place][1] += len(items)

        return run

    def choices(items: Sequence[Any]) -> int:
        total, draw = 0, generator.choices
        for _ in items:
            total += draw(places, cum_weights=cumulative)[0]
        return total

    def search(items: Sequence[Any]) -> int:
        total, draw, last = 0, generator.random, cumulative[-1]
        for _ in items:
            total += bisect(cumulative, draw() * last)
        return total

    def ours(items: Sequence[Any]) -> int:
        total, pick = 0, sampler.pick
        for _ in items:
            total += pick()
        return total

    items = range(20_000)
    loops = [counted(place, loop) for place, loop in enumerate((choices, search, ours))]
    of_choices, of_bisect, of_ours = in_turn([side(loop, items) for loop in loops])
    mean = sum(place * weight for place, weight in enumerate(WEIGHTS))
    square = sum(place * place * weight for place, weight in enumerate(WEIGHTS))
    for total, picks in sums:
        # Six standard deviations: wrong by chance once in five hundred million runs.
        assert abs(total / picks - mean) < 6 * ((square - mean * mean) / picks) ** 0.5
    times_faster("py_pick_choices", of_ours, of_choices)
    times_faster("py_pick_bisect", of_ours, of_bisect)


def times_faster(row: str, ours: Spread, peer: Spread) -> None:
    print_row(
        row,
        peer.median / ours.median,
        peer.least / ours.least,
        ours_ns=round(ours.median, 1),
        peer_ns=round(peer.median, 1),
    )


if __name__ == "__main__":
    main()
