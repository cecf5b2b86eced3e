"""Routing rules as entities: their field table, their order, what they name. Nothing is evaluated here."""

from __future__ import annotations

import copy
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest

from furnished import Furnished
from house import SECOND, House, refused
from limen import model

BODY: dict[str, Any] = {
    "name": "r",
    "cel_expression": "",
    "scope": "global",
    "priority": 1,
    "targets": [{"weight": 1}],
}


@pytest.fixture
def bench() -> Furnished:
    return Furnished()


def targets(rule: Any) -> list[tuple[Any, ...]]:
    return [(t.provider, t.model, t.key_id and "KEY", t.weight) for t in rule.targets]


HALVES = [("p", None, "KEY", 0.25), ("p", "n", None, 0.75)]
ROWS: list[tuple[str, Any, Callable[[Any], Any], Any]] = [
    ("nothing stays", {}, targets, HALVES),
    ("name is trimmed", {"name": " r "}, lambda r: r.name, "r"),
    ("description null clears", {"description": None}, lambda r: r.description, ""),
    ("enabled is set", {"enabled": False}, lambda r: r.enabled, False),
    (
        "an expression is kept as it came",
        {"cel_expression": " true\n"},
        lambda r: r.cel_expression,
        " true\n",
    ),
    ("an empty expression is one", {"cel_expression": ""}, lambda r: r.cel_expression, ""),
    ("priority is set", {"priority": -3.0}, lambda r: r.priority, -3),
    ("targets null is unchanged", {"targets": None}, targets, HALVES),
    ("targets are the full list", {"targets": [{"weight": 1.0}]}, targets, [(None, None, None, 1.0)]),
    (
        "an empty text is the request's own",
        {"targets": [{"provider": "", "model": "", "key_id": "", "weight": Decimal(1)}]},
        targets,
        [(None, None, None, 1.0)],
    ),
    ("fallbacks null is unchanged", {"fallbacks": None}, lambda r: r.fallbacks, ["p/o", "p/"]),
    ("fallbacks [] is none", {"fallbacks": []}, lambda r: r.fallbacks, []),
    ("a model may hold a slash", {"fallbacks": [" p/a/b "]}, lambda r: r.fallbacks, ["p/a/b"]),
    ("query null clears", {"query": None}, lambda r: r.query, None),
    ("query {} is one", {"query": {}}, lambda r: r.query, {}),
    ("query is kept whole", {"query": {"a": [1, {"b": None}]}}, lambda r: r.query, {"a": [1, {"b": None}]}),
    ("the scope may be said again", {"scope": "team"}, lambda r: (r.scope, r.scope_id != ""), ("team", True)),
    ("health lives by itself", {"health": {"matches": 99}}, lambda r: r.health.matches, 0),
]


@pytest.mark.parametrize(("body", "look", "wanted"), [row[1:] for row in ROWS], ids=[row[0] for row in ROWS])
def test_a_field_merges_as_its_row_says(bench: Furnished, body: Any, look: Any, wanted: Any) -> None:
    rules, id = bench.engine.routing_rules, bench.routing_rule.id
    assert look(rules.update(id, body)) == wanted
    assert look(rules.get(id)) == wanted


SUMS = [
    ([1], True),
    ([0.1] * 10, True),
    ([1 / 3, 1 / 3, 1 / 3], True),
    ([0.5, 0.500000001], True),
    ([0.5, 0.499999999], True),
    ([0.5, 0.5000000011], False),
    ([0.5, 0.4999999989], False),
    ([Decimal("0.5"), Decimal("0.50000000100000001")], True),  # weights are doubles: the last digits are not
    ([0.5], False),
    ([1, 1], False),
    ([1 - 1e-12, 1e-300], True),
    ([1e15, 1], False),
]


@pytest.mark.parametrize(("weights", "good"), SUMS, ids=[str(row[0])[:50] for row in SUMS])
def test_weights_sum_to_one_within_a_billionth(bench: Furnished, weights: list[Any], good: bool) -> None:
    body = {**BODY, "targets": [{"model": f"m{n}", "weight": weight} for n, weight in enumerate(weights)]}
    for call in (
        lambda: bench.engine.routing_rules.create(body),
        lambda: bench.engine.routing_rules.update(bench.routing_rule.id, {"targets": body["targets"]}),
    ):
        if good:
            assert [t.weight for t in call().targets] == [float(weight) for weight in weights]
        else:
            refused(call, "invalid_request", "targets")


def test_what_a_rule_leaves_out_has_its_defaults(bench: Furnished) -> None:
    words = ("description", "enabled", "fallbacks", "scope_id", "query", "id", "created_at")
    rule = bench.engine.routing_rules.create({**BODY, **dict.fromkeys(words)})
    assert (rule.description, rule.enabled, rule.fallbacks, rule.scope_id, rule.query) == (
        "",
        True,
        [],
        None,
        None,
    )
    assert rule.health == model.RuleHealth(
        matches=0, errors=0, over_budget=0, last_error=None, last_match_at=None
    )
    assert bench.engine.routing_rules.get(rule.id).warnings is model.UNSET


def test_no_scope_id_may_be_said_as_empty_text(bench: Furnished) -> None:
    rule = bench.engine.routing_rules.create({**BODY, "scope_id": ""})
    assert rule.scope_id is None
    assert bench.engine.routing_rules.update(rule.id, {"scope_id": ""}).updated_at == rule.updated_at


WARNED: list[tuple[dict[str, Any], list[str]]] = [
    ({}, []),
    ({"targets": [{"provider": "p", "weight": 1}], "fallbacks": ["p/m"]}, []),
    (
        {"targets": [{"provider": "p", "weight": 0.5}, {"provider": "later", "weight": 0.5}]},
        ["targets[1].provider is unknown: it has no keys and no limits"],
    ),
    (
        {"targets": [{"provider": "p", "key_id": "later", "weight": 1}]},
        ["targets[0].key_id is unknown: the provider has no such key"],
    ),
    (
        {"targets": [{"provider": "q", "key_id": "KEY", "weight": 1}]},
        ["targets[0].key_id is unknown: the provider has no such key"],
    ),
    ({"targets": [{"provider": "p", "key_id": "KEY", "weight": 1}]}, []),
    (
        {"fallbacks": ["p/", "later/m"]},
        ["fallbacks[1] names an unknown provider: it has no keys and no limits"],
    ),
]


@pytest.mark.parametrize(("body", "warnings"), WARNED)
def test_what_can_have_no_effect_is_warned_of(bench: Furnished, body: Any, warnings: list[str]) -> None:
    bench.engine.providers.update("q", {})
    body = copy.deepcopy(body)
    for target in body.get("targets", []):
        if target.get("key_id") == "KEY":
            target["key_id"] = bench.provider_key.key_id
    rule = bench.engine.routing_rules.create({**BODY, **body})
    assert rule.warnings == warnings
    assert bench.engine.routing_rules.update(rule.id, {}).warnings == rule.warnings


@pytest.fixture(scope="module")
def listed() -> Any:
    """Rules in the order of their making; their names tell the order in which they are looked at."""
    house = House()
    engine = house.engine
    customer = engine.customers.create({"name": "c"}).id
    team = engine.teams.create({"name": "t"}).id
    first, second = sorted(engine.virtual_keys.create({"name": name}).id for name in "kl")
    for name, scope, id, priority in (
        ("9", "global", None, 5),
        ("8", "global", None, -5),
        ("7", "customer", customer, 0),
        ("6", "team", team, 9),
        ("5", "virtual_key", second, 1),
        ("2", "virtual_key", first, 1),
        ("3", "virtual_key", first, 1),
        ("4", "virtual_key", first, 2**63 - 1),
        ("1", "virtual_key", first, -(2**63)),
    ):
        house.clock.advance(SECOND)
        engine.routing_rules.create(
            {**BODY, "name": name, "scope": scope, "scope_id": id, "priority": priority}
        )
    house.ids = {"FIRST": first, "TEAM": team}
    return house


LISTS: list[tuple[dict[str, Any], str, int]] = [
    ({}, "123456789", 9),
    ({"limit": 2, "offset": 3}, "45", 9),
    ({"limit": 0}, "", 9),
    ({"scope": "virtual_key"}, "12345", 5),
    ({"scope": "global"}, "89", 2),
    ({"scope_id": "FIRST"}, "1234", 4),
    ({"scope": "virtual_key", "scope_id": "FIRST", "limit": 1, "offset": 1}, "2", 4),
    ({"scope": "team", "scope_id": "FIRST"}, "", 0),
    ({"scope_id": "TEAM"}, "6", 1),
    ({"scope_id": "nobody"}, "", 0),
    ({"scope_id": "", "search": "7"}, "7", 1),
    ({"scope": "team", "search": "7"}, "", 0),
]


@pytest.mark.parametrize(("filters", "names", "total"), LISTS, ids=[str(row[0]) for row in LISTS])
def test_a_list_is_in_the_order_of_evaluation(listed: Any, filters: Any, names: str, total: int) -> None:
    page = listed.engine.routing_rules.list(
        **{word: listed.ids.get(value, value) for word, value in filters.items()}
    )
    assert "".join(rule.name for rule in page) == names
    assert (page.count, page.total_count) == (len(names), total)


def test_rules_of_one_priority_and_instant_are_ordered_by_id(bench: Furnished) -> None:
    for name in "abcdef":
        bench.engine.routing_rules.create({**BODY, "name": name})
    ids = [rule.id for rule in bench.engine.routing_rules.list(scope="global")]
    assert ids == sorted(ids)


def test_a_name_is_free_again_after_a_rename_or_a_delete(bench: Furnished) -> None:
    rules = bench.engine.routing_rules
    first = rules.create(BODY)
    other = rules.create({**BODY, "name": "other"})
    refused(lambda: rules.update(other.id, {"name": "r", "priority": 7}), "conflict", "name")
    assert (rules.get(other.id).name, rules.get(other.id).priority) == ("other", 1)
    rules.update(first.id, {"name": "free"})
    rules.update(other.id, {"name": "r"})
    rules.delete(first.id)
    rules.create({**BODY, "name": "free"})


def test_typed_bodies_are_as_good_as_mappings(bench: Furnished) -> None:
    rule = bench.engine.routing_rules.create(
        model.CreateRoutingRuleRequest(
            name="typed",
            cel_expression="true",
            scope="team",
            scope_id=bench.team.id,
            priority=0,
            targets=[model.RoutingTarget(provider="p", weight=1.0)],
        )
    )
    assert targets(rule) == [("p", None, None, 1.0)]
    changed = bench.engine.routing_rules.update(rule.id, model.UpdateRoutingRuleRequest(enabled=False))
    assert (changed.enabled, changed.targets) == (False, rule.targets)
