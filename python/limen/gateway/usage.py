"""Turns the usage object of a provider's answer into usage words, the ones that settle takes.

Providers use the same names for different things, so the format must be said:

- `openai` (chat completions, embeddings) and `responses` (the Responses API; images, transcription and
  realtime share its names): the prompt holds the cached tokens, the completion the reasoning tokens.
- `anthropic`: `input_tokens` leaves out what was read from the cache and what was written to it; the three
  together are the prompt. One-hour writes are told apart, since they cost more.
- `gemini`: the prompt holds the cached tokens; thoughts stand beside the candidates, and the results of tools
  beside the prompt.

    >>> from_anthropic({"input_tokens": 10, "cache_read_input_tokens": 90, "output_tokens": 5})
    {'prompt_tokens': 100, 'completion_tokens': 5, 'cached_read_tokens': 90}

Objects are taken as they came: what is not known in them is left aside, null is zero, a part that is zero
is left out. Some OpenAI-compatible servers count reasoning in `total_tokens` alone: what the total has more
than prompt and completion is taken as completion, so that no token goes uncounted.
"""

from collections.abc import Callable, Mapping
from decimal import Decimal
from math import isfinite
from typing import Any, Final

from limen.errors import fault

Words = dict[str, Any]

_MOST: Final = 2**63 - 1
_GEMINI_TIERS: Final = {"ON_DEMAND_PRIORITY": "priority", "ON_DEMAND_FLEX": "flex"}


def usage_words(usage: Any, format: str) -> Words:
    """The usage words of a provider's usage object (a mapping, or an SDK's model of it).

    `format` is a key of `FORMATS`. InvalidError with the field's path (`usage.input_tokens`) where a count
    is not a whole number from 0 to 2^63 - 1, or where the object lacks the counts that its format always
    has.
    """
    read = FORMATS.get(format)
    if read is None:
        raise fault("invalid_request", f"must be one of {', '.join(FORMATS)}", "format")
    return read(usage)


def from_openai(usage: Any) -> Words:
    """Of a chat completion, a text completion or an embedding."""
    top = _Counts(usage, "usage")
    prompt = top.required("prompt_tokens")
    completion = top.count("completion_tokens")
    return _openai_words(
        top, prompt, completion, top.part("prompt_tokens_details"), top.part("completion_tokens_details")
    )


def from_responses(usage: Any) -> Words:
    """Of the Responses API, and of the image, transcription and realtime APIs that share its names."""
    top = _Counts(usage, "usage")
    if top.fields.get("type") == "duration":
        return {"input_seconds": top.seconds("seconds")}
    prompt = top.required("input_tokens")
    completion = top.count("output_tokens")
    return _openai_words(
        top,
        prompt,
        completion,
        top.part("input_tokens_details", "input_token_details"),
        top.part("output_tokens_details", "output_token_details"),
    )


def from_anthropic(usage: Any) -> Words:
    """Of the Messages API; of a stream, the usage of its last message_delta."""
    top = _Counts(usage, "usage")
    created = top.part("cache_creation")
    one_hour = created.count("ephemeral_1h_input_tokens")
    written = max(
        top.count("cache_creation_input_tokens"), one_hour + created.count("ephemeral_5m_input_tokens")
    )
    read = top.count("cache_read_input_tokens")
    tier = top.fields.get("service_tier")
    return _words(
        top.count("input_tokens") + written + read,
        top.required("output_tokens"),
        cached_read_tokens=read,
        cached_write_tokens=written,
        cached_write_1h_tokens=one_hour,
        reasoning_tokens=top.part("output_tokens_details").count("thinking_tokens"),
        searches=top.part("server_tool_use").count("web_search_requests"),
        service_tier="priority" if tier == "priority" else None,
        batch=tier == "batch",
    )


def from_gemini(usage: Any) -> Words:
    """Of generateContent (`usageMetadata`), in its JSON names or in those of the Python SDK."""
    top = _Counts(usage, "usage")
    total = top.count("totalTokenCount", "total_token_count")
    prompt = top.count("promptTokenCount", "prompt_token_count")
    if not total and not prompt:
        # Zeros are left out of the JSON, but no call was made without a prompt.
        raise fault("invalid_request", "is missing", "usage.promptTokenCount")
    prompt += top.count("toolUsePromptTokenCount", "tool_use_prompt_token_count")
    thoughts = top.count("thoughtsTokenCount", "thoughts_token_count")
    completion = top.count("candidatesTokenCount", "candidates_token_count") + thoughts
    asked = top.modalities("promptTokensDetails", "prompt_tokens_details")
    tools = top.modalities("toolUsePromptTokensDetails", "tool_use_prompt_tokens_details")
    cached = top.modalities("cacheTokensDetails", "cache_tokens_details")
    made = top.modalities("candidatesTokensDetails", "candidates_tokens_details")
    traffic = top.fields.get("trafficType", top.fields.get("traffic_type"))
    return _words(
        prompt,
        max(completion, total - prompt),
        cached_read_tokens=top.count("cachedContentTokenCount", "cached_content_token_count"),
        reasoning_tokens=thoughts,
        input_audio_tokens=asked.get("AUDIO", 0) + tools.get("AUDIO", 0),
        input_image_tokens=asked.get("IMAGE", 0) + tools.get("IMAGE", 0),
        cached_read_audio_tokens=cached.get("AUDIO", 0),
        cached_read_image_tokens=cached.get("IMAGE", 0),
        output_audio_tokens=made.get("AUDIO", 0),
        output_image_tokens=made.get("IMAGE", 0),
        service_tier=_GEMINI_TIERS.get(traffic) if isinstance(traffic, str) else None,
    )


FORMATS: Final[dict[str, Callable[[Any], Words]]] = {
    "openai": from_openai,
    "responses": from_responses,
    "anthropic": from_anthropic,
    "gemini": from_gemini,
}


def _openai_words(
    top: "_Counts", prompt: int, completion: int, of_prompt: "_Counts", of_completion: "_Counts"
) -> Words:
    cached = of_prompt.part("cached_tokens_details")
    return _words(
        prompt,
        max(completion, top.count("total_tokens") - prompt),
        cached_read_tokens=of_prompt.count("cached_tokens"),
        cached_write_tokens=of_prompt.count("cache_write_tokens"),
        input_audio_tokens=of_prompt.count("audio_tokens"),
        input_image_tokens=of_prompt.count("image_tokens"),
        cached_read_audio_tokens=cached.count("audio_tokens"),
        cached_read_image_tokens=cached.count("image_tokens"),
        reasoning_tokens=of_completion.count("reasoning_tokens"),
        output_audio_tokens=of_completion.count("audio_tokens"),
        output_image_tokens=of_completion.count("image_tokens"),
    )


def _words(prompt: int, completion: int, **parts: int | str | bool | None) -> Words:
    """Whole counts always, parts where there are any; sums that leave the range stay at its end."""
    words: Words = {"prompt_tokens": min(prompt, _MOST), "completion_tokens": min(completion, _MOST)}
    for name, value in parts.items():
        if value:
            words[name] = min(value, _MOST) if type(value) is int else value
    return words


class _Counts:
    """Reads whole numbers out of one object, and knows its path for the faults."""

    __slots__ = ("fields", "path")

    def __init__(self, value: Any, path: str) -> None:
        if not isinstance(value, Mapping) and hasattr(value, "model_dump"):
            value = value.model_dump()
        if not isinstance(value, Mapping):
            raise fault("invalid_request", "must be an object", path)
        self.fields: Mapping[str, Any] = value
        self.path = path

    def count(self, *names: str) -> int:
        """The first of `names` that is there, as a whole number; absent and null are 0."""
        for name in names:
            value = self.fields.get(name)
            if value is not None:
                return whole_number(value, f"{self.path}.{name}")
        return 0

    def required(self, name: str) -> int:
        if self.fields.get(name) is None:
            raise fault("invalid_request", "is missing", f"{self.path}.{name}")
        return self.count(name)

    def part(self, *names: str) -> "_Counts":
        """The object under the first of `names` that is there; absent and null are an empty one."""
        for name in names:
            value = self.fields.get(name)
            if value is not None:
                return _Counts(value, f"{self.path}.{name}")
        return _Counts({}, self.path)

    def modalities(self, *names: str) -> dict[str, int]:
        """Gemini's lists of `{modality, tokenCount}`, summed by modality."""
        sums: dict[str, int] = {}
        for name in names:
            rows = self.fields.get(name) or ()
            if not isinstance(rows, list | tuple):
                raise fault("invalid_request", "must be a list", f"{self.path}.{name}")
            for index, row in enumerate(rows):
                entry = _Counts(row, f"{self.path}.{name}[{index}]")
                modality = str(entry.fields.get("modality"))
                sums[modality] = sums.get(modality, 0) + entry.count("tokenCount", "token_count")
        return sums

    def seconds(self, name: str) -> Any:
        value = self.fields.get(name)
        if not isinstance(value, int | float | Decimal) or isinstance(value, bool):
            raise fault("invalid_request", "must be a number of seconds", f"{self.path}.{name}")
        if not _finite(value) or value < 0:
            raise fault("invalid_request", "must be a number of seconds", f"{self.path}.{name}")
        return value


def whole_number(value: Any, path: str) -> int:
    """A count from 0 to 2^63 - 1, also where it was written as 1.0; InvalidError otherwise."""
    if isinstance(value, float | Decimal) and _finite(value):
        # The range first: to write out 1E+999999999 as an integer would take all memory.
        value = int(value) if 0 <= value <= _MOST and value == int(value) else -1
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= _MOST:
        raise fault("invalid_request", "must be a whole number from 0 to 2^63 - 1", path)
    return value


def _finite(value: float | Decimal) -> bool:
    return value.is_finite() if isinstance(value, Decimal) else isfinite(value)
