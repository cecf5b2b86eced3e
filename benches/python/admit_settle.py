"""What does a whole decision cost from Python, admit and settle, beside `dict[k] += 1`?

The cost is stated at both ends, as a float: there is no price list to know it from.
"""

from __future__ import annotations

from collections.abc import Sequence

from common import (
    ASKED,
    ASKED_USD,
    MODEL,
    USED,
    USED_USD,
    WORKLOADS,
    Dict,
    hot_keys,
    in_turn,
    print_ratio,
    side,
)
from policy import build, spent_nano_usd

RULE = {"name": "where it goes anyway", "scope": "global", "priority": 1, "targets": [{"weight": 1}]}


def main() -> None:
    names, order = hot_keys()
    keys = [names[number] for number in order]
    for row, chain in (("typical", "typical"), ("full", "full"), ("ruled", "typical")):
        engine = build(chain, len(names))
        if row == "ruled":
            engine.routing_rules.create({**RULE, "cel_expression": f"model == '{MODEL}'"})
        yardstick = Dict(names)

        def pairs(keys: Sequence[str], engine=engine) -> None:
            admit = engine.admit
            given, most = ASKED
            prompt, completion = USED
            for key in keys:
                admit(key, MODEL, given, most, cost_usd=ASKED_USD).settle(
                    prompt, completion, cost_usd=USED_USD
                )

        peer, ours = in_turn([side(yardstick.loop, keys), side(pairs, keys)])
        made = sum(yardstick.counts.values())
        assert spent_nano_usd(engine) == made * WORKLOADS["used"]["cost_nano_usd"]
        print_ratio(f"py_admit_settle_{row}", ours, peer, note="cost stated as a float at both ends")


if __name__ == "__main__":
    main()
