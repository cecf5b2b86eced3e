"""What the Python benches share: the workloads, samples in turn, the lines that are printed.

Each bench is a program: `python admit_settle.py [--quick]` prints one line of JSON a row, as Rust's do.
"""

from __future__ import annotations

import gc
import json
import random
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

WORKLOADS: dict[str, Any] = json.loads((Path(__file__).parents[1] / "workloads.json").read_text())
QUICK = "--quick" in sys.argv[1:]
ROUNDS = 3 if QUICK else 21
CALLS = 2_000 if QUICK else 20_000

NANO = 1_000_000_000
MODEL: str = WORKLOADS["model"]
PROVIDER: str = WORKLOADS["provider"]
ASKED = (WORKLOADS["asked"]["input_tokens"], WORKLOADS["asked"]["max_output_tokens"])
ASKED_USD = WORKLOADS["asked"]["cost_nano_usd"] / NANO
USED = (WORKLOADS["used"]["prompt_tokens"], WORKLOADS["used"]["completion_tokens"])
USED_USD = WORKLOADS["used"]["cost_nano_usd"] / NANO


class Spread(NamedTuple):
    """Median and least of one side's samples."""

    median: float
    least: float

    @classmethod
    def of(cls, samples: list[float]) -> Spread:
        samples = sorted(samples)
        return cls(samples[len(samples) // 2], samples[0])


def in_turn(sides: Sequence[Callable[[], float]], rounds: int = ROUNDS) -> list[Spread]:
    """Sample every side in turn, A B C then C B A, after one round that does not count."""
    samples: list[list[float]] = [[] for _ in sides]
    for side in sides:
        side()
    for number in range(rounds):
        order = list(enumerate(sides))
        for place, side in reversed(order) if number % 2 else order:
            samples[place].append(side())
    return [Spread.of(found) for found in samples]


@contextmanager
def quiet() -> Iterator[None]:
    """No garbage collection inside a sample."""
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def side(loop: Callable[[Sequence[Any]], object], items: Sequence[Any]) -> Callable[[], float]:
    """A side that runs a loop over some items: nanoseconds an item in which this thread was running."""

    def sample() -> float:
        with quiet():
            start = time.thread_time_ns()
            loop(items)
            return (time.thread_time_ns() - start) / len(items)

    return sample


def values(count: int) -> list[str]:
    """Virtual keys, those of the Rust benches."""
    prefix: str = WORKLOADS["key_prefix"]
    width = WORKLOADS["key_length"] - len(prefix)
    return [f"{prefix}{number * 7_919:0{width}d}" for number in range(count)]


def hot_keys() -> tuple[list[str], list[int]]:
    """The hot keys, and an order of calls over them."""
    keys = values(WORKLOADS["keys"]["hot"])
    return keys, random.Random(WORKLOADS["seed"]).choices(range(len(keys)), k=CALLS)


class Dict:
    """The yardstick D: `dict[k] += 1`, over the same keys in the same loop."""

    def __init__(self, keys: Sequence[str]) -> None:
        self.counts = dict.fromkeys(keys, 0)

    def loop(self, keys: Sequence[str]) -> None:
        counts = self.counts
        for key in keys:
            counts[key] += 1


def print_ratio(row: str, ours: Spread, peer: Spread, note: str = "") -> None:
    """A row that is a ratio of times: ours to the peer's, medians and minima."""
    print_row(
        row,
        ours.median / peer.median,
        ours.least / peer.least,
        ours_ns=round(ours.median, 1),
        peer_ns=round(peer.median, 1),
        note=note,
    )


def print_row(row: str, median: float, least: float, **more: Any) -> None:
    print(json.dumps({"row": row, "median": median, "least": least, **more}), flush=True)
