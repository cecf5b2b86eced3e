"""Reading what can be read of a damaged store, past pages that cannot.

A table is read from its beginning to the first bad page, then from its end back to the last one, then row by
row between. A row counts only if it is what was written: its checksum says so.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import suppress
from typing import Any, Final, NamedTuple, cast

import msgspec

from limen.resources.change import Entry
from limen.resources.records import KINDS, Kind, unpack
from limen.store.schema import meta_crc, record_crc, usage_crc, version_of

# How many rows are asked for one by one, where neither end of a table could be reached.
PROBES: Final = 1_000_000


class Found(NamedTuple):
    """One good row of `records`, as it lies."""

    row: int
    kind: Kind
    id: str
    sealed: bool
    data: bytes


class Salvage(NamedTuple):
    """The good rows, by their number; `lost` says what was met that is not. `usage` is by table."""

    records: dict[int, Found]
    meta: dict[str, bytes]
    audit: list[Entry]
    usage: dict[str, list[tuple[Any, ...]]]
    lost: list[str]


USAGE_SINCE: Final = 2
"""The version of a store that began to keep usage."""


def read_everything(connection: sqlite3.Connection) -> Salvage:
    """What is readable of every table."""
    found = Salvage({}, {}, [], {}, [])
    with _noting(found, "meta"):
        for name, value, crc in connection.execute("SELECT name, value, crc FROM meta"):
            if meta_crc(str(name), bytes(value)) == crc:
                found.meta[name] = value
            else:
                found.lost.append(f"what was kept as {name!r}: it is not what was written")
    for values in _rows(connection, "records", "row, kind, id, sealed, data, crc", found):
        _take_record(values, found)
    for values in _rows(connection, "audit", "*", found):
        found.audit.append(Entry(*values))
    found.audit.sort()
    if version_of(connection) >= USAGE_SINCE:
        _take_usage(connection, found)
    return found


def _take_usage(connection: sqlite3.Connection, found: Salvage) -> None:
    for table in ("counters", "permits"):
        rows = found.usage[table] = []
        for values in _rows(connection, table, "*", found, "key"):
            key, *_, data, crc = values
            if isinstance(key, int) and isinstance(data, bytes) and usage_crc(key, data) == crc:
                rows.append(values)
            else:
                found.lost.append(f"a row of {table}: it is not what was written")
    for table in ("limits", "periods"):
        rows = found.usage[table] = []
        with _noting(found, table):
            for values in connection.execute(f"SELECT * FROM {table}"):  # noqa: S608 - one of the two above
                rows.append(values)


class _noting:  # noqa: N801 - a context manager, used as a word
    """Errors of reading a table become lines of what was lost."""

    def __init__(self, found: Salvage, table: str) -> None:
        self.found = found
        self.table = table

    def __enter__(self) -> None: ...

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> bool:
        if isinstance(error, sqlite3.DatabaseError | TypeError):
            self.found.lost.append(f"a part of {self.table}: {error}")
            return True
        return False


def _take_record(values: tuple[Any, ...], found: Salvage) -> None:
    row, kind, id, sealed, data, crc = values
    try:
        good = record_crc(row, kind, id, sealed, data) == crc
    except (TypeError, ValueError):
        good = False
    if not good:
        found.lost.append(f"the {kind} {id!r}: it is not what was written")
    elif kind not in KINDS:
        found.lost.append(f"the {kind} {id!r}: this program does not know what it is")
    else:
        with suppress(msgspec.MsgspecError):
            unpack(kind, data)
            found.records[row] = Found(row, cast("Kind", kind), id, bool(sealed), data)
            return
        found.lost.append(f"the {kind} {id!r}: it cannot be read")


def _rows(
    connection: sqlite3.Connection, table: str, columns: str, found: Salvage, place: str = "row"
) -> Iterator[tuple[Any, ...]]:
    """Every row that can be read, in no order."""
    query = f"SELECT {columns} FROM {table}"  # noqa: S608 - names of this module
    low, high = 0, None
    before = len(found.lost)
    with _noting(found, table):
        for values in connection.execute(f"{query} ORDER BY {place}"):
            low = values[0]
            yield values
    if len(found.lost) == before:
        return
    with suppress(sqlite3.DatabaseError):
        for values in connection.execute(f"{query} WHERE {place} > ? ORDER BY {place} DESC", (low,)):
            high = values[0]
            yield values
    known = 0
    with suppress(ValueError):
        known = int(found.meta.get("sequence." + table.removesuffix("s"), b""))
    for row in range(low + 1, min(high or max(known, low) + 1, low + PROBES)):
        with suppress(sqlite3.DatabaseError):
            yield from connection.execute(f"{query} WHERE {place} = ?", (row,))
