"""One edit of the configuration, from the first reading of a body to the moment when it is in force.

A `Draft` reads through to what is kept and writes beside it. When it is published, the core is asked whether
it would take the rows of what changed; then the keeper writes the change down; then the core takes the rows,
as one batch, one published snapshot, and the records change. If anything raises, nothing has changed.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple, overload

from limen.actor import actor
from limen.errors import Faults, fault
from limen.resources.anchors import limit_rows, settle_limits
from limen.resources.change import Change, Entry, Put
from limen.resources.counted import counted
from limen.resources.noting import noted
from limen.resources.records import KINDS, Kind, Record, pack, row_of
from limen.resources.rows import Credentials, Row, core_row, delete_row, references, unique

if TYPE_CHECKING:
    from limen.resources.book import Book

Link = tuple[Kind, str, Kind]
"""(kind, id, kind of those that name it)."""


class _Step(NamedTuple):
    """What becomes of one record: None is that it is not there."""

    kind: Kind
    id: str
    record: Record | None
    data: bytes | None
    old: Record | None

    @property
    def place(self) -> int:
        found = self.record or self.old
        return found.row if found is not None else 0


@overload
def _anew(name: str) -> str: ...
@overload
def _anew(name: tuple[str | None, ...]) -> tuple[str | None, ...]: ...
def _anew(name: str | tuple[str | None, ...]) -> str | tuple[str | None, ...]:
    """The same text in a block of its own.

    What stays of a large file is made after all that goes: so it lies together, and not on every page between
    things that are gone, none of which could be given back.
    """
    if isinstance(name, tuple):
        return tuple(None if part is None else _anew(part) for part in name)
    return name.encode().decode()


class Draft:
    """One edit in the making: `faults` collects what is wrong, `now` is its time."""

    def __init__(self, book: "Book", now: int) -> None:
        self.book = book
        self.now = now
        self.faults = Faults()
        self.secret_env = book.secret_env
        self.first_rows: list[Row] = []
        # What the audit calls this edit of an entity that was there before and is after.
        self.action = "update"
        self.settings: bytes | None = None
        # Base prices, those in force unless this edit brings others.
        self.prices = book.prices
        self.credentials: dict[str, Credentials] = {}
        self.expected: set[tuple[Kind, str]] = set()
        self._changed: dict[Kind, dict[str, Record | None]] = {kind: {} for kind in KINDS}
        self._at: dict[tuple[Kind, str], str] = {}
        self._linked: dict[Link, dict[str, bool]] = {}
        self._notes: list[tuple[str, str, str, bytes | None, bytes | None]] = []

    def get(self, kind: Kind, id: str) -> Record | None:
        """The record as this edit has it."""
        changed = self._changed[kind]
        return changed[id] if id in changed else self.book.get(kind, id)

    def knows(self, kind: Kind, id: str) -> bool:
        """Whether a body may name it: it is there, or this edit is about to bring it."""
        changed = self._changed[kind]
        there = changed[id] is not None if id in changed else id in self.book.records[kind]
        return there or (kind, id) in self.expected

    def put(self, kind: Kind, record: Record, at: str = "") -> None:
        """Take the record; `at` is the path of its body, for a fault that shows at the end only."""
        self._link(kind, record.id, self.get(kind, record.id), record)
        self._changed[kind][record.id] = record
        self._at[kind, record.id] = at

    def drop(self, kind: Kind, id: str) -> None:
        """Remove the record alone; what names it is the caller's to detach."""
        self._link(kind, id, self.get(kind, id), None)
        self._changed[kind][id] = None

    def linked(self, kind: Kind, id: str, by: Kind) -> list[str]:
        """The ids of the `by` that name this entity, as this edit has it."""
        link = (kind, id, by)
        found = dict.fromkeys(self.book.linked(*link), True) | self._linked.get(link, {})
        return [name for name, stands in found.items() if stands]

    def changed(self) -> bool:
        """Whether anything would be other after this edit."""
        return (
            bool(self.first_rows or self._notes) or self.settings is not None or any(self._changed.values())
        )

    def note(self, action: str, entity: str, id: str, before: bytes | None, after: bytes | None) -> None:
        """Have the audit say, with this edit, what no record says."""
        self._notes.append((action, entity, id, before, after))

    def _link(self, kind: Kind, id: str, old: Record | None, new: Record | None) -> None:
        before = references(kind, old) if old is not None else []
        after = references(kind, new) if new is not None else []
        for named, name in before:
            self._linked.setdefault((named, name, kind), {})[id] = False
        for named, name in after:
            self._linked.setdefault((named, name, kind), {})[id] = True

    def check_unique(self) -> None:
        """Note names that are taken: after the last change, so that two may swap theirs in one edit."""
        for kind, changed in self._changed.items():
            taken: dict[object, str] = {}
            for id, record in changed.items():
                held = unique(record) if record is not None else None
                if held is None:
                    continue
                field, value = held
                other = taken.setdefault(value, id)
                kept = self.book.uniques[kind].get(value)
                if other != id or (kept is not None and kept != id and kept not in changed):
                    path = self._at.get((kind, id), "")
                    words = f"another {kind.replace('_', ' ')} has it already"
                    self.faults.add(f"{path}{field}", words, "conflict")

    def _check_room(self) -> None:
        for kind, changed in self._changed.items():
            kept = self.book.records[kind]
            growth = sum((record is not None) - (id in kept) for id, record in changed.items())
            if growth > 0 and len(kept) + growth > self.book.most:
                raise fault("too_many_entities", f"the engine holds at most {self.book.most} of a kind")

    def check(self) -> None:
        """Raise if anything is wrong."""
        self.check_unique()
        self.faults.check()
        self._check_room()

    def rows(self) -> list[Row]:
        """The batch for the core: what is named before what names it; removals last, in reverse."""
        rows = list(self.first_rows)
        for kind in KINDS:
            for id, record in self._changed[kind].items():
                if record is not None:
                    rows.append(core_row(kind, record, self.credentials.get(id)))
        for kind in reversed(KINDS):
            kept = self.book.records[kind]
            for id, record in self._changed[kind].items():
                if record is None and id in kept:
                    rows.append(delete_row(kind, id))
        return rows

    def publish(self) -> None:
        """Check, have the change kept, hand the rows to the core, and then show the records.

        Where the keeper refuses nothing has happened. Should the core refuse after all what it said it would
        take (memory alone could make it), the keeper is told to take the change back.
        """
        self.check()
        if not self.changed():
            return
        book = self.book
        # Everything that could fail happens before anything is kept.
        steps = [self._step(kind, id, record) for kind in KINDS for id, record in self._changed[kind].items()]
        change = self._change(steps)
        inverse = self._inverse(steps, change.audit)
        rows = self.rows()
        edits = book.core.check(rows)
        book.keeper.commit(change, inverse)
        with book.lock:
            try:
                book.core.apply(edits)
            except BaseException:
                book.keeper.commit(inverse, change)
                raise
            # The rows are still there: in their gaps would lie, page by page, a little of what stays
            # (see `_anew`).
            names = {step.id: _anew(step.id) for step in steps if step.old is None}
            for step in steps:
                self._keep(step, names.get(step.id, step.id))
            for link, members in self._linked.items():
                self._keep_links(link, {names.get(id, id): stands for id, stands in members.items()})
            book.kept_numbers.update(change.numbers)
            if self.settings is not None:
                book.settings = self.settings
            book.prices = self.prices

    def _step(self, kind: Kind, id: str, record: Record | None) -> _Step:
        old = self.book.get(kind, id)
        if record is None:
            return _Step(kind, id, None, None, old)
        record.row = old.row if old is not None else self.book.number("record")
        settle_limits(record, old, self.now, self._limit_number, self._starting)
        return _Step(kind, id, record, pack(record), old)

    def _limit_number(self) -> int:
        return self.book.number("limit")

    def _starting(self, limit_id: str, kind: str) -> int:
        return self.book.usage(limit_id, kind)[2]

    def _change(self, steps: list[_Step]) -> Change:
        book = self.book
        puts = [
            Put(step.kind, step.place, step.id, step.data)
            for step in steps
            if step.record is not None or step.old is not None
        ]
        audit = self._audit(steps)
        numbers = tuple(item for item in book.numbers.items() if book.kept_numbers.get(item[0]) != item[1])
        return Change(puts, numbers, self.settings, audit)

    def _inverse(self, steps: list[_Step], audit: Sequence[Entry]) -> Change:
        records = self.book.records
        puts = [Put(step.kind, step.place, step.id, records[step.kind].get(step.id)) for step in steps]
        settings = None if self.settings is None else self.book.settings
        return Change(puts, settings=settings, unaudit=[entry.row for entry in audit])

    def _audit(self, steps: list[_Step]) -> list[Entry]:
        """What this edit did, one entry for each entity; of more than are kept the last ones."""
        book, who = self.book, actor.get()
        most = book.keeper.audit_most
        found = self._notes
        for step in steps if most is None else steps[-most:]:
            if step.record is None and step.old is None:
                continue
            action = "create" if step.old is None else "delete" if step.record is None else self.action
            before, after = noted(step.kind, step.old, book.get), noted(step.kind, step.record, self.get)
            found.append((action, step.kind, step.id, before, after))
        return [Entry(book.number("audit"), self.now, who, *note) for note in found]

    def _keep(self, step: _Step, id: str) -> None:
        kind, _, record, data, old = step
        book, uniques = self.book, self.book.uniques[kind]
        before = unique(old) if old is not None else None
        after = unique(record) if record is not None else None
        # Another entity of this edit may hold the old value by now.
        if before is not None and before != after and uniques.get(before[1]) == id:
            del uniques[before[1]]
        if after is not None:
            uniques[_anew(after[1])] = id
        if data is None:
            book.records[kind].pop(id, None)
        else:
            # Cut from the front of a larger block, which goes back whole.
            book.records[kind][id] = bytes(memoryview(data))
        if book.owners is not None:
            for limit in limit_rows(old):
                book.owners.pop(limit.id, None)
            for limit in limit_rows(record):
                book.owners[limit.id] = (kind, id)
        if book.limit_numbers is not None:
            for one in counted(kind, old):
                book.limit_numbers.pop(one.key // 4, None)
            for one in counted(kind, record):
                book.limit_numbers[one.key // 4] = one.named

    def _keep_links(self, link: Link, members: dict[str, bool]) -> None:
        """In the order of making: one that is older than the last sends for the order anew."""
        kept = self.book.links.setdefault(link, {})
        for id, stands in members.items():
            if not stands:
                kept.pop(id, None)
        records = self.book.records[link[2]]
        late = False
        for id, stands in members.items():
            if stands and id not in kept:
                last = next(reversed(kept), None)
                late = late or (last is not None and row_of(records[last]) > row_of(records[id]))
                kept[id] = None
        if late:
            made = sorted((row_of(records[id]), id) for id in kept)
            self.book.links[link] = {id: None for _, id in made}
        if not kept:
            del self.book.links[link]
