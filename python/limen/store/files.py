"""The file of a store: made whole or not at all, and looked at before it is opened.

What is no store, or damaged, or newer, is refused as it lies: the first look only reads.
"""

import errno
import os
import sqlite3
from contextlib import closing, suppress
from typing import Final
from urllib.parse import quote

from limen.errors import LimenError, fault
from limen.store.schema import VERSION, check_version, migrate, version_of

MAGIC: Final = b"SQLite format 3\x00"
BUSY_S: Final = 2.0


def connect(path: str, mode: str) -> sqlite3.Connection:
    """A connection in autocommit, `mode` ro or rw: it never makes a file."""
    uri = f"file:{quote(path)}?mode={mode}"
    # The thread that opens it is the thread that uses it; an opening that fails may be cleaned up by another.
    connection = sqlite3.connect(uri, uri=True, isolation_level=None, timeout=BUSY_S, check_same_thread=False)
    try:
        connection.execute("PRAGMA trusted_schema = OFF")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA cell_size_check = ON")
    except BaseException:
        connection.close()
        raise
    return connection


def create(path: str) -> None:
    """An empty store. It takes its name when it is whole, so that a half-made one is never found."""
    fresh = path + ".new"
    with suppress(FileNotFoundError):
        os.unlink(fresh)
    os.close(os.open(fresh, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600))
    with closing(connect(fresh, "rw")) as connection:
        migrate(connection, 0)
        connection.execute("PRAGMA journal_mode = WAL")
    take_name(fresh, path)


def take_name(fresh: str, path: str) -> None:
    """Give a whole file its name, on the disk before this returns; never that of another."""
    with open(fresh, "rb") as file:
        os.fsync(file.fileno())
    if os.path.lexists(path):
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), path)
    os.rename(fresh, path)
    folder = os.open(os.path.dirname(path) or ".", os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def bring_up(path: str) -> None:
    """Make a store of an older version one of this; one that was restored from a text gets its log."""
    with closing(connect(path, "rw")) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        version = version_of(connection)
        if version < VERSION:
            migrate(connection, version)


def is_there(path: str) -> bool:
    """Whether there is a store to open; where only a part of one is left, that is said, not passed over."""
    if os.path.exists(path):
        return True
    if os.path.exists(path + "-wal"):
        words = f"{path} is missing, and its log is there: was it moved? Put it back, or remove {path}-wal"
        raise fault("store_damaged", words)
    return False


def look(path: str) -> None:
    """Refuse what cannot be a store of ours, or is damaged, and change nothing about it."""
    try:
        _look_at_header(path)
        with closing(connect(path, "ro")) as connection:
            version_of(connection)
            # Every page is read and every tree walked; what is in the rows has checksums of its own.
            found = [row[0] for row in connection.execute("PRAGMA quick_check(3)")]
            if found != ["ok"]:
                raise damaged(path, "; ".join(found))
    except sqlite3.DatabaseError as error:
        raise refusal(path, error) from None
    except LimenError as error:
        raise named(path, error) from None


def _look_at_header(path: str) -> None:
    if not os.path.isfile(path):
        raise fault("store_refused", "is no file")
    with open(path, "rb") as file:
        head = file.read(100)
    if not head:
        raise damaged(path, "it is empty, and a store never is: remove it if nothing was in it")
    if head[:16] != MAGIC[: len(head)]:
        raise fault("store_refused", "is no SQLite file, or its first page is damaged")
    if len(head) < 100:
        raise damaged(path, "it ends within its header")
    check_version(int.from_bytes(head[68:72], "big"), int.from_bytes(head[60:64], "big"))


def damaged(path: str, reason: str) -> LimenError:
    """The refusal of a damaged store, with its name and the way out."""
    return fault("store_damaged", f"{path} is damaged: {reason}. See what can be saved: limen doctor {path}")


def refusal(path: str, error: sqlite3.Error) -> LimenError:
    """What an error of SQLite says about the store."""
    name = getattr(error, "sqlite_errorname", "")
    if name.startswith(("SQLITE_CORRUPT", "SQLITE_NOTADB")):
        return damaged(path, str(error))
    return fault("storage_unavailable", f"{path}: {error}")


def named(path: str, error: LimenError) -> LimenError:
    """The fault with the file's name before it, where it has none yet."""
    return error if path in error.message else fault(error.code, f"{path} {error.message}")
