"""Stores that are not opened: in use, damaged, newer, another's. The reason is said, the file left alone."""

from __future__ import annotations

import hashlib
import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import limen
from furnished import Furnished
from house import HOUR, START, refused
from limen.store import schema

GOLDEN = Path(__file__).parent / "stores"


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A closed store with something in it, long enough for pages to be hit."""
    path = tmp_path / "limen.db"
    monkeypatch.setattr("house.make_engine", lambda **options: limen.Engine.open(path, **options))
    with Furnished().engine as engine:
        for number in range(200):
            engine.customers.create({"name": f"customer {number}"})
    return path


def image(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


# In use


HOLD = "import sys, limen; e = limen.Engine.open(sys.argv[1]); print('open', flush=True); sys.stdin.read()"


def test_a_second_process_is_refused_at_once_and_told_who_has_it(store: Path) -> None:
    words = [sys.executable, "-c", HOLD, store]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        assert child.stdin is not None
        assert child.stdout.readline() == b"open\n"
        error = refused(lambda: limen.Engine.open(store), "store_locked")
        assert isinstance(error, limen.StorageError)
        assert error.status == 503
        assert f"process {child.pid}" in error.message
        assert str(store) in error.message
        child.stdin.close()
    limen.Engine.open(store).close()


def test_a_holder_that_was_killed_holds_nothing(store: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", HOLD, store], stdout=subprocess.PIPE, stdin=-1) as child:
        assert child.stdout is not None
        child.stdout.readline()
        child.kill()
    limen.Engine.open(store).close()


def test_two_engines_of_one_process_do_not_share_a_store(store: Path) -> None:
    with limen.Engine.open(store) as engine:
        error = refused(lambda: limen.Engine.open(store), "store_locked")
        assert f"another engine of this process ({os.getpid()})" in error.message
        engine.customers.create({"name": "goes on"})


FORK = """
import gc, os, sys, time, limen
engine = limen.Engine.open(sys.argv[1])
made = engine.customers.create({"name": "before"})
lock = engine._book.keeper._writer._closing
lock.acquire()  # as another thread might have at that moment
pid = os.fork()
if pid == 0:
    codes = []
    create = lambda: engine.customers.create({"name": "c"})
    again = lambda: limen.Engine.open(sys.argv[1])
    for call in (create, engine.audit.list, engine.flush, engine.close, again):
        try: call()
        except limen.LimenError as error: codes.append(error.code)
    del engine
    gc.collect()
    print(codes, flush=True)
    sys.exit(0)
lock.release()
os.waitpid(pid, 0)
for n in range(50):
    engine.customers.create({"name": f"after {n}"})
engine.close()
"""


def test_a_child_of_fork_is_refused_and_spoils_nothing_when_it_ends(store: Path) -> None:
    done = subprocess.run([sys.executable, "-c", FORK, store], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (0, f"{['engine_forked'] * 4 + ['store_locked']}\n"), done.stderr
    with limen.Engine.open(store) as engine:
        assert engine.customers.list(search="after").total_count == 50


ORPHAN = """
import os, sys, limen
engine = limen.Engine.open(sys.argv[1])
if os.fork() == 0:
    print(os.getpid(), flush=True)
    sys.stdin.read()
os._exit(0)
"""


def test_a_child_that_outlives_its_parent_does_not_keep_the_store(store: Path) -> None:
    words = [sys.executable, "-c", ORPHAN, store]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        assert parent.stdin is not None
        parent.stdout.readline()
        parent.wait()
        limen.Engine.open(store).close()
        parent.stdin.close()


# Damaged


def at(offset: int, data: bytes) -> Callable[[Path], None]:
    def damage(path: Path) -> None:
        with path.open("r+b") as file:
            file.seek(offset, os.SEEK_END if offset < 0 else os.SEEK_SET)
            file.write(data)

    return damage


def flip(needle: bytes) -> Callable[[Path], None]:
    """One byte of a row, which no page's structure tells."""

    def damage(path: Path) -> None:
        data = bytearray(path.read_bytes())
        data[data.index(needle)] ^= 1
        path.write_bytes(data)

    return damage


def cut(share: float) -> Callable[[Path], None]:
    return lambda path: os.truncate(path, int(path.stat().st_size * share))


def lose(path: Path) -> None:
    path.with_name(path.name + "-wal").write_bytes(b"left over")
    path.unlink()


def zero(needle: bytes) -> Callable[[Path], None]:
    """The page that holds this, whichever it is."""

    def damage(path: Path) -> None:
        data = path.read_bytes()
        at(data.index(needle) // 4096 * 4096, b"\0" * 4096)(path)

    return damage


def sql(statement: str) -> Callable[[Path], None]:
    def damage(path: Path) -> None:
        with sqlite3.connect(path) as connection:
            connection.execute(statement)
        connection.close()

    return damage


def unhinge(path: Path) -> None:
    """A team whose customer is gone, with every checksum true."""
    with sqlite3.connect(path) as connection:
        connection.execute("DELETE FROM records WHERE kind = 'customer'")
    connection.close()


DAMAGES: dict[str, tuple[str, Callable[[Path], None]]] = {
    "empty": ("store_damaged", cut(0)),
    "cut within the header": ("store_damaged", lambda path: os.truncate(path, 50)),
    "cut in the middle": ("store_damaged", cut(0.5)),
    "cut by a byte": ("store_damaged", cut(0.9999)),
    "garbage": ("store_refused", lambda path: path.write_bytes(b"garbage " * 4096)),
    "no magic": ("store_refused", at(0, b"\0")),
    "a page of zeros": ("store_damaged", at(2 * 4096, b"\0" * 4096)),
    "a page of noise": ("store_damaged", at(5 * 4096, bytes(range(256)) * 16)),
    "the last page": ("store_damaged", at(-4096, b"\xff" * 4096)),
    "the schema": ("store_damaged", at(100, b"\xff" * 200)),
    "a page of the audit": ("store_damaged", zero(b'"name":"customer 150"')),
    "a provider key that is named": ("store_damaged", sql("DELETE FROM records WHERE kind = 'provider_key'")),
    "a changed byte in a row": ("store_damaged", flip(b"customer 77")),
    "a changed byte in a number": ("store_damaged", flip(b"sequence.record")),
    "a row that is no record": ("store_damaged", sql("UPDATE records SET data = x'00' WHERE row = 3")),
    "a reference into nothing": ("store_damaged", unhinge),
    "a kind of the future": ("store_damaged", sql("UPDATE records SET kind = 'planet' WHERE row = 3")),
    "only its log": ("store_damaged", lose),
}


@pytest.mark.parametrize(("code", "damage"), DAMAGES.values(), ids=DAMAGES.keys())
def test_a_damaged_store_is_refused_with_its_name_and_never_begins_at_zero(
    store: Path, code: str, damage: Callable[[Path], None]
) -> None:
    damage(store)
    before = image(store) if store.exists() else None
    error = refused(lambda: limen.Engine.open(store), code)
    assert str(store) in error.message
    if code == "store_damaged" and before:
        assert f"limen doctor {store}" in error.message
    assert (image(store) if store.exists() else None) == before
    refused(lambda: limen.Engine.open(store), code)


def test_an_empty_file_is_said_to_be_empty(tmp_path: Path) -> None:
    (tmp_path / "limen.db").touch()
    error = refused(lambda: limen.Engine.open(tmp_path / "limen.db"), "store_damaged")
    assert "it is empty, and a store never is" in error.message


def test_a_torn_log_loses_nothing_that_was_synced_before_it(store: Path) -> None:
    with limen.Engine.open(store) as engine:
        engine.customers.create({"name": "in the log"})
        log = store.with_name("limen.db-wal").read_bytes()
        data = store.read_bytes()
    store.write_bytes(data)
    store.with_name("limen.db-wal").write_bytes(log[:-3000])
    with limen.Engine.open(store) as engine:
        assert engine.customers.list(search="customer ").total_count == 200


# Of another program, or a newer one


def test_a_newer_store_is_refused_and_not_touched(store: Path) -> None:
    sql(f"PRAGMA user_version = {schema.VERSION + 1}")(store)
    before = image(store)
    error = refused(lambda: limen.Engine.open(store), "store_refused")
    assert f"version {schema.VERSION + 1}" in error.message
    assert image(store) == before


@pytest.mark.parametrize("application", [0, 252006674])
def test_a_file_of_another_program_is_refused_and_not_touched(tmp_path: Path, application: int) -> None:
    path = tmp_path / "theirs.db"
    with sqlite3.connect(path) as connection:
        connection.execute(f"PRAGMA application_id = {application}")
        connection.execute("CREATE TABLE records (a)")
    connection.close()
    before = image(path)
    refused(lambda: limen.Engine.open(path), "store_refused")
    assert image(path) == before


PLACES: dict[str, tuple[Any, str]] = {
    "a folder": ("", "store_refused"),
    "a folder that is not there": ("nowhere/limen.db", "invalid_request"),
    "a number": (7, "invalid_request"),
    "nothing": (None, "invalid_request"),
    "a zero byte": ("a\0b", "invalid_request"),
    "a device": ("/dev/null", "store_refused"),
}


@pytest.mark.parametrize(("place", "code"), PLACES.values(), ids=PLACES.keys())
def test_what_is_no_place_for_a_store_is_refused(tmp_path: Path, place: Any, code: str) -> None:
    path = tmp_path / place if isinstance(place, str) and "\0" not in place else place
    refused(lambda: limen.Engine.open(path), code)


# Versions


@pytest.mark.parametrize("version", range(1, schema.VERSION + 1))
def test_a_store_of_every_version_opens_as_one_of_this(tmp_path: Path, version: int) -> None:
    path = tmp_path / "old.db"
    with sqlite3.connect(path) as connection:
        connection.executescript((GOLDEN / f"v{version}.sql").read_text())
    connection.close()
    clock = limen.ManualClock(START + HOUR)
    with limen.Engine.open(path, clock=clock) as engine:
        assert [customer.name for customer in engine.customers.list()] == ["acme"]
        assert [team.name for team in engine.teams.list()] == ["growth"]
        (key,) = engine.virtual_keys.list()
        assert (key.name, key.team_id) == ("bot", engine.teams.list().teams[0].id)
        assert engine.handle("sk-bf-golden").id == key.id
        assert engine.settings.permit_ttl_seconds == 60
        assert [entry.action for entry in engine.audit.list(entity="file")] == ["load"]
        assert engine.provider_keys.list().keys[0].id == 1
        if version >= 2:
            assert engine.open_permits() == 1
            assert [row.used for row in engine.usage(level="virtual_key")] == [2, 1]
        engine.customers.create({"name": "new"})
    with sqlite3.connect(path) as connection:
        assert connection.execute("PRAGMA user_version").fetchone() == (schema.VERSION,)
    connection.close()


def test_a_migration_that_fails_leaves_the_old_store(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "limen.store.schema.MIGRATIONS", (*schema.MIGRATIONS, "CREATE TABLE usage (a); BROKEN")
    )
    for module in ("schema", "files"):
        monkeypatch.setattr(f"limen.store.{module}.VERSION", schema.VERSION + 1)
    refused(lambda: limen.Engine.open(store), "storage_unavailable")
    monkeypatch.undo()
    limen.Engine.open(store).close()
