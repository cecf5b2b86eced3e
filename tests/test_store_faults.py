"""A disk that refuses, below SQLite: changes get 503 and change nothing, traffic goes on, and it recovers.

The faults are made by a library that is preloaded into a child and fails system calls on the store's files.
"""

from __future__ import annotations

import http.client
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

import limen
from house import refused
from test_cli import policy, serving

CC = shutil.which("cc")
KEYS = "/api/governance/virtual-keys"
AUDIT = "/api/governance/audit"
FAULTS = ("full", "readonly", "fsync")

CHILD = """
import os, sys
import limen
from furnished import BUDGET, Furnished
import house
store, switch, fault, end = sys.argv[1:]
house.make_engine = lambda **options: limen.Engine.open(store, **options)
bench = Furnished()
engine, key = bench.engine, bench.virtual_key
before = bench.picture()
audited = engine.audit.list().total_count

def tried(call):
    try:
        call()
    except limen.StorageError as error:
        return error.code, error.status
    return "answered"

refusals = {
    "create": lambda: engine.customers.create({"name": "must not be"}),
    "update": lambda: engine.virtual_keys.update(key.id, {"name": "must not be"}),
    "cascade": lambda: engine.customers.delete(bench.customer.id),
    "rotate": lambda: engine.virtual_keys.rotate(key.id, grace=60),
    "reset": lambda: engine.budgets.reset(key.budget.id, "r"),
    "again": lambda: engine.customers.create({"name": "must not be"}),
}
assert engine.admit(key.value, "m", 10, cost_usd=0.01).settle(tokens=10, cost_usd=0.01)
before = bench.picture()
for round in range(2):
    open(switch, "w").write(fault)
    for name, call in refusals.items():
        assert tried(call) == ("storage_unavailable", 503), name
        assert bench.picture() == before, name
    assert engine.trouble
    permit = engine.admit(key.value, "m", 10, cost_usd=0.01)
    assert permit, permit.body()
    permit.release()
    before = bench.picture()
    os.unlink(switch)
    engine.customers.create({"name": f"after {round}"})
    assert engine.trouble is None, engine.trouble
    # Usage of requests alone has moved: the entities are those from before, and one more.
    assert engine.audit.list().total_count == audited + 1 + round
    before = bench.picture()
if end == "refused":
    open(switch, "w").write(fault)
    assert tried(refusals["create"]) != "answered"
    os.unlink(switch)
    os._exit(0)
if end == "failing":
    open(switch, "w").write(fault)
    assert tried(refusals["update"]) != "answered"
    assert tried(engine.close) == ("storage_unavailable", 503)  # the last usage is lost, and said to be
    os._exit(0)
engine.close()
"""


@pytest.fixture(scope="session")
def preloaded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if CC is None:
        pytest.skip("needs a C compiler")
    library = tmp_path_factory.mktemp("faults") / "faults.so"
    source = Path(__file__).parent / "store_faults.c"
    subprocess.run([CC, "-shared", "-fPIC", "-O1", "-o", library, source, "-ldl"], check=True)
    return library


@pytest.mark.parametrize("end", ["closed", "refused", "failing"])
@pytest.mark.parametrize("fault", FAULTS)
def test_a_disk_that_refuses_changes_nothing_and_is_found_well_again(
    preloaded: Path, tmp_path: Path, fault: str, end: str
) -> None:
    store, switch = tmp_path / "limen.db", tmp_path / "switch"
    environment = {
        **os.environ,
        "LD_PRELOAD": str(preloaded),
        "LIMEN_FAULT": str(switch),
        "PYTHONPATH": os.pathsep.join(sys.path),
    }
    words = [sys.executable, "-c", CHILD, str(store), str(switch), fault, end]
    done = subprocess.run(words, capture_output=True, text=True, timeout=120, env=environment)
    assert done.returncode == 0, done.stdout + done.stderr
    with limen.Engine.open(store) as engine:
        names = [customer.name for customer in engine.customers.list()]
        # Killed or closed while every sync fails, nobody can say what is on the disk; else nothing is left.
        assert names == ["acme", "after 0", "after 1"]
        if (fault, end) != ("fsync", "failing"):
            assert [key.name for key in engine.virtual_keys.list()] == ["bot"]
        engine.customers.create({"name": "one more"})


@pytest.mark.parametrize("fault", FAULTS)
def test_a_server_whose_disk_refuses_goes_on_deciding_and_says_that_it_is_degraded(
    preloaded: Path, tmp_path: Path, fault: str
) -> None:
    db, switch = tmp_path / "limen.db", tmp_path / "switch"
    environment = {"LD_PRELOAD": str(preloaded), "LIMEN_FAULT": str(switch)}
    file = policy(tmp_path, settings={"usage_flush_ms": 20})
    with serving("--db", db, "--config", file, "--port", "0", **environment) as (_, address):
        client = http.client.HTTPConnection(address.removeprefix("http://"), timeout=30)

        def ask(method: str, path: str, body: Any = None) -> tuple[int, Any]:
            client.request(method, path, json.dumps(body), {"content-type": "application/json"})
            reply = client.getresponse()
            return reply.status, json.loads(reply.read())

        config = {"provider": "p", "weight": 1, "allowed_models": ["*"]}
        limits = {"budget": {"max_limit": 5, "reset_duration": "1d"}, "provider_configs": [config]}
        key = ask("POST", KEYS, {"name": "bot", **limits})[1]["virtual_key"]
        one = f"{KEYS}/{key['id']}"
        changes = [
            ("POST", KEYS, {"name": "other"}),
            ("PUT", one, {"name": "other"}),
            ("DELETE", one, None),
            ("POST", f"{one}/rotate", {"grace": 5}),
            ("POST", f"/api/governance/budgets/{key['budget']['id']}/reset", {"reason": "r"}),
            ("PUT", "/api/governance/providers/p", {"budget": limits["budget"]}),
        ]
        lists = (KEYS, one, "/api/providers", "/api/governance/providers", "/api/governance/budgets")
        audited = ask("GET", AUDIT)[1]["total_count"]

        def picture() -> list[Any]:
            return [ask("GET", path) for path in lists]

        def is_well_again() -> None:
            """By itself: nobody asks for a change, and nobody uses anything."""
            ends = time.monotonic() + 20
            while ask("GET", "/health")[0] != 200:
                assert time.monotonic() < ends

        for number in range(2):
            before = picture()
            switch.write_text(fault)
            for change in changes:
                status, body = ask(*change)
                assert (status, body["type"]) == (503, "storage_unavailable"), change
                assert str(db) in body["error"]["message"]
                assert picture() == before, change
                status, health = ask("GET", "/health")
                assert (status, health["status"], len(health["degraded"])) == (503, "degraded", 1)
            # The audit lies on that disk alone: it is not read, or it is read as it was.
            status, body = ask("GET", AUDIT)
            assert (status, body.get("total_count", audited)) in ((200, audited), (503, audited))
            status, permit = ask(
                "POST", "/v1/admit", {"virtual_key": key["value"], "model": "m", "cost_usd": 0}
            )
            assert (status, permit["allowed"]) == (200, True), "decisions go on"
            assert ask("POST", "/v1/settle", {"permit": permit["permit"], "cost_usd": 0})[0] == 200
            assert picture() == before
            switch.unlink()
            is_well_again()
            assert ask("PUT", one, {"description": f"well again {number}"})[0] == 200
            audited += 1
            assert ask("GET", AUDIT)[1]["total_count"] == audited
            switch.write_text(fault)
            assert ask(*changes[0])[0] == 503
            switch.unlink()
            is_well_again()
        client.close()
    with limen.Engine.open(db) as engine:
        (left,) = engine.virtual_keys.list()
        assert (left.name, left.description) == ("bot", "well again 1")


def test_a_file_that_cannot_grow_is_a_disk_that_is_full(tmp_path: Path) -> None:
    code = """
import resource, sys, limen
engine = limen.Engine.open(sys.argv[1])
engine.customers.create({"name": "first"})
resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 16, resource.RLIM_INFINITY))
made = 1
try:
    for made in range(1, 1000):
        engine.teams.create({"name": "t" * 200, "profile": {"text": "x" * 4000}})
except limen.StorageError as error:
    assert error.code == "storage_unavailable", error.code
assert 1 < made < 900
assert engine.teams.list().total_count == made - 1
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
engine.teams.create({"name": "after"})
print(made)
engine.close()
"""
    store = tmp_path / "limen.db"
    done = subprocess.run([sys.executable, "-c", code, store], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    with limen.Engine.open(store) as engine:
        assert engine.teams.list().total_count == int(done.stdout)


def test_a_file_that_was_moved_away_takes_no_changes_until_it_is_back(tmp_path: Path) -> None:
    store, away = tmp_path / "limen.db", tmp_path / "away.db"
    with limen.Engine.open(store) as engine:
        engine.customers.create({"name": "a"})
        store.rename(away)
        refused(lambda: engine.customers.create({"name": "b"}), "storage_unavailable")
        with limen.Engine.open(tmp_path / "other.db") as other:
            other.customers.create({"name": "not ours"})
        (tmp_path / "other.db").rename(store)
        refused(lambda: engine.customers.create({"name": "c"}), "storage_unavailable")
        away.rename(store)
        engine.customers.create({"name": "d"})
    with limen.Engine.open(store) as engine:
        assert [customer.name for customer in engine.customers.list()] == ["a", "d"]


def test_a_core_that_refuses_after_all_has_the_change_taken_back(tmp_path: Path) -> None:
    with limen.Engine.open(tmp_path / "limen.db") as engine:
        kept = engine.customers.create({"name": "kept"})

        class Full:
            def __getattr__(self, name: str) -> object:
                return getattr(engine, name)

            def apply(self, edits: object) -> None:
                raise MemoryError

        engine._book.core = Full()  # type: ignore[assignment] - it answers like one
        for call in (
            lambda: engine.customers.create({"name": "b"}),
            lambda: engine.customers.update(kept.id, {"name": "c"}),
            lambda: engine.customers.delete(kept.id),
        ):
            with pytest.raises(MemoryError):
                call()
        engine._book.core = engine
        assert [customer.name for customer in engine.customers.list()] == ["kept"]
    with limen.Engine.open(tmp_path / "limen.db") as engine:
        assert [customer.name for customer in engine.customers.list()] == ["kept"]
        assert [entry.action for entry in engine.audit.list().audit] == ["create"]
