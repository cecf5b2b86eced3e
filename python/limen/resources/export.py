"""Records as a configuration file that loads into an equal policy.

What a file cannot say is left out, and noted: literal secrets, values that are good for a while yet, usage.
"""

import json
import re
from collections.abc import Callable
from typing import Any, Final, cast

from limen.model import usd, usd_per_unit
from limen.resources.change import Kept
from limen.resources.prices import CATALOG
from limen.resources.reading import moment
from limen.resources.records import (
    KINDS,
    CustomerRow,
    Kind,
    ModelConfigRow,
    Owner,
    PricingOverrideRow,
    ProviderConfigRow,
    ProviderKeyRow,
    ProviderRow,
    RoutingRuleRow,
    TeamRow,
    VirtualKeyRow,
    unpack,
)

SECTIONS: Final[dict[Kind, str]] = {kind: f"{kind}s" for kind in KINDS}
Notes = list[str]
Body = dict[str, Any]


def export(kept: Kept) -> tuple[Body, Notes]:
    """The document, and what it does not say."""
    notes: Notes = []
    variables: set[str] = set()
    document: Body = {}
    sections: dict[Kind, list[Body]] = {kind: [] for kind in KINDS}
    for put in kept.records:
        record = unpack(put.kind, cast("bytes", put.data))
        sections[put.kind].append(_WRITERS[put.kind](record, notes, variables))
    settings = json.loads(kept.settings or b"{}")
    if (source := settings.pop(CATALOG, None)) is not None:
        document[CATALOG] = source
    if variables:
        settings["secret_env"] = sorted(variables | set(settings.get("secret_env", ())))
    if settings:
        document["settings"] = settings
    return document | {SECTIONS[kind]: bodies for kind, bodies in sections.items() if bodies}, notes


def _limits(owner: Owner | ProviderConfigRow) -> Body:
    body: Body = {}
    budgets = [
        {"max_limit": usd(row.nano_usd), "reset_duration": row.per, "calendar_aligned": row.aligned}
        for row in owner.budgets
    ]
    if budgets:
        body["budgets"] = budgets
    rate = owner.rate
    if rate is not None:
        fields = {
            "token_max_limit": rate.tokens,
            "token_reset_duration": rate.token_per,
            "request_max_limit": rate.requests,
            "request_reset_duration": rate.request_per,
        }
        body["rate_limit"] = {**_present(fields), "window": rate.window}
    return body


def _present(fields: Body) -> Body:
    return {word: value for word, value in fields.items() if value is not None}


def _customer(row: CustomerRow, notes: Notes, variables: set[str]) -> Body:
    return {"id": row.id, "name": row.name, **_limits(row)}


def _team(row: TeamRow, notes: Notes, variables: set[str]) -> Body:
    free = {"profile": row.profile, "config": row.config, "claims": row.claims}
    owner = _present({"customer_id": row.customer_id})
    return {"id": row.id, "name": row.name, **owner, **free, **_limits(row)}


def _provider(row: ProviderRow, notes: Notes, variables: set[str]) -> Body:
    return {"name": row.name, **_limits(row)}


def _provider_key(row: ProviderKeyRow, notes: Notes, variables: set[str]) -> Body:
    secrets = {}
    for field, secret in row.secrets.items():
        if secret.from_env:
            name = secret.text.reveal().removeprefix("env.")
        else:
            name = re.sub(r"\W", "_", f"{row.provider}_{row.name}_{field}".upper(), flags=re.ASCII)
            name = name if name[0].isalpha() else f"KEY_{name}"
            words = f"{field} is left out: set {name} to it where the file is used"
            notes.append(f"provider_keys/{row.name}: {words}")
        variables.add(name)
        secrets[field] = f"env.{name}"
    return {
        "id": row.id,
        "provider": row.provider,
        "name": row.name,
        **secrets,
        "models": row.models,
        "weight": row.weight,
        "enabled": row.enabled,
        "use_for_batch_api": row.batch,
    }


def _virtual_key(row: VirtualKeyRow, notes: Notes, variables: set[str]) -> Body:
    if row.former:
        notes.append(f"virtual_keys/{row.name}: values that were rotated out are left out")
    expires = None if row.expires is None else moment(row.expires).isoformat()
    owner = {"team_id": row.team_id, "customer_id": row.customer_id, "expires_at": expires}
    return {
        "id": row.id,
        "name": row.name,
        "value_sha256": row.sha256.hex(),
        "description": row.description,
        "is_active": row.active,
        **_present(owner),
        "provider_configs": [
            {
                "provider": config.provider,
                "weight": config.weight,
                "allowed_models": config.models,
                **_present({"key_ids": config.key_ids}),
                **_limits(config),
            }
            for config in row.providers
        ],
        "mcp_configs": [{"mcp_client_name": mcp.client, "tools_to_execute": mcp.tools} for mcp in row.mcp],
        **_limits(row),
    }


def _model_config(row: ModelConfigRow, notes: Notes, variables: set[str]) -> Body:
    provider = _present({"provider": row.provider})
    return {"id": row.id, "model_name": row.model_name, **provider, **_limits(row)}


def _routing_rule(row: RoutingRuleRow, notes: Notes, variables: set[str]) -> Body:
    targets = [
        {
            **_present({"provider": target.provider, "model": target.model, "key_id": target.key_id}),
            "weight": target.weight,
        }
        for target in row.targets
    ]
    return {
        "id": row.id,
        "name": row.name,
        "description": row.description,
        "enabled": row.enabled,
        "cel_expression": row.cel,
        "targets": targets,
        "fallbacks": row.fallbacks,
        "scope": row.scope,
        **_present({"scope_id": row.scope_id, "query": row.query}),
        "priority": row.priority,
    }


def _pricing_override(row: PricingOverrideRow, notes: Notes, variables: set[str]) -> Body:
    ids = {
        "virtual_key_id": row.virtual_key_id,
        "provider_id": row.provider_id,
        "provider_key_id": row.provider_key_id,
    }
    patch = {word: usd_per_unit(price) for word, price in row.patch.items()}
    return {
        "id": row.id,
        "name": row.name,
        "scope_kind": row.scope_kind,
        **_present(ids),
        "match_type": row.match_type,
        "pattern": row.pattern,
        "request_types": row.request_types,
        # It was confirmed when it was made, if it needed that.
        **({"free": True} if row.free else {"patch": patch, "confirm": True} if patch else {}),
    }


_WRITERS: Final[dict[Kind, Callable[[Any, Notes, set[str]], Body]]] = {
    "customer": _customer,
    "team": _team,
    "provider": _provider,
    "provider_key": _provider_key,
    "virtual_key": _virtual_key,
    "model_config": _model_config,
    "routing_rule": _routing_rule,
    "pricing_override": _pricing_override,
}
