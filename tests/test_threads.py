"""Threads through `admit_many`, which decides with the GIL released: exactly the limit, in every burst.

Calls of one decision each never overlap under the GIL, so they would prove nothing.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from house import SECOND, House

BURSTS = 10_000
"""Each takes a second of the clock, and no permit outlives it: else every burst would look through all those
before it."""


def in_bursts(house: House, work: list[Callable[[], Any]], check: Callable[[list[Any]], None]) -> None:
    """In each burst all the `work` at once, each in a thread of its own; then `check` of what came of it, and
    the clock moves by a second. Who fails keeps nobody waiting."""
    together = threading.Barrier(len(work))
    results: list[Any] = [None] * len(work)

    def run(number: int) -> None:
        try:
            for _ in range(BURSTS):
                together.wait()
                results[number] = work[number]()
                together.wait()
                if number == 0:
                    check(results)
                    house.clock.advance(SECOND)
        except BaseException:
            together.abort()
            raise

    with ThreadPoolExecutor(len(work)) as pool:
        running = [pool.submit(run, number) for number in range(len(work))]
    faults = [fault for fault in (one.exception() for one in running) if fault is not None]
    for fault in sorted(faults, key=lambda fault: isinstance(fault, threading.BrokenBarrierError)):
        raise fault


def test_a_burst_of_one_chain_admits_exactly_the_limit() -> None:
    house = House(permit_ttl_seconds=1)
    team = house.engine.teams.create(
        {"name": "t", "rate_limit": {"token_max_limit": 1_500, "token_reset_duration": "1s"}}
    )
    key = house.key(requests=(400, "1s"), team_id=team.id)
    one = {"key": key.value, "model": "m", "provider": "p", "tokens": 5}

    def asking(times: int, size: int) -> Callable[[], int]:
        batch = [one] * size
        return lambda: sum(
            map(bool, (answer for _ in range(times) for answer in house.engine.admit_many(batch)))
        )

    def check(passed: list[int]) -> None:
        assert sum(passed) == 300, f"{passed} where 300 fit"
        assert house.requests(key) == (300, 0)
        assert house.read(team.rate_limit.id, "tokens") == (0, 1_500)

    # A long batch is still deciding when the thread beside it has read several short ones: equal ones would
    # take turns, since reading and answering need the GIL.
    in_bursts(house, [asking(1, 250), asking(25, 8)], check)


def test_bursts_of_crossing_chains_and_mixed_sizes_never_exceed_a_limit() -> None:
    house = House(permit_ttl_seconds=1)
    limit = {"token_max_limit": 200, "token_reset_duration": "1s"}
    team = house.engine.teams.create({"name": "t", "rate_limit": limit})
    customer = house.engine.customers.create({"name": "c", "rate_limit": {**limit, "token_max_limit": 250}})
    of_both = house.engine.teams.create({"name": "both", "customer_id": customer.id, "rate_limit": limit})
    keys = {
        "customer": house.key(customer_id=customer.id),
        "both": house.key(team_id=of_both.id),
        "team": house.key(team_id=team.id),
    }
    meets = {"customer": {"c"}, "both": {"b", "c"}, "team": {"t"}}

    def batch(names: list[str], sizes: list[int]) -> list[dict[str, Any]]:
        return [
            {"key": keys[name].value, "model": "m", "provider": "p", "tokens": size}
            for name, size in zip(names, sizes, strict=True)
        ]

    plans = [
        (["both", "customer", "team", "both", "customer", "both"] * 15, [7, 3, 6, 2, 5, 1] * 15),
        (["customer", "both", "team", "team", "both", "customer"] * 10, [4, 6, 9, 5, 3, 2] * 10),
    ]
    long, short = batch(*plans[0]), batch(*plans[1])[:6]

    def asking(times: int, requests: list[dict[str, Any]]) -> Callable[[], Any]:
        return lambda: [answer for _ in range(times) for answer in house.engine.admit_many(requests)]

    def check(results: list[Any]) -> None:
        answers = [
            (name, size, answer)
            for (names, sizes), batch_of in zip(plans, results, strict=True)
            for name, size, answer in zip(names, sizes, batch_of, strict=True)
        ]
        for limit_id, letter, most in (
            (team.rate_limit.id, "t", 200),
            (customer.rate_limit.id, "c", 250),
            (of_both.rate_limit.id, "b", 200),
        ):
            held = sum(size for name, size, answer in answers if answer and letter in meets[name])
            assert held <= most
            assert house.read(limit_id, "tokens") == (0, held)
        # Who is refused by the customer has stood in the team before: beside it a refusal may pass.
        undone = any(
            name == "both" and not answer and [one.level for one in answer.limits] == ["customer"]
            for name, _, answer in answers
        )
        for name, size, answer in answers:
            if not answer:
                again = house.engine.peek(keys[name].value, "m", provider="p", tokens=size)
                assert not again or (undone and name == "both"), f"{size} for {name} fits now"
        house.engine.settle_many([{"permit": answer, "as_held": True} for *_, answer in answers if answer])

    in_bursts(house, [asking(1, long), asking(10, short)], check)
