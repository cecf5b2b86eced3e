"""The configuration in memory: every record, what is unique, who names whom; reads of it, and edits in turn.

Edits take turns (see `draft.py`). A second lock stands around what readers see, and is held only for the
moment in which it changes: no read waits for the disk, and no decision waits for either. No step of an edit
looks at all entities: names and members have their own indices, kept as they change.
"""

import os
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final, Protocol

from limen.errors import fault
from limen.resources.change import Keeper, Kept, Memory, Named, Put
from limen.resources.draft import Draft as Draft, Link
from limen.resources.prices import BUILTIN, ReadPrices
from limen.resources.records import KINDS, Kind, Record, unpack
from limen.resources.rows import Row, core_row, kept_credentials, references, unique

_BATCH: Final = 1_000


class Core(Protocol):
    """What the configuration needs of the engine."""

    def check(self, edits: Sequence[Row]) -> Any: ...
    def check_expression(self, text: str) -> None: ...
    def apply(self, edits: Any) -> None: ...
    def read(self, limits: Sequence[tuple[str, str]]) -> list[tuple[int, int, int, int]]: ...
    def rule_health(self, rule_id: str) -> tuple[int, int, int, str | None, int | None]: ...
    def now_ms(self) -> int: ...
    def sweep(self) -> int: ...
    def reset(self, limit_id: str, kind: str) -> None: ...
    def credit(self, limit_id: str, nano_usd: int) -> None: ...


class Book:
    """Every record, as packed bytes by kind and id, with its indices."""

    MAX_ENTITIES: Final = 10_000_000

    def __init__(self, core: Core, read_prices: ReadPrices, keeper: Keeper | None = None) -> None:
        self.core = core
        self.read_prices = read_prices
        self.prices = read_prices(BUILTIN)
        self.keeper = keeper or Memory()
        self.secret_env: frozenset[str] = frozenset()
        self.most = self.MAX_ENTITIES
        self.closed = False
        self.editing = threading.RLock()
        self.lock = threading.RLock()
        self.records: dict[Kind, dict[str, bytes]] = {kind: {} for kind in KINDS}
        self.uniques: dict[Kind, dict[Any, str]] = {kind: {} for kind in KINDS}
        self.links: dict[Link, dict[str, None]] = {}
        # Who owns a limit: built when it is first asked, and kept from then on; most engines never ask.
        self.owners: dict[str, tuple[Kind, str]] | None = None
        # Whose limit a number is: likewise, for the keeper of periods.
        self.limit_numbers: dict[int, Named] | None = None
        # Brings usage to the keeper at once; in memory there is nobody to bring it to.
        self.flush: Callable[[], None] = lambda: None
        self.settings = b"{}"
        self.numbers: dict[str, int] = {}
        self.kept_numbers: dict[str, int] = {}
        self._pid = os.getpid()

    def check_fork(self) -> None:
        """Asked before a lock is: in a child of fork another thread's lock would stay taken for ever."""
        if os.getpid() != self._pid:
            raise fault("engine_forked")

    @contextmanager
    def reading(self) -> Iterator[None]:
        """The lock of what is read, after the checks that every call of the configuration makes."""
        self.check_fork()
        with self.lock:
            if self.closed:
                raise fault("engine_closed")
            # What is overdue is shown as charged or given back, not as held.
            self.core.sweep()
            yield

    @contextmanager
    def turn(self) -> Iterator[None]:
        """The turn to edit, for who looks before it edits: nothing that is kept changes meanwhile.

        Not the lock of the readers: an edit takes that inside its turn, so whoever waited for a turn with it
        in hand would wait for ever.
        """
        self.check_fork()
        with self.editing:
            yield

    @contextmanager
    def edit(self) -> Iterator["Draft"]:
        """A draft, in its turn; the block publishes it, or leaves it and nothing has happened.

        Only edits change what is kept, so an edit reads it without the lock of the readers.
        """
        with self.turn():
            with self.reading():
                draft = Draft(self, self.core.now_ms())
            yield draft

    def restore(self, kept: Kept) -> None:
        """Take over what a keeper has: once, before anybody else has the engine."""
        for kind in KINDS:
            rows: list[Row] = []
            for put in kept.records:
                if put.kind == kind:
                    rows += self._restore(put)
                if len(rows) >= _BATCH:
                    # Rows that have gone over are let go of: a heap of them makes every collection longer.
                    self.core.apply(rows)
                    rows.clear()
            self.core.apply(rows)
        self.numbers = dict(kept.numbers)
        self.kept_numbers = dict(kept.numbers)
        if kept.settings is not None:
            self.settings = kept.settings

    def _restore(self, put: Put) -> list[Row]:
        assert put.data is not None
        record = unpack(put.kind, put.data)
        self.records[put.kind][put.id] = put.data
        if (held := unique(record)) is not None:
            self.uniques[put.kind][held[1]] = put.id
        for named, name in references(put.kind, record):
            if name not in self.records[named]:
                raise fault("not_found", f"the {put.kind} {put.id!r} names a {named} that is not there")
            self.links.setdefault((named, name, put.kind), {})[put.id] = None
        return [core_row(put.kind, record, kept_credentials(record))]

    def number(self, of: str) -> int:
        """The next integer id of a sequence; they rise and are never used again."""
        self.numbers[of] = number = self.numbers.get(of, 0) + 1
        return number

    def get(self, kind: Kind, id: str) -> Record | None:
        data = self.records[kind].get(id)
        return None if data is None else unpack(kind, data)

    def linked(self, kind: Kind, id: str, by: Kind) -> list[str]:
        """The ids of the `by` that name this entity, in the order of their making."""
        return list(self.links.get((kind, id, by), ()))

    def usage(self, limit_id: str, kind: str) -> tuple[int, int, int, int]:
        """used, held, start and end of a limit's current window."""
        return self.core.read([(limit_id, kind)])[0]

    def health(self, rule_id: str) -> tuple[int, int, int, str | None, int | None]:
        """matches, errors, times over budget, the last error and the last match of a routing rule."""
        return self.core.rule_health(rule_id)
