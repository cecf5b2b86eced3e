"""What answers have in common: their base, pages of a list, money, and their JSON."""

from collections.abc import Iterator
from decimal import Context, Decimal
from typing import Any, Final, Generic, TypeVar

import msgspec
from msgspec import UNSET, Struct

# The precision of the caller's thread may be anything; an i64 has at most 19 digits.
_WIDE: Final = Context(prec=20, traps=[])


def usd(nano_usd: int) -> Decimal:
    """Nano-dollars as dollars, exactly, without trailing zeros."""
    whole, rest = divmod(nano_usd, 1_000_000_000)
    return Decimal(whole) if rest == 0 else Decimal(nano_usd).scaleb(-9, _WIDE).normalize(_WIDE)


def usd_per_unit(femto_usd: int) -> Decimal:
    """Femto-dollars as dollars, exactly, without trailing zeros."""
    whole, rest = divmod(femto_usd, 10**15)
    return Decimal(whole) if rest == 0 else Decimal(femto_usd).scaleb(-15, _WIDE).normalize(_WIDE)


def to_json(answer: object) -> bytes:
    """An answer as the JSON of the HTTP face."""
    return _ENCODER.encode(answer)


_ENCODER = msgspec.json.Encoder(decimal_format="number")


def fields_of(struct: Struct) -> dict[str, Any]:
    """The fields of a struct that are not UNSET, by name: the mapping form of a body or an answer."""
    names = struct.__struct_fields__
    return {name: value for name in names if (value := getattr(struct, name)) is not UNSET}


class Answer(Struct, kw_only=True):
    """What an engine answers."""


Item = TypeVar("Item")


class Page(Answer, Generic[Item]):
    """A list answer: a page of `count` of the `total_count` that match. Iterates over its items."""

    count: int
    total_count: int
    limit: int
    offset: int

    @property
    def items(self) -> list[Item]:
        """What is on this page, whatever the field is called."""
        found: list[Item] = getattr(self, self.__struct_fields__[-1])
        return found

    def __iter__(self) -> Iterator[Item]:
        return iter(self.items)

    def __len__(self) -> int:
        return self.count
