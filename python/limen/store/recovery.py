"""A new store of what is readable of a damaged one. It opens, and it loosens nothing.

Where an entity is lost, what named it must go on without its limits, or stop. A virtual key whose team or
customer is lost is switched off and detached, as are the keys of a team whose customer is lost; a list of
provider keys loses the name, and closes the provider where it becomes empty; whatever else named the lost one
is dropped. All of it is said.
"""

import os
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from typing import NamedTuple, cast

from limen.errors import fault
from limen.resources.anchors import limit_rows
from limen.resources.records import (
    KINDS,
    Kind,
    ProviderKeyRow,
    ProviderRow,
    Record,
    TeamRow,
    VirtualKeyRow,
    pack,
    unpack,
)
from limen.resources.rows import references
from limen.store import files
from limen.store.copies import refuse_old
from limen.store.meta import write
from limen.store.salvage import Found, Salvage, read_everything
from limen.store.schema import record_crc, version_of
from limen.store.store import BOOT

# Ids that were given out, and are not seen any more, are not given out again.
SPARED = 1_000
# Permits are of an earlier opening than the one that finds them. No store was opened so often, and as many
# numbers are left.
OPENINGS = 1 << 23


class Saved(NamedTuple):
    """How many records of each kind, how many audit entries, and what is lost or was switched off."""

    records: dict[str, int]
    audit: int
    lost: list[str]


def recover(path: str, to: str) -> Saved:
    """Write the new store; StorageError where TO is there already, or nothing can be read."""
    refuse_old(to)
    try:
        with _whole(path, to) as whole, closing(files.connect(whole, "ro")) as connection:
            version_of(connection)
            found = read_everything(connection)
    except sqlite3.Error as error:
        raise fault("store_damaged", f"{path}: nothing of it can be read: {error}") from None
    if not found.records:
        raise fault("store_damaged", f"{path}: no record of it can be read")
    kept = _standing(found)
    try:
        _write(to, found, kept)
    except (OSError, sqlite3.Error) as error:
        raise fault("storage_unavailable", f"{to} cannot be written: {error}") from None
    counts: dict[str, int] = {}
    for put in kept:
        counts[put.kind] = counts.get(put.kind, 0) + 1
    return Saved(counts, len(found.audit), found.lost)


@contextmanager
def _whole(path: str, to: str) -> Iterator[str]:
    """The file; of one that was cut a copy with zeros for what is gone, since SQLite opens no shorter one."""
    with open(path, "rb") as file:
        head = file.read(100)
    size = int.from_bytes(head[16:18], "big") * int.from_bytes(head[28:32], "big")
    if os.path.getsize(path) >= size:
        yield path
        return
    copy = to + ".part"
    try:
        shutil.copyfile(path, copy)
        if os.path.exists(path + "-wal"):
            shutil.copyfile(path + "-wal", copy + "-wal")
        os.truncate(copy, size)
        yield copy
    finally:
        for suffix in ("", "-wal", "-shm"):
            with suppress(FileNotFoundError):
                os.unlink(copy + suffix)


def _standing(found: Salvage) -> list[Found]:
    """The records that can stand together, in the order of making."""
    there: set[tuple[Kind, str]] = set()
    orphans: set[str] = set()
    kept: list[Found] = []
    for kind in KINDS:
        for put in found.records.values():
            if put.kind != kind:
                continue
            record = unpack(kind, put.data)
            missing = [named for named in references(kind, record) if named not in there]
            if isinstance(record, VirtualKeyRow) and record.team_id in orphans:
                missing.append(("customer", f"of the team {record.team_id}"))
            if missing:
                names = ", ".join(f"the {other} {id}" for other, id in missing)
                words = _mend(record, missing, orphans)
                found.lost.append(f"the {kind} {put.id!r} named {names}: {words}")
                if words == DROPPED:
                    continue
                put = put._replace(data=pack(record))
            there.add((kind, put.id))
            kept.append(put)
    return sorted(kept)


DROPPED = "it is dropped"


def _mend(record: Record, missing: list[tuple[Kind, str]], orphans: set[str]) -> str:
    """Let a record go on without what it named; what was done, or DROPPED."""
    if isinstance(record, TeamRow):
        record.customer_id = None
        orphans.add(record.id)
        return "it is detached, and its keys are switched off"
    if not isinstance(record, VirtualKeyRow):
        return DROPPED
    gone = set(missing)
    for config in record.providers:
        if config.key_ids is not None:
            config.key_ids = [id for id in config.key_ids if ("provider_key", id) not in gone]
    if not {kind for kind, _ in missing} & {"team", "customer"}:
        return "the name is taken out of its lists"
    if ("team", record.team_id) in gone:
        record.team_id = None
    if ("customer", record.customer_id) in gone:
        record.customer_id = None
    record.active = False
    return "it is switched off"


def _write(to: str, found: Salvage, kept: list[Found]) -> None:
    files.create(os.path.realpath(to))
    with closing(files.connect(os.path.realpath(to), "rw")) as connection:
        connection.execute("BEGIN IMMEDIATE")
        for put in kept:
            crc = record_crc(put.row, put.kind, put.id, int(put.sealed), put.data)
            row = (put.row, put.kind, put.id, int(put.sealed), put.data, crc)
            connection.execute("INSERT INTO records VALUES (?, ?, ?, ?, ?, ?)", row)
        for entry in found.audit:
            connection.execute("INSERT INTO audit VALUES (?, ?, ?, ?, ?, ?, ?, ?)", entry)
        for table, rows in found.usage.items():
            for values in rows:
                marks = ", ".join("?" * len(values))
                insert = f"INSERT OR REPLACE INTO {table} VALUES ({marks})"  # noqa: S608 - a table of ours
                connection.execute(insert, values)
        for name, value in {**_sequences(found), **found.meta}.items():
            write(connection, name, value)
        connection.execute("COMMIT")


def _sequences(found: Salvage) -> dict[str, bytes]:
    """Numbers that are lost, from what is seen."""
    seen = {"record": max(found.records), "audit": max((entry.row for entry in found.audit), default=0)}
    for put in found.records.values():
        record = unpack(put.kind, put.data)
        seen["limit"] = max(seen.get("limit", 0), *(row.number for row in limit_rows(record)), 0)
        if isinstance(record, ProviderRow | ProviderKeyRow):
            seen[put.kind] = max(seen.get(put.kind, 0), record.number)
        for word, rows in (("provider_config", "providers"), ("mcp_config", "mcp")):
            for row in getattr(record, rows, ()):
                seen[word] = max(seen.get(word, 0), cast("int", row.id))
    # Those of deleted limits name their periods.
    seen["limit"] = max(seen.get("limit", 0), *(number for number, *_ in found.usage.get("limits", ())), 0)
    numbers = {f"sequence.{name}": b"%d" % (number + SPARED) for name, number in seen.items()}
    return {**numbers, BOOT: b"%d" % OPENINGS}
