"""What is wrong with a store, all of it, and what can be done: reads everything, changes nothing."""

import os
import sqlite3
from contextlib import closing
from typing import NamedTuple

import msgspec

from limen.errors import LimenError
from limen.resources.records import Kind, unpack
from limen.resources.rows import references
from limen.store import files
from limen.store.lock import holder
from limen.store.salvage import Salvage, read_everything
from limen.store.schema import version_of

MOST = 100


class Report(NamedTuple):
    """`faults` empty: nothing is wrong. `holder` is who has it open, `records` counts the good ones."""

    version: int | None
    holder: str | None
    records: dict[str, int]
    audit: int
    faults: list[str]
    advice: list[str]


def examine(path: str) -> Report:
    """Look at the file, its pages, its rows and what they name."""
    faults: list[str] = []
    version, found = None, Salvage({}, {}, [], {}, [])
    try:
        with closing(files.connect(path, "ro")) as connection:
            version = version_of(connection)
            faults += _pages(connection)
            found = read_everything(connection)
    except sqlite3.DatabaseError as error:
        faults.append(f"cannot be read as a database: {error}")
    except LimenError as error:
        return Report(None, None, {}, 0, [error.message], ["it is left as it is: nothing here can help"])
    if not os.path.getsize(path):
        faults = ["the file is empty"]
    faults += found.lost
    faults += dangling(found)
    counts: dict[str, int] = {}
    for put in found.records.values():
        counts[put.kind] = counts.get(put.kind, 0) + 1
    advice = []
    if faults:
        advice = [
            "if there is a backup, put it in this place: it is whole",
            f"else save what is readable: limen doctor {path} --recover NEW_FILE, and start with that",
        ]
    elif any(put.sealed for put in found.records.values()):
        advice = ["it holds encrypted secrets: it opens with their LIMEN_SECRET_KEY only"]
    return Report(version, holder(path), counts, len(found.audit), faults[:MOST], advice)


def _pages(connection: sqlite3.Connection) -> list[str]:
    try:
        found = [row[0] for row in connection.execute(f"PRAGMA integrity_check({MOST})")]
    except sqlite3.DatabaseError as error:
        return [f"its pages cannot be checked: {error}"]
    return [] if found == ["ok"] else [f"pages: {line}" for line in found]


def dangling(found: Salvage) -> list[str]:
    """What names an entity that is not there."""
    there = {(put.kind, put.id) for put in found.records.values()}
    faults = []
    for put in found.records.values():
        for kind, id in named(put.kind, put.data):
            if (kind, id) not in there:
                faults.append(f"the {put.kind} {put.id!r} names the {kind} {id!r}, which is not there")
    return faults


def named(kind: Kind, data: bytes) -> list[tuple[Kind, str]]:
    """What a packed record names; nothing where it is none."""
    try:
        return references(kind, unpack(kind, data))
    except msgspec.MsgspecError:
        return []
