"""JSON Schema of the configuration file, made of the structs that type its entries.

It says which fields there are and of what kind, for editors and for scripts that write files. What depends on
more than one field, or on the environment, `limen check` says.

    >>> sorted(schema()["properties"])[:3]
    ['customers', 'model_configs', 'price_catalog']
"""

from typing import Any, Final

import msgspec
from msgspec import UNSET, UnsetType

from limen.bodies import (
    Body,
    CreateCustomerRequest,
    CreateLimits,
    CreateModelConfigRequest,
    CreatePricingOverrideRequest,
    CreateProviderKeyRequest,
    CreateRoutingRuleRequest,
    CreateTeamRequest,
    CreateVirtualKeyRequest,
    SecretIn,
)
from limen.settings import Settings


class FileProvider(CreateLimits, kw_only=True):
    """A provider and its limits; its name is its id."""

    name: str


class FileCustomer(CreateCustomerRequest, kw_only=True):
    """A customer."""

    id: str | UnsetType = UNSET


class FileTeam(CreateTeamRequest, kw_only=True):
    """A team, with or without a customer."""

    id: str | UnsetType = UNSET


class FileProviderKey(CreateProviderKeyRequest, kw_only=True):
    """A provider's API key; its id is what `key_ids` name."""

    id: str | UnsetType = UNSET


class FileVirtualKey(CreateVirtualKeyRequest, kw_only=True):
    """A virtual key; its value as text, as `env.NAME`, or as the SHA-256 of it alone."""

    id: str | UnsetType = UNSET
    value: SecretIn = UNSET
    value_sha256: str | UnsetType = UNSET


class FileModelConfig(CreateModelConfigRequest, kw_only=True):
    """Limits of a model; without a provider, over all providers together."""

    id: str | UnsetType = UNSET


class FileRoutingRule(CreateRoutingRuleRequest, kw_only=True):
    """A routing rule; the weights of its targets sum to 1."""

    id: str | UnsetType = UNSET


class FilePricingOverride(CreatePricingOverrideRequest, kw_only=True):
    """Other prices for some requests: a patch, or `free`."""

    id: str | UnsetType = UNSET


class ConfigurationFile(Body, kw_only=True):
    """What `limen serve --config`, `limen check` and `engine.load` read."""

    settings: Settings | UnsetType = UNSET
    providers: list[FileProvider] | UnsetType = UNSET
    provider_keys: list[FileProviderKey] | UnsetType = UNSET
    customers: list[FileCustomer] | UnsetType = UNSET
    teams: list[FileTeam] | UnsetType = UNSET
    virtual_keys: list[FileVirtualKey] | UnsetType = UNSET
    model_configs: list[FileModelConfig] | UnsetType = UNSET
    routing_rules: list[FileRoutingRule] | UnsetType = UNSET
    pricing_overrides: list[FilePricingOverride] | UnsetType = UNSET
    price_catalog: str | UnsetType = UNSET


_DOLLARS: Final = {"type": "number", "minimum": 0}


def _tidy(node: Any) -> Any:
    """No field beside those that are named, and dollars as the number that they are in JSON."""
    if isinstance(node, list):
        return [_tidy(item) for item in node]
    if not isinstance(node, dict):
        return node
    kinds = node.get("anyOf", ())
    if {"type": "string", "format": "decimal"} in kinds:
        return {**_DOLLARS, "type": ["number", "null"]} if {"type": "null"} in kinds else _DOLLARS
    found = {word: _tidy(item) for word, item in node.items()}
    if "properties" in found:
        found["additionalProperties"] = False
    return found


def schema() -> dict[str, Any]:
    """The schema, in the dialect of 2020-12."""
    (top,), parts = msgspec.json.schema_components(
        [ConfigurationFile], schema_hook=lambda _: {"type": "string"}, ref_template="#/$defs/{name}"
    )
    found = _tidy(parts)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **found.pop(top["$ref"].removeprefix("#/$defs/")),
        "$defs": found,
    }
