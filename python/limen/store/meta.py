"""The table of what there is one of: a name, its bytes, and their checksum."""

import sqlite3
from collections.abc import Iterator

from limen.errors import fault
from limen.store.schema import meta_crc


def read_all(connection: sqlite3.Connection) -> Iterator[tuple[str, bytes]]:
    """Every (name, value); StorageError where one is not what was written."""
    for name, value, crc in connection.execute("SELECT name, value, crc FROM meta"):
        if meta_crc(str(name), bytes(value)) != crc:
            raise fault("store_damaged", f"what is kept as {name!r} is not what was written")
        yield name, value


def read_number(connection: sqlite3.Connection, name: str) -> int:
    """A number, 0 where there is none yet."""
    return next((int(value) for found, value in read_all(connection) if found == name), 0)


def write(connection: sqlite3.Connection, name: str, value: bytes) -> None:
    """Set one value."""
    row = (name, value, meta_crc(name, value))
    connection.execute("INSERT OR REPLACE INTO meta (name, value, crc) VALUES (?, ?, ?)", row)


def write_number(connection: sqlite3.Connection, name: str, number: int) -> None:
    """Set one number."""
    write(connection, name, b"%d" % number)
