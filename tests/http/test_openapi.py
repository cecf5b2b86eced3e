"""The OpenAPI document: every route and field, examples that work as they stand, a page of it."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from typing import Any

import jsonschema
import pytest
from test_routes import ADMIN, ROWS, Bench

from limen.errors import TABLE
from limen.http import admin
from limen.http.examples import EXAMPLES
from limen.http.openapi import document
from test_entities_schema import EXPECTED

DOCUMENT = document()
SCHEMAS = DOCUMENT["components"]["schemas"]
LIMITS = "budget budgets rate_limit"
BODIES = {
    "CreateBudgetRequest": "max_limit reset_duration calendar_aligned",
    "UpdateBudgetRequest": "id max_limit reset_duration calendar_aligned",
    "CreateRateLimitRequest": (
        "token_max_limit token_reset_duration request_max_limit request_reset_duration window"
    ),
    "UpdateRateLimitRequest": (
        "token_max_limit token_reset_duration request_max_limit request_reset_duration window"
    ),
    "CreateVirtualKeyRequest": (
        f"name description provider_configs mcp_configs team_id customer_id is_active expires_at {LIMITS}"
    ),
    "UpdateVirtualKeyRequest": (
        f"name description provider_configs mcp_configs team_id customer_id is_active expires_at {LIMITS}"
    ),
    "CreateProviderConfigRequest": f"provider weight allowed_models key_ids {LIMITS}",
    "UpdateProviderConfigRequest": f"id provider weight allowed_models key_ids {LIMITS}",
    "CreateMCPConfigRequest": "mcp_client_name tools_to_execute",
    "UpdateMCPConfigRequest": "id mcp_client_name tools_to_execute",
    "CreateTeamRequest": f"name customer_id profile config claims {LIMITS}",
    "UpdateTeamRequest": f"name customer_id profile config claims {LIMITS}",
    "CreateCustomerRequest": f"name {LIMITS}",
    "UpdateCustomerRequest": f"name {LIMITS}",
    "CreateModelConfigRequest": f"model_name provider {LIMITS}",
    "UpdateModelConfigRequest": f"model_name provider {LIMITS}",
    "UpdateProviderGovernanceRequest": LIMITS,
    "RoutingTarget": "provider model key_id weight",
    "CreateRoutingRuleRequest": (
        "name cel_expression scope priority targets description enabled fallbacks scope_id query"
    ),
    "UpdateRoutingRuleRequest": "name description enabled cel_expression targets fallbacks priority query",
    "CreatePricingOverrideRequest": (
        "name scope_kind match_type pattern request_types virtual_key_id provider_id provider_key_id patch "
        "free confirm"
    ),
    "UpdatePricingOverrideRequest": (
        "name scope_kind match_type pattern request_types virtual_key_id provider_id provider_key_id patch "
        "free confirm"
    ),
    "PricingPatch": (
        "input_cost_per_token output_cost_per_token input_cost_per_token_batches "
        "output_cost_per_token_batches input_cost_per_token_priority output_cost_per_token_priority "
        "input_cost_per_character "
        "input_cost_per_token_above_128k_tokens output_cost_per_token_above_128k_tokens "
        "input_cost_per_token_above_200k_tokens output_cost_per_token_above_200k_tokens "
        "cache_creation_input_token_cost cache_read_input_token_cost "
        "cache_creation_input_token_cost_above_200k_tokens cache_read_input_token_cost_above_200k_tokens "
        "cache_read_input_token_cost_priority cache_read_input_image_token_cost "
        "cache_creation_input_audio_token_cost input_cost_per_image output_cost_per_image "
        "input_cost_per_pixel output_cost_per_pixel input_cost_per_image_token output_cost_per_image_token "
        "output_cost_per_image_low_quality output_cost_per_image_medium_quality "
        "output_cost_per_image_high_quality output_cost_per_image_auto_quality "
        "output_cost_per_image_premium_image output_cost_per_image_above_512_and_512_pixels "
        "output_cost_per_image_above_1024_and_1024_pixels output_cost_per_image_above_2048_and_2048_pixels "
        "output_cost_per_image_above_4096_and_4096_pixels input_cost_per_audio_token "
        "output_cost_per_audio_token input_cost_per_audio_per_second input_cost_per_second "
        "input_cost_per_video_per_second output_cost_per_video_per_second output_cost_per_second "
        "search_context_cost_per_query code_interpreter_cost_per_session"
    ),
    "RoutingRule": (
        "id name description enabled cel_expression targets fallbacks scope scope_id priority query health "
        "created_at updated_at warnings"
    ),
    "PricingOverride": (
        "id name scope_kind virtual_key_id provider_id provider_key_id match_type pattern request_types "
        "pricing_patch patch free config_hash created_at updated_at warnings"
    ),
    "VirtualKeyResponse": "message virtual_key warnings",
    "TeamResponse": "message team warnings",
    "CustomerResponse": "message customer warnings",
    "ModelConfigResponse": "message model_config warnings",
    "RoutingRuleResponse": "message rule warnings",
    "PricingOverrideResponse": "message pricing_override warnings",
    "ProviderGovernanceResponse": "message provider budget budgets rate_limit warnings",
    "ListCustomersResponse": "customers count total_count limit offset",
    "ListModelConfigsResponse": "model_configs count total_count limit offset",
    "ListRoutingRulesResponse": "rules count total_count limit offset",
    "ListPricingOverridesResponse": "pricing_overrides count total_count limit offset",
    "ListBudgetsResponse": "budgets count total_count limit offset",
    "ListRateLimitsResponse": "rate_limits count total_count limit offset",
}
"""Beside those of `EXPECTED`: the fields of the governance schema, and those that are ours."""


def operations() -> list[tuple[str, str, dict[str, Any]]]:
    return [
        (method, path, operation)
        for path, methods in DOCUMENT["paths"].items()
        for method, operation in methods.items()
    ]


def test_the_document_has_every_route_and_no_other() -> None:
    served = {(method, path) for method, path in (*ROWS, *ADMIN) if method != "HEAD"}
    assert {(method.upper(), path) for method, path, _ in operations()} == served


@pytest.mark.parametrize("name", [*EXPECTED, *BODIES])
def test_a_schema_has_the_fields_of_the_governance_schema(name: str) -> None:
    wanted = EXPECTED.get(name) or BODIES[name]
    assert set(SCHEMAS[name]["properties"]) == set(wanted.split())
    assert SCHEMAS[name]["additionalProperties"] is False


def test_the_document_is_one_of_its_dialect() -> None:
    for schema in SCHEMAS.values():
        jsonschema.Draft202012Validator.check_schema(schema)
    names = set(
        re.findall(r'"#/components/schemas/(\w+)"', re.sub(r"\s", "", str(DOCUMENT).replace("'", '"')))
    )
    assert names <= set(SCHEMAS)
    ids = [operation["operationId"] for _, _, operation in operations()]
    assert len(ids) == len(set(ids))


def test_dollars_are_numbers_and_nothing_is_untyped() -> None:
    assert SCHEMAS["Budget"]["properties"]["max_limit"] == {"type": "number"}
    assert SCHEMAS["Ask"]["properties"]["tokens"] == {"type": ["integer", "null"], "minimum": 0}
    assert SCHEMAS["Settle"]["properties"]["input_seconds"]["type"] == ["number", "null"]
    untyped = [
        (name, word)
        for name, schema in SCHEMAS.items()
        for word, item in schema.get("properties", {}).items()
        if not set(item) & {"type", "$ref", "anyOf", "enum", "const"}
    ]
    assert untyped == []


@pytest.mark.parametrize(("method", "path", "operation"), operations(), ids=str)
def test_an_operation_says_what_may_come_back(method: str, path: str, operation: dict[str, Any]) -> None:
    statuses = set(operation["responses"])
    assert "400" in statuses
    assert statuses - {"200", "201", "304"} <= {str(row.status) for row in TABLE.values()}
    if operation["security"] and {"adminToken": []} in operation["security"]:
        assert statuses >= {"401", "429"}
        assert ("403" in statuses) == (method != "get")
    words = re.findall(r"\{(\w+)\}", path)
    named = [one["name"] for one in operation.get("parameters", ()) if one["in"] == "path"]
    assert words == named


def bodies() -> list[tuple[str, str, Any, str]]:
    return [
        (method, path, operation["requestBody"]["content"]["application/json"]["example"], path)
        for method, path, operation in operations()
        if "requestBody" in operation
    ]


@pytest.mark.parametrize(("method", "path", "example", "id"), bodies(), ids=str)
def test_an_example_works_as_it_stands(method: str, path: str, example: Any, id: str) -> None:
    bench = Bench()
    key = bench.key(provider_configs=[{"provider": "openai", "weight": 1, "allowed_models": ["*"]}])
    permit = bench.engine.admit(key.value, "openai/gpt-4o", 1).token
    text = str(example).replace("sk-bf-a-virtual-key", key.value).replace("pmt_of_an_admit", permit)
    reply = bench.ask(method.upper(), bench.path(path), eval(text))
    assert reply.status in (200, 201), reply.content
    for result in reply.body.get("results", ()):
        assert result["status"] == 200


def test_every_body_has_an_example_that_its_schema_takes() -> None:
    sent = {
        operation["requestBody"]["content"]["application/json"]["schema"]["$ref"].rpartition("/")[2]
        for _, _, operation in operations()
        if "requestBody" in operation
    }
    assert sent == set(EXAMPLES)
    for name, example in EXAMPLES.items():
        whole = {"$ref": f"#/components/schemas/{name}", "components": DOCUMENT["components"]}
        jsonschema.Draft202012Validator(whole).validate(example)


def test_a_parameter_of_a_list_is_one_that_the_list_takes() -> None:
    bench = Bench()
    for row in admin.ROWS:
        if row.call in ("list", "bare"):
            for one in DOCUMENT["paths"][row.path]["get"]["parameters"]:
                if one["in"] == "query":
                    schema = one["schema"]
                    kind = schema.get("format", schema.get("type"))
                    value = {"integer": "0", "date-time": "2024-01-01T00:00:00Z"}.get(kind, "x")
                    value = schema.get("enum", [value])[0]
                    reply = bench.ask("GET", f"{bench.path(row.path)}?{one['name']}={value}")
                    assert reply.status == 200, (row.path, one["name"], reply.content)


class Page(HTMLParser):
    """What a page refers to, and what in it could run."""

    def __init__(self) -> None:
        super().__init__()
        self.links: list[str] = []
        self.ids: set[str] = set()
        self.tags: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        for name, value in attrs:
            assert not name.startswith("on")
            if name in ("href", "src", "action"):
                self.links.append(str(value))
            if name == "id":
                self.ids.add(str(value))


def test_the_page_shows_every_route_and_schema_and_refers_to_nothing_else() -> None:
    bench = Bench()
    reply = bench.ask("GET", "/docs")
    assert reply.headers["content-type"] == "text/html; charset=utf-8"
    assert "default-src 'none'" in reply.headers["content-security-policy"]
    text, page = reply.content.decode(), Page()
    page.feed(text)
    assert not page.tags & {"script", "iframe", "img", "link", "form", "object"}
    assert {link for link in page.links if not link.startswith("#")} == {"/openapi.json"}
    assert {link[1:] for link in page.links if link.startswith("#")} <= page.ids
    assert page.ids == set(SCHEMAS)
    for path in DOCUMENT["paths"]:
        assert path in text


def test_the_document_is_served_as_it_is_printed() -> None:
    reply = Bench().ask("GET", "/openapi.json")
    assert reply.body == DOCUMENT
    assert Bench().ask("HEAD", "/openapi.json").headers == reply.headers
