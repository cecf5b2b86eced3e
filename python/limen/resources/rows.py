"""What the core gets of each record: resolved facts, with every owner's limits beside it.

>>> core_row("customer", CustomerRow(id="c", created=0, updated=0, name="acme"))
{'op': 'customer', 'id': 'c', 'name': 'acme', 'limits': []}
"""

from typing import Any, TypeAlias, cast

import msgspec

from limen.resources.limits import core_limits
from limen.resources.records import (
    CustomerRow as CustomerRow,
    Kind,
    ModelConfigRow,
    Owner,
    PricingOverrideRow,
    ProviderKeyRow,
    ProviderRow,
    Record,
    RoutingRuleRow,
    TeamRow,
    VirtualKeyRow,
)

Row: TypeAlias = dict[str, Any]
Credentials: TypeAlias = list[dict[str, Any]]


def core_row(kind: Kind, record: Record, credentials: Credentials | None = None) -> Row:
    """The row of one entity. `credentials` None leaves those of a virtual key as they are."""
    row: Row = {"op": kind, "id": record.id}
    if isinstance(record, CustomerRow | TeamRow | VirtualKeyRow):
        row["name"] = record.name
    if isinstance(record, Owner):
        row["limits"] = core_limits(record)
    if isinstance(record, TeamRow):
        row["customer_id"] = record.customer_id
    elif isinstance(record, VirtualKeyRow):
        row |= _virtual_key(record, credentials)
    elif isinstance(record, ModelConfigRow):
        row |= {"model": record.model_name, "provider": record.provider}
    elif isinstance(record, ProviderRow):
        row["name"] = row.pop("id")
    elif isinstance(record, ProviderKeyRow):
        row |= {
            "provider": record.provider,
            "weight": record.weight,
            "enabled": record.enabled,
            "models": record.models,
            "batch": record.batch,
        }
    elif isinstance(record, RoutingRuleRow):
        row |= _routing_rule(record)
    elif isinstance(record, PricingOverrideRow):
        row |= _pricing_override(record)
    return row


def _routing_rule(record: RoutingRuleRow) -> Row:
    fallbacks = [text.partition("/") for text in record.fallbacks]
    return {
        "scope": record.scope,
        "scope_id": record.scope_id,
        "priority": record.priority,
        "created_ms": record.created,
        "enabled": record.enabled,
        "cel_expression": record.cel,
        "targets": [msgspec.structs.asdict(target) for target in record.targets],
        "fallbacks": [(provider, model or None) for provider, _, model in fallbacks],
    }


def _pricing_override(record: PricingOverrideRow) -> Row:
    return {
        "created_at_ms": record.created,
        "scope": record.scope_kind,
        "virtual_key_id": record.virtual_key_id,
        "provider_id": record.provider_id,
        "provider_key_id": record.provider_key_id,
        "pattern": record.pattern,
        "wildcard": record.match_type == "wildcard",
        "request_types": record.request_types,
        "patch": record.patch,
        "free": record.free,
    }


def _virtual_key(record: VirtualKeyRow, credentials: Credentials | None) -> Row:
    return {
        "number": record.row,
        "active": record.active,
        # The core counts from the epoch; whatever expired before it has expired.
        "expires_at_ms": None if record.expires is None else max(0, record.expires),
        "team_id": record.team_id,
        "customer_id": record.customer_id,
        "credentials": credentials,
        "provider_configs": [
            {
                "id": config.id,
                "provider": config.provider,
                "weight": config.weight,
                "allowed_models": config.models,
                "key_ids": config.key_ids,
                "limits": core_limits(config),
            }
            for config in sorted(record.providers, key=lambda config: config.id)
        ],
        "mcp_configs": [{"client": mcp.client, "tools": mcp.tools} for mcp in record.mcp],
    }


def former_rows(record: VirtualKeyRow) -> Credentials:
    """The values that were rotated out and are still good, as the core knows them."""
    return [{"value": None, "sha256": row.sha256, "until_ms": row.until} for row in record.former]


def kept_credentials(record: Record) -> Credentials | None:
    """What proves that a request comes from a key, of what is kept: its value is not."""
    if not isinstance(record, VirtualKeyRow):
        return None
    return [{"value": None, "sha256": record.sha256, "until_ms": None}, *former_rows(record)]


def delete_row(kind: Kind, id: str) -> Row:
    """The row that removes an entity; what referred to it was sent before."""
    return {"op": "delete", "kind": kind, "id": id}


def references(kind: Kind, record: Record) -> list[tuple[Kind, str]]:
    """The entities that a record names and that must exist."""
    if kind == "team":
        customer = cast("TeamRow", record).customer_id
        return [("customer", customer)] if customer is not None else []
    if kind == "provider_key":
        return [("provider", cast("ProviderKeyRow", record).provider)]
    if isinstance(record, RoutingRuleRow):
        return [] if record.scope == "global" else [(record.scope, cast("str", record.scope_id))]
    if isinstance(record, PricingOverrideRow):
        named: dict[Kind, str | None] = {
            "virtual_key": record.virtual_key_id,
            "provider_key": record.provider_key_id,
        }
        return [(other, id) for other, id in named.items() if id is not None]
    if kind != "virtual_key":
        return []
    key = cast("VirtualKeyRow", record)
    found: list[tuple[Kind, str]] = [
        ("provider_key", id) for config in key.providers for id in config.key_ids or ()
    ]
    if key.team_id is not None:
        found.append(("team", key.team_id))
    if key.customer_id is not None:
        found.append(("customer", key.customer_id))
    return found


def unique(record: Record) -> tuple[str, str | tuple[str | None, ...]] | None:
    """(field, value) of what no other entity of the kind may have."""
    if isinstance(record, VirtualKeyRow):
        return "name", record.name
    if isinstance(record, ProviderKeyRow):
        return "name", (record.provider, record.name)
    if isinstance(record, ModelConfigRow):
        return "model_name", (record.model_name, record.provider)
    if isinstance(record, RoutingRuleRow):
        return "name", (record.scope, record.scope_id, record.name)
    return None
