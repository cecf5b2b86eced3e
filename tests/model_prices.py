"""What a call costs in exact fractions, a third time: quantities, each at the first known of some prices.

A rule yields (quantity, kinds): so many, at the first of these kinds that the card has. Of a kind the price
is the least by (highest threshold below the prompt, batch, tier, plain) among those that the call may take.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from decimal import Decimal
from fractions import Fraction
from typing import Any

FIELD = re.compile(r"(.+?)(?:_above_(\d+)k_tokens)?(?:_(batches|priority|flex))?")
CONTEXTS = ("low", "medium", "high")
QUALITY = {"hd": "high_quality", "standard": "medium_quality", "premium": "premium_image"}
Charge = tuple[Fraction, list[str]]


class Prices:
    """A card: kind -> [(threshold, way, price)]."""

    def __init__(self, entry: Mapping[str, Any]) -> None:
        self.kinds: dict[str, dict[tuple[int, str], Fraction]] = {}
        self.put(entry)

    def put(self, fields: Mapping[str, Any]) -> None:
        for name, price in fields.items():
            found = FIELD.fullmatch(name)
            assert found is not None
            kind, size, way = found.groups()
            kinds = [kind]
            if kind == "search_context_cost_per_query":
                kinds = [f"{kind}.search_context_size_{context}" for context in CONTEXTS]
            for each in kinds:
                self.kinds.setdefault(each, {})[int(size or -1), way or ""] = Fraction(price)

    def patch(self, fields: Mapping[str, Any]) -> None:
        self.put({name: price for name, price in fields.items() if price})


class Call:
    """What was used, by the words; absent is nothing."""

    def __init__(self, prices: Prices, usage: Mapping[str, Any]) -> None:
        self.prices, self.usage = prices, usage
        total, made = self.of("prompt_tokens"), self.of("completion_tokens")
        self.unsplit = not total and not made and self.of("tokens") > 0
        if self.unsplit:
            total = self.of("tokens")
        self.prompt = max(total, self.of("input_audio_tokens") + self.of("input_image_tokens"))
        parts = ("output_audio_tokens", "output_image_tokens", "reasoning_tokens")
        self.completion = max(made, sum(map(self.of, parts)))
        tier = usage.get("service_tier")
        self.ways = ["batches"] if usage.get("batch") or tier == "batch" else []
        self.ways += [tier] if tier in ("priority", "flex") else []
        self.ways.append("")

    def of(self, word: str) -> Fraction:
        value = self.usage.get(word, 0)
        return Fraction(str(value)) if isinstance(value, float) else Fraction(value)

    def price_of(self, kind: str) -> Fraction | None:
        fit = [
            ((-size, self.ways.index(way)), price)
            for (size, way), price in self.prices.kinds.get(kind, {}).items()
            if size * 1000 < self.prompt and way in self.ways
        ]
        price = min(fit)[1] if fit else None
        if kind == "input_cost_per_token" and self.unsplit:
            dearer = self.price_of("output_cost_per_token")
            return max((one for one in (price, dearer) if one is not None), default=None)
        return price

    def rate(self, kinds: list[str]) -> Fraction | None:
        return next((price for kind in kinds if (price := self.price_of(kind)) is not None), None)

    def known(self, *charges: Charge) -> Iterator[Charge]:
        """The first of several ways to charge that is used and known, else the first that is used."""
        used = [charge for charge in charges if charge[0] > 0]
        yield from ([charge for charge in used if self.rate(charge[1]) is not None] or used)[:1]


def cost(prices: Prices, usage: Mapping[str, Any], request_type: str) -> tuple[Fraction, str | None]:
    """The exact dollars of what has a price, and the first kind that is missing."""
    call = Call(prices, usage)
    total, lacks = Fraction(0), None
    for quantity, kinds in RULES[request_type](call):
        if quantity <= 0:
            continue
        if (price := call.rate(kinds)) is None:
            lacks = lacks or kinds[-1]
        else:
            total += quantity * price
    return total, lacks


IN, OUT = "input_cost_per_token", "output_cost_per_token"
READ, WRITE = "cache_read_input_token_cost", "cache_creation_input_token_cost"
SOUND, SIGHT = "input_cost_per_audio_token", "input_cost_per_image_token"


def prompt(call: Call) -> Iterator[Charge]:
    of = call.of
    left = {"text": call.prompt - of("input_audio_tokens") - of("input_image_tokens")}
    left |= {"image": of("input_image_tokens"), "audio": of("input_audio_tokens")}
    read = min(of("cached_read_tokens"), call.prompt)
    write = min(of("cached_write_tokens"), call.prompt - read)
    apart = {}
    for word, kind in (("read_image", "image"), ("read_audio", "audio"), ("write_audio", "audio")):
        source = read if word.startswith("read") else write
        apart[word] = taken = min(of(f"cached_{word}_tokens"), source, left[kind])
        left[kind] -= taken
        if word.startswith("read"):
            read -= taken
        else:
            write -= taken
    hour = min(of("cached_write_1h_tokens"), write)
    cached = read + write
    for kind in left:
        gone = min(cached, left[kind])
        left[kind] -= gone
        cached -= gone
    yield left["text"], [IN]
    yield left["image"], [SIGHT, IN]
    yield left["audio"], [SOUND, IN]
    yield read, [READ, IN]
    yield apart["read_image"], ["cache_read_input_image_token_cost", READ, SIGHT, IN]
    yield apart["read_audio"], ["cache_read_input_audio_token_cost", READ, SOUND, IN]
    yield write - hour, [WRITE, IN]
    yield hour, [f"{WRITE}_above_1hr", WRITE, IN]
    yield apart["write_audio"], ["cache_creation_input_audio_token_cost", WRITE, SOUND, IN]


def searches(call: Call) -> Iterator[Charge]:
    context = call.usage.get("search_context", "medium")
    yield call.of("searches"), [f"search_context_cost_per_query.search_context_size_{context}"]
    yield call.of("queries"), ["input_cost_per_query"]


def text(call: Call) -> Iterator[Charge]:
    yield from prompt(call)
    sound, sight, thought = map(call.of, ("output_audio_tokens", "output_image_tokens", "reasoning_tokens"))
    yield call.completion - sound - sight - thought, [OUT]
    yield thought, ["output_cost_per_reasoning_token", OUT]
    yield sound, ["output_cost_per_audio_token", OUT]
    yield sight, ["output_cost_per_image_token", OUT]
    yield from searches(call)
    yield call.of("sessions"), ["code_interpreter_cost_per_session"]


def embedding(call: Call) -> Iterator[Charge]:
    yield call.prompt, [IN]


def rerank(call: Call) -> Iterator[Charge]:
    yield call.prompt, [IN]
    yield call.completion, [OUT]
    yield from searches(call)


def speech(call: Call) -> Iterator[Charge]:
    yield from call.known((call.of("characters"), ["input_cost_per_character"]), (call.prompt, [IN]))
    yield from call.known(
        (call.of("output_audio_tokens"), ["output_cost_per_audio_token"]),
        (call.of("output_seconds"), ["output_cost_per_second"]),
        (call.completion, [OUT]),
    )


def transcription(call: Call) -> Iterator[Charge]:
    sound = call.of("input_audio_tokens")
    if sound and call.price_of(SOUND) is not None:
        yield sound, [SOUND]
        yield call.prompt - sound, [IN]
    else:
        seconds = ["input_cost_per_audio_per_second", "input_cost_per_second"]
        yield from call.known((call.prompt, [IN]), (call.of("input_seconds"), seconds))
    yield call.completion, [OUT]


def images(call: Call) -> Iterator[Charge]:
    of = call.of
    if call.prompt:
        yield from prompt(call)
    else:
        pixels, whole = (
            (of("input_pixels"), ["input_cost_per_pixel"]),
            (of("input_images"), ["input_cost_per_image"]),
        )
        yield from call.known(pixels, whole)
    tokens, per_token = of("output_image_tokens"), "output_cost_per_image_token"
    if tokens and call.price_of(per_token) is not None:
        yield tokens, [per_token]
        yield call.completion - tokens, [OUT]
        return
    area = of("image_width") * of("image_height")
    sized = "image_width" in call.usage or "image_height" in call.usage
    made = of("images") if "images" in call.usage else Fraction(sized)
    quality = call.usage.get("image_quality")
    kinds = [f"output_cost_per_image_{QUALITY.get(quality, f'{quality}_quality')}"] if quality else []
    kinds += [
        f"output_cost_per_image_above_{side}_and_{side}_pixels"
        for side in (4096, 2048, 1024, 512)
        if area > side**2
    ]
    yield from call.known(
        (area * made, ["output_cost_per_pixel"]),
        (made, [*kinds, "output_cost_per_image"]),
        (call.completion, [per_token, OUT]),
    )


def video(call: Call) -> Iterator[Charge]:
    yield call.of("input_seconds"), ["input_cost_per_video_per_second"]
    yield call.of("output_seconds"), ["output_cost_per_video_per_second", "output_cost_per_second"]


RULES = {
    **dict.fromkeys(("chat_completion", "text_completion", "responses"), text),
    "embedding": embedding,
    "rerank": rerank,
    "speech": speech,
    "transcription": transcription,
    **dict.fromkeys(("image_generation", "image_variation", "image_edit"), images),
    **dict.fromkeys(("video_generation", "video_remix"), video),
}


def nano_usd(exact: Fraction) -> int:
    """Rounded up once; at most what 64 bits hold."""
    return min(-(-exact * 10**9 // 1), 2**63 - 1)


def as_text(exact: Fraction) -> str:
    """The shortest decimal text of a sum of at most 21 decimals."""
    whole, rest = divmod(int(exact * 10**21), 10**21)
    return f"{whole}.{rest:021d}".rstrip("0").rstrip(".")


def decimal(femto: int) -> Decimal:
    """A price in dollars, exactly, whatever precision the thread has for decimals."""
    return Decimal(f"{femto}e-15")
