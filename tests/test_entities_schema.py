"""The typed structs and the field tables say the same: no field stands in one of them alone."""

from __future__ import annotations

import doctest
import importlib
import pkgutil
from datetime import UTC, datetime
from typing import Any, get_type_hints

import msgspec
import pytest

import limen
from furnished import Furnished
from house import refused
from limen import model
from limen.resources import key_parts, limits, pricing_overrides, routing_rules, secrets
from limen.resources.customers import Customers
from limen.resources.model_configs import ModelConfigs
from limen.resources.pricing_overrides import PricingOverrides
from limen.resources.provider_keys import ProviderKeys
from limen.resources.providers import Providers
from limen.resources.routing_rules import RoutingRules
from limen.resources.teams import Teams
from limen.resources.virtual_keys import VirtualKeys
from limen.settings import _ESTIMATE, _SETTINGS, EstimatePolicy, Settings

TABLES: list[tuple[type[msgspec.Struct], Any]] = [
    (model.CreateCustomerRequest, Customers.create_shape),
    (model.UpdateCustomerRequest, Customers.update_shape),
    (model.CreateTeamRequest, Teams.create_shape),
    (model.UpdateTeamRequest, Teams.update_shape),
    (model.CreateVirtualKeyRequest, VirtualKeys.create_shape),
    (model.UpdateVirtualKeyRequest, VirtualKeys.update_shape),
    (model.CreateModelConfigRequest, ModelConfigs.create_shape),
    (model.UpdateModelConfigRequest, ModelConfigs.update_shape),
    (model.UpdateProviderGovernanceRequest, Providers.update_shape),
    (model.CreateProviderKeyRequest, ProviderKeys.create_shape),
    (model.UpdateProviderKeyRequest, ProviderKeys.update_shape),
    (model.CreateProviderConfigRequest, key_parts.provider_shape(True)),
    (model.UpdateProviderConfigRequest, key_parts.provider_shape(False)),
    (model.CreateMCPConfigRequest, key_parts.mcp_shape(True)),
    (model.UpdateMCPConfigRequest, key_parts.mcp_shape(False)),
    (model.CreateRoutingRuleRequest, RoutingRules.create_shape),
    (model.UpdateRoutingRuleRequest, RoutingRules.update_shape),
    (model.RoutingTarget, routing_rules.TARGET),
    (model.CreatePricingOverrideRequest, PricingOverrides.create_shape),
    (model.UpdatePricingOverrideRequest, PricingOverrides.update_shape),
    (model.PricingPatch, pricing_overrides.PATCH),
    (model.EnvVarRequest, secrets._SHAPE),
    (EstimatePolicy, _ESTIMATE),
]


@pytest.mark.parametrize(("struct", "shape"), TABLES, ids=[row[0].__name__ for row in TABLES])
def test_a_body_has_the_fields_of_its_table(struct: Any, shape: Any) -> None:
    assert set(struct.__struct_fields__) == set(shape.fields)


def test_limits_have_the_fields_of_their_tables() -> None:
    assert set(model.CreateBudgetRequest.__struct_fields__) == set(limits.BUDGET)
    assert set(model.UpdateBudgetRequest.__struct_fields__) == {*limits.BUDGET, "id"}
    assert set(model.CreateRateLimitRequest.__struct_fields__) == set(limits.RATE)


def test_settings_have_the_fields_of_their_table() -> None:
    assert set(Settings.__struct_fields__) == set(_SETTINGS.fields)


EXPECTED = {
    "Budget": (
        "id max_limit reset_duration calendar_aligned last_reset current_usage held "
        "config_hash created_at updated_at"
    ),
    "RateLimit": (
        "id token_max_limit token_reset_duration token_current_usage token_held "
        "token_last_reset request_max_limit request_reset_duration request_current_usage "
        "request_last_reset window config_hash created_at updated_at"
    ),
    "VirtualKey": (
        "id name value description is_active expires_at provider_configs mcp_configs "
        "team_id customer_id team customer budget budget_id budgets rate_limit "
        "rate_limit_id config_hash created_at updated_at warnings"
    ),
    "VirtualKeyProviderConfig": (
        "id virtual_key_id provider weight allowed_models budget_id rate_limit_id budget "
        "budgets rate_limit keys"
    ),
    "VirtualKeyMCPConfig": "id mcp_client_name tools_to_execute",
    "VirtualKeyQuotaResponse": "virtual_key_name is_active budgets rate_limit",
    "Team": (
        "id name customer_id customer virtual_keys budget budget_id budgets rate_limit "
        "rate_limit_id profile config claims config_hash created_at updated_at warnings"
    ),
    "Customer": (
        "id name teams virtual_keys budget budget_id budgets rate_limit rate_limit_id "
        "config_hash created_at updated_at warnings"
    ),
    "ModelConfig": "id model_name provider budget budgets rate_limit created_at updated_at warnings",
    "ProviderGovernance": "provider budget budgets rate_limit warnings",
    "EnvVar": "value env_var from_env",
    "TableKey": (
        "id name provider_id provider key_id value models weight enabled "
        "use_for_batch_api azure_endpoint azure_api_version azure_client_id "
        "azure_client_secret azure_tenant_id vertex_project_id vertex_project_number "
        "vertex_region vertex_auth_credentials bedrock_access_key bedrock_secret_key "
        "bedrock_session_token bedrock_region bedrock_arn created_at updated_at "
        "config_hash warnings"
    ),
    "RoutingTarget": "provider model key_id weight",
    "RoutingRule": (
        "id name description enabled cel_expression targets fallbacks scope scope_id priority query health "
        "created_at updated_at warnings"
    ),
    "RuleHealth": "matches errors over_budget last_error last_match_at",
    "PricingOverride": (
        "id name scope_kind virtual_key_id provider_id provider_key_id match_type pattern request_types "
        "pricing_patch patch free config_hash created_at updated_at warnings"
    ),
    "PricingPatch": (
        "input_cost_per_token output_cost_per_token input_cost_per_token_batches "
        "output_cost_per_token_batches input_cost_per_token_priority output_cost_per_token_priority "
        "input_cost_per_character input_cost_per_token_above_128k_tokens "
        "output_cost_per_token_above_128k_tokens input_cost_per_token_above_200k_tokens "
        "output_cost_per_token_above_200k_tokens cache_creation_input_token_cost "
        "cache_read_input_token_cost cache_creation_input_token_cost_above_200k_tokens "
        "cache_read_input_token_cost_above_200k_tokens cache_read_input_token_cost_priority "
        "cache_read_input_image_token_cost cache_creation_input_audio_token_cost input_cost_per_image "
        "output_cost_per_image input_cost_per_pixel output_cost_per_pixel input_cost_per_image_token "
        "output_cost_per_image_token output_cost_per_image_low_quality "
        "output_cost_per_image_medium_quality output_cost_per_image_high_quality "
        "output_cost_per_image_auto_quality output_cost_per_image_premium_image "
        "output_cost_per_image_above_512_and_512_pixels output_cost_per_image_above_1024_and_1024_pixels "
        "output_cost_per_image_above_2048_and_2048_pixels "
        "output_cost_per_image_above_4096_and_4096_pixels input_cost_per_audio_token "
        "output_cost_per_audio_token input_cost_per_audio_per_second input_cost_per_second "
        "input_cost_per_video_per_second output_cost_per_video_per_second output_cost_per_second "
        "search_context_cost_per_query code_interpreter_cost_per_session"
    ),
    "ListRoutingRulesResponse": "count total_count limit offset rules",
    "ListPricingOverridesResponse": "count total_count limit offset pricing_overrides",
    "ListTeamsResponse": "count total_count limit offset teams",
    "ListVirtualKeysResponse": "count total_count limit offset virtual_keys",
    "ListProviderGovernanceResponse": "count total_count limit offset providers",
}


@pytest.mark.parametrize("name", EXPECTED)
def test_an_answer_has_exactly_the_names_of_the_schema(name: str) -> None:
    assert set(getattr(model, name).__struct_fields__) == set(EXPECTED[name].split())


def test_every_struct_has_a_json_schema() -> None:
    structs = [
        item for item in vars(model).values() if isinstance(item, type) and issubclass(item, msgspec.Struct)
    ]
    assert len(structs) > 40
    for struct in structs:
        assert get_type_hints(struct) or not struct.__struct_fields__
        if struct.__name__ != "Page":
            msgspec.json.schema(struct)


def test_typed_bodies_are_as_good_as_mappings() -> None:
    bench = Furnished()
    engine = bench.engine
    key = engine.virtual_keys.create(
        model.CreateVirtualKeyRequest(
            name="typed",
            expires_at=datetime(2030, 1, 1, tzinfo=UTC),
            provider_configs=[
                model.CreateProviderConfigRequest(provider="p", weight=1, allowed_models=["*"])
            ],
            budget=model.CreateBudgetRequest(max_limit=0.3, reset_duration="1d"),
        )
    )
    assert str(key.budget.max_limit) == "0.3"
    assert key.expires_at == datetime(2030, 1, 1, tzinfo=UTC)
    changed = engine.virtual_keys.update(
        key.id,
        model.UpdateVirtualKeyRequest(
            budget=model.UpdateBudgetRequest(calendar_aligned=True), expires_at=None
        ),
    )
    assert (changed.budget.id, changed.budget.calendar_aligned, changed.expires_at) == (
        key.budget.id,
        True,
        None,
    )
    assert (
        engine.virtual_keys.update(key.id, model.UpdateVirtualKeyRequest()).updated_at == changed.updated_at
    )
    refused(
        lambda: engine.customers.create(model.CreateCustomerRequest(name="")),
        "invalid_request",
        "name",
    )
    fixed = engine.virtual_keys.create(
        model.CreateVirtualKeyRequest(name="n", expires_at=datetime(2030, 1, 1, tzinfo=UTC))
    )
    assert engine.virtual_keys.get(fixed.id).expires_at == fixed.expires_at


MODULES = sorted(
    info.name
    for info in pkgutil.walk_packages(limen.__path__, "limen.")
    if info.name.startswith(
        ("limen.resources.", "limen.engine", "limen.secret", "limen.settings", "limen.errors")
    )
    or info.name in ("limen.model", "limen.bodies")
)


@pytest.mark.parametrize("name", MODULES)
def test_the_examples_of_a_module_are_true(name: str) -> None:
    assert doctest.testmod(importlib.import_module(name)).failed == 0


def test_modules_with_examples_were_found() -> None:
    found = {name for name in MODULES if (importlib.import_module(name).__doc__ or "").count(">>>")}
    assert found >= {"limen.engine", "limen.model", "limen.resources.limits", "limen.settings"}
