"""What does an exact price cost from Python, beside four products of Decimal, and beside litellm's own?

The sum of Decimals is written out, with its prices at hand: nothing is looked up, no tier, no batch. That of
litellm (`cost_per_token`) is asked where it is installed, for the model whose prices these are.
"""

from __future__ import annotations

import importlib.util
import json
import os
from collections.abc import Sequence
from decimal import ROUND_CEILING, Decimal
from typing import Any

from common import MODEL, QUICK, WORKLOADS, Spread, in_turn, print_row, side

import limen

PRICED = WORKLOADS["priced"]
RATES = {field: Decimal(rate) for field, rate in PRICED["rates"].items()}
MANY, FEW = 20_000, 200 if QUICK else 2_000


def main() -> None:
    card = limen.RateCard.from_catalog({"mode": "chat", **RATES})
    calls = [
        {word: value + more for word, value in PRICED["usage"].items()} for more in range(PRICED["calls"])
    ]
    of_input = RATES["input_cost_per_token"]
    of_read = RATES["cache_read_input_token_cost"]
    of_written = RATES["cache_creation_input_token_cost"]
    of_output = RATES["output_cost_per_token"]

    def exact(call: dict[str, int]) -> Decimal:
        read, written = call["cached_read_tokens"], call["cached_write_tokens"]
        rest = call["prompt_tokens"] - read - written
        return rest * of_input + read * of_read + written * of_written + call["completion_tokens"] * of_output

    def decimals(calls: Sequence[Any]) -> None:
        for call in calls:
            exact(call)

    def ours(calls: Sequence[Any]) -> None:
        cost = card.cost
        for call in calls:
            cost(call).nano_usd  # noqa: B018 (the rounding is in it)

    for call in calls:
        assert card.cost(call).nano_usd == (exact(call) * 10**9).to_integral_value(ROUND_CEILING)
    items = calls * (MANY // len(calls))
    of_decimals, of_ours = in_turn([side(decimals, items), side(ours, items)])
    times_faster("py_price_decimal", of_ours, of_decimals)

    if importlib.util.find_spec("litellm") is None:
        note = "litellm is not installed"
        print(json.dumps({"row": "py_price_litellm", "median": None, "least": None, "note": note}))
        return
    # Imported here: it is no peer that the benches install. Without the variable it fetches its prices first.
    os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"
    import litellm

    def theirs(calls: Sequence[Any]) -> None:
        for call in calls:
            litellm.cost_per_token(
                model=MODEL,
                prompt_tokens=call["prompt_tokens"],
                completion_tokens=call["completion_tokens"],
                cache_read_input_tokens=call["cached_read_tokens"],
            )

    of_litellm, of_ours = in_turn([side(theirs, items[:FEW]), side(ours, items)])
    times_faster("py_price_litellm", of_ours, of_litellm)


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
