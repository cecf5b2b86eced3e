"""Secrets at rest: with a key they are encrypted, bound to their place; without one the start says so."""

from __future__ import annotations

import base64
import logging
import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import limen
from house import refused
from limen.store import vault

SECRET, OTHER = "sk-canary-4b1d6f0e7c", "vertex-canary-91ab73"
KEY = base64.b64encode(bytes(range(32))).decode()
WRONG = base64.b64encode(bytes(32)).decode()


@pytest.fixture
def store(tmp_path: Path) -> Path:
    return tmp_path / "limen.db"


@pytest.fixture
def key(monkeypatch: pytest.MonkeyPatch) -> Callable[[str | None], None]:
    def set_key(text: str | None) -> None:
        monkeypatch.delenv(vault.KEY_FILE, raising=False)
        if text is None:
            monkeypatch.delenv(vault.KEY, raising=False)
        else:
            monkeypatch.setenv(vault.KEY, text)

    set_key(None)
    return set_key


def furnish(store: Path) -> None:
    with limen.Engine.open(store, settings={"secret_env": ["NAME"]}) as engine:
        body = {"provider": "p", "name": "a", "value": SECRET, "vertex_auth_credentials": OTHER}
        engine.provider_keys.create({**body, "azure_endpoint": "env.NAME"})
        engine.provider_keys.create({"provider": "p", "name": "b", "value": SECRET})


def written(store: Path) -> bytes:
    return b"".join(path.read_bytes() for path in store.parent.glob("limen.db*"))


def revealed(store: Path) -> list[str]:
    with limen.Engine.open(store) as engine:
        records = [engine._book.get("provider_key", key.key_id) for key in engine.provider_keys.list()]
        return [row.text.reveal() for record in records for row in record.secrets.values()]


ALL = [SECRET, "env.NAME", OTHER, SECRET]


def test_with_a_key_no_secret_is_on_the_disk_and_all_are_there_again(
    store: Path, key: Callable[[str | None], None]
) -> None:
    key(KEY)
    furnish(store)
    found = written(store)
    assert SECRET.encode() not in found
    assert OTHER.encode() not in found
    assert b"env.NAME" in found, "a name is no secret"
    assert sorted(revealed(store)) == sorted(ALL)


def test_a_key_that_comes_later_encrypts_what_is_there(
    store: Path, key: Callable[[str | None], None], caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, "limen"):
        furnish(store)
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "LIMEN_SECRET_KEY" in caplog.text
    assert SECRET.encode() in written(store)
    caplog.clear()
    key(KEY)
    assert sorted(revealed(store)) == sorted(ALL)
    assert caplog.records == []
    with sqlite3.connect(store) as connection:
        rows = connection.execute("SELECT sealed FROM records WHERE kind = 'provider_key'").fetchall()
    connection.close()
    assert rows == [(1,), (1,)]
    assert SECRET.encode() not in written(store)
    assert sorted(revealed(store)) == sorted(ALL)


def test_without_the_key_or_with_another_the_store_is_refused(
    store: Path, key: Callable[[str | None], None]
) -> None:
    key(KEY)
    furnish(store)
    for wrong, word in ((None, "set LIMEN_SECRET_KEY"), (WRONG, "not the one they were written with")):
        key(wrong)
        error = refused(lambda: limen.Engine.open(store), "store_refused")
        assert word in error.message
        assert str(store) in error.message
        assert SECRET not in str(error)
    key(KEY)
    assert sorted(revealed(store)) == sorted(ALL)


def test_a_secret_is_bound_to_its_place() -> None:
    cipher = vault.Vault(bytes(32))
    sealed = cipher._encrypt(vault._place("provider_key", "a", "value"), "text")
    assert cipher._decrypt(vault._place("provider_key", "a", "value"), sealed) == "text"
    for place in (("provider_key", "b", "value"), ("provider_key", "a", "azure_endpoint")):
        refused(lambda place=place: cipher._decrypt(vault._place(*place), sealed), "store_refused")
    again = cipher._encrypt(vault._place("provider_key", "a", "value"), "text")
    assert again != sealed, "a nonce is used once"


FAULTY = {
    "no base64": "not base64!",
    "too short": base64.b64encode(bytes(16)).decode(),
    "too long": base64.b64encode(bytes(33)).decode(),
    "not ASCII": "ä" * 44,
}


@pytest.mark.parametrize("text", FAULTY.values(), ids=FAULTY.keys())
def test_a_key_that_is_none_is_a_fault_and_makes_no_store(
    store: Path, key: Callable[[str | None], None], text: str
) -> None:
    key(text)
    error = refused(lambda: limen.Engine.open(store), "invalid_request", "LIMEN_SECRET_KEY")
    assert text not in str(error)
    assert not store.exists()


def test_the_key_may_stand_in_a_file(
    store: Path, key: Callable[[str | None], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    file = store.with_name("key")
    monkeypatch.setenv(vault.KEY_FILE, str(file))
    refused(lambda: limen.Engine.open(store), "invalid_request", "LIMEN_SECRET_KEY_FILE")
    file.write_text(KEY + "\n")
    furnish(store)
    assert SECRET.encode() not in written(store)
    monkeypatch.setenv(vault.KEY, KEY)
    refused(lambda: limen.Engine.open(store), "invalid_request", "LIMEN_SECRET_KEY")


def test_without_the_extra_a_key_is_refused_with_the_way_to_get_it(store: Path) -> None:
    code = "import sys; sys.modules['cryptography'] = None; import limen; limen.Engine.open(sys.argv[1])"
    environment = {**os.environ, "LIMEN_SECRET_KEY": KEY}
    words = [sys.executable, "-c", code, store]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60, env=environment)
    assert "pip install 'limen[secrets]'" in done.stderr.splitlines()[-1]


def test_files_of_a_store_are_its_owners_alone(store: Path) -> None:
    with limen.Engine.open(store) as engine:
        engine.customers.create({"name": "c"})
        modes = {path.name: path.stat().st_mode & 0o777 for path in store.parent.glob("limen.db*")}
    assert modes == dict.fromkeys(("limen.db", "limen.db-wal", "limen.db-shm", "limen.db.lock"), 0o600)
