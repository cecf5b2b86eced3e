"""The tables, and how a store of an older version becomes one of this.

`records` holds the packed record of each entity under its place in the order of making; `meta` what there is
one of (sequences of integer ids, settings of files, the count of commits); `audit` the changes; `counters`
and `permits` what the engine gave to be put back; `periods` what was used in windows that have ended, of
limits whose owners stand in `limits`. A limit's key is its number * 4 + kind (tokens 0, requests 1, budget
2). A checksum stands beside what decisions depend on: SQLite notices a torn page, and not a changed byte in
one.

A new version is one more entry of MIGRATIONS, and one more file in `tests/stores/`.
"""

import sqlite3
import zlib
from typing import Final

from limen.errors import fault

APPLICATION_ID: Final = 0x6C696D6E
"""`limn`: written into the file's header, so that no other program's file is taken for a store."""

MIGRATIONS: Final = (
    """
CREATE TABLE meta (name TEXT PRIMARY KEY, value BLOB NOT NULL, crc INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE records (
  row INTEGER PRIMARY KEY,
  kind TEXT NOT NULL,
  id TEXT NOT NULL,
  sealed INTEGER NOT NULL,
  data BLOB NOT NULL,
  crc INTEGER NOT NULL
);
CREATE TABLE audit (
  row INTEGER PRIMARY KEY,
  at INTEGER NOT NULL,
  actor TEXT NOT NULL,
  action TEXT NOT NULL,
  entity TEXT NOT NULL,
  id TEXT NOT NULL,
  before BLOB,
  after BLOB
);
CREATE INDEX audit_of ON audit (entity, id);
""",
    """
CREATE TABLE counters (
  key INTEGER PRIMARY KEY,
  start INTEGER NOT NULL,
  finish INTEGER NOT NULL,
  total INTEGER NOT NULL,
  data BLOB NOT NULL,
  crc INTEGER NOT NULL
);
CREATE TABLE permits (key INTEGER PRIMARY KEY, data BLOB NOT NULL, crc INTEGER NOT NULL);
CREATE TABLE limits (
  number INTEGER PRIMARY KEY,
  level TEXT NOT NULL,
  owner_id TEXT NOT NULL,
  limit_id TEXT NOT NULL
);
CREATE TABLE periods (
  key INTEGER NOT NULL,
  start INTEGER NOT NULL,
  finish INTEGER NOT NULL,
  most INTEGER,
  used INTEGER NOT NULL,
  PRIMARY KEY (key, start)
) WITHOUT ROWID;
CREATE INDEX periods_until ON periods (finish);
""",
)
VERSION: Final = len(MIGRATIONS)


def version_of(connection: sqlite3.Connection) -> int:
    """The version of a store; StorageError where it is none, or a newer one than this program knows."""
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    return check_version(application, version)


def check_version(application: int, version: int) -> int:
    """The same of the two numbers at hand."""
    if application != APPLICATION_ID:
        raise fault("store_refused", "is a SQLite file of another program")
    if version > VERSION:
        words = f"is of version {version}, and this program knows {VERSION}: open it with a newer limen"
        raise fault("store_refused", words)
    return int(version)


def migrate(connection: sqlite3.Connection, version: int) -> None:
    """Bring a store from `version` (0: an empty file) to this one: all of it, or nothing."""
    connection.execute("BEGIN IMMEDIATE")
    for script in MIGRATIONS[version:]:
        # executescript would commit on its own.
        for statement in script.split(";"):
            if statement.strip():
                connection.execute(statement)
    connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    connection.execute(f"PRAGMA user_version = {VERSION}")
    connection.execute("COMMIT")


def record_crc(row: int, kind: str, id: str, sealed: int, data: bytes) -> int:
    """The checksum of a row of `records`."""
    return zlib.crc32(data, zlib.crc32(f"{row} {kind} {id} {sealed}".encode()))


def usage_crc(key: int, data: bytes) -> int:
    """The checksum of a row of `counters` or `permits`."""
    return zlib.crc32(data, zlib.crc32(b"%d" % key))


def meta_crc(name: str, value: bytes) -> int:
    """The checksum of a row of `meta`."""
    return zlib.crc32(value, zlib.crc32(name.encode()))
