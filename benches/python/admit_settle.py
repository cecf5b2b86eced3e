"""What does a whole decision cost from Python, admit and settle, beside `dict[k] += 1`?

The cost is stated at both ends, as a float; or it is that of the packaged price of the model.
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

from limen import load_prices

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
    priced(keys, names)


def priced(keys: Sequence[str], names: Sequence[str]) -> None:
    """Costs held and charged by price, beside the same pairs with costs that are stated."""
    yardstick = Dict(names)
    by_price, stated = build("typical", len(names)), build("typical", len(names))
    given, most = ASKED
    prompt, completion = USED

    def pairs(keys: Sequence[str]) -> None:
        admit = by_price.admit
        for key in keys:
            admit(key, MODEL, given, most).settle(prompt, completion)

    def told(keys: Sequence[str]) -> None:
        admit = stated.admit
        for key in keys:
            admit(key, MODEL, given, most, cost_usd=ASKED_USD).settle(prompt, completion, cost_usd=USED_USD)

    peer, ours, others = in_turn([side(yardstick.loop, keys), side(pairs, keys), side(told, keys)])
    found = load_prices().find(MODEL)
    assert found is not None
    usage = {"prompt_tokens": prompt, "completion_tokens": completion}
    made = sum(yardstick.counts.values())
    assert spent_nano_usd(by_price) == made * found.card.cost(usage).nano_usd
    print_ratio("py_admit_settle_priced", ours, peer, note="the packaged price of the model")
    print_ratio("py_admit_settle_prices", ours, others, note="the packaged price of the model")


if __name__ == "__main__":
    main()
