"""Reading a store beside the engine that has it: a backup as of one instant, and all its records.

SQLite's log lets any number read while one writes; nothing here writes, or takes the lock.
"""

import os
import sqlite3
from contextlib import closing, suppress

from limen.errors import fault
from limen.resources.change import Identity, Kept
from limen.store import files
from limen.store.meta import read_all
from limen.store.schema import version_of
from limen.store.store import SEQUENCE, SETTINGS, read_records


def copy(path: str, to: str) -> int:
    """Write a store that is as this one at one instant; its size. StorageError where TO is there already."""
    refuse_old(to)
    fresh = to + ".new"
    try:
        with suppress(FileNotFoundError):
            os.unlink(fresh)
        os.close(os.open(fresh, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600))
        with closing(files.connect(path, "ro")) as source, closing(files.connect(fresh, "rw")) as target:
            version_of(source)
            # In one step, so that it is one instant: a writer between two would start it anew.
            source.backup(target)
            found = target.execute("PRAGMA quick_check(1)").fetchone()[0]
        if found != "ok":
            raise files.damaged(path, found)
        size = os.path.getsize(fresh)
        files.take_name(fresh, to)
    except sqlite3.Error as error:
        raise files.refusal(path, error) from None
    except OSError as error:
        raise fault("storage_unavailable", f"{to} cannot be written: {error.strerror or error}") from None
    finally:
        for suffix in ("", "-wal", "-shm"):
            with suppress(FileNotFoundError):
                os.unlink(fresh + suffix)
    return size


def read(path: str) -> Kept:
    """All that is in a store, secrets as they lie."""
    try:
        with closing(files.connect(path, "ro")) as connection:
            version_of(connection)
            connection.execute("BEGIN")
            meta = dict(read_all(connection))
            puts = [put for put, _ in read_records(connection)]
    except sqlite3.Error as error:
        raise files.refusal(path, error) from None
    numbers = {name: int(value) for name, value in meta.items() if name.startswith(SEQUENCE)}
    return Kept(puts, numbers, meta.get(SETTINGS), Identity(b"", 0))


def refuse_old(to: str) -> None:
    """What is there is never written over."""
    if os.path.lexists(to) or os.path.lexists(to + "-wal"):
        raise fault("storage_unavailable", f"{to} is there already, and is not written over")
