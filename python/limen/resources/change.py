"""What one edit changes, in the form in which it is kept, and who keeps it.

A change is made whole before anything is written: its records are packed and its audit entries are texts, so
that what keeps it can neither fail half way for a reason of ours nor look anything up.
"""

from collections import deque
from collections.abc import Sequence
from typing import NamedTuple, Protocol

from limen.resources.records import Kind


class Put(NamedTuple):
    """One record as it shall be: `data` None is its end. `row` is its place in the order of making."""

    kind: Kind
    row: int
    id: str
    data: bytes | None


class Entry(NamedTuple):
    """One line of the audit; `before` and `after` are JSON without secrets, None where there is nothing."""

    row: int
    at: int
    actor: str
    action: str
    entity: str
    id: str
    before: bytes | None
    after: bytes | None


class Change(NamedTuple):
    """Everything that one edit changes. `settings` are those that files have set, None as they were."""

    records: Sequence[Put] = ()
    numbers: tuple[tuple[str, int], ...] = ()
    settings: bytes | None = None
    audit: Sequence[Entry] = ()
    unaudit: Sequence[int] = ()
    """Rows of the audit that shall not have been: of a change that is taken back."""


class Identity(NamedTuple):
    """What permits of a keeper's engines are proved by, and which of its engines this one is."""

    secret: bytes
    boot: int

    def __repr__(self) -> str:
        return f"Identity(boot={self.boot})"


class Kept(NamedTuple):
    """What a keeper knows when an engine is opened on it."""

    records: Sequence[Put]
    numbers: dict[str, int]
    settings: bytes | None
    identity: Identity


class Named(NamedTuple):
    """Whose limit it is: its level, its owner's id, its own."""

    level: str
    owner_id: str
    limit_id: str


class Period(NamedTuple):
    """A window that has ended: `key` is the limit's number * 4 + kind, `most` what was allowed at the end.

    None where nobody has met the end: then the limit's own maximum is what was allowed.
    """

    key: int
    start: int
    end: int
    most: int | None
    used: int
    named: Named


class PeriodsSought(NamedTuple):
    """Which periods: those that lie, in part at least, in [since, until), of these owners and limits."""

    since: int = 0
    until: int = 2**63 - 1
    level: str | None = None
    owner_id: str | None = None
    limit_id: str | None = None


class Sought(NamedTuple):
    """What a list of the audit is asked for; None is anything."""

    entity: str | None = None
    id: str | None = None
    actor: str | None = None
    action: str | None = None


class Keeper(Protocol):
    """Where changes go before they are in force."""

    audit_most: int | None
    """How many audit entries it keeps; None: all."""

    def commit(self, change: Change, inverse: Change) -> None:
        """Keep the change, or raise StorageError and have kept nothing. `inverse` would take it back."""

    def audit(self, sought: Sought, limit: int | None, offset: int) -> tuple[list[Entry], int]:
        """A page of the audit, newest first, and how many entries there are in all."""

    def periods(
        self, now: int, sought: PeriodsSought, limit: int | None, offset: int
    ) -> tuple[list[Period], int]:
        """A page of the windows that had ended at `now`, the newest first, and how many there are in all."""

    @property
    def trouble(self) -> str | None:
        """Why it keeps nothing just now; None where it does."""

    def flush(self) -> None:
        """Wait until everything that was asked for is kept."""

    def close(self) -> None:
        """Keep nothing more."""


class Memory:
    """Keeps nothing but the newest entries of the audit: an engine without a store."""

    audit_most: int | None = 10_000
    trouble: str | None = None

    def __init__(self) -> None:
        self._audit: deque[Entry] = deque(maxlen=self.audit_most)

    def commit(self, change: Change, inverse: Change) -> None:
        taken = set(change.unaudit)
        while taken and self._audit and self._audit[-1].row in taken:
            self._audit.pop()
        self._audit.extend(change.audit)

    def audit(self, sought: Sought, limit: int | None, offset: int) -> tuple[list[Entry], int]:
        found = [entry for entry in reversed(self._audit) if matches(entry, sought)]
        return found[offset : None if limit is None else offset + limit], len(found)

    def periods(
        self, now: int, sought: PeriodsSought, limit: int | None, offset: int
    ) -> tuple[list[Period], int]:
        return [], 0

    def flush(self) -> None:
        pass

    def close(self) -> None:
        self._audit.clear()


def matches(entry: Entry, sought: Sought) -> bool:
    """Whether a list shows the entry."""
    wanted = zip(sought, (entry.entity, entry.id, entry.actor, entry.action), strict=True)
    return all(want is None or want == has for want, has in wanted)
