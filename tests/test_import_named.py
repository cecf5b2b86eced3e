"""What of Bifrost's config.json is not taken, or not as it stands, is named; the rest of it loads."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest

from bifrost_file import (
    ANY,
    CUSTOMER,
    DAY,
    ENVIRONMENT,
    MONTH,
    WHOLE,
    ZEROS,
    config,
    governed,
    imported,
    key,
    named,
    override,
    rule,
)
from house import refused
from limen.importing.bifrost import read_bifrost


@pytest.fixture(autouse=True)
def variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)


NAMED = {
    "a duration of Go": (
        governed(customers=[{**CUSTOMER, "budgets": [{"max_limit": 1, "reset_duration": "1h30m"}]}]),
        "changed",
        "governance.customers[0].budgets[0].reset_duration",
    ),
    "a duration shorter than a second takes its owner along": (
        governed(customers=[{**CUSTOMER, "budgets": [{"max_limit": 1, "reset_duration": "500ms"}]}]),
        "left_out",
        "governance.customers[0]",
    ),
    "a limit that is not there takes its owner along": (
        governed(teams=[{"id": "t", "name": "t", "budget_id": "gone"}]),
        "left_out",
        "governance.teams[0]",
    ),
    "an owner that is not taken takes its own along": (
        governed(teams=[{"id": "t", "name": "t", "budget_id": "gone"}], virtual_keys=[key(team_id="t")]),
        "left_out",
        "governance.virtual_keys[0]",
    ),
    "a budget of nobody": (governed(budgets=[{"id": "b", **DAY}]), "left_out", "governance.budgets[0]"),
    "a budget of two": (
        governed(
            budgets=[{"id": "b", **DAY}],
            customers=[{**CUSTOMER, "budget_id": "b"}, {"id": "d", "name": "d", "budget_id": "b"}],
        ),
        "left_out",
        "governance.budgets[0]",
    ),
    "usage": (
        governed(customers=[{**CUSTOMER, "budgets": [{**DAY, "current_usage": 1.5}]}]),
        "left_out",
        "governance.customers[0].budgets[0].current_usage",
    ),
    "what was added to a budget": (
        governed(
            customers=[{**CUSTOMER, "budgets": [{**DAY, "override_amount": 5, "override_mode": "forever"}]}]
        ),
        "left_out",
        "governance.customers[0].budgets[0].override_amount",
    ),
    "an aligned rate limit": (
        governed(
            customers=[
                {
                    **CUSTOMER,
                    "calendar_aligned": True,
                    "rate_limit": {"token_max_limit": 5, "token_reset_duration": "1d"},
                }
            ]
        ),
        "changed",
        "governance.customers[0].rate_limit.token_reset_duration",
    ),
    "limits of all models of all providers": (
        governed(model_configs=[{"id": "m", "model_name": "*", "budgets": [DAY]}]),
        "left_out",
        "governance.model_configs[0]",
    ),
    "limits of a model for one key": (
        governed(
            virtual_keys=[key()],
            model_configs=[
                {"id": "m", "model_name": "x", "scope": "virtual_key", "scope_id": "k", "budgets": [DAY]}
            ],
        ),
        "left_out",
        "governance.model_configs[0]",
    ),
    "a second set of limits of a provider": (
        governed(providers=[{"name": "p", "budgets": [DAY]}, {"name": "p", "budgets": [MONTH]}]),
        "left_out",
        "governance.providers[1]",
    ),
    "a key whose value is not in the file": (
        governed(virtual_keys=[{"id": "k", "name": "bot"}]),
        "left_out",
        "governance.virtual_keys[0].value",
    ),
    "a value in a vault": (
        governed(virtual_keys=[key(value="vault.keys/bot")]),
        "left_out",
        "governance.virtual_keys[0].value",
    ),
    "blocked models of all models": (
        governed(virtual_keys=[key(provider_configs=[config(blacklisted_models=["b"])])]),
        "left_out",
        "governance.virtual_keys[0].provider_configs[0].blacklisted_models",
    ),
    "a tool server that is a number": (
        governed(virtual_keys=[key(mcp_configs=[{"mcp_client_id": 3, "tools_to_execute": ANY}])]),
        "left_out",
        "governance.virtual_keys[0].mcp_configs[0]",
    ),
    "an access profile": (
        governed(virtual_keys=[key(access_profile_id=3)]),
        "left_out",
        "governance.virtual_keys[0].access_profile_id",
    ),
    "a chained rule": (
        governed(routing_rules=[rule(chain_rule=True)]),
        "left_out",
        "governance.routing_rules[0].chain_rule",
    ),
    "a rule over what limen does not know": (
        governed(routing_rules=[rule(cel_expression='complexity_tier == "SIMPLE"')]),
        "left_out",
        "governance.routing_rules[0].cel_expression",
    ),
    "a rule whose weights do not sum to 1": (
        governed(routing_rules=[rule(targets=[{"weight": 0.5}])]),
        "left_out",
        "governance.routing_rules[0].targets",
    ),
    "a zero that is not applied": (
        governed(pricing_overrides=[override({"input_cost_per_token": 0})]),
        "left_out",
        "governance.pricing_overrides[0].pricing_patch.input_cost_per_token",
    ),
    "zeros that become free": (
        governed(pricing_overrides=[override(ZEROS)]),
        "changed",
        "governance.pricing_overrides[0].pricing_patch.output_cost_per_token",
    ),
    "a price that has no name here": (
        governed(pricing_overrides=[override({"input_cost_per_token_above_272k_tokens": 1})]),
        "left_out",
        "governance.pricing_overrides[0].pricing_patch.input_cost_per_token_above_272k_tokens",
    ),
    "a type that has no price here": (
        governed(pricing_overrides=[override({}, "compaction", "responses")]),
        "left_out",
        "governance.pricing_overrides[0].request_types",
    ),
    "a patch that is no JSON": (
        governed(pricing_overrides=[{**override({}), "pricing_patch": "{"}]),
        "left_out",
        "governance.pricing_overrides[0].pricing_patch",
    ),
    "business units": (
        governed(business_units=[{"id": "u", "name": "u"}]),
        "left_out",
        "governance.business_units",
    ),
    "credentials of administrators": (
        {**governed(), "auth_config": {"is_enabled": True, "admin_username": "a", "admin_password": "p"}},
        "left_out",
        "auth_config",
    ),
    "the same, switched off": (
        {**governed(), "auth_config": {"is_enabled": False}},
        "outside",
        "auth_config",
    ),
    "requests without a key": ({"governance": {}}, "changed", "client.enforce_auth_on_inference"),
    "how a provider is called": (
        {"providers": {"p": {"network_config": {"max_retries": 1}}}},
        "outside",
        "providers.p.network_config",
    ),
    "another section": ({**governed(), "logs_store": {"enabled": True}}, "outside", "logs_store"),
    "a version that is not known": ({**governed(), "version": 3}, "left_out", "version"),
    "an id that stands twice": (
        governed(customers=[CUSTOMER, CUSTOMER]),
        "left_out",
        "governance.customers[1].id",
    ),
}


@pytest.mark.parametrize("row", NAMED)
def test_what_is_not_taken_is_named(row: str) -> None:
    document, kind, path = NAMED[row]
    assert path in named(imported(document), kind)


@pytest.mark.parametrize(
    "document",
    [NAMED["an access profile"][0], NAMED["limits of a model for one key"][0]],
)
def test_a_key_whose_limits_are_lost_is_switched_off(document: Any) -> None:
    assert imported(document).document["virtual_keys"][0]["is_active"] is False


def test_a_chained_rule_is_switched_off() -> None:
    assert imported(NAMED["a chained rule"][0]).document["routing_rules"][0]["enabled"] is False


# Of a whole file

PRIVATE = {"profile", "config", "claims", "query"}
"""Objects whose content is their owner's."""


def objects(value: Any, path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    if isinstance(value, dict):
        yield path, value
        for word, item in value.items():
            if word not in PRIVATE:
                yield from objects(item, f"{path}.{word}" if path else word)
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from objects(item, f"{path}[{index}]")


def test_a_whole_file_is_taken() -> None:
    found = imported(WHOLE)
    assert found.notes.left_out == []
    assert found.counts == {
        "providers": 2,
        "customers": 1,
        "teams": 1,
        "provider_keys": 2,
        "virtual_keys": 2,
        "model_configs": 1,
        "routing_rules": 1,
        "pricing_overrides": 1,
    }


@pytest.mark.parametrize("place", [path for path, _ in objects(WHOLE)])
def test_a_field_that_nobody_knows_is_named_wherever_it_stands(place: str) -> None:
    document = copy.deepcopy(WHOLE)
    dict(objects(document))[place]["zz"] = 1
    path = f"{place}.zz" if place else "zz"
    found = imported(document)
    said = named(found, "left_out") | named(found, "outside")
    assert any(path == one or path.startswith((f"{one}.", f"{one}[")) for one in said), path


BAD = [
    *(-1, 1.5, True, None, Decimal("1e400"), Decimal("NaN"), 2**64, [], {}, [[]], ["x"], {"value": 5}),
    *("5", "", "a\nb", "\ud800", "x" * 10_000, "vault.x", "env.", "env.A B"),
]


@pytest.mark.parametrize("place", [path for path, _ in objects(WHOLE)])
def test_whatever_stands_in_a_field_the_rest_is_taken_and_loads(place: str) -> None:
    for word in list(dict(objects(WHOLE))[place]):
        for value in BAD:
            document = copy.deepcopy(WHOLE)
            dict(objects(document))[place][word] = value
            if {"governance", "providers"} & set(document):
                imported(document)


@pytest.mark.parametrize("document", [None, [], "x", 5, {}, {"virtual_keys": []}, {"$schema": "x"}])
def test_what_is_no_file_of_bifrost_is_refused(document: Any) -> None:
    refused(lambda: read_bifrost(document))
