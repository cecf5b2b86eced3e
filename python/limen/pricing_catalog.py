"""Price files in the format that LiteLLM publishes: model -> fields.

A file is read whole, whatever is in it: what an entry has that is not taken, what was rounded, and which
entries could not be read at all is in the report. Nothing is fetched, and litellm is never imported.

    >>> from limen import load_prices
    >>> catalog = load_prices("builtin")
    >>> catalog.find("gpt-4o", "openai").card.cost({"prompt_tokens": 1000}).nano_usd
    2500000
"""

import hashlib
import importlib.util
import json
import os
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any, Final, Generic, Literal, NamedTuple, Protocol, TypeAlias, TypeVar

from limen.errors import InvalidError, fault
from limen.reports import CatalogReport

MOST_BYTES: Final = 16 * 1024 * 1024
"""The longest file: four times what litellm's has become."""
BUILTIN_DATE: Final = "2026-12-01"
"""When the figures of the packaged catalogue were taken; its `SOURCE.txt` says from where."""
_BUILTIN: Final = Path(__file__).parent / "catalog" / "prices.json"
_OF_LITELLM: Final = "model_prices_and_context_window_backup.json"
_DESCRIPTION: Final = "sample_spec"
"""The entry that explains the format; it is no model."""


class Card(Protocol):
    """What is needed of a rate card here."""

    @property
    def prices(self) -> dict[str, str]: ...
    @property
    def rounded(self) -> list[str]: ...
    @property
    def not_taken(self) -> list[str]: ...


C = TypeVar("C", bound=Card)


FoundBy: TypeAlias = Literal["provider and name", "provider/name", "name"]


class FoundPrice(NamedTuple, Generic[C]):
    """A model's prices: the `card`, the `entry` that it is from, and what that was found `by`."""

    card: C
    entry: str
    by: FoundBy


class PriceCatalog(Generic[C]):
    """The prices of many models; `load_prices` makes one. Its `report` says what became of the file."""

    def __init__(self, report: CatalogReport, cards: dict[str, tuple[C, str | None]], digest: bytes) -> None:
        self._cards = cards
        self.report = report
        self.digest = digest

    def rows(self) -> list[tuple[str, str | None, C]]:
        """Every entry: its name, its provider, its card."""
        return [(name, provider, card) for name, (card, provider) in self._cards.items()]

    def find(self, model: str, provider: str | None = None) -> FoundPrice[C] | None:
        """The prices of `model` at `provider`: by both, as `provider/model`, or by the model's name alone."""
        whole = f"{provider}/{model}"
        card, of = self._cards.get(model, (None, None))
        if card is not None and provider is not None and provider == of:
            return FoundPrice(card, model, "provider and name")
        if provider is not None and whole in self._cards:
            return FoundPrice(self._cards[whole][0], whole, "provider/name")
        return None if card is None else FoundPrice(card, model, "name")

    def __len__(self) -> int:
        return len(self._cards)

    def __iter__(self) -> Iterator[str]:
        return iter(self._cards)


def read_catalog(source: str | os.PathLike[str], make: Callable[[Mapping[str, Any]], C]) -> PriceCatalog[C]:
    """The catalogue in a file, in the package (`builtin`) or in an installed litellm (`litellm`).

    `make` turns the fields of one model into its card, and raises InvalidError where they cannot be.
    """
    path, told = _locate(source)
    cards: dict[str, tuple[C, str | None]] = {}
    skipped: dict[str, str] = {}
    text = _read(path)
    entries = _parse(text)
    times = Counter(name for name, _ in entries)
    for name, entry in entries:
        if name == _DESCRIPTION:
            skipped[name] = "describes the format"
        elif times[name] > 1:
            skipped[name] = "is there twice"
        else:
            try:
                fields = _fields(entry)
                provider = fields.get("litellm_provider")
                cards[name] = make(fields), provider if isinstance(provider, str) else None
            except InvalidError as error:
                skipped[name] = str(error)
    made = {name: card for name, (card, _) in cards.items()}
    report = CatalogReport(
        source=told,
        entries=len(made),
        fields_taken=sum(len(card.prices) for card in made.values()),
        not_taken={name: card.not_taken for name, card in made.items() if card.not_taken},
        rounded={name: card.rounded for name, card in made.items() if card.rounded},
        skipped=skipped,
    )
    return PriceCatalog(report, cards, hashlib.sha256(text).digest())


def _locate(source: str | os.PathLike[str]) -> tuple[Path, str]:
    """Where the file is, and what it is called in the report."""
    if source == "builtin":
        return _BUILTIN, f"builtin, of {BUILTIN_DATE}"
    if source == "litellm":
        # The place of a package is found without running any of it.
        spec = importlib.util.find_spec("litellm")
        for folder in (spec and spec.submodule_search_locations) or []:
            if (path := Path(folder) / _OF_LITELLM).is_file():
                return path, str(path)
        raise _unreadable("litellm is not installed, or has no price file")
    if not isinstance(source, str | os.PathLike):
        raise _unreadable("must be a path, builtin or litellm")
    return Path(source), os.fspath(source)


def _read(path: Path) -> bytes:
    try:
        if not path.is_file():
            raise _unreadable("there is no such file")
        with path.open("rb") as file:
            text = file.read(MOST_BYTES + 1)
    except (OSError, ValueError) as error:
        raise _unreadable(f"cannot be read: {error}") from error
    if len(text) > MOST_BYTES:
        raise _unreadable(f"is longer than {MOST_BYTES // 2**20} MiB: no price file is")
    return text


def _unreadable(message: str) -> Exception:
    return fault("invalid_request", message, "source")


class _Pairs(list[tuple[str, Any]]):
    """An object of JSON with every pair that it has, also where a name is repeated."""


def _number(text: str) -> Decimal:
    try:
        return Decimal(text)
    except ArithmeticError:  # an exponent of twenty digits
        return Decimal("NaN")


def _parse(text: bytes) -> _Pairs:
    try:
        document = json.loads(text, object_pairs_hook=_Pairs, parse_float=_number, parse_int=_number)
    except RecursionError as error:
        raise _unreadable("is nested too deeply") from error
    except ValueError as error:
        raise _unreadable(f"is not JSON: {error}") from error
    if not isinstance(document, _Pairs):
        raise _unreadable("must be an object of models, each an object of fields")
    return document


def _fields(entry: object, at: str = "") -> dict[str, Any]:
    """An entry as a mapping; a name that is there twice is a fault, since nobody knows which is meant."""
    if not isinstance(entry, _Pairs):
        raise fault("invalid_request", "must be an object of fields")
    fields: dict[str, Any] = {}
    for name, value in entry:
        if name in fields:
            raise fault("invalid_request", "is there twice", f"{at}{name}")
        # Prices have parts, and parts have none: an object in an object is left as it is.
        fields[name] = _fields(value, f"{name}.") if isinstance(value, _Pairs) and not at else value
    return fields
