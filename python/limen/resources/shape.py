"""The field table of a body: which fields there are, how each is read, and what null means for it.

    >>> from limen.resources.reading import description, name
    >>> shape = Shape({"name": Field(name, null=Null.REFUSED), "description": Field(description, null="")})
    >>> shape.read({"name": " bot ", "description": None}, "", Faults())
    {'name': 'bot', 'description': ''}

What a caller may only read (ids, hashes, embedded entities) is collected in `Body.fixed` and compared with
what is stored once that is known; what lives by itself (usage, times) is passed over.
"""

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from enum import Enum
from typing import Any, Final, NamedTuple

from msgspec import Struct

from limen.errors import Faults
from limen.model import fields_of
from limen.resources.reading import BAD, Reader, instant


class Null(Enum):
    """What null means in an Update body, where it is not itself the value that clears the field."""

    UNCHANGED = "unchanged"
    REFUSED = "refused"
    VALUE = "value"
    """Null is a value of the field, in a Create body too."""


class Field(NamedTuple):
    """One field: its reader, and the meaning of null (a Null, or the value that clears the field)."""

    read: Reader
    null: Any = Null.UNCHANGED


LIVE: Final = frozenset(
    {
        "last_reset",
        "current_usage",
        "held",
        "token_current_usage",
        "token_held",
        "token_last_reset",
        "request_current_usage",
        "request_last_reset",
        "created_at",
        "updated_at",
        "health",
        "warnings",
    }
)
"""Fields that say nothing about configuration: accepted wherever an answer shows them, whatever they say."""


class Body(dict[str, Any]):
    """The clean fields of a body. One that is missing was left out, or null where that means unchanged.

    `fixed`: the read-only fields as they came. `blank`: the body was `{}`. `clean`: no fault was found in it.
    `given`: it was an object at all.
    """

    __slots__ = ("blank", "clean", "fixed", "given")

    fixed: dict[str, Any]
    blank: bool
    clean: bool
    given: bool


class Shape:
    """A field table. `fixed` names what only answers have, beside what lives by itself."""

    def __init__(self, fields: Mapping[str, Field], fixed: tuple[str, ...] = (), live: bool = True) -> None:
        self.fields = dict(fields)
        self.fixed = frozenset(fixed)
        self.live = LIVE if live else frozenset()

    def read(self, value: object, at: str, faults: Faults, create: bool = False) -> Body:
        """The clean fields of a mapping or a struct. In a create body null is as left out."""
        body = Body()
        body.fixed, body.blank, body.clean, body.given = {}, False, False, False
        if type(value) is not dict:  # asking whether something is a Mapping is slow
            if isinstance(value, Struct):
                value = fields_of(value)
            if not isinstance(value, Mapping):
                faults.add(at, "must be an object")
                return body
        before = len(faults)
        body.blank, body.given = not value, True
        prefix = f"{at}." if at else ""
        for word, item in value.items():
            field = self.fields.get(word) if isinstance(word, str) else None
            if field is None:
                self._other(word, item, body, prefix, faults)
            elif item is not None or (create and field.null is Null.VALUE):
                found = None if item is None else field.read(item, prefix + word, faults)
                if found is not BAD:
                    body[word] = found
            elif create or field.null is Null.UNCHANGED:
                pass
            elif field.null is Null.REFUSED:
                faults.add(prefix + word, "must not be null")
            else:
                body[word] = None if field.null is Null.VALUE else field.null
        body.clean = len(faults) == before
        return body

    def _other(self, word: object, item: object, body: Body, prefix: str, faults: Faults) -> None:
        if not isinstance(word, str):
            faults.add(prefix[:-1], "must have text as the names of its fields")
        elif word in self.fixed:
            body.fixed[word] = item
        elif word not in self.live:
            shown = "".join(c if c.isprintable() else "?" for c in word[:64])
            faults.add(prefix + shown, "is not a field of this object")


def nested(shape: Shape, create: bool) -> Reader:
    """The reader of an object inside a body."""

    def read(value: object, at: str, faults: Faults) -> Body:
        return shape.read(value, at, faults, create)

    return read


def check_fixed(body: Body, shown: Mapping[str, Any], at: str, faults: Faults) -> None:
    """Note a fault for every read-only field that differs from what is shown."""
    for word, given in body.fixed.items():
        if not same(given, shown.get(word)):
            faults.add(f"{at}.{word}" if at else word, "is read-only")


def plain(value: Any) -> Any:
    """Structs as mappings, at every depth."""
    if isinstance(value, Struct):
        return {name: plain(item) for name, item in fields_of(value).items()}
    if isinstance(value, list):
        return [plain(item) for item in value]
    return value


def same(given: Any, shown: Any) -> bool:
    """Whether what a body says is what an answer shows; what lives by itself is not compared."""
    if isinstance(given, Struct):
        given = fields_of(given)
    if isinstance(given, Mapping):
        if not isinstance(shown, Mapping):
            return False
        return all(word in LIVE or same(item, shown.get(word)) for word, item in given.items())
    if isinstance(given, list | tuple):
        return isinstance(shown, list) and len(given) == len(shown) and all(map(same, given, shown))
    if isinstance(shown, datetime):
        return given == shown or instant(given, "", Faults()) == instant(shown, "", Faults())
    if isinstance(given, float) and isinstance(shown, Decimal):
        given = Decimal(repr(given))
    if isinstance(given, bool) or isinstance(shown, bool):
        return given is shown
    return bool(given == shown)
