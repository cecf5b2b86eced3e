"""Prices by themselves: rows worked out by hand, every field of a patch, and what bad input gets."""

from __future__ import annotations

import json
from collections.abc import Callable
from decimal import Decimal, localcontext
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

import limen
import model_prices
from house import refused
from limen.bodies import PricingPatch

FILE = json.loads((Path(__file__).parent / "vectors" / "pricing.json").read_text())
CARDS: dict[str, dict[str, Decimal]] = {
    name: {field: Decimal(price) for field, price in card.items()} for name, card in FILE["cards"].items()
}
ROWS = FILE["rows"]
FIELDS = PricingPatch.__struct_fields__


def card_of(row: dict[str, Any]) -> limen.RateCard:
    patch = {field: Decimal(price) for field, price in row.get("patch", {}).items()}
    return limen.RateCard.from_catalog(CARDS[row["card"]]).patched(limen.PricingPatch(**patch))


def says(row: dict[str, Any]) -> str:
    return f"{row['card']}: {row['says']}"


@pytest.mark.parametrize("row", ROWS, ids=says)
def test_a_row_costs_what_was_worked_out_by_hand(row: dict[str, Any]) -> None:
    card = card_of(row)
    if "unknown" in row:
        with pytest.raises(limen.LimenError) as raised:
            card.cost(row["usage"], row["type"])
        assert (raised.value.code, raised.value.param) == ("price_unknown", row["unknown"])
        return
    cost = card.cost(row["usage"], row["type"])
    assert cost.exact_usd == row["exact"]
    assert cost.nano_usd == row.get("nano", model_prices.nano_usd(Fraction(row["exact"])))
    assert cost.tier == (row.get("tier", cost.tier) or None)


@pytest.mark.parametrize("row", ROWS, ids=says)
def test_the_oracle_agrees_with_what_was_worked_out_by_hand(row: dict[str, Any]) -> None:
    prices = model_prices.Prices(CARDS[row["card"]])
    prices.patch({field: Fraction(price) for field, price in row.get("patch", {}).items()})
    usage = row["usage"]
    if usage.get("images", 0) > 10**9:
        return  # fractions know no most
    assert model_prices.cost(prices, usage, row["type"]) == (Fraction(row["exact"]), row.get("unknown"))


CHAT, IMAGE, VIDEO = "chat_completion", "image_generation", "video_generation"
SPEECH, TRANSCRIPTION = "speech", "transcription"


def image(**usage: Any) -> tuple[str, dict[str, Any]]:
    return IMAGE, {"images": 1, **usage}


def square(side: int) -> tuple[str, dict[str, Any]]:
    return image(image_width=side, image_height=side)


MOVED_BY: dict[str, tuple[str, dict[str, Any]]] = {
    "input_cost_per_token": (CHAT, {"prompt_tokens": 1}),
    "output_cost_per_token": (CHAT, {"completion_tokens": 1}),
    "input_cost_per_token_batches": (CHAT, {"prompt_tokens": 1, "batch": True}),
    "output_cost_per_token_batches": (CHAT, {"completion_tokens": 1, "service_tier": "batch"}),
    "input_cost_per_token_priority": (CHAT, {"prompt_tokens": 1, "service_tier": "priority"}),
    "output_cost_per_token_priority": (CHAT, {"completion_tokens": 1, "service_tier": "priority"}),
    "input_cost_per_character": (SPEECH, {"characters": 1}),
    "input_cost_per_token_above_128k_tokens": (CHAT, {"prompt_tokens": 128_001}),
    "output_cost_per_token_above_128k_tokens": (CHAT, {"prompt_tokens": 128_001, "completion_tokens": 1}),
    "input_cost_per_token_above_200k_tokens": (CHAT, {"prompt_tokens": 200_001}),
    "output_cost_per_token_above_200k_tokens": (CHAT, {"prompt_tokens": 200_001, "completion_tokens": 1}),
    "cache_creation_input_token_cost": (CHAT, {"prompt_tokens": 1, "cached_write_tokens": 1}),
    "cache_read_input_token_cost": (CHAT, {"prompt_tokens": 1, "cached_read_tokens": 1}),
    "cache_creation_input_token_cost_above_200k_tokens": (
        CHAT,
        {"prompt_tokens": 200_001, "cached_write_tokens": 1},
    ),
    "cache_read_input_token_cost_above_200k_tokens": (
        CHAT,
        {"prompt_tokens": 200_001, "cached_read_tokens": 1},
    ),
    "cache_read_input_token_cost_priority": (
        CHAT,
        {"prompt_tokens": 1, "cached_read_tokens": 1, "service_tier": "priority"},
    ),
    "cache_read_input_image_token_cost": (
        CHAT,
        {"prompt_tokens": 1, "input_image_tokens": 1, "cached_read_tokens": 1, "cached_read_image_tokens": 1},
    ),
    "cache_creation_input_audio_token_cost": (
        CHAT,
        {
            "prompt_tokens": 1,
            "input_audio_tokens": 1,
            "cached_write_tokens": 1,
            "cached_write_audio_tokens": 1,
        },
    ),
    "input_cost_per_image": ("image_edit", {"input_images": 1}),
    "output_cost_per_image": image(),
    "input_cost_per_pixel": ("image_variation", {"input_pixels": 1}),
    "output_cost_per_pixel": square(1),
    "input_cost_per_image_token": (IMAGE, {"prompt_tokens": 1, "input_image_tokens": 1}),
    "output_cost_per_image_token": (IMAGE, {"output_image_tokens": 1}),
    "output_cost_per_image_low_quality": image(image_quality="low"),
    "output_cost_per_image_medium_quality": image(image_quality="standard"),
    "output_cost_per_image_high_quality": image(image_quality="hd"),
    "output_cost_per_image_auto_quality": image(image_quality="auto"),
    "output_cost_per_image_premium_image": image(image_quality="premium"),
    "output_cost_per_image_above_512_and_512_pixels": square(513),
    "output_cost_per_image_above_1024_and_1024_pixels": square(1025),
    "output_cost_per_image_above_2048_and_2048_pixels": square(2049),
    "output_cost_per_image_above_4096_and_4096_pixels": square(4097),
    "input_cost_per_audio_token": (TRANSCRIPTION, {"input_audio_tokens": 1}),
    "output_cost_per_audio_token": (SPEECH, {"output_audio_tokens": 1}),
    "input_cost_per_audio_per_second": (TRANSCRIPTION, {"input_seconds": 1}),
    "input_cost_per_second": (TRANSCRIPTION, {"input_seconds": 1}),
    "input_cost_per_video_per_second": (VIDEO, {"input_seconds": 1}),
    "output_cost_per_video_per_second": ("video_remix", {"output_seconds": 1}),
    "output_cost_per_second": (VIDEO, {"output_seconds": 1}),
    "search_context_cost_per_query": ("rerank", {"searches": 1}),
    "code_interpreter_cost_per_session": ("responses", {"sessions": 1}),
}
DEARER = {"output_cost_per_pixel", "input_cost_per_audio_per_second", "output_cost_per_video_per_second"}
"""Fields that come before others of the same quantity, which move a price only where these are not."""


def test_every_field_of_a_patch_has_a_call_that_it_prices() -> None:
    assert tuple(MOVED_BY) == FIELDS
    assert len(FIELDS) == 42


@pytest.mark.parametrize("field", FIELDS)
def test_every_field_of_a_patch_moves_a_price(field: str) -> None:
    request_type, usage = MOVED_BY[field]
    others = {name: 10 for name in FIELDS if name not in DEARER}
    card = limen.RateCard.from_catalog(others)

    def at(price: Any) -> Any:
        return card.patched(limen.PricingPatch(**{field: price})).cost(usage, request_type)

    before, after = at(10), at(Decimal("10.000000000000001"))
    moved = Fraction(after.exact_usd) - Fraction(before.exact_usd)
    (line,) = [line for line in after.lines if line.rate_usd == "10.000000000000001"]
    assert moved == Fraction(line.quantity) / 10**15 > 0
    assert line.field.startswith(field)


@pytest.mark.parametrize("value", [0.1 + 0.2, Decimal("0.30000000000000004")])
def test_a_catalogue_is_rounded_half_to_even_and_says_so(value: Any) -> None:
    card = limen.RateCard.from_catalog({"input_cost_per_token": value, "output_cost_per_token": 1e-15})
    assert card.prices == {"input_cost_per_token": "0.3", "output_cost_per_token": "0.000000000000001"}
    assert card.rounded == ["input_cost_per_token"]


def test_a_price_is_exact_whatever_precision_the_thread_has_for_decimals() -> None:
    with localcontext() as context:
        context.prec = 2
        entry = {"input_cost_per_token": Decimal("0.000002512345678")}
        assert limen.RateCard.from_catalog(entry).cost({"prompt_tokens": 1}).exact_usd == "0.000002512345678"


def test_what_is_not_taken_is_told_and_what_is_no_price_is_passed_over() -> None:
    entry = {
        "max_tokens": 4096,
        "supports_vision": True,
        "input_cost_per_token": 1,
        "output_cost_per_token": None,
        "tiered_pricing": [{"range": [0, 32_000]}],
        "off_peak_pricing": {"input_cost_per_token": 0.5},
        "input_cost_per_token_ultrafast": "2",
        "provider_specific_entry": {"us": 1.1},
    }
    card = limen.RateCard.from_catalog(entry)
    assert card.prices == {"input_cost_per_token": "1"}
    told = ["tiered_pricing", "off_peak_pricing", "input_cost_per_token_ultrafast", "provider_specific_entry"]
    assert card.not_taken == told


@pytest.mark.parametrize(
    ("mode", "request_type"),
    [
        ("chat", CHAT),
        (None, CHAT),
        ("completion", "text_completion"),
        ("responses", "responses"),
        ("embedding", "embedding"),
        ("rerank", "rerank"),
        ("audio_speech", SPEECH),
        ("audio_transcription", TRANSCRIPTION),
        ("image_generation", IMAGE),
        ("image_edit", "image_edit"),
        ("video_generation", VIDEO),
        ("ocr", None),
        ("realtime", None),
    ],
)
def test_the_type_left_out_is_that_of_the_mode(mode: str | None, request_type: str | None) -> None:
    card = limen.RateCard.from_catalog({"mode": mode})
    assert card.request_type == request_type
    if request_type is None:
        refused(lambda: card.cost({}), param="request_type")
    else:
        assert card.cost({}) == card.cost({}, f"{request_type}_stream")


CARD = limen.RateCard.from_catalog({"input_cost_per_token": 1, "output_cost_per_token": 2})
NAN = float("nan")
BAD_PRICES = ["1", True, [1], b"1", -1, -1e-30, 9224, 10**30, 1e400, NAN, Decimal("sNaN"), Decimal("-Inf")]


@pytest.mark.parametrize("value", BAD_PRICES, ids=repr)
def test_what_is_no_price_is_refused(value: Any) -> None:
    field = "input_cost_per_token"
    refused(lambda: limen.PricingPatch(**{field: value}), param=field)
    refused(lambda: limen.RateCard.from_catalog({field: value}), param=field)


ONE, FINE = "input_cost_per_token", Decimal("1.0000000000000001")
COLUMNS = {f"{ONE}_above_{size}k_tokens": 1 for size in range(65)}
SEARCHES = "search_context_cost_per_query"


@pytest.mark.parametrize(
    ("call", "param"),
    [
        (lambda: limen.PricingPatch(input_cost_per_tokn=1), "input_cost_per_tokn"),
        (lambda: limen.PricingPatch(input_cost_per_token_flex=1), "input_cost_per_token_flex"),
        (lambda: limen.PricingPatch(**{ONE: 1e-16}), ONE),
        (lambda: limen.PricingPatch(**{ONE: FINE}), ONE),
        (lambda: limen.RateCard.from_catalog([]), "entry"),
        (lambda: limen.RateCard.from_catalog(None), "entry"),
        (lambda: limen.RateCard.from_catalog({1: 1}), "entry"),
        (lambda: limen.RateCard.from_catalog({"mode": 1}), "mode"),
        (lambda: limen.RateCard.from_catalog(COLUMNS), "entry"),
        (
            lambda: limen.RateCard.from_catalog({SEARCHES: {"search_context_size_low": "1"}}),
            f"{SEARCHES}.search_context_size_low",
        ),
        (lambda: CARD.cost([]), "usage"),
        (lambda: CARD.cost(None), "usage"),
        (lambda: CARD.cost({1: 1}), "usage"),
        (lambda: CARD.cost({"promt_tokens": 1}), "usage.promt_tokens"),
        (lambda: CARD.cost({"prompt_tokens": -1}), "usage.prompt_tokens"),
        (lambda: CARD.cost({"prompt_tokens": 1.5}), "usage.prompt_tokens"),
        (lambda: CARD.cost({"prompt_tokens": 2**63}), "usage.prompt_tokens"),
        (lambda: CARD.cost({"input_seconds": float("nan")}), "usage.input_seconds"),
        (lambda: CARD.cost({"image_quality": "best"}), "usage.image_quality"),
        (lambda: CARD.cost({"batch": 1}), "usage.batch"),
        (lambda: CARD.cost({"cost_usd": 1}), "usage.cost_usd"),
        (lambda: CARD.cost({}, "chat"), "request_type"),
        (lambda: CARD.cost({}, 5), "request_type"),
    ],
)
def test_bad_input_is_refused_by_name(call: Callable[[], Any], param: str) -> None:
    refused(call, param=param)


def test_a_reported_cost_is_no_quantity() -> None:
    assert CARD.cost({"prompt_tokens": 1, "reported_cost_usd": 5}).nano_usd == 1_000_000_000


def test_cards_patches_and_costs_stand_still() -> None:
    patch = limen.PricingPatch(output_cost_per_token=3, input_cost_per_token=0)
    assert patch.fields == {"output_cost_per_token": "3"}
    assert CARD.patched(patch).prices == {"input_cost_per_token": "1", "output_cost_per_token": "3"}
    assert CARD.prices == {"input_cost_per_token": "1", "output_cost_per_token": "2"}
    for made in (CARD, patch, CARD.cost({"prompt_tokens": 1}), CARD.cost({"prompt_tokens": 1}).lines[0]):
        with pytest.raises(AttributeError):
            made.anything = 1
