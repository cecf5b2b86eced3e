"""Bifrost's config.json as a configuration file, each rule a row: what stands there, what is there then."""

from __future__ import annotations

import hashlib
import json
from decimal import Decimal
from typing import Any

import pytest

from bifrost_file import (
    ANY,
    CUSTOMER,
    DAY,
    ENVIRONMENT,
    MONTH,
    ZEROS,
    config,
    governed,
    imported,
    key,
    override,
    rule,
)
from limen.importing.durations import written


@pytest.fixture(autouse=True)
def variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)


RATE = {"request_max_limit": 60, "request_reset_duration": "1m"}
SHA = hashlib.sha256(b"sk-bf-1").hexdigest()

TAKEN = {
    "a budget that its owner names": (
        governed(budgets=[{"id": "b", **DAY}], customers=[{**CUSTOMER, "budget_id": "b"}]),
        "customers.0.budgets",
        [DAY],
    ),
    "a budget that names its owner": (
        governed(budgets=[{"id": "b", **DAY, "customer_id": "c"}], customers=[CUSTOMER]),
        "customers.0.budgets",
        [DAY],
    ),
    "named both ways, it is one": (
        governed(
            budgets=[{"id": "b", **DAY, "customer_id": "c"}], customers=[{**CUSTOMER, "budget_id": "b"}]
        ),
        "customers.0.budgets",
        [DAY],
    ),
    "a budget inside its owner, one": (
        governed(customers=[{**CUSTOMER, "budget": DAY}]),
        "customers.0.budgets",
        [DAY],
    ),
    "budgets inside their owner, several": (
        governed(customers=[{**CUSTOMER, "budgets": [{"id": "x", **DAY}, MONTH]}]),
        "customers.0.budgets",
        [DAY, MONTH],
    ),
    "budgets of a model config, by ids": (
        governed(
            budgets=[{"id": "a", **DAY}, {"id": "b", **MONTH}],
            model_configs=[{"id": "m", "model_name": "gpt", "budget_ids": ["a", "b"]}],
        ),
        "model_configs.0.budgets",
        [DAY, MONTH],
    ),
    "a budget of a provider config, by its number": (
        governed(
            budgets=[{"id": "a", **DAY, "provider_config_id": 7}],
            virtual_keys=[key(provider_configs=[config(id=7)])],
        ),
        "virtual_keys.0.provider_configs.0.budgets",
        [DAY],
    ),
    "a rate limit by id": (
        governed(rate_limits=[{"id": "r", **RATE}], teams=[{"id": "t", "name": "t", "rate_limit_id": "r"}]),
        "teams.0.rate_limit",
        RATE,
    ),
    "a rate limit inside its owner": (
        governed(teams=[{"id": "t", "name": "t", "rate_limit": RATE}]),
        "teams.0.rate_limit",
        RATE,
    ),
    "limits of a provider": (
        governed(budgets=[{"id": "b", **DAY}], providers=[{"name": "openai", "budget_id": "b"}]),
        "providers",
        [{"name": "openai", "budgets": [DAY]}],
    ),
    "limits of all models of a provider are the provider's": (
        governed(model_configs=[{"id": "m", "model_name": "*", "provider": "openai", "budgets": [DAY]}]),
        "providers",
        [{"name": "openai", "budgets": [DAY]}],
    ),
    "an aligned owner aligns its days": (
        governed(customers=[{**CUSTOMER, "calendar_aligned": True, "budgets": [DAY]}]),
        "customers.0.budgets.0.calendar_aligned",
        True,
    ),
    "and not its hours, which Bifrost does not align either": (
        governed(
            customers=[
                {**CUSTOMER, "calendar_aligned": True, "budgets": [{"max_limit": 1, "reset_duration": "1h"}]}
            ]
        ),
        "customers.0.budgets",
        [{"max_limit": 1, "reset_duration": "1h"}],
    ),
    "an aligned key aligns its provider configs": (
        governed(
            virtual_keys=[key(calendar_aligned=True, provider_configs=[config(budgets=[MONTH])])],
        ),
        "virtual_keys.0.provider_configs.0.budgets.0.calendar_aligned",
        True,
    ),
    "an aligned budget, as older files have it": (
        governed(
            budgets=[{"id": "b", **DAY, "calendar_aligned": True, "customer_id": "c"}], customers=[CUSTOMER]
        ),
        "customers.0.budgets.0.calendar_aligned",
        True,
    ),
    "a value goes over as its hash": (governed(virtual_keys=[key()]), "virtual_keys.0.value_sha256", SHA),
    "a value of the environment stays there": (
        governed(virtual_keys=[key(value="env.BOT_KEY")]),
        "virtual_keys.0.value",
        "env.BOT_KEY",
    ),
    "and the settings allow its variable": (
        governed(virtual_keys=[key(value={"value": "", "env_var": "env.BOT_KEY", "from_env": True})]),
        "settings.secret_env",
        ["BOT_KEY"],
    ),
    "models left out allow none": (
        governed(virtual_keys=[key(provider_configs=[{"provider": "p", "key_ids": ANY}])]),
        "virtual_keys.0.provider_configs.0.allowed_models",
        [],
    ),
    "null models allow none": (
        governed(virtual_keys=[key(provider_configs=[config(allowed_models=None)])]),
        "virtual_keys.0.provider_configs.0.allowed_models",
        [],
    ),
    "in version 1 they allow all": (
        {"version": 1, **governed(virtual_keys=[key(provider_configs=[{"provider": "p"}])])},
        "virtual_keys.0.provider_configs",
        [{"provider": "p", "allowed_models": ANY, "key_ids": ANY}],
    ),
    "in version 1 a key without providers has all": (
        {"version": 1, "providers": {"p": {}, "q": {}}, **governed(virtual_keys=[key()])},
        "virtual_keys.0.provider_configs",
        [{"provider": name, "allowed_models": ANY, "key_ids": ANY} for name in ("p", "q")],
    ),
    "in version 1 a key without clients has all": (
        {"version": 1, "mcp": {"client_configs": [{"name": "files"}]}, **governed(virtual_keys=[key()])},
        "virtual_keys.0.mcp_configs",
        [{"mcp_client_name": "files", "tools_to_execute": ANY}],
    ),
    "a key without providers has none": (
        {"providers": {"p": {}}, **governed(virtual_keys=[key()])},
        "virtual_keys.0.provider_configs",
        [],
    ),
    "keys left out are none": (
        governed(virtual_keys=[key(provider_configs=[{"provider": "p", "allowed_models": ANY}])]),
        "virtual_keys.0.provider_configs.0.key_ids",
        [],
    ),
    "keys may be named by their names": (
        {
            "providers": {"p": {"keys": [{"id": "k-1", "name": "main", "value": "v", "weight": 1}]}},
            **governed(virtual_keys=[key(provider_configs=[config(key_ids=["main"])])]),
        },
        "virtual_keys.0.provider_configs.0.key_ids",
        ["k-1"],
    ),
    "a weight that is null stays null": (
        governed(virtual_keys=[key(provider_configs=[config(weight=None)])]),
        "virtual_keys.0.provider_configs.0",
        {"provider": "p", "allowed_models": ANY, "key_ids": ANY},
    ),
    "blocked models are taken out": (
        governed(
            virtual_keys=[key(provider_configs=[config(allowed_models=["a", "b"], blacklisted_models=["b"])])]
        ),
        "virtual_keys.0.provider_configs.0.allowed_models",
        ["a"],
    ),
    "tools": (
        governed(
            virtual_keys=[key(mcp_configs=[{"mcp_client_name": "files", "tools_to_execute": ["read"]}])]
        ),
        "virtual_keys.0.mcp_configs",
        [{"mcp_client_name": "files", "tools_to_execute": ["read"]}],
    ),
    "a provider key": (
        {"providers": {"p": {"keys": [{"name": "main", "value": "env.P", "models": ANY, "weight": 0.5}]}}},
        "provider_keys",
        [
            {
                "id": "main",
                "provider": "p",
                "name": "main",
                "models": ANY,
                "weight": Decimal("0.5"),
                "value": "env.P",
            }
        ],
    ),
    "a key of a cloud has no value of its own": (
        {
            "providers": {
                "bedrock": {
                    "keys": [
                        {
                            "name": "aws",
                            "models": ANY,
                            "weight": 1,
                            "bedrock_key_config": {
                                "access_key": "env.AK",
                                "secret_key": "env.SK",
                                "region": "eu",
                            },
                        }
                    ]
                }
            }
        },
        "provider_keys.0",
        {
            "id": "aws",
            "provider": "bedrock",
            "name": "aws",
            "models": ANY,
            "weight": 1,
            "value": "-",
            "bedrock_access_key": "env.AK",
            "bedrock_secret_key": "env.SK",
            "bedrock_region": "eu",
        },
    ),
    "what a rule leaves out": (
        governed(routing_rules=[rule()]),
        "routing_rules.0",
        {**rule(), "cel_expression": "", "scope": "global", "priority": 0},
    ),
    "a target names a key by its name": (
        {
            "providers": {"p": {"keys": [{"id": "k-1", "name": "main", "value": "v", "weight": 1}]}},
            **governed(
                routing_rules=[rule(targets=[{"provider": "p", "provider_key_name": "main", "weight": 1}])]
            ),
        },
        "routing_rules.0.targets",
        [{"provider": "p", "key_id": "k-1", "weight": 1}],
    ),
    "an old rule has one target": (
        governed(routing_rules=[{"id": "r", "name": "r", "provider": "p", "model": "m"}]),
        "routing_rules.0.targets",
        [{"provider": "p", "model": "m", "weight": 1}],
    ),
    "a fallback without a model": (
        governed(routing_rules=[rule(fallbacks=["q", "q/m"])]),
        "routing_rules.0.fallbacks",
        ["q/", "q/m"],
    ),
    "a patch as text": (
        governed(pricing_overrides=[override({"input_cost_per_token": 1e-6})]),
        "pricing_overrides.0.patch",
        {"input_cost_per_token": Decimal("0.000001")},
    ),
    "a patch as an object": (
        governed(
            pricing_overrides=[{**override({}), "pricing_patch": None, "patch": {"input_cost_per_token": 2}}]
        ),
        "pricing_overrides.0.patch",
        {"input_cost_per_token": 2},
    ),
    "zeros for all of it are free": (
        governed(pricing_overrides=[override(ZEROS, "chat_completion", "embedding")]),
        "pricing_overrides.0.free",
        True,
    ),
    "an embedding has no output": (
        governed(pricing_overrides=[override({"input_cost_per_token": 0.0}, "embedding")]),
        "pricing_overrides.0.free",
        True,
    ),
    "a zero for a part of it is not": (
        governed(pricing_overrides=[override({"input_cost_per_token": 0})]),
        "pricing_overrides.0.patch",
        {},
    ),
    "nor are tokens all of an image": (
        governed(pricing_overrides=[override(ZEROS, "image_generation")]),
        "pricing_overrides.0.patch",
        {},
    ),
    "a zero beside a price is left out": (
        governed(pricing_overrides=[override({**ZEROS, "input_cost_per_token": 3})]),
        "pricing_overrides.0.patch",
        {"input_cost_per_token": 3},
    ),
    "the streaming variant is the type": (
        governed(pricing_overrides=[override({}, "responses_stream", "responses")]),
        "pricing_overrides.0.request_types",
        ["responses"],
    ),
    "requests need a key where Bifrost says so": (governed(), "settings.require_virtual_key", True),
    "and do not where it says that": (
        {"client": {"enforce_governance_header": False}, "governance": {}},
        "settings.require_virtual_key",
        False,
    ),
}


def at(document: Any, path: str) -> Any:
    for word in path.split("."):
        document = document[int(word) if word.isdigit() else word]
    return document


@pytest.mark.parametrize("row", TAKEN)
def test_what_is_taken_means_the_same(row: str) -> None:
    document, path, wanted = TAKEN[row]
    assert at(imported(json.loads(json.dumps(document), parse_float=Decimal)).document, path) == wanted


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("1h30m", "90m"),
        ("90s", "90s"),
        ("1.5h", "90m"),
        ("1h0m0s", "1h"),
        ("1m1s", "61s"),
        ("1.5d", "36h"),
        ("0.5w", "84h"),
        ("daily", "1d"),
        ("Monthly", "1M"),
        ("1000ms", "1s"),
        ("24h", "24h"),
    ],
)
def test_durations_of_go_are_written_as_one_number_and_one_unit(text: str, wanted: str) -> None:
    assert written(text) == wanted


@pytest.mark.parametrize(
    "text", ["", "d", "5", "-1h", "1h-", "h1", "1x", "0s", "1ms", "1e3h", "٣h", "1" * 99 + "h"]
)
def test_what_is_no_duration_is_not_taken_for_one(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        written(text)
