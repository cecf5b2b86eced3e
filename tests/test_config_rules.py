"""Routing rules and pricing overrides in the configuration file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from furnished import picture
from house import refused
from test_config_file import Filed

RULE = {"name": "r", "cel_expression": "", "scope": "global", "priority": 1, "targets": [{"weight": 1}]}
OVERRIDE = {
    "name": "o",
    "scope_kind": "global",
    "match_type": "exact",
    "pattern": "m",
    "request_types": ["rerank"],
}


@pytest.fixture
def filed(tmp_path: Path) -> Filed:
    return Filed(tmp_path)


def test_rules_and_overrides_of_a_file_are_kept_matched_set_back_and_pruned(filed: Filed) -> None:
    first = filed.load()
    engine = filed.engine
    (rule,), (override,) = engine.routing_rules.list(), engine.pricing_overrides.list()
    assert override.pricing_patch == '{"input_cost_per_token":0.0000025}'
    assert [words for words in first.warnings if "not yet applied" in words] == []
    assert [words for words in first.warnings if "unknown" in words] == []
    engine.routing_rules.update(rule.id, {"priority": 9, "enabled": False})
    engine.pricing_overrides.update(override.id, {"patch": {}, "free": True})
    by_hand = engine.routing_rules.create(RULE)
    report = filed.load()
    assert report.restored == report.updated == ["routing_rules/cheap first", "pricing_overrides/contract"]
    assert engine.routing_rules.get(rule.id).priority == 1
    assert engine.pricing_overrides.get(override.id).pricing_patch == override.pricing_patch
    assert bool(override.config_hash)
    filed.policy["routing_rules"][0]["targets"] = [{"model": "n", "weight": 1}]
    filed.policy["pricing_overrides"][0]["pattern"] = "*"
    changed = filed.load()
    assert (len(changed.updated), changed.restored) == (2, [])
    assert engine.pricing_overrides.get(override.id).pattern == "*"
    filed.policy["routing_rules"], filed.policy["pricing_overrides"] = [], []
    assert filed.load().removed == []
    assert filed.load(prune=True).removed == ["pricing_overrides/contract", "routing_rules/cheap first"]
    assert [r.id for r in engine.routing_rules.list()] == [by_hand.id]
    assert engine.pricing_overrides.list().count == 0


def test_a_rule_or_an_override_of_a_pruned_owner_must_leave_the_file_with_it(filed: Filed) -> None:
    filed.load()
    filed.policy["customers"], filed.policy["teams"], filed.policy["virtual_keys"] = [], [], []
    before = picture(filed.engine)
    assert refused(lambda: filed.load(prune=True), "not_found").param == "routing_rules[0].scope_id"
    assert picture(filed.engine) == before
    made = filed.engine.routing_rules.create({**RULE, "scope": "customer", "scope_id": "acme"})
    filed.policy["routing_rules"] = []
    filed.load(prune=True)
    refused(lambda: filed.engine.routing_rules.get(made.id), "not_found")


def test_entries_with_an_id_may_share_a_name(filed: Filed) -> None:
    filed.policy["pricing_overrides"] = [{**OVERRIDE, "id": "one"}, {**OVERRIDE, "id": "two", "free": True}]
    filed.policy["routing_rules"] = [{**RULE, "id": "one"}]
    filed.load()
    assert [o.id for o in filed.engine.pricing_overrides.list()] == ["one", "two"]
    filed.policy["routing_rules"] = [{**RULE, "id": "one", "name": "other"}]
    assert filed.load().updated == ["routing_rules/other"]


FAULTY: list[tuple[dict[str, Any], list[tuple[str, str]]]] = [
    (
        {"routing_rules": [{**RULE, "scope": "team", "scope_id": "nobody"}, {**RULE, "priority": 1.5}]},
        [("invalid_request", "routing_rules[1].priority"), ("not_found", "routing_rules[0].scope_id")],
    ),
    ({"routing_rules": [RULE, RULE]}, [("conflict", "routing_rules[1].name")]),
    (
        {"routing_rules": [{**RULE, "health": {}, "scope_id": "x"}]},
        [("invalid_request", "routing_rules[0].scope_id")],
    ),
    (
        {"routing_rules": [{**RULE, "targets": [{"weight": 1, "model": "", "providr": "p"}]}]},
        [("invalid_request", "routing_rules[0].targets[0].providr")],
    ),
    (
        {"pricing_overrides": [OVERRIDE, OVERRIDE]},
        [("invalid_request", "pricing_overrides[0].name"), ("invalid_request", "pricing_overrides[1].name")],
    ),
    (
        {"pricing_overrides": [{**OVERRIDE, "patch": {"input_cost_per_token": "0.1"}}]},
        [("invalid_request", "pricing_overrides[0].patch.input_cost_per_token")],
    ),
    (
        {"pricing_overrides": [{**OVERRIDE, "scope_kind": "virtual_key", "virtual_key_id": "nobody"}]},
        [("not_found", "pricing_overrides[0].virtual_key_id")],
    ),
    (
        {"pricing_overrides": [{**OVERRIDE, "pricing_patch": "{}"}]},
        [("invalid_request", "pricing_overrides[0].pricing_patch")],
    ),
]


@pytest.mark.parametrize(("document", "wanted"), FAULTY, ids=range(len(FAULTY)))
def test_a_load_names_every_fault_with_its_path(
    filed: Filed, document: dict[str, Any], wanted: list[tuple[str, str]]
) -> None:
    filed.policy = document
    fault = refused(filed.load, wanted[0][0])
    assert [(found.code, found.param) for found in fault.faults] == wanted
