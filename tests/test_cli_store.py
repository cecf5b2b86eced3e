"""Commands over a store, as a user runs them: serve, doctor, backup, export."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import sqlite3
import threading
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

import limen
from furnished import SECRET, Furnished
from house import START, refused
from limen.resources.records import KINDS, unpack
from limen.resources.rows import core_row
from limen.store import copies
from test_cli import policy, run, serving
from test_store_refused import at, cut, flip, image, sql


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Furnished:
    """A furnished engine that is open, in limen.db."""
    path = tmp_path / "limen.db"
    monkeypatch.setattr("house.make_engine", lambda **options: limen.Engine.open(path, **options))
    return Furnished()


@pytest.fixture
def store(bench: Furnished, tmp_path: Path) -> Path:
    """The same, closed."""
    for number in range(200):
        bench.engine.customers.create({"name": f"customer {number}"})
    bench.engine.close()
    return tmp_path / "limen.db"


# serve


def ask(address: str, body: Any) -> Any:
    client = http.client.HTTPConnection(address.removeprefix("http://"), timeout=20)
    client.request("POST", "/v1/admit", json.dumps(body), {"content-type": "application/json"})
    reply = client.getresponse()
    answer = json.loads(reply.read())
    client.close()
    return reply.status, answer


KEY = {
    "name": "bot",
    "value": "sk-bf-served",
    "provider_configs": [{"provider": "p", "weight": 1, "allowed_models": ["*"]}],
}


def test_a_server_keeps_its_configuration(tmp_path: Path) -> None:
    db, file = tmp_path / "limen.db", policy(tmp_path, virtual_keys=[KEY])
    with serving("--db", db, "--config", file, "--port", "0") as (process, address):
        assert ask(address, {"virtual_key": "sk-bf-served", "model": "m"})[0] == 200
    assert f"configuration and usage are in {db}: a crash loses at most" in process.printed[2]
    with serving("--db", db, "--port", "0") as (_, address):
        assert ask(address, {"virtual_key": "sk-bf-served", "model": "m"})[0] == 200
    file = policy(tmp_path, virtual_keys=[])
    with serving("--db", db, "--config", file, "--port", "0") as (_, address):
        assert ask(address, {"virtual_key": "sk-bf-served", "model": "m"})[0] == 200
    with serving("--db", db, "--config", file, "--prune", "--port", "0") as (_, address):
        assert ask(address, {"virtual_key": "sk-bf-served", "model": "m"})[0] == 401


def test_a_hangup_has_the_file_taken_again_and_a_faulty_one_changes_nothing(tmp_path: Path) -> None:
    prices = tmp_path / "prices.json"
    prices.write_text(json.dumps({"m": {"input_cost_per_token": 1e-6, "output_cost_per_token": 0}}))
    key = {**KEY, "budget": {"max_limit": 100, "reset_duration": "1d"}}
    file = policy(tmp_path, virtual_keys=[key], price_catalog="prices.json")
    asked = {"virtual_key": "sk-bf-served", "model": "m", "provider": "p", "input_tokens": 1_000_000}
    with serving("--config", file, "--port", "0") as (process, address):
        assert process.stderr is not None

        def hangup() -> str:
            process.send_signal(signal.SIGHUP)
            assert process.stderr is not None
            lines = iter(process.stderr.readline, "")
            return next(line for line in lines if str(file) in line)

        assert ask(address, asked)[1]["held"]["cost_usd"] == 1
        prices.write_text(json.dumps({"m": {"input_cost_per_token": 3e-6, "output_cost_per_token": 0}}))
        assert "is loaded again: 0 created, 0 updated, 0 removed" in hangup()
        assert ask(address, asked)[1]["held"]["cost_usd"] == 3
        policy(tmp_path, virtual_keys=[{**key, "nope": 1}], price_catalog="prices.json")
        assert "is not loaded: virtual_keys[0].nope" in hangup()
        assert ask(address, asked)[1]["held"]["cost_usd"] == 3
        tokens = {"gateway_tokens": [{"name": "g", "token": "t" * 20}]}
        policy(tmp_path, virtual_keys=[], settings=tokens, price_catalog="prices.json")
        assert "is loaded again" in hangup()
        assert "when the server starts again: settings.gateway_tokens" in process.stderr.readline()


def test_a_server_that_ends_has_written_what_was_used(tmp_path: Path) -> None:
    db, once = tmp_path / "limen.db", {"request_max_limit": 2, "request_reset_duration": "1d"}
    settings = {"usage_flush_ms": 3_600_000}
    file = policy(tmp_path, virtual_keys=[{**KEY, "rate_limit": once}], settings=settings)
    for status in (200, 200, 429):
        with serving("--db", db, "--config", file, "--port", "0") as (_, address):
            assert ask(address, {"virtual_key": "sk-bf-served", "model": "m"})[0] == status


def test_a_change_that_is_under_way_when_the_stop_comes_is_answered_and_kept(tmp_path: Path) -> None:
    db, body = tmp_path / "limen.db", b'{"name": "the last one"}'
    with serving("--db", db, "--port", "0") as (process, address):
        host, port = address.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port)), 20) as connection:
            lines = (
                "POST /api/governance/teams HTTP/1.1",
                "host: localhost",
                "content-type: application/json",
            )
            more = (f"content-length: {len(body)}", "expect: 100-continue", "", "")
            connection.sendall("\r\n".join((*lines, *more)).encode())
            assert b"100 Continue" in connection.recv(100)  # the request is being read
            process.send_signal(signal.SIGTERM)
            connection.sendall(body)
            reply = http.client.HTTPResponse(connection)
            reply.begin()
            assert json.loads(reply.read())["team"]["name"] == "the last one"
    with limen.Engine.open(db) as engine:
        assert [team.name for team in engine.teams.list()] == ["the last one"]


def test_a_second_server_on_one_store_ends_with_3_and_names_the_first(tmp_path: Path) -> None:
    db = tmp_path / "limen.db"
    with serving("--db", db, "--port", "0") as (process, _):
        done = run("serve", "--db", db, "--port", "0")
        assert (done.returncode, done.stdout) == (3, "")
        assert f"process {process.pid}" in done.stderr
        assert json.loads(run("doctor", db, "--json").stdout)["holder"] == f"process {process.pid}"


@pytest.mark.parametrize(
    ("arguments", "more", "code", "word"),
    [
        (["--db", "theirs.txt"], {}, 3, "no SQLite file"),
        (["--db", "/no/such/folder/limen.db"], {}, 2, "folder"),
        (["--db", ""], {}, 2, "path"),
        (["--demo", "--db", "a.db"], {}, 2, "--demo"),
        (["--prune"], {}, 2, "--prune needs --config"),
        (["--db", "new.db"], {"LIMEN_SECRET_KEY": "short"}, 2, "LIMEN_SECRET_KEY: must be 32 bytes"),
    ],
)
def test_it_refuses_a_store_that_it_cannot_have(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    more: dict[str, str],
    code: int,
    word: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("theirs.txt").write_text("not a store")
    done = run("serve", *arguments, "--port", "0", **more)
    assert (done.returncode, done.stdout) == (code, "")
    assert word in done.stderr
    assert "Traceback" not in done.stderr
    assert not os.path.exists("new.db")


def test_a_damaged_store_ends_with_3_and_the_way_out(store: Path) -> None:
    cut(0.5)(store)
    done = run("serve", "--db", store, "--port", "0")
    assert (done.returncode, done.stdout) == (3, "")
    assert f"limen doctor {store}" in done.stderr


# doctor


def test_a_healthy_store_has_no_faults_and_is_left_alone(store: Path) -> None:
    before = image(store)
    done = run("doctor", store)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.endswith("no faults\n")
    told = json.loads(run("doctor", store, "--json").stdout)
    assert (told["healthy"], told["faults"], told["version"]) == (True, [], 2)
    assert told["records"]["customer"] == 201
    assert set(told["records"]) == set(KINDS)
    assert image(store) == before


SALVAGED: dict[str, tuple[Any, str]] = {
    "a page of zeros": (at(6 * 4096, b"\0" * 4096), "malformed"),
    "the last page": (at(-4096, b"\xff" * 4096), ""),
    "cut": (cut(0.9), "malformed"),
    "a row": (flip(b"customer 77"), "it is not what was written"),
    "a record": (sql("UPDATE records SET data = x'00', crc = 0 WHERE row = 9"), "it is not what was written"),
    "a number": (flip(b"sequence.record"), "equence.record"),
    "a customer": (
        sql("DELETE FROM records WHERE id = (SELECT id FROM records WHERE row = 1)"),
        "names the customer",
    ),
    "a kind": (sql("UPDATE records SET kind = 'planet' WHERE row = 9"), "not what was written"),
}


@pytest.mark.parametrize(("damage", "word"), SALVAGED.values(), ids=SALVAGED.keys())
def test_a_damaged_store_is_told_of_and_what_is_readable_makes_a_new_one(
    store: Path, tmp_path: Path, damage: Any, word: str
) -> None:
    damage(store)
    before, new = image(store), tmp_path / "new.db"
    done = run("doctor", store)
    assert done.returncode == 3
    assert word in done.stdout
    assert "--recover" in done.stdout
    done = run("doctor", store, "--recover", new)
    assert (done.returncode, done.stderr) == (0, "")
    assert "lost: " in done.stdout
    assert image(store) == before
    with limen.Engine.open(new) as engine:
        left = engine.customers.list().total_count
        assert left > 50
        ids = [config.id for key in engine.virtual_keys.list() for config in key.provider_configs]
        body = {"name": "new", "provider_configs": [{"provider": "p"}]}
        assert engine.virtual_keys.create(body).provider_configs[0].id not in ids
        engine.customers.create({"name": "new"})
    assert json.loads(run("doctor", new, "--json").stdout)["healthy"] is True
    done = run("doctor", store, "--recover", new)
    assert done.returncode == 3
    assert "not written over" in done.stderr


def test_open_permits_and_numbers_of_limits_outlive_the_numbers_that_are_lost(tmp_path: Path) -> None:
    store, new = tmp_path / "limen.db", tmp_path / "new.db"
    limited = {"rate_limit": {"request_max_limit": 9, "request_reset_duration": "1d"}}
    with limen.Engine.open(store) as engine:
        key = engine.virtual_keys.create(
            {"name": "k", "mcp_configs": [{"mcp_client_name": "c", "tools_to_execute": ["*"]}], **limited}
        )
        assert engine.admit(key.value, None, mcp_tool="c/t", id="once")
    limen.Engine.open(store).close()
    sql("UPDATE meta SET value = x'39' WHERE name IN ('boot', 'sequence.limit')")(store)
    sql("INSERT INTO limits VALUES (7000, 'team', 't', 'b')")(store)
    done = run("doctor", store, "--recover", new)
    assert done.returncode == 0, done.stderr
    with limen.Engine.open(new) as engine:
        assert engine.open_permits() == 1
        assert engine.virtual_keys.get(key.id).rate_limit.request_current_usage == 1
        assert engine._book.numbers["limit"] > 7000


def lose(kind: str) -> Any:
    return sql(f"DELETE FROM records WHERE kind = '{kind}'")


def test_what_named_a_lost_entity_is_switched_off_and_not_let_loose(store: Path, tmp_path: Path) -> None:
    for kind in ("customer", "team", "provider_key"):
        copied, new = tmp_path / f"{kind}.db", tmp_path / f"{kind} new.db"
        assert run("backup", store, copied).returncode == 0
        lose(kind)(copied)
        done = run("doctor", copied, "--recover", new)
        assert done.returncode == 0, done.stderr
        with limen.Engine.open(new) as engine:
            (key,) = engine.virtual_keys.list()
            assert key.is_active is (kind == "provider_key")
            assert (key.team_id is None) == (kind == "team")
            if kind == "provider_key":
                assert key.provider_configs[0].keys == [], "closed, not open to every key"
            if kind == "customer":
                assert engine.teams.list().teams[0].customer_id is None


def test_of_a_store_without_a_header_nothing_is_made(store: Path, tmp_path: Path) -> None:
    at(0, b"\0" * 4096)(store)
    done = run("doctor", store, "--recover", tmp_path / "new.db")
    assert (done.returncode, done.stdout) == (3, "")
    assert not (tmp_path / "new.db").exists()
    assert run("doctor", __file__).returncode == 3
    assert run("doctor", tmp_path / "nothing.db").returncode == 2


# backup


def test_a_backup_is_one_instant_of_a_store_that_is_being_changed(bench: Furnished, tmp_path: Path) -> None:
    engine, stop = bench.engine, threading.Event()

    def work() -> None:
        while not stop.is_set():
            engine.customers.create({"name": "twin"})

    thread = threading.Thread(target=work)
    thread.start()
    try:
        for number in range(5):
            done = run("backup", tmp_path / "limen.db", tmp_path / f"{number}.db")
            assert (done.returncode, done.stderr) == (0, "")
    finally:
        stop.set()
        thread.join()
    made = []
    for number in range(5):
        with limen.Engine.open(tmp_path / f"{number}.db") as copy:
            twins = copy.customers.list(search="twin").total_count
            assert copy.audit.list(entity="customer", limit=0).total_count == twins + 1, "one transaction"
            made.append(twins)
    assert made == sorted(made)
    assert engine.customers.list(search="twin").total_count >= made[-1]
    assert (tmp_path / "0.db").stat().st_mode & 0o777 == 0o600
    engine.close()


def test_a_backup_writes_over_nothing_and_copies_no_other_program(store: Path, tmp_path: Path) -> None:
    taken = tmp_path / "taken.db"
    taken.write_text("mine")
    done = run("backup", store, taken)
    assert (done.returncode, taken.read_text()) == (3, "mine")
    assert "not written over" in done.stderr
    assert run("backup", __file__, tmp_path / "b.db").returncode == 3
    assert run("backup", store, "/no/such/folder/b.db").returncode == 3
    other = tmp_path / "theirs.db"
    sqlite3.connect(other).execute("CREATE TABLE a (b)").connection.close()
    done = run("backup", other, tmp_path / "b.db")
    assert done.returncode == 3
    assert "another program" in done.stderr
    assert sorted(path.name for path in tmp_path.glob("b.db*")) == []


# export


def rows(store: Path) -> list[Any]:
    """What the core gets of each record, without the ids that a server makes."""
    found = []
    for put in copies.read(str(store)).records:
        assert put.data is not None
        record = unpack(put.kind, put.data)
        row = core_row(put.kind, record, None)
        if put.kind == "virtual_key":
            row["sha256"] = record.sha256
        found.append((put.kind, put.id, nameless(row)))
    return sorted(found, key=lambda item: item[:2])


def nameless(value: Any) -> Any:
    if isinstance(value, dict):
        named = {"number", "anchor_ms"} | ({"id"} if {"kind", "allowed_models"} & set(value) else set())
        return {word: nameless(item) for word, item in value.items() if word not in named}
    return [nameless(item) for item in value] if isinstance(value, list) else value


def test_an_export_loads_into_an_equal_policy(bench: Furnished, tmp_path: Path) -> None:
    engine = bench.engine
    engine.virtual_keys.create(
        {
            "name": "everything",
            "description": "d",
            "is_active": False,
            "expires_at": "2030-01-01T00:00:00.123Z",
            "customer_id": bench.customer.id,
            "budgets": [
                {"max_limit": 0.000000001, "reset_duration": "1d", "calendar_aligned": True},
                {"max_limit": 9_223_372_036, "reset_duration": "1M"},
            ],
            "rate_limit": {
                "request_max_limit": 70_368_744_177_662,
                "request_reset_duration": "1h",
                "window": "sliding",
            },
            "provider_configs": [
                {"provider": "q", "weight": None, "allowed_models": [], "key_ids": []},
                {"provider": "p", "weight": 0.1},
                {"provider": "p", "allowed_models": ["a", "b"]},
            ],
        }
    )
    engine.teams.create({"name": "free", "claims": {"a": [1, None, {"b": 1.5}]}, "profile": {"x": "ü"}})
    engine.provider_keys.create(
        {
            "provider": "q",
            "name": "9 odd-näme",
            "value": "env.ALLOWED",
            "models": [],
            "weight": None,
            "enabled": False,
        }
    )
    engine.pricing_overrides.create(
        {
            "name": "gratis",
            "scope_kind": "global",
            "match_type": "exact",
            "pattern": "m",
            "request_types": ["embedding"],
            "free": True,
        }
    )
    engine.virtual_keys.rotate(bench.virtual_key.id, grace=60)
    done = run("export", tmp_path / "limen.db")
    assert done.returncode == 0, done.stderr
    assert SECRET not in done.stdout + done.stderr
    assert "provider_keys/main: value is left out: set P_MAIN_VALUE" in done.stderr
    assert "virtual_keys/bot: values that were rotated out are left out" in done.stderr
    file = tmp_path / "exported.json"
    file.write_text(done.stdout)
    assert run("check", file).returncode == 0
    with limen.Engine.open(tmp_path / "again.db", clock=limen.ManualClock(START)) as again:
        again.load(file)
    engine.close()
    left, right = rows(tmp_path / "limen.db"), rows(tmp_path / "again.db")
    assert left == right
    assert {kind for kind, _, _ in left} == set(KINDS)
    again = run("export", tmp_path / "again.db").stdout
    assert json.loads(again) == json.loads(done.stdout)


def test_an_export_of_what_is_no_store_is_refused(tmp_path: Path) -> None:
    done = run("export", __file__)
    assert (done.returncode, done.stdout) == (3, "")
    refused(lambda: copies.read(str(tmp_path / "nothing.db")), "storage_unavailable")


def test_an_export_reads_beside_a_server_and_not_by_its_address(tmp_path: Path) -> None:
    db, file = tmp_path / "limen.db", policy(tmp_path, virtual_keys=[KEY])
    with serving("--db", db, "--config", file, "--port", "0") as (_, address):
        done = run("export", "--url", address)
        assert (done.returncode, done.stdout) == (2, "")
        assert "There is no --url" in run("export", "--help").stdout
        (key,) = json.loads(run("export", db).stdout)["virtual_keys"]
        assert key["value_sha256"] == sha256(KEY["value"].encode()).hexdigest()
