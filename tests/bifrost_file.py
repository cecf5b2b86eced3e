"""Files in the shape of Bifrost's config.json, written by us: small ones in few words, and a whole one."""

from __future__ import annotations

import json
from typing import Any

import limen
from limen.importing.bifrost import Imported, read_bifrost

ENVIRONMENT = {"OPENAI_API_KEY": "v", "AZURE_KEY": "v", "BOT_KEY": "sk-bf-of-the-bot"}
ANY = ["*"]

DAY, MONTH = {"max_limit": 5, "reset_duration": "1d"}, {"max_limit": 50, "reset_duration": "1M"}
CUSTOMER = {"id": "c", "name": "acme"}
ZEROS = {"input_cost_per_token": 0, "output_cost_per_token": 0}


def imported(document: Any) -> Imported:
    """What becomes of a document; whatever that is, it loads."""
    found = read_bifrost(document)
    limen.Engine()._take(found.document, "what was imported")
    return found


def named(found: Imported, kind: str) -> set[str]:
    return {note.path for note in getattr(found.notes, kind)}


def governed(**governance: Any) -> dict[str, Any]:
    return {"client": {"enforce_auth_on_inference": True}, "governance": governance}


def key(**more: Any) -> dict[str, Any]:
    return {"id": "k", "name": "bot", "value": "sk-bf-1", **more}


def config(**more: Any) -> dict[str, Any]:
    return {"provider": "p", "allowed_models": ANY, "key_ids": ANY, **more}


def override(patch: Any, *types: str, **more: Any) -> dict[str, Any]:
    whole = {"id": "o", "name": "o", "scope_kind": "global", "match_type": "exact", "pattern": "m", **more}
    return {**whole, "request_types": list(types) or ["chat_completion"], "pricing_patch": json.dumps(patch)}


def rule(**more: Any) -> dict[str, Any]:
    return {"id": "r", "name": "r", "targets": [{"provider": "p", "weight": 1}], **more}


WHOLE: dict[str, Any] = {
    "$schema": "https://www.getbifrost.ai/schema",
    "version": 2,
    "encryption_key": "env.BIFROST_ENCRYPTION_KEY",
    "client": {"enforce_auth_on_inference": True, "enable_logging": True},
    "config_store": {"enabled": True, "type": "sqlite", "config": {"path": "./config.db"}},
    "providers": {
        "openai": {
            "keys": [
                {
                    "id": "key-openai",
                    "name": "main",
                    "value": "env.OPENAI_API_KEY",
                    "models": ["*"],
                    "weight": 1.0,
                    "enabled": True,
                    "use_for_batch_api": True,
                    "aliases": {"fast": "gpt-4o-mini"},
                }
            ],
            "network_config": {"max_retries": 3},
            "concurrency_and_buffer_size": {"concurrency": 10, "buffer_size": 100},
        },
        "azure": {
            "keys": [
                {
                    "name": "eu",
                    "value": {"value": "", "env_var": "env.AZURE_KEY", "from_env": True},
                    "models": ["gpt-4o"],
                    "weight": 0.5,
                    "azure_key_config": {"endpoint": "https://eu.example", "scopes": ["a"]},
                }
            ]
        },
    },
    "mcp": {"client_configs": [{"name": "files"}]},
    "governance": {
        "budgets": [
            {
                "id": "b-acme",
                "max_limit": 1000.5,
                "reset_duration": "1M",
                "current_usage": 0,
                "last_reset": "2026-01-01T00:00:00Z",
            },
            {"id": "b-growth", "max_limit": 100, "reset_duration": "1w", "team_id": "growth"},
            {"id": "b-bot", "max_limit": 2, "reset_duration": "1h30m", "virtual_key_id": "vk-bot"},
            {"id": "b-config", "max_limit": 1, "reset_duration": "1d", "provider_config_id": 1},
            {"id": "b-model", "max_limit": 50, "reset_duration": "1d"},
            {"id": "b-openai", "max_limit": 500, "reset_duration": "1d"},
        ],
        "rate_limits": [
            {
                "id": "r-bot",
                "token_max_limit": 100000,
                "token_reset_duration": "1h",
                "token_current_usage": 0,
                "request_max_limit": 60,
                "request_reset_duration": "1m",
            },
            {"id": "r-openai", "request_max_limit": 6000, "request_reset_duration": "1m"},
        ],
        "customers": [{"id": "acme", "name": "acme", "budget_id": "b-acme", "calendar_aligned": True}],
        "teams": [
            {
                "id": "growth",
                "name": "growth",
                "customer_id": "acme",
                "profile": {"cost centre": 7},
                "config": {},
                "claims": {"groups": ["g"]},
                "virtual_key_count": 1,
            }
        ],
        "virtual_keys": [
            {
                "id": "vk-growth",
                "name": "growth key",
                "value": "sk-bf-of-growth",
                "is_active": True,
                "team_id": "growth",
                "provider_configs": [{"provider": "azure", "allowed_models": ["gpt-4o"], "key_ids": ["eu"]}],
            },
            {
                "id": "vk-bot",
                "name": "bot",
                "description": "answers",
                "value": "env.BOT_KEY",
                "expires_at": "2099-01-01T00:00:00Z",
                "customer_id": "acme",
                "rate_limit_id": "r-bot",
                "provider_configs": [
                    {
                        "id": 1,
                        "provider": "openai",
                        "weight": 0.7,
                        "allowed_models": ["gpt-4o", "gpt-4o-mini"],
                        "blacklisted_models": ["gpt-4o-mini"],
                        "key_ids": ["key-openai"],
                    },
                    {"provider": "azure", "weight": None, "allowed_models": ["*"], "key_ids": ["*"]},
                ],
                "mcp_configs": [{"mcp_client_name": "files", "tools_to_execute": ["read"]}],
            },
        ],
        "model_configs": [
            {
                "id": "m",
                "model_name": "gpt-4o",
                "provider": "azure",
                "budget_ids": ["b-model"],
                "scope": "global",
            }
        ],
        "providers": [{"name": "openai", "budget_id": "b-openai", "rate_limit_id": "r-openai"}],
        "routing_rules": [
            {
                "id": "rule",
                "name": "cheap for bots",
                "description": "d",
                "enabled": True,
                "cel_expression": 'model == "gpt-4o"',
                "targets": [
                    {"provider": "openai", "provider_key_name": "main", "weight": 0.25},
                    {"provider": "azure", "model": "gpt-4o", "weight": 0.75},
                ],
                "fallbacks": ["azure/gpt-4o"],
                "scope": "virtual_key",
                "scope_id": "vk-bot",
                "priority": 1,
                "query": {"combinator": "and", "rules": []},
            }
        ],
        "pricing_overrides": [
            {
                "id": "contract",
                "name": "contract",
                "scope_kind": "provider_key",
                "provider_key_name": "main",
                "match_type": "wildcard",
                "pattern": "gpt-*",
                "request_types": ["chat_completion", "responses"],
                "pricing_patch": '{"input_cost_per_token": 0.000002, "output_cost_per_token": 0.000008}',
            }
        ],
        "auth_config": {"is_enabled": False},
    },
}
