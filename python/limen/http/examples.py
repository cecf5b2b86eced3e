"""One example of every body, for the OpenAPI document. A test sends each to a server."""

from typing import Any, Final

_BUDGET: Final = {"max_limit": 100, "reset_duration": "1M", "calendar_aligned": True}
_RATE: Final = {"request_max_limit": 60, "request_reset_duration": "1m"}
_RULE: Final[dict[str, Any]] = {
    "name": "small talk",
    "cel_expression": 'model == "gpt-4o"',
    "scope": "global",
    "priority": 10,
    "targets": [{"provider": "openai", "model": "gpt-4o-mini", "weight": 1}],
    "fallbacks": ["anthropic/claude-sonnet-4-5"],
}

EXAMPLES: Final[dict[str, dict[str, Any]]] = {
    "CreateCustomerRequest": {"name": "acme", "budget": _BUDGET},
    "UpdateCustomerRequest": {"budget": {"max_limit": 250}},
    "CreateTeamRequest": {"name": "growth", "rate_limit": _RATE},
    "UpdateTeamRequest": {"rate_limit": {"window": "sliding"}, "profile": {"floor": 3}},
    "CreateVirtualKeyRequest": {
        "name": "assistant",
        "provider_configs": [
            {"provider": "openai", "weight": 1, "allowed_models": ["gpt-4o", "gpt-4o-mini"]}
        ],
        "budget": {"max_limit": 0.3, "reset_duration": "1d"},
        "rate_limit": {"token_max_limit": 100_000, "token_reset_duration": "1h"},
    },
    "UpdateVirtualKeyRequest": {"is_active": False},
    "RotateRequest": {"grace": 3600},
    "CreateModelConfigRequest": {"model_name": "gpt-4o", "provider": "openai", "budget": _BUDGET},
    "UpdateModelConfigRequest": {"rate_limit": _RATE},
    "CreateRoutingRuleRequest": _RULE,
    "UpdateRoutingRuleRequest": {"enabled": False},
    "CreatePricingOverrideRequest": {
        "name": "contract of 2026",
        "scope_kind": "provider",
        "provider_id": "openai",
        "match_type": "wildcard",
        "pattern": "gpt-4o*",
        "request_types": ["chat_completion"],
        "patch": {"input_cost_per_token": 0.000002, "output_cost_per_token": 0.000008},
    },
    "UpdatePricingOverrideRequest": {"patch": {"input_cost_per_token": 0.0000015}},
    "UpdateProviderGovernanceRequest": {"budget": {"max_limit": 5000, "reset_duration": "1M"}},
    "CreateProviderRequest": {"name": "mistral"},
    "UpdateKnownProviderRequest": {},
    "CreateProviderKeyRequest": {"name": "eu", "value": "a-provider-s-secret", "models": ["*"], "weight": 2},
    "UpdateProviderKeyRequest": {"enabled": False},
    "ResetRequest": {"reason": "a test ran wild"},
    "CreditRequest": {"amount": 12.5, "reason": "refunded by the provider"},
    "Explain": {
        "model": "gpt-4o",
        "provider": "openai",
        "prompt_tokens": 812,
        "completion_tokens": 233,
        "batch": True,
    },
    "Ask": {"virtual_key": "sk-bf-a-virtual-key", "model": "openai/gpt-4o", "input_tokens": 812},
    "Settle": {"permit": "pmt_of_an_admit", "prompt_tokens": 812, "completion_tokens": 233},
    "Update": {"permit": "pmt_of_an_admit", "prompt_tokens": 812, "completion_tokens": 40},
    "Release": {"permit": "pmt_of_an_admit", "reason": "the provider did not answer"},
    "Calls": {"calls": [{"op": "release", "permit": "pmt_of_an_admit"}]},
}
