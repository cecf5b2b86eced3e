"""A store: changes go in, each one transaction; everything comes out once, when it is opened."""

import os
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from typing import Any, Final, Self, cast

from limen.errors import LimenError, fault
from limen.resources.change import Change, Entry, Identity, Kept, Named, Period, PeriodsSought, Put, Sought
from limen.resources.records import KINDS, Kind
from limen.store import files
from limen.store.lock import Lock
from limen.store.meta import read_all, write, write_number
from limen.store.schema import record_crc
from limen.store.usage import Pending, Usage, end_counters, read_periods, read_usage
from limen.store.vault import Vault, vault_of_environment
from limen.store.writer import Writer

SEQUENCE: Final = "sequence."
SETTINGS: Final = "settings"
SECRET: Final = "secret"  # noqa: S105 - a name
BOOT: Final = "boot"
_PUT: Final = "INSERT OR REPLACE INTO records (row, kind, id, sealed, data, crc) VALUES (?, ?, ?, ?, ?, ?)"
_NOTE: Final = (
    "INSERT INTO audit (row, at, actor, action, entity, id, before, after) VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
)


class Store:
    """The keeper of a durable engine."""

    audit_most: int | None = None

    def __init__(self, path: str, lock: Lock, vault: Vault) -> None:
        self.path = path
        self._vault = vault
        self._pid = os.getpid()
        self._writer = Writer(path, lock.release)
        # Owners of limits as they are on the disk: told where they differ.
        self._named: dict[int, Named] = {}

    @classmethod
    def open(cls, path: str | os.PathLike[str]) -> Self:
        """Take the store at `path` for this process, made where there is none. StorageError says why not."""
        place = read_path(path)
        vault = vault_of_environment()
        try:
            lock = Lock(place)
        except OSError as error:
            words = f"{place} cannot be locked: {error.strerror or error}"
            raise fault("storage_unavailable", words) from None
        try:
            if not files.is_there(place):
                files.create(place)
            files.look(place)
            files.bring_up(place)
            return cls(place, lock, vault)
        except (OSError, sqlite3.Error) as error:
            lock.release()
            raise fault("storage_unavailable", f"{place} cannot be opened: {error}") from None
        except BaseException:
            lock.release()
            raise

    def kept(self) -> Kept:
        """All that is in it, of the newest version; StorageError where anything is not what was written."""
        try:
            found, bare = self._writer.read(self._read_all)
            if bare and self._vault.seals:
                # Sealed twice is sealed once, so there is nothing to take back.
                self._writer.write(lambda connection: self._put(connection, bare), lambda connection: None)
        except LimenError as error:
            raise self._told(error) from None
        last = found.identity
        return found._replace(identity=Identity(last.secret or os.urandom(32), last.boot + 1))

    def claim(self, identity: Identity, unknown: Sequence[int]) -> None:
        """Take the number of this opening: before a permit of it is given out, so that no other has it.

        `unknown` are the keys of counters that were not put back, since their limits are gone.
        """

        def keep(connection: sqlite3.Connection) -> None:
            write(connection, SECRET, identity.secret)
            write_number(connection, BOOT, identity.boot)
            end_counters(connection, unknown)

        # A number that is passed by harms nobody, so there is nothing to take back.
        self._writer.write(keep, keep)

    def usage(self) -> Usage:
        """What was used, to be put back."""
        try:
            return self._writer.read(read_usage)
        except LimenError as error:
            raise self._told(error) from None

    def write_usage(self, pending: Pending, named: Callable[[int], Named | None], keep_from: int) -> None:
        """Everything that is pending, in one transaction, or StorageError.

        Periods that ended before `keep_from` are let go of.
        """
        owners = {number: named(number) for number in pending.numbers()}
        fresh = {
            number: owner
            for number, owner in owners.items()
            if owner is not None and owner != self._named.get(number)
        }
        try:
            left = self._writer.write(
                lambda connection: pending.write(connection, fresh, keep_from), pending.undo()
            )
        except BaseException:
            # Whose are on the disk now is not known.
            self._named.clear()
            raise
        self._named.update(fresh)
        for number in left:
            self._named.pop(number, None)

    def periods(
        self, now: int, sought: PeriodsSought, limit: int | None, offset: int
    ) -> tuple[list[Period], int]:
        # Not on the thread that writes: there are many, and usage would be lost with whoever looks at them.
        try:
            with closing(files.connect(self.path, "ro")) as connection:
                connection.execute("BEGIN")
                return read_periods(connection, now, sought, limit, offset)
        except sqlite3.Error as error:
            raise files.refusal(self.path, error) from None

    def damaged(self, reason: str) -> LimenError:
        """The refusal of rows that are what was written, and are none."""
        return files.damaged(self.path, reason)

    def _told(self, error: LimenError) -> LimenError:
        if error.code == "store_damaged":
            return files.damaged(self.path, error.message)
        return files.named(self.path, error)

    def _read_all(self, connection: sqlite3.Connection) -> tuple[Kept, list[Put]]:
        """Everything, and those records whose secrets ought to be encrypted and are not."""
        meta = dict(read_all(connection))
        numbers = {
            name.removeprefix(SEQUENCE): int(value)
            for name, value in meta.items()
            if name.startswith(SEQUENCE)
        }
        puts, bare = [], []
        for put, sealed in read_records(connection):
            if sealed:
                put = put._replace(data=self._vault.unseal(put.kind, put.id, cast("bytes", put.data)))
            elif put.kind == "provider_key":
                bare.append(put)
            puts.append(put)
        identity = Identity(meta.get(SECRET, b""), int(meta.get(BOOT, b"0")))
        return Kept(puts, numbers, meta.get(SETTINGS), identity), bare

    def commit(self, change: Change, inverse: Change) -> None:
        self._writer.write(
            lambda connection: self._keep(connection, change),
            lambda connection: self._keep(connection, inverse),
        )

    def _keep(self, connection: sqlite3.Connection, change: Change) -> None:
        self._put(connection, change.records)
        for name, number in change.numbers:
            write_number(connection, SEQUENCE + name, number)
        if change.settings is not None:
            write(connection, SETTINGS, change.settings)
        connection.executemany("DELETE FROM audit WHERE row = ?", ((row,) for row in change.unaudit))
        connection.executemany(_NOTE, change.audit)

    def _put(self, connection: sqlite3.Connection, records: Sequence[Put]) -> None:
        gone = ((put.row,) for put in records if put.data is None)
        connection.executemany("DELETE FROM records WHERE row = ?", gone)
        connection.executemany(_PUT, (self._row(put) for put in records if put.data is not None))

    def _row(self, put: Put) -> tuple[Any, ...]:
        sealed, data = self._vault.seal(put.kind, put.id, cast("bytes", put.data))
        crc = record_crc(put.row, put.kind, put.id, int(sealed), data)
        return put.row, put.kind, put.id, int(sealed), data, crc

    def audit(self, sought: Sought, limit: int | None, offset: int) -> tuple[list[Entry], int]:
        asked = {word: value for word, value in sought._asdict().items() if value is not None}
        # Of the words of Sought alone: nothing of a caller's stands in the text of a query.
        where = " AND ".join(f"{word} = :{word}" for word in asked) or "1"
        count = f"SELECT count(*) FROM audit WHERE {where}"  # noqa: S608 - as above
        select = f"SELECT * FROM audit WHERE {where}"  # noqa: S608 - as above
        select += " ORDER BY row DESC LIMIT :most OFFSET :skipped"

        def read(connection: sqlite3.Connection) -> tuple[list[Entry], int]:
            (total,) = connection.execute(count, asked).fetchone()
            page = {**asked, "most": -1 if limit is None else limit, "skipped": offset}
            return [Entry(*row) for row in connection.execute(select, page)], total

        return self._writer.read(read)

    def flush(self) -> None:
        """What was answered is on the disk already; this waits for what is being answered."""
        self._writer.read(lambda connection: None)

    @property
    def trouble(self) -> str | None:
        """Why it took no changes when it was last asked; None where it did."""
        return self._writer.trouble

    def close(self) -> None:
        """Let go of the file. In a child of fork it is the parent's: nothing is touched."""
        if os.getpid() == self._pid:
            self._writer.close()


def read_path(path: str | os.PathLike[str]) -> str:
    """The store's real path: the lock stands beside it, whatever link led here."""
    try:
        text = os.fsdecode(path)
    except TypeError:
        text = ""
    if not text or "\0" in text:
        raise fault("invalid_request", "must be a path", "path")
    place = os.path.realpath(text)
    if not os.path.isdir(os.path.dirname(place)):
        raise fault("invalid_request", "its folder does not exist", "path")
    return place


def read_records(connection: sqlite3.Connection) -> Iterator[tuple[Put, bool]]:
    """Every record in the order of making, and whether its secrets are encrypted."""
    query = "SELECT row, kind, id, sealed, data, crc FROM records ORDER BY row"
    for row, kind, id, sealed, data, crc in connection.execute(query):
        if record_crc(row, kind, id, sealed, data) != crc:
            raise fault("store_damaged", f"the {kind} {id!r} is not what was written")
        if kind not in KINDS:
            raise fault("store_refused", f"holds a {kind!r}, which this program does not know")
        yield Put(cast("Kind", kind), row, id, data), bool(sealed)
