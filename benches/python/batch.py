"""What does a pair cost in a batch, beside the same pair by itself?

Both sides say no cost, tuples have no place for one: it is that of the packaged price of the model. The
requests are at hand before the clock starts, on both sides; the tuples or mappings that settle are made
inside it: they need the permits.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from common import ASKED, CALLS, MODEL, ROUNDS, USED, WORKLOADS, hot_keys, in_turn, print_ratio, side
from policy import build

import limen

PAIRS = WORKLOADS["batch"]["python_pairs"]


def one_by_one(engine: limen.Engine) -> Callable[[Sequence[Any]], None]:
    def loop(keys: Sequence[Any]) -> None:
        admit = engine.admit
        given, most = ASKED
        prompt, completion = USED
        for key in keys:
            admit(key, MODEL, given, most).settle(prompt, completion)

    return loop


def as_tuple(permit: Any) -> Any:
    return (permit, *USED)


def as_mapping(permit: Any) -> Any:
    return {"permit": permit, "prompt_tokens": USED[0], "completion_tokens": USED[1]}


def in_batches(
    engine: limen.Engine, tokens: list[int], used: Callable[[Any], Any]
) -> Callable[[Sequence[Any]], None]:
    def loop(requests: Sequence[Any]) -> None:
        for start in range(0, len(requests), PAIRS):
            permits = engine.admit_many(requests[start : start + PAIRS])
            answers = engine.settle_many([used(permit) for permit in permits])
            tokens[0] += sum(answer.tokens for answer in (answers[0], answers[-1]))

    return loop


def main() -> None:
    names, order = hot_keys()
    engine = build("typical", len(names))
    strings = [names[number] for number in order]
    handles = [engine.handle(name) for name in strings]
    tokens = [0]
    for row, keys, used in (
        ("py_batch_handles", handles, as_tuple),
        ("py_batch_strings", strings, as_tuple),
        ("py_batch_mappings", strings, as_mapping),
    ):
        requests = [(key, MODEL, *ASKED) for key in keys]
        before = permits(engine)
        scalar, batch = in_turn(
            [side(one_by_one(engine), keys), side(in_batches(engine, tokens, used), requests)]
        )
        pairs = CALLS * (1 + ROUNDS)
        assert (permits(engine) - before, engine.open_permits()) == (2 * pairs, 0)
        print_ratio(row, batch, scalar, note=f"{PAIRS} pairs a batch")
    # The first and the last of each batch were looked at.
    assert tokens[0] == 3 * pairs // PAIRS * 2 * sum(USED)


def permits(engine: limen.Engine) -> int:
    """How many permits the engine has given so far, as it counts them."""
    line = next(line for line in engine.metrics().splitlines() if 'outcome="permit"' in line)
    return int(line.split()[-1])


if __name__ == "__main__":
    main()
