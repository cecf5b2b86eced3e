"""The base prices of a configuration: where they come from, and what they are as decisions look them up."""

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Protocol

import msgspec

from limen.errors import Faults, LimenError
from limen.reports import CatalogReport

if TYPE_CHECKING:
    from limen.resources.book import Book
    from limen.resources.draft import Draft

BUILTIN: Final = "builtin"
CATALOG: Final = "price_catalog"
"""The word for it in a configuration file, and beside the settings that are kept."""
_JSON: Final = msgspec.json.Encoder(order="sorted")
_NAMED: Final = (BUILTIN, "litellm")


class BasePrices(Protocol):
    """The rows of a price file, as the core has them."""

    def strays(
        self, pattern: str, wildcard: bool, provider: str | None, patch: Mapping[str, int]
    ) -> tuple[str, str] | None: ...


class Prices(NamedTuple):
    """Base prices: the `source` that a configuration file names, the rows, and what became of the file."""

    source: str
    base: BasePrices
    report: CatalogReport
    digest: bytes


class ReadPrices(Protocol):
    """From a source to its prices; InvalidError where it cannot be read."""

    def __call__(self, source: str, /) -> Prices: ...


def source_of(value: object, folder: str, at: str, faults: Faults) -> str | None:
    """What a configuration file says, made whole: a path beside it, or one of the names."""
    value = os.fspath(value) if isinstance(value, os.PathLike) else value
    if not isinstance(value, str) or not value.strip() or "\0" in value:
        faults.add(at, "must be builtin, litellm, or the path of a price file")
        return None
    return value if value in _NAMED else os.path.abspath(os.path.join(folder, value))


def catalog_of(settings: bytes | None) -> str | None:
    """The source of prices that is kept beside settings."""
    found: str | None = msgspec.json.decode(settings or b"{}").get(CATALOG)
    return found


def set_catalog(settings: bytes, source: str | None) -> bytes:
    """What is kept of settings, with the source of prices that was set; None is as if none ever was."""
    kept = msgspec.json.decode(settings)
    kept.pop(CATALOG, None)
    return _JSON.encode(kept if source is None else {**kept, CATALOG: source})


def catalog_row(prices: Prices) -> dict[str, Any]:
    """What the core gets of them."""
    return {"op": "price_catalog", "prices": prices.base}


def take_prices(book: "Book", draft: "Draft", source: str | None, at: str) -> None:
    """Read prices and have the draft put them in force; the same ones again change nothing."""
    if source is None:
        return
    try:
        draft.prices = book.read_prices(source)
    except LimenError as error:
        draft.faults.add(at, error.message)
        return
    if draft.prices.digest != book.prices.digest:
        draft.first_rows.append(catalog_row(draft.prices))
