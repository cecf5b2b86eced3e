"""The configuration in memory, and the one way to change it.

An edit is a `Draft`: it reads through to what is kept and writes beside it. When it closes, the rows of what
changed go to the core as one batch, one published snapshot; only if the core took them do the records change.
If anything raises, nothing has changed. One lock stands around edits and reads; no decision waits for it.

No step of an edit looks at all entities: names and members have their own indices, kept as they change.
"""

import os
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final, Protocol, TypeVar

from limen.errors import Faults, fault
from limen.resources.records import KINDS, Kind, Record, pack, unpack
from limen.resources.rows import CORE_KINDS, Credentials, Row, core_row, delete_row, references, unique

R = TypeVar("R", bound=Record)
Link = tuple[Kind, str, Kind]
"""(kind, id, kind of those that name it)."""


class Core(Protocol):
    """What the configuration needs of the engine."""

    def apply(self, edits: Sequence[Row]) -> None: ...
    def read(self, limits: Sequence[tuple[str, str]]) -> list[tuple[int, int, int, int]]: ...
    def now_ms(self) -> int: ...
    def sweep(self) -> int: ...
    def reset(self, limit_id: str, kind: str) -> None: ...
    def credit(self, limit_id: str, nano_usd: int) -> None: ...


class Book:
    """Every record, as packed bytes by kind and id, with its indices."""

    MAX_ENTITIES: Final = 10_000_000

    def __init__(self, core: Core) -> None:
        self.core = core
        self.secret_env: frozenset[str] = frozenset()
        self.most = self.MAX_ENTITIES
        self.closed = False
        self.lock = threading.RLock()
        self.records: dict[Kind, dict[str, bytes]] = {kind: {} for kind in KINDS}
        self.uniques: dict[Kind, dict[Any, str]] = {kind: {} for kind in KINDS}
        self.links: dict[Link, dict[str, None]] = {}
        # Who owns a limit: built when it is first asked, and kept from then on; most engines never ask.
        self.owners: dict[str, tuple[Kind, str]] | None = None
        self._numbers: dict[str, int] = {}
        self._pid = os.getpid()

    @contextmanager
    def reading(self) -> Iterator[None]:
        """The lock, after the checks that every call of the configuration makes."""
        if os.getpid() != self._pid:
            # Asked before the lock is: in a child of fork another thread's lock would stay taken for ever.
            raise fault("engine_forked")
        with self.lock:
            if self.closed:
                raise fault("engine_closed")
            # What is overdue is shown as charged or given back, not as held.
            self.core.sweep()
            yield

    @contextmanager
    def edit(self) -> Iterator["Draft"]:
        """A draft under the lock; the block publishes it, or leaves it and nothing has happened."""
        with self.reading():
            yield Draft(self, self.core.now_ms())

    def number(self, of: str) -> int:
        """The next integer id of a sequence; they rise and are never used again."""
        self._numbers[of] = number = self._numbers.get(of, 0) + 1
        return number

    def get(self, kind: Kind, id: str) -> Record | None:
        data = self.records[kind].get(id)
        return None if data is None else unpack(kind, data)

    def linked(self, kind: Kind, id: str, by: Kind) -> list[str]:
        """The ids of the `by` that name this entity, in the order in which they came to."""
        return list(self.links.get((kind, id, by), ()))

    def usage(self, limit_id: str, kind: str) -> tuple[int, int, int, int]:
        """used, held, start and end of a limit's current window."""
        return self.core.read([(limit_id, kind)])[0]


class Draft:
    """One edit in the making: `faults` collects what is wrong, `now` is its time."""

    def __init__(self, book: Book, now: int) -> None:
        self.book = book
        self.now = now
        self.faults = Faults()
        self.secret_env = book.secret_env
        self.first_rows: list[Row] = []
        self.credentials: dict[str, Credentials] = {}
        self.expected: set[tuple[Kind, str]] = set()
        self._changed: dict[Kind, dict[str, Record | None]] = {kind: {} for kind in KINDS}
        self._at: dict[tuple[Kind, str], str] = {}
        self._linked: dict[Link, dict[str, bool]] = {}

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
        return bool(self.first_rows) or any(self._changed.values())

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
        for kind in CORE_KINDS:
            for id, record in self._changed[kind].items():
                if record is not None:
                    rows.append(core_row(kind, record, self.credentials.get(id)))
        for kind in reversed(CORE_KINDS):
            kept = self.book.records[kind]
            for id, record in self._changed[kind].items():
                if record is None and id in kept:
                    rows.append(delete_row(kind, id))
        return rows

    def publish(self) -> None:
        """Check, hand the rows to the core, and then keep the records."""
        self.check()
        if not self.changed():
            return
        # Everything that could fail happens before the core takes the rows.
        packed = [
            (kind, id, record, None if record is None else pack(record), self.book.get(kind, id))
            for kind in KINDS
            for id, record in self._changed[kind].items()
        ]
        self.book.core.apply(self.rows())
        for kind, id, record, data, old in packed:
            self._keep(kind, id, record, data, old)
        for link, members in self._linked.items():
            self._keep_links(link, members)

    def _keep(
        self, kind: Kind, id: str, record: Record | None, data: bytes | None, old: Record | None
    ) -> None:
        book, uniques = self.book, self.book.uniques[kind]
        before = unique(old) if old is not None else None
        after = unique(record) if record is not None else None
        # Another entity of this edit may hold the old value by now.
        if before is not None and before != after and uniques.get(before[1]) == id:
            del uniques[before[1]]
        if after is not None:
            uniques[after[1]] = id
        if data is None:
            book.records[kind].pop(id, None)
        else:
            book.records[kind][id] = data
        if book.owners is not None:
            for limit in limit_ids(old):
                book.owners.pop(limit, None)
            for limit in limit_ids(record):
                book.owners[limit] = (kind, id)

    def _keep_links(self, link: Link, members: dict[str, bool]) -> None:
        kept = self.book.links.setdefault(link, {})
        for id, stands in members.items():
            if stands:
                kept[id] = None
            else:
                kept.pop(id, None)
        if not kept:
            del self.book.links[link]


def limit_ids(record: Record | None) -> Iterator[str]:
    """The ids of every budget and rate limit that a record holds, at any depth."""
    for owner in (record, *getattr(record, "providers", ())):
        for budget in getattr(owner, "budgets", ()):
            yield budget.id
        rate = getattr(owner, "rate", None)
        if rate is not None:
            yield rate.id
