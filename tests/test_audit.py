"""The audit: every change, by whom, before and after, and no secret; in memory and in a store."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

import limen
from furnished import SECRET, Furnished
from house import SECOND, refused
from limen import model
from limen.actor import acting_as
from limen.resources.change import Memory
from limen.resources.noting import FORMS
from limen.resources.records import KINDS


@pytest.fixture
def bench(way: str) -> Furnished:
    return Furnished()


def newest(bench: Furnished, **filters: Any) -> model.AuditEntry:
    return bench.engine.audit.list(limit=1, **filters).audit[0]


ROWS: dict[str, tuple[Callable[[Furnished], Any], str, str, Callable[[Furnished], str]]] = {
    "create": (lambda b: b.engine.teams.create({"name": "t"}), "create", "team", lambda b: newest(b).id),
    "update": (
        lambda b: b.engine.customers.update(b.customer.id, {"name": "other"}),
        "update",
        "customer",
        lambda b: b.customer.id,
    ),
    "delete": (
        lambda b: b.engine.model_configs.delete(b.model_config.id),
        "delete",
        "model_config",
        lambda b: b.model_config.id,
    ),
    "rotate": (
        lambda b: b.engine.virtual_keys.rotate(b.virtual_key.id),
        "rotate",
        "virtual_key",
        lambda b: b.virtual_key.id,
    ),
    "provider": (
        lambda b: b.engine.providers.update("p", {"budget": {}}),
        "update",
        "provider",
        lambda b: "p",
    ),
    "provider key": (
        lambda b: b.engine.provider_keys.update(b.provider_key.key_id, {"value": SECRET[::-1]}),
        "update",
        "provider_key",
        lambda b: b.provider_key.key_id,
    ),
    "reset a budget": (
        lambda b: b.engine.budgets.reset(b.customer.budget.id, "why"),
        "reset",
        "budget",
        lambda b: b.customer.budget.id,
    ),
    "credit": (
        lambda b: b.engine.budgets.credit(b.customer.budget.id, -2, "why"),
        "credit",
        "budget",
        lambda b: b.customer.budget.id,
    ),
    "reset a rate limit": (
        lambda b: b.engine.rate_limits.reset(b.team.rate_limit.id, "why"),
        "reset",
        "rate_limit",
        lambda b: b.team.rate_limit.id,
    ),
}


@pytest.mark.parametrize(("act", "action", "entity", "id_of"), ROWS.values(), ids=ROWS.keys())
def test_a_change_is_noted_once_with_what_was_and_what_is(
    bench: Furnished, way: str, act: Any, action: str, entity: str, id_of: Any
) -> None:
    bench.clock.advance(SECOND)
    count = bench.engine.audit.list().total_count
    act(bench)
    assert bench.engine.audit.list().total_count == count + 1
    entry = newest(bench)
    actor = "local" if way == "http" else "embedded"
    assert (entry.actor, entry.action, entry.entity, entry.id) == (actor, action, entity, id_of(bench))
    assert entry.at == model.datetime.fromisoformat("2024-01-01T00:00:01+00:00")
    assert (entry.before is None) == (action == "create")
    assert (entry.after is None) == (action == "delete")
    assert entry.before != entry.after


def test_before_and_after_are_in_the_schemas_words(bench: Furnished) -> None:
    bench.engine.customers.update(bench.customer.id, {"name": "other", "budget": {"max_limit": 0.000000001}})
    entry = newest(bench)
    assert (entry.before["name"], entry.after["name"]) == ("acme", "other")
    assert (entry.before["budget"]["max_limit"], entry.after["budget"]["max_limit"]) == (5, Decimal("1e-9"))
    assert "current_usage" not in entry.after["budget"]


def test_a_correction_says_its_amounts_and_its_reason(bench: Furnished) -> None:
    id = bench.customer.budget.id
    bench.engine.budgets.credit(id, -3, "charged twice")
    bench.engine.budgets.credit(id, 1, "and back")
    entry = newest(bench)
    assert (entry.before, entry.after) == ({"current_usage": 3}, {"current_usage": 2, "reason": "and back"})
    bench.engine.budgets.reset(id, "new contract")
    entry = newest(bench)
    assert (entry.before, entry.after) == (
        {"current_usage": 2},
        {"current_usage": 0, "reason": "new contract"},
    )
    assert bench.engine.budgets.get(id).current_usage == 0


def test_no_secret_is_noted(bench: Furnished) -> None:
    value = bench.engine.virtual_keys.rotate(bench.virtual_key.id).value
    bench.engine.provider_keys.delete(bench.provider_key.key_id)
    text = model.to_json(bench.engine.audit.list()).decode()
    for secret in (value, bench.virtual_key.value, SECRET):
        assert secret not in text
    assert "********" in text


def test_a_cascade_notes_each_entity_that_it_touches(bench: Furnished) -> None:
    bench.engine.customers.delete(bench.customer.id)
    done = [(entry.action, entry.entity) for entry in bench.engine.audit.list(limit=2).audit]
    assert done == [("update", "team"), ("delete", "customer")]


def test_what_was_refused_or_changes_nothing_is_not_noted(bench: Furnished) -> None:
    count = bench.engine.audit.list().total_count
    refused(lambda: bench.engine.customers.create({"name": ""}))
    refused(lambda: bench.engine.budgets.reset("nothing", "why"), "not_found")
    bench.engine.customers.update(bench.customer.id, {})
    assert bench.engine.audit.list().total_count == count


def test_who_acts_is_the_contexts_word(bench: Furnished, way: str) -> None:
    if way == "http":
        pytest.skip("a server has its own word for who asks")

    def work() -> None:
        bench.engine.customers.create({"name": "of another thread"})

    with acting_as("alice"):
        bench.engine.customers.create({"name": "hers"})
        assert newest(bench).actor == "alice"
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
        assert newest(bench).actor == "embedded"
    bench.engine.customers.create({"name": "nobody's"})
    assert [entry.after["name"] for entry in bench.engine.audit.list(actor="alice").audit] == ["hers"]


def test_a_load_is_noted_with_the_entities_that_it_changed(bench: Furnished, tmp_path: Path) -> None:
    file = tmp_path / "policy.json"
    file.write_text(json.dumps({"customers": [{"id": "c", "name": "c"}], "teams": [{"name": "t"}]}))
    bench.engine.load(file)
    entries = bench.engine.audit.list(actor="file").audit
    assert [(entry.action, entry.entity) for entry in entries] == [
        ("create", "team"),
        ("create", "customer"),
        ("load", "file"),
    ]
    assert entries[2].id == str(file)
    assert entries[2].after == {"created": 2, "updated": 0, "removed": 0, "restored": []}
    bench.engine.load(file)
    assert bench.engine.audit.list(actor="file").total_count == 3, "nothing has changed"


PAGES: dict[str, tuple[dict[str, Any], list[str]]] = {
    "all": ({}, ["c4", "c3", "c2", "c1", "c0"]),
    "a page": ({"limit": 2, "offset": 1}, ["c3", "c2"]),
    "none": ({"limit": 0}, []),
    "past the end": ({"offset": 9}, []),
    "an entity": ({"entity": "team"}, []),
    "an action": ({"action": "create", "limit": 1}, ["c4"]),
    "both": ({"entity": "customer", "actor": "embedded", "offset": 4}, ["c0"]),
    "nobody": ({"actor": "nobody"}, []),
    "no filter": ({"actor": None, "id": "", "entity": None}, ["c4", "c3", "c2", "c1", "c0"]),
}


@pytest.mark.parametrize("stored", [False, True], ids=["memory", "store"])
@pytest.mark.parametrize(("filters", "names"), PAGES.values(), ids=PAGES.keys())
def test_a_list_is_newest_first_and_paged(
    tmp_path: Path, stored: bool, filters: dict[str, Any], names: list[str]
) -> None:
    engine = limen.Engine.open(tmp_path / "a.db") if stored else limen.Engine()
    with engine:
        for number in range(5):
            engine.customers.create({"name": f"c{number}"})
        page = engine.audit.list(**filters)
        assert [entry.after["name"] for entry in page.audit] == names
        assert page.count == len(names)
        refused(lambda: engine.audit.list(who="alice"), "invalid_request", "who")
        refused(lambda: engine.audit.list(limit=-1), "invalid_request", "limit")


def test_in_memory_the_newest_are_kept(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(Memory, "audit_most", 3)
    engine = limen.Engine()
    for number in range(5):
        engine.customers.create({"name": f"c{number}"})
    assert [entry.after["name"] for entry in engine.audit.list()] == ["c4", "c3", "c2"]
    file = tmp_path / "policy.json"
    file.write_text(json.dumps({"teams": [{"name": f"t{number}"} for number in range(9)]}))
    engine.load(file)
    assert [entry.after["name"] for entry in engine.audit.list()] == ["t8", "t7", "t6"]


def test_a_store_keeps_the_audit(tmp_path: Path) -> None:
    with limen.Engine.open(tmp_path / "a.db") as engine, acting_as("alice"):
        engine.customers.create({"name": "c"})
        before = engine.audit.list()
    with limen.Engine.open(tmp_path / "a.db") as engine:
        assert engine.audit.list() == before


def test_every_kind_has_a_form() -> None:
    assert set(FORMS) == set(KINDS)
