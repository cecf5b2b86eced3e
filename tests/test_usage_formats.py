"""Usage objects as the providers send them, and the usage words that they mean."""

from decimal import Decimal
from typing import Any

import pytest

from limen.errors import InvalidError
from limen.gateway.usage import FORMATS, from_anthropic, usage_words

BIG = 2**63 - 1

ROWS: list[tuple[str, str, Any, dict[str, Any]]] = [
    (
        "a plain chat completion",
        "openai",
        {"prompt_tokens": 9, "completion_tokens": 12, "total_tokens": 21},
        {"prompt_tokens": 9, "completion_tokens": 12},
    ),
    (
        "cached, audio and reasoning tokens are parts of their wholes",
        "openai",
        {
            "prompt_tokens": 1486,
            "completion_tokens": 651,
            "total_tokens": 2137,
            "prompt_tokens_details": {"cached_tokens": 1408, "audio_tokens": 7, "cache_write_tokens": 5},
            "completion_tokens_details": {
                "reasoning_tokens": 512,
                "audio_tokens": 3,
                "accepted_prediction_tokens": 1,
                "rejected_prediction_tokens": 2,
            },
        },
        {
            "prompt_tokens": 1486,
            "completion_tokens": 651,
            "cached_read_tokens": 1408,
            "cached_write_tokens": 5,
            "input_audio_tokens": 7,
            "reasoning_tokens": 512,
            "output_audio_tokens": 3,
        },
    ),
    (
        "an embedding has no completion",
        "openai",
        {"prompt_tokens": 8, "total_tokens": 8},
        {"prompt_tokens": 8, "completion_tokens": 0},
    ),
    (
        "reasoning that only the total counts is completion",
        "openai",
        {"prompt_tokens": 758, "completion_tokens": 102, "total_tokens": 1725},
        {"prompt_tokens": 758, "completion_tokens": 967},
    ),
    (
        "null is nothing",
        "openai",
        {"prompt_tokens": 3, "completion_tokens": None, "prompt_tokens_details": None},
        {"prompt_tokens": 3, "completion_tokens": 0},
    ),
    (
        "the Responses API",
        "responses",
        {
            "input_tokens": 125,
            "output_tokens": 48,
            "total_tokens": 173,
            "input_tokens_details": {"cached_tokens": 98, "cache_write_tokens": 2},
            "output_tokens_details": {"reasoning_tokens": 40},
        },
        {
            "prompt_tokens": 125,
            "completion_tokens": 48,
            "cached_read_tokens": 98,
            "cached_write_tokens": 2,
            "reasoning_tokens": 40,
        },
    ),
    (
        "an image, its tokens told apart",
        "responses",
        {
            "input_tokens": 50,
            "output_tokens": 1056,
            "total_tokens": 1106,
            "input_tokens_details": {"text_tokens": 10, "image_tokens": 40},
            "output_tokens_details": {"image_tokens": 1056},
        },
        {
            "prompt_tokens": 50,
            "completion_tokens": 1056,
            "input_image_tokens": 40,
            "output_image_tokens": 1056,
        },
    ),
    (
        "a transcription by tokens",
        "responses",
        {
            "type": "tokens",
            "input_tokens": 14,
            "output_tokens": 45,
            "total_tokens": 59,
            "input_token_details": {"audio_tokens": 14, "text_tokens": 0},
        },
        {"prompt_tokens": 14, "completion_tokens": 45, "input_audio_tokens": 14},
    ),
    ("a transcription by time", "responses", {"type": "duration", "seconds": 42.5}, {"input_seconds": 42.5}),
    (
        "realtime, with the cached audio told apart",
        "responses",
        {
            "input_tokens": 1459,
            "output_tokens": 396,
            "total_tokens": 1855,
            "input_token_details": {
                "text_tokens": 1349,
                "audio_tokens": 110,
                "cached_tokens": 1408,
                "cached_tokens_details": {"text_tokens": 1344, "audio_tokens": 64},
            },
            "output_token_details": {"text_tokens": 97, "audio_tokens": 299},
        },
        {
            "prompt_tokens": 1459,
            "completion_tokens": 396,
            "cached_read_tokens": 1408,
            "cached_read_audio_tokens": 64,
            "input_audio_tokens": 110,
            "output_audio_tokens": 299,
        },
    ),
    (
        "Anthropic's input leaves the cache out",
        "anthropic",
        {
            "input_tokens": 10,
            "cache_read_input_tokens": 90,
            "cache_creation_input_tokens": 40,
            "output_tokens": 5,
        },
        {
            "prompt_tokens": 140,
            "completion_tokens": 5,
            "cached_read_tokens": 90,
            "cached_write_tokens": 40,
        },
    ),
    (
        "one-hour writes, thinking and searches of Anthropic",
        "anthropic",
        {
            "input_tokens": 2,
            "cache_creation_input_tokens": 556,
            "cache_read_input_tokens": None,
            "cache_creation": {"ephemeral_5m_input_tokens": 456, "ephemeral_1h_input_tokens": 100},
            "output_tokens": 393,
            "output_tokens_details": {"thinking_tokens": 300},
            "server_tool_use": {"web_search_requests": 3, "web_fetch_requests": 1},
            "service_tier": "standard",
            "inference_geo": "eu",
        },
        {
            "prompt_tokens": 558,
            "completion_tokens": 393,
            "cached_write_tokens": 556,
            "cached_write_1h_tokens": 100,
            "reasoning_tokens": 300,
            "searches": 3,
        },
    ),
    (
        "writes that only the breakdown names",
        "anthropic",
        {"input_tokens": 1, "cache_creation": {"ephemeral_1h_input_tokens": 9}, "output_tokens": 1},
        {
            "prompt_tokens": 10,
            "completion_tokens": 1,
            "cached_write_tokens": 9,
            "cached_write_1h_tokens": 9,
        },
    ),
    (
        "a batch call of Anthropic",
        "anthropic",
        {"input_tokens": 1, "output_tokens": 1, "service_tier": "batch"},
        {"prompt_tokens": 1, "completion_tokens": 1, "batch": True},
    ),
    (
        "a priority call of Anthropic",
        "anthropic",
        {"input_tokens": 1, "output_tokens": 1, "service_tier": "priority"},
        {"prompt_tokens": 1, "completion_tokens": 1, "service_tier": "priority"},
    ),
    (
        "the last delta of Anthropic's stream",
        "anthropic",
        {"output_tokens": 15},
        {"prompt_tokens": 0, "completion_tokens": 15},
    ),
    (
        "Gemini's thoughts and tool results stand beside the rest",
        "gemini",
        {
            "promptTokenCount": 100,
            "candidatesTokenCount": 20,
            "thoughtsTokenCount": 300,
            "toolUsePromptTokenCount": 50,
            "cachedContentTokenCount": 64,
            "totalTokenCount": 470,
        },
        {
            "prompt_tokens": 150,
            "completion_tokens": 320,
            "cached_read_tokens": 64,
            "reasoning_tokens": 300,
        },
    ),
    (
        "Gemini's modalities",
        "gemini",
        {
            "promptTokenCount": 1000,
            "candidatesTokenCount": 1290,
            "totalTokenCount": 2290,
            "promptTokensDetails": [
                {"modality": "TEXT", "tokenCount": 10},
                {"modality": "IMAGE", "tokenCount": 258},
                {"modality": "IMAGE", "tokenCount": 232},
                {"modality": "AUDIO", "tokenCount": 500},
            ],
            "cacheTokensDetails": [{"modality": "AUDIO", "tokenCount": 400}],
            "candidatesTokensDetails": [{"modality": "IMAGE", "tokenCount": 1290}],
            "trafficType": "ON_DEMAND_PRIORITY",
        },
        {
            "prompt_tokens": 1000,
            "completion_tokens": 1290,
            "input_image_tokens": 490,
            "input_audio_tokens": 500,
            "cached_read_audio_tokens": 400,
            "output_image_tokens": 1290,
            "service_tier": "priority",
        },
    ),
    (
        "Gemini leaves zeros out",
        "gemini",
        {"promptTokenCount": 7, "totalTokenCount": 7, "trafficType": "ON_DEMAND"},
        {"prompt_tokens": 7, "completion_tokens": 0},
    ),
    (
        "Gemini in the names of its Python SDK",
        "gemini",
        {
            "prompt_token_count": 7,
            "candidates_token_count": 3,
            "thoughts_token_count": 4,
            "total_token_count": 14,
        },
        {"prompt_tokens": 7, "completion_tokens": 7, "reasoning_tokens": 4},
    ),
    (
        "a whole number may be written as a fraction",
        "openai",
        {"prompt_tokens": Decimal("3.0"), "completion_tokens": 4.0},
        {"prompt_tokens": 3, "completion_tokens": 4},
    ),
    (
        "a sum beyond the ledger stays at its end",
        "anthropic",
        {"input_tokens": BIG, "cache_read_input_tokens": BIG, "output_tokens": 1},
        {"prompt_tokens": BIG, "completion_tokens": 1, "cached_read_tokens": BIG},
    ),
]


@pytest.mark.parametrize(
    ("format", "usage", "words"), [row[1:] for row in ROWS], ids=[row[0] for row in ROWS]
)
def test_a_usage_object_means_these_words(format: str, usage: Any, words: dict[str, Any]) -> None:
    assert usage_words(usage, format) == words


BAD_NUMBERS = [
    *(-1, 2**63, 2**64, 1.5, float("nan"), float("inf"), float("-inf"), 1e400),
    *(True, "5", [1], {}, Decimal("0.1"), Decimal("NaN"), Decimal("sNaN"), Decimal("Infinity")),
    *(Decimal("1E+400"), Decimal("1E+999999999")),
]


@pytest.mark.parametrize("value", BAD_NUMBERS, ids=repr)
@pytest.mark.parametrize(
    ("format", "usage", "param"),
    [
        ("openai", {"prompt_tokens": ...}, "usage.prompt_tokens"),
        ("openai", {"prompt_tokens": 1, "total_tokens": ...}, "usage.total_tokens"),
        (
            "openai",
            {"prompt_tokens": 1, "prompt_tokens_details": {"cached_tokens": ...}},
            "usage.prompt_tokens_details.cached_tokens",
        ),
        ("responses", {"input_tokens": 1, "output_tokens": ...}, "usage.output_tokens"),
        ("anthropic", {"output_tokens": 1, "cache_read_input_tokens": ...}, "usage.cache_read_input_tokens"),
        (
            "anthropic",
            {"output_tokens": 1, "cache_creation": {"ephemeral_1h_input_tokens": ...}},
            "usage.cache_creation.ephemeral_1h_input_tokens",
        ),
        ("gemini", {"promptTokenCount": 1, "thoughtsTokenCount": ...}, "usage.thoughtsTokenCount"),
        (
            "gemini",
            {"promptTokenCount": 1, "promptTokensDetails": [{"modality": "AUDIO", "tokenCount": ...}]},
            "usage.promptTokensDetails[0].tokenCount",
        ),
    ],
)
def test_a_count_that_is_none_is_refused_with_its_path(
    format: str, usage: dict[str, Any], param: str, value: Any
) -> None:
    with pytest.raises(InvalidError) as caught:
        usage_words(_filled(usage, value), format)
    assert caught.value.param == param


def _filled(shape: Any, value: Any) -> Any:
    """The shape with its `...` replaced."""
    if shape is ...:
        return value
    if isinstance(shape, dict):
        return {name: _filled(part, value) for name, part in shape.items()}
    return [_filled(part, value) for part in shape] if isinstance(shape, list) else shape


@pytest.mark.parametrize(
    ("format", "usage", "param"),
    [
        ("openai", {"input_tokens": 3, "output_tokens": 4}, "usage.prompt_tokens"),
        ("responses", {"prompt_tokens": 3, "completion_tokens": 4}, "usage.input_tokens"),
        ("anthropic", {"prompt_tokens": 3, "completion_tokens": 4}, "usage.output_tokens"),
        ("gemini", {"prompt_tokens": 3, "completion_tokens": 4}, "usage.promptTokenCount"),
        ("responses", {"type": "duration"}, "usage.seconds"),
        ("responses", {"type": "duration", "seconds": "4"}, "usage.seconds"),
        ("responses", {"type": "duration", "seconds": float("nan")}, "usage.seconds"),
        ("responses", {"type": "duration", "seconds": -1}, "usage.seconds"),
        ("openai", [], "usage"),
        ("openai", None, "usage"),
        ("openai", {"prompt_tokens": 1, "prompt_tokens_details": 3}, "usage.prompt_tokens_details"),
        ("gemini", {"promptTokenCount": 1, "promptTokensDetails": {}}, None),
        ("gemini", {"promptTokenCount": 1, "promptTokensDetails": 7}, "usage.promptTokensDetails"),
        ("gemini", {"promptTokenCount": 1, "promptTokensDetails": [7]}, "usage.promptTokensDetails[0]"),
        ("bedrock", {"prompt_tokens": 1}, "format"),
    ],
)
def test_an_object_of_another_shape_is_refused_not_counted_as_zero(
    format: str, usage: Any, param: str | None
) -> None:
    if param is None:
        assert usage_words(usage, format)["prompt_tokens"] == 1
        return
    with pytest.raises(InvalidError) as caught:
        usage_words(usage, format)
    assert caught.value.param == param


def test_an_sdk_model_is_read_like_its_mapping() -> None:
    class Usage:
        def model_dump(self) -> dict[str, Any]:
            return {"input_tokens": 1, "output_tokens": 2}

    assert from_anthropic(Usage()) == {"prompt_tokens": 1, "completion_tokens": 2}


def test_four_formats_are_known() -> None:
    assert list(FORMATS) == ["openai", "responses", "anthropic", "gemini"]
