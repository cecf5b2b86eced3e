"""Edits: published whole or not at all, in constant time, under threads, and never after a fork."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from typing import Any

import pytest

import limen
from furnished import BUDGET, Furnished
from house import SECOND, House, refused
from limen.errors import LimenError

BODY = {"name": "r", "cel_expression": "", "priority": 1, "targets": [{"weight": 1}]}


class Refusing:
    """A core that takes no rows: what a full disk or a bug below would look like."""

    def __init__(self, core: Any) -> None:
        self._core = core

    def __getattr__(self, name: str) -> Any:
        return getattr(self._core, name)

    def apply(self, edits: Any) -> None:
        raise limen.StorageError("storage_unavailable")


EDITS = {
    "create": lambda b: b.engine.customers.create({"name": "n"}),
    "update": lambda b: b.engine.virtual_keys.update(b.virtual_key.id, {"name": "other", "team_id": None}),
    "cascade": lambda b: b.engine.customers.delete(b.customer.id),
    "provider": lambda b: b.engine.providers.known.delete("p"),
    "provider governance": lambda b: b.engine.providers.delete("p"),
    "rotate": lambda b: b.engine.virtual_keys.rotate(b.virtual_key.id),
    "rule": lambda b: b.engine.routing_rules.update(b.routing_rule.id, {"priority": 2}),
    "override": lambda b: b.engine.pricing_overrides.delete(b.pricing_override.id),
}


@pytest.mark.parametrize("edit", EDITS.values(), ids=EDITS.keys())
def test_an_edit_that_cannot_be_published_changes_nothing(edit: Any) -> None:
    bench = Furnished()
    bench.clock.advance(SECOND)
    before = bench.picture()
    core, bench.engine._book.core = bench.engine._book.core, Refusing(bench.engine._book.core)
    refused(lambda: edit(bench), "storage_unavailable")
    bench.engine._book.core = core
    assert bench.picture() == before
    edit(bench)
    assert bench.picture() != before


def test_an_update_that_changes_nothing_publishes_nothing() -> None:
    bench = Furnished()
    bench.engine._book.core = Refusing(bench.engine._book.core)
    for kind, id in bench.ids():
        getattr(bench.engine, kind).update(id, {})


class Counting(Refusing):
    """A core that counts the rows it takes."""

    rows = 0

    def apply(self, edits: Any) -> None:
        self.rows += len(edits)
        self._core.apply(edits)


def test_an_edit_publishes_the_rows_of_what_it_touches_and_no_others() -> None:
    house = House()
    core = house.engine._book.core = Counting(house.engine._book.core)
    team = house.engine.teams.create({"name": "t"})
    keys = [house.engine.virtual_keys.create({"name": f"k{n}", "team_id": team.id}) for n in range(300)]
    assert core.rows == 301
    house.engine.virtual_keys.update(keys[7].id, {"description": "d"})
    house.engine.teams.update(team.id, {"budget": BUDGET})
    assert core.rows == 303
    house.engine.teams.delete(team.id)
    assert core.rows == 303 + 300 + 1


def test_the_core_gets_a_row_of_a_rule_and_of_an_override() -> None:
    bench = Furnished()
    core = bench.engine._book.core = Counting(bench.engine._book.core)
    bench.engine.pricing_overrides.delete(bench.pricing_override.id)
    assert core.rows == 1
    bench.engine.routing_rules.update(bench.routing_rule.id, {"priority": 9})
    bench.engine.routing_rules.create({**BODY, "scope": "global"})
    assert core.rows == 3
    bench.engine.teams.delete(bench.team.id)
    assert core.rows == 6  # the key that is detached, the rule of the team, and the team


def test_reads_and_edits_of_many_threads_agree() -> None:
    bench = Furnished()
    engine, faults = bench.engine, []

    def work(n: int) -> None:
        try:
            for step in range(40):
                key = engine.virtual_keys.create(
                    {"name": f"{n}/{step}", "team_id": bench.team.id, "budget": BUDGET}
                )
                engine.teams.get(bench.team.id)
                engine.virtual_keys.update(key.id, {"customer_id": bench.customer.id})
                engine.budgets.list(limit=3)
                if step % 2:
                    engine.virtual_keys.delete(key.id)
        except Exception as error:  # noqa: BLE001 (a thread hands its fault over)
            faults.append(error)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert faults == []
    assert engine.virtual_keys.list().total_count == 1 + 4 * 20
    assert engine.virtual_keys.list(customer_id=bench.customer.id).total_count == 4 * 20


def test_one_of_two_threads_gets_a_name() -> None:
    engine, answers = House().engine, []
    gate = threading.Barrier(4)

    def work() -> None:
        gate.wait()
        try:
            answers.append(engine.virtual_keys.create({"name": "one"}).name)
        except LimenError as error:
            answers.append(error.code)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(answers) == ["conflict", "conflict", "conflict", "one"]


def test_the_number_of_entities_is_bounded() -> None:
    house = House()
    house.engine._book.most = 2
    first = house.engine.customers.create({"name": "a"})
    house.engine.customers.create({"name": "b"})
    fault = refused(lambda: house.engine.customers.create({"name": "c"}), "too_many_entities")
    assert isinstance(fault, limen.LimitedError)
    house.engine.customers.delete(first.id)
    house.engine.customers.create({"name": "c"})


def test_a_closed_engine_takes_no_edits_and_closing_twice_is_once() -> None:
    with limen.Engine() as engine:
        engine.customers.create({"name": "c"})
    engine.close()
    refused(engine.customers.list, "engine_closed")
    refused(lambda: engine.customers.create({"name": "d"}), "engine_closed")


def test_a_child_of_fork_is_refused_even_where_the_lock_was_held() -> None:
    code = """
import os, threading, limen
engine = limen.Engine()
engine.customers.create({"name": "c"})
held, done = threading.Event(), threading.Event()
def hold():
    with engine._book.lock:
        held.set(); done.wait()
threading.Thread(target=hold, daemon=True).start()
held.wait()
pid = os.fork()
if pid == 0:
    faults = []
    create = lambda: engine.virtual_keys.create({"name": "n"})
    for call in (engine.customers.list, lambda: engine.peek(None, "m"), create):
        try: call()
        except limen.ForkedError as error: faults.append(error.code)
    fresh = limen.Engine()
    fresh.customers.create({"name": "child"})
    os._exit(0 if faults == ["engine_forked"] * 3 else 1)
done.set()
raise SystemExit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
"""
    assert subprocess.run([sys.executable, "-c", code], timeout=60, check=False).returncode == 0


def test_importing_brings_no_extra_and_starts_no_thread() -> None:
    code = """
import sys, threading
import limen
extras = {"starlette", "uvicorn", "uvloop", "httptools", "orjson", "click", "rich", "asyncio", "json", "ssl"}
assert not extras & set(sys.modules), extras & set(sys.modules)
assert threading.active_count() == 1
"""
    subprocess.run(
        [sys.executable, "-c", code], timeout=60, check=True, env={**os.environ, "PYTHONWARNINGS": "error"}
    )


def test_a_quota_shows_its_holder_what_concerns_them() -> None:
    house = House()
    key = house.key(requests=(10, "1d"), budget=(5, "1d"), expires_at="2024-01-01T00:01:00Z")
    house.admit(key, cost_usd=2).settle(tokens=1, cost_usd=2)
    quota = house.engine.quota(key.value)
    assert (quota.virtual_key_name, quota.is_active) == (key.name, True)
    assert quota.budgets[0].current_usage == 2
    assert quota.rate_limit.request_current_usage == 1
    assert house.engine.quota(house.engine.handle(id=key.id)) == quota
    house.at(60_000)
    assert house.engine.quota(key.value).is_active is False
    house.engine.virtual_keys.update(key.id, {"is_active": False, "expires_at": None})
    assert house.engine.quota(key.value).is_active is False
    for value in ("nobody", "", "x" * 10_000):
        assert refused(lambda value=value: house.engine.quota(value), "virtual_key_not_found").status == 401
    handle = house.engine.handle(id=key.id)
    house.engine.virtual_keys.delete(key.id)
    refused(lambda: house.engine.quota(handle), "virtual_key_not_found")
