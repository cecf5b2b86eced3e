"""What all entities share: create, get, list, update, delete, each one edit or one read.

An entity's own file says what its bodies hold (`create_shape`, `update_shape`), how one merges (`merge`),
what a single read shows (`show`), and what goes with it when it is deleted (`erase`).
"""

import hashlib
from collections.abc import Callable, Collection, Iterable, Sequence
from itertools import islice
from typing import Any, ClassVar, Final, Generic, Protocol, TypeAlias, TypeVar, cast

import msgspec
from msgspec import Struct, UnsetType

from limen.errors import Faults, fault
from limen.model import Page
from limen.resources.book import Book, Draft
from limen.resources.limits import Merge, merge_limits
from limen.resources.reading import integer, line
from limen.resources.records import BudgetRow, Kind, Owner, RateRow, Record
from limen.resources.shape import Body, Shape, check_fixed, plain
from limen.resources.views import hash_of
from limen.secret import new_id

MAX_PAGE: Final = 1000
R = TypeVar("R", bound=Record)


class Warned(Protocol):
    """An answer that can carry warnings."""

    warnings: list[str] | UnsetType


A = TypeVar("A", bound=Struct)
P = TypeVar("P", bound=Page[Any])
Words: TypeAlias = list[str]
Filter = Callable[[Any, str, Faults], Any]
_page_limit = integer(0, MAX_PAGE)
_page_offset = integer(0, 2**63 - 1)


class Paging(Struct):
    """The part of a list that is asked for; `limit` None is all of it."""

    limit: int | None
    offset: int

    def cut(self, found: Iterable[Any], total: int | None = None) -> tuple[list[Any], int]:
        """The page, and how many there are in all."""
        if total is None:
            found = list(found)
            total = len(found)
        first = min(self.offset, total)
        stop = None if self.limit is None else first + self.limit
        return list(islice(found, first, stop)), total

    def page(self, kind: type[Page[Any]], items: Sequence[Any], total: int) -> Page[Any]:
        """The list answer; without a limit its limit is its count."""
        limit = len(items) if self.limit is None else self.limit
        plural: dict[str, Any] = {kind.__struct_fields__[-1]: items}
        return kind(count=len(items), total_count=total, limit=limit, offset=self.offset, **plural)


def read_filters(given: dict[str, Any], known: dict[str, Filter]) -> tuple[Paging, dict[str, Any]]:
    """The filters of a list, read; one that is None is as left out, one that is not known is a fault."""
    faults = Faults()
    clean: dict[str, Any] = {}
    for word, value in given.items():
        read = {"limit": _page_limit, "offset": _page_offset, **known}.get(word)
        if read is None:
            faults.add(word[:64], "is not a filter of this list")
        elif value is not None:
            clean[word] = read(value, word, faults)
    faults.check()
    return Paging(clean.pop("limit", None), clean.pop("offset", 0)), clean


def search(value: object, at: str, faults: Faults) -> str | None:
    """Text to look for in names, in any case; the empty text finds all."""
    if value == "":
        return None
    found = line(256)(value, at, faults)
    return found.casefold() if isinstance(found, str) else None


def filter_id(value: object, at: str, faults: Faults) -> str | None:
    """The id of an owner; the empty text is no filter."""
    return None if value == "" else cast("str", line(128)(value, at, faults))


class Resource(Generic[R, A, P]):
    """One kind of entity."""

    kind: ClassVar[Kind]
    noun: ClassVar[str]
    page: ClassVar[type[Page[Any]]]
    create_shape: ClassVar[Shape]
    update_shape: ClassVar[Shape]
    filters: ClassVar[dict[str, Filter]] = {"search": search}
    id_word: ClassVar[str] = "id"
    """The field of an answer that holds its id."""

    def __init__(self, book: Book) -> None:
        self.book = book

    # What an entity's own file says.

    def merge(self, old: R | None, body: Body, at: str, draft: Draft, id: str, create: bool) -> R | None:
        """The record after a body, or None where that cannot be said; faults go to the draft."""
        raise NotImplementedError

    def show(self, record: R) -> A:
        """The form of a single read."""
        raise NotImplementedError

    def warn(self, record: R, draft: Draft) -> Words:
        """What in a record can have no effect."""
        return []

    def recognise(self, old: R, body: Body) -> None:
        """Take read-only fields out of a body that say in other words what is stored."""

    def complete(self, record: R, draft: Draft) -> None:
        """Give a record what only the engine makes: its integer ids, its secret value."""

    def erase(self, draft: Draft, id: str) -> None:
        """Remove the entity, and detach or remove what names it."""
        draft.drop(self.kind, id)

    def title(self, record: R) -> str:
        """What `search` looks in."""
        raise NotImplementedError

    def matches(self, record: R, wanted: dict[str, Any]) -> bool:
        """Whether a list with these filters shows the record."""
        found = wanted.get("search")
        return found is None or found in self.title(record).casefold()

    # The calls.

    def create(self, body: Any) -> A:
        """Make one. A fault is an InvalidError, NotFoundError or ConflictError with the field's path."""
        with self.book.edit() as draft:
            parsed = self.create_shape.read(body, "", draft.faults, create=True)
            check_fixed(parsed, {}, "", draft.faults)
            record = self.merge(None, parsed, "", draft, new_id(), create=True)
            draft.faults.check()
            assert record is not None
            self.complete(record, draft)
            draft.put(self.kind, record)
            draft.publish()
            return self._told(record, draft)

    def get(self, id: str) -> A:
        """The one with this id. NotFoundError where there is none."""
        with self.book.reading():
            return self.show(self._kept(id))

    def update(self, id: str, body: Any) -> A:
        """Change what the body names; the same faults as create, and nothing is changed then."""
        with self.book.edit() as draft:
            old = self._kept(id)
            parsed = self.update_shape.read(body, "", draft.faults)
            self.recognise(old, parsed)
            if parsed.fixed:
                check_fixed(parsed, plain(self.show(old)), "", draft.faults)
            record = self.merge(old, parsed, "", draft, id, create=False)
            draft.faults.check()
            assert record is not None
            self._take(old, record, draft)
            return self._told(record, draft)

    def delete(self, id: str) -> None:
        """Remove it with its limits. Open permits can still be settled."""
        with self.book.edit() as draft:
            self._kept(id)
            self.erase(draft, id)
            draft.publish()

    def list(self, **filters: Any) -> P:
        """A page of them, in the order of their making. `limit` is at most 1,000; left out, all are shown."""
        paging, wanted = read_filters(filters, self.filters)
        with self.book.reading():
            found, total = self._select(paging, wanted)
            items = [self.show(record) for record in found]
        return cast("P", paging.page(self.page, items, total))

    def tag(self, id: str) -> str:
        """The entity tag of HTTP: in quotes, another after every change, the same whatever is used."""
        with self.book.reading():
            self._kept(id)
            kept = self.book.records[self.kind][id]
        return f'"{hashlib.blake2b(kept, digest_size=16).hexdigest()}"'

    # Shared by the files.

    def _select(self, paging: Paging, wanted: dict[str, Any]) -> tuple[Sequence[R], int]:
        ids = self._ids(wanted)
        if not any(value is not None for value in wanted.values()):
            page, total = paging.cut(ids, len(ids))
            return [self._kept(id) for id in page], total
        return paging.cut(record for id in ids if self.matches(record := self._kept(id), wanted))

    def _ids(self, wanted: dict[str, Any]) -> Collection[str]:
        """The ids among which a list looks, in the order of the list."""
        return self.book.records[self.kind]

    def _kept(self, id: Any) -> R:
        if not isinstance(id, str):
            raise fault("invalid_request", "must be text", "id")
        record = self.book.get(self.kind, id)
        if record is None:
            raise fault("not_found", f"there is no {self.noun} with this id", "id")
        return cast("R", record)

    def _take(self, old: R | None, record: R, draft: Draft) -> None:
        """Publish what became of a record; where nothing changed, not even its time does."""
        self.complete(record, draft)
        if record != old:
            record.updated = draft.now
            draft.put(self.kind, record)
            draft.publish()

    def _told(self, record: R, draft: Draft) -> A:
        answer = self.show(record)
        cast("Warned", answer).warnings = self.warn(record, draft)
        return answer


def need(body: Body, word: str, old: Any, at: str, faults: Faults) -> Any:
    """A field that must have a value in the end: the body's, else the old one, else a fault."""
    value, path = body.get(word, old), at + word
    inside = (f"{path}.", f"{path}[")
    if value is None and body.given and not any(f"{found.param}.".startswith(inside) for found in faults):
        faults.add(path, "is required")
    return value


def merged_limits(
    old: Owner | None, body: Body, at: str, draft: Draft, create: bool
) -> tuple[list[BudgetRow], RateRow | None]:
    """The budgets and the rate limit of an owner after a body."""
    merge = Merge(draft.faults, draft.now, create, hash_of(old) if old else None)
    return merge_limits(old.budgets if old else [], old.rate if old else None, body, at, merge)


def detach(draft: Draft, kind: Kind, ids: Iterable[str], **fields: None) -> None:
    """Clear fields of records that stay when what they named goes."""
    for id in ids:
        record = draft.get(kind, id)
        assert record is not None
        changed = msgspec.structs.replace(record, updated=draft.now, **fields)
        draft.put(kind, changed)
