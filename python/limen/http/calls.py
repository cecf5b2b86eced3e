"""The bodies of the data plane, and how bytes become one of them.

Names are those of the embedded face's arguments. Numbers stay what the text says: a fraction arrives as a
Decimal, never as a float, and `1.0` is 1 where a whole number is meant. A fault names the field's path.
"""

import re
from decimal import Decimal
from typing import Any, Final, Literal, TypeAlias, TypeVar, get_type_hints

import msgspec
from msgspec import Struct

from limen.errors import LimenError, fault
from limen.gateway.usage import whole_number
from limen.http.json_guard import MAX_DEPTH, lost_nothing, refuse_duplicates

Call = TypeVar("Call")

_AT: Final = re.compile(r"(?P<what>.*?)(?: - at `\$(?P<path>.*)`)?", re.DOTALL)
_NAMED: Final = re.compile(r"Object (?:contains unknown|missing required) field `(?P<name>.*)`", re.DOTALL)
_NAME_SHOWN: Final = 256
_EXPONENT: Final = (
    40  # beyond it a number is no amount of anything here, and writing it out could take all memory
)


class Ask(Struct, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """May this request go ahead? The body of admit and of peek."""

    virtual_key: str | None = None
    model: str | None = None
    input_tokens: Any = None
    max_output_tokens: Any = None
    provider: str | None = None
    request_type: str | None = None
    tokens: Any = None
    cost_usd: Any = None
    usage: dict[str, Any] | None = None
    headers: dict[str, str] | None = None
    params: dict[str, str] | None = None
    mcp_tool: str | None = None
    fallbacks: list[str] | None = None
    sticky: str | None = None
    id: str | None = None
    virtual_key_id: str | None = None

    def __repr__(self) -> str:
        return f"{type(self).__name__}(model={self.model!r})"  # the key is a secret


class UsageWords(Struct, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """What was used. Values are judged by the engine; null is as left out."""

    prompt_tokens: Any = None
    completion_tokens: Any = None
    cached_read_tokens: Any = None
    cached_write_tokens: Any = None
    cached_write_1h_tokens: Any = None
    reasoning_tokens: Any = None
    input_audio_tokens: Any = None
    output_audio_tokens: Any = None
    input_image_tokens: Any = None
    output_image_tokens: Any = None
    cached_read_image_tokens: Any = None
    cached_read_audio_tokens: Any = None
    cached_write_audio_tokens: Any = None
    characters: Any = None
    input_seconds: Any = None
    output_seconds: Any = None
    images: Any = None
    image_width: Any = None
    image_height: Any = None
    image_quality: str | None = None
    input_images: Any = None
    input_pixels: Any = None
    searches: Any = None
    queries: Any = None
    search_context: str | None = None
    sessions: Any = None
    service_tier: str | None = None
    batch: bool | None = None
    reported_cost_usd: Any = None
    tokens: Any = None
    cost_usd: Any = None


_WORDS: Final = [word for word in UsageWords.__struct_fields__ if word not in Ask.__struct_fields__]
_KINDS: Final = get_type_hints(UsageWords)
Explain: Final[Any] = msgspec.defstruct(
    "Explain",
    [(word, _KINDS[word], None) for word in _WORDS],
    bases=(Ask,),
    namespace={"__doc__": "What would this request cost? The body of admit, and usage words to price."},
    module=__name__,
    kw_only=True,
    forbid_unknown_fields=True,
    omit_defaults=True,
)


class Settle(UsageWords, kw_only=True):
    """Usage in words, or as the provider reported it (`usage` with its `format`), or `as_held`."""

    permit: str
    as_held: bool = False
    usage: dict[str, Any] | None = None
    format: Literal["openai", "responses", "anthropic", "gemini"] | None = None


class Update(UsageWords, kw_only=True):
    """Totals so far, while streaming."""

    permit: str


class Release(Struct, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """Gives back what is held; with `request` the request as well."""

    permit: str
    reason: str | None = None
    request: bool = False


class AdmitItem(Ask, tag_field="op", tag="admit"):
    """An admit in a batch."""


class PeekItem(Ask, tag_field="op", tag="peek"):
    """A peek in a batch."""


class SettleItem(Settle, tag_field="op", tag="settle"):
    """A settle in a batch."""


class UpdateItem(Update, tag_field="op", tag="update"):
    """An update in a batch."""


class ReleaseItem(Release, tag_field="op", tag="release"):
    """A release in a batch."""


class Batch(Struct, forbid_unknown_fields=True, omit_defaults=True):
    """Several calls, still unread, so that a faulty one does not spoil the others."""

    calls: list[msgspec.Raw]


Item: TypeAlias = AdmitItem | SettleItem | UpdateItem | ReleaseItem | PeekItem

_AS_IT_IS: Final = (Decimal,)
_NOT_ASKED: Final = ("op", "virtual_key", "virtual_key_id")
_COUNTS: Final = ("input_tokens", "max_output_tokens", "tokens")
_MONEY: Final = frozenset(("cost_usd", "reported_cost_usd"))
_EXACT: Final = frozenset(("cost_usd", "reported_cost_usd", "input_seconds", "output_seconds"))


def decoder(kind: Any) -> msgspec.json.Decoder[Any]:
    """A decoder that reads fractions from their text."""
    return msgspec.json.Decoder(kind, float_hook=Decimal)


encode: Final = msgspec.json.Encoder().encode


def read(decode: "msgspec.json.Decoder[Call]", body: bytes) -> Call:
    """The body as a struct; InvalidError with the field's path for whatever is wrong with it."""
    try:
        call = decode.decode(body)
    except (ValueError, ArithmeticError, RecursionError) as error:
        raise malformed(error) from None
    if not lost_nothing(body, encode(call)):
        refuse_duplicates(body)
    return call


def malformed(error: Exception) -> LimenError:
    """A parser's complaint as our fault; it quotes names out of the body, never values."""
    if isinstance(error, RecursionError):
        return fault("invalid_request", f"JSON may be nested {MAX_DEPTH} deep at most")
    if isinstance(error, UnicodeDecodeError):
        return fault("invalid_request", "the body is not UTF-8")
    if isinstance(error, ArithmeticError):
        return fault("invalid_request", "a number is out of range")
    text = str(error)
    if not isinstance(error, msgspec.ValidationError):
        return fault("invalid_request", text)
    found = _AT.fullmatch(text)
    what, path = (found["what"], found["path"] or "") if found else (text, "")
    named = _NAMED.fullmatch(what)
    if named:
        path = f"{path}.{named['name']}"
    if what.startswith("Invalid value"):
        what = "must be one of the values that are known"
    return fault(
        "invalid_request", what[:_NAME_SHOWN], path.strip(".").replace("[...]", "")[:_NAME_SHOWN] or None
    )


def given(call: Ask) -> dict[str, Any]:
    """What was given beside the key, under its names, as the engine takes it; null is as left out."""
    taken: dict[str, Any] = msgspec.to_builtins(call, builtin_types=_AS_IT_IS)
    for name in _NOT_ASKED:
        taken.pop(name, None)
    for name in _COUNTS:
        count = taken.get(name)
        if count is not None and type(count) is not int:
            taken[name] = whole(count, name)
    if call.cost_usd is not None:
        taken["cost_usd"] = money(call.cost_usd, "cost_usd")
    if call.usage is not None:
        usage = {name: value for name, value in call.usage.items() if value is not None}
        taken["usage"] = words(usage, "usage.")
    return taken


def explained(call: Ask) -> tuple[dict[str, Any], dict[str, Any]]:
    """The request, and the usage words beside it."""
    request = given(call)
    beside = words({word: request.pop(word) for word in _WORDS if word in request})
    return request, beside


def whole(value: Any, param: str) -> Any:
    """A count as the engine takes it; only what JSON wrote as a fraction needs a look."""
    return whole_number(value, param) if isinstance(value, Decimal) else value


def money(value: Any, param: str) -> Any:
    """Dollars out of a JSON number: the engine would read text as well, JSON's text is refused."""
    if value is None or type(value) is int:
        return value
    if not isinstance(value, Decimal):
        raise fault("invalid_request", "must be a number", param)
    return bounded(value, param)


def bounded(value: Decimal, param: str) -> Decimal:
    """A fraction that may be written out in full."""
    if not -_EXPONENT <= value.adjusted() <= _EXPONENT:
        if value == 0:
            return Decimal(0)
        raise fault("invalid_request", "the number is out of range", param)
    return value


def words(given: dict[str, Any], path: str = "") -> dict[str, Any]:
    """Usage words, turned into what the engine takes where they stand."""
    for name, value in given.items():
        if type(value) is not int:
            given[name] = _word(name, value, path)
    return given


def _word(name: str, value: Any, path: str) -> Any:
    if name in _MONEY:
        return money(value, path + name)
    if isinstance(value, Decimal):
        return bounded(value, path + name) if name in _EXACT else whole_number(value, path + name)
    return value


def stated(call: UsageWords) -> dict[str, Any]:
    """What stands in a call, under its names."""
    taken: dict[str, Any] = msgspec.to_builtins(call, builtin_types=_AS_IT_IS)
    taken.pop("op", None)
    return words(taken)
