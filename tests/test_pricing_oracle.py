"""Random cards, patches and usage against exact fractions: no difference but the one rounding.

100,000 calls, or as many as LIMEN_EXAMPLES asks for beyond that, each time others where LIMEN_SEED says so.
"""

from __future__ import annotations

import os
import random
from decimal import Decimal
from fractions import Fraction
from typing import Any

import limen
import model_prices
from limen.bodies import PricingPatch

CALLS = max(100_000, int(os.environ.get("LIMEN_EXAMPLES", "0")))
SEED = os.environ.get("LIMEN_SEED", "prices")
CALLS_OF_A_CARD = 10

PATCHED = PricingPatch.__struct_fields__
BASES = (
    "input_cost_per_token",
    "output_cost_per_token",
    "cache_read_input_token_cost",
    "input_cost_per_audio_token",
)
FIELDS = sorted(
    {
        *PATCHED,
        *(
            f"{base}{size}{way}"
            for base in BASES
            for size in ("", "_above_1k_tokens", "_above_128k_tokens", "_above_272k_tokens")
            for way in ("", "_batches", "_priority", "_flex")
        ),
        "cache_creation_input_token_cost_above_1hr",
        "cache_creation_input_token_cost_above_1hr_above_200k_tokens",
        "cache_read_input_audio_token_cost",
        "output_cost_per_reasoning_token",
        "output_cost_per_image_token_batches",
        "input_cost_per_query",
        "search_context_cost_per_query.search_context_size_high",
    }
)
COUNTS = (
    *("prompt_tokens", "completion_tokens", "tokens", "reasoning_tokens"),
    *("cached_read_tokens", "cached_write_tokens", "cached_write_1h_tokens"),
    *("input_audio_tokens", "output_audio_tokens", "input_image_tokens", "output_image_tokens"),
    *("cached_read_image_tokens", "cached_read_audio_tokens", "cached_write_audio_tokens"),
    *("characters", "images", "image_width", "image_height", "input_images", "input_pixels"),
    *("searches", "queries", "sessions"),
)
QUALITIES = ("low", "medium", "high", "auto", "premium", "hd", "standard")


def price(chance: random.Random) -> Any:
    """Zero, a price as people write it, or any to the last femto-dollar: int, float or Decimal."""
    return chance.choice(
        (
            lambda: 0,
            lambda: chance.randrange(9_223),
            lambda: round(chance.random() * 1e-5, 12),
            lambda: chance.randrange(1, 10**6) / 10**9,
            lambda: model_prices.decimal(chance.randrange(9_223 * 10**15)),
        )
    )()


def exact(value: Any) -> Fraction:
    return Fraction(str(value)) if isinstance(value, float | Decimal) else Fraction(value)


def usage(chance: random.Random) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for word in chance.sample(COUNTS, chance.randrange(9)):
        found[word] = chance.randrange(chance.choice((3, 20, 2_000, 300_000)))
    for word in ("input_seconds", "output_seconds"):
        if chance.random() < 0.3:
            found[word] = chance.randrange(10**9) / 10**6
    for word, values in (
        ("service_tier", ("priority", "flex", "batch", "default")),
        ("image_quality", QUALITIES),
        ("search_context", model_prices.CONTEXTS),
        ("batch", (True, False)),
    ):
        if chance.random() < 0.3:
            found[word] = chance.choice(values)
    return found


def check(seed: str) -> None:
    """Some calls of one card under one patch."""
    chance = random.Random(seed)
    entry = {field: price(chance) for field in chance.sample(FIELDS, chance.randrange(40))}
    patch = {field: price(chance) for field in chance.sample(PATCHED, chance.randrange(6))}
    card = limen.RateCard.from_catalog(entry).patched(limen.PricingPatch(**patch))
    # Of a plain field and its parts the later in the entry counts; the patch over both.
    prices = model_prices.Prices({field: exact(value) for field, value in entry.items()})
    prices.patch({field: exact(value) for field, value in patch.items()})
    for _ in range(CALLS_OF_A_CARD):
        words, request_type = usage(chance), chance.choice(tuple(model_prices.RULES))
        dollars, lacks = model_prices.cost(prices, words, request_type)
        said = (seed, entry, patch, request_type, words)
        cost = outcome(card, words, request_type)
        if not isinstance(cost, limen.Cost):
            assert cost == ("price_unknown", lacks), said
            continue
        assert lacks is None, said
        assert cost.exact_usd == model_prices.as_text(dollars), said
        assert cost.nano_usd == model_prices.nano_usd(dollars), said
        lines = [[Fraction(line.quantity), Fraction(line.rate_usd)] for line in cost.lines]
        amounts = [Fraction(line.amount_usd) for line in cost.lines]
        assert [quantity * rate for quantity, rate in lines] == amounts, said
        assert sum(amounts) == dollars, said


def outcome(card: limen.RateCard, words: dict[str, Any], request_type: str) -> Any:
    try:
        return card.cost(words, request_type)
    except limen.LimenError as error:
        return error.code, error.param


def test_a_random_call_costs_what_fractions_say() -> None:
    for number in range(CALLS // CALLS_OF_A_CARD):
        check(f"{SEED} {number}")
