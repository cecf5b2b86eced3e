"""A small engine with one entity of every kind, and a picture of all that it holds.

`picture(engine)` before and after a call tells whether the call changed anything, times included.
"""

from __future__ import annotations

from typing import Any

from house import House
from limen import model

BUDGET = {"max_limit": 5, "reset_duration": "1d"}
RATE = {
    "token_max_limit": 1000,
    "token_reset_duration": "1d",
    "request_max_limit": 60,
    "request_reset_duration": "1d",
}
SECRET = "sk-provider-secret-0123456789"


class Furnished(House):
    """A customer, its team, a key of the team, a provider with a key, a model config, a rule, an override."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(secret_env=["ALLOWED"], **settings)
        engine = self.engine
        self.customer = engine.customers.create({"name": "acme", "budget": BUDGET})
        self.team = engine.teams.create(
            {"name": "growth", "customer_id": self.customer.id, "rate_limit": RATE}
        )
        self.provider = engine.providers.update("p", {"budget": BUDGET})
        self.provider_key = engine.provider_keys.create({"provider": "p", "name": "main", "value": SECRET})
        self.virtual_key = engine.virtual_keys.create(
            {
                "name": "bot",
                "team_id": self.team.id,
                "budget": BUDGET,
                "rate_limit": RATE,
                "provider_configs": [
                    {
                        "provider": "p",
                        "weight": 1,
                        "allowed_models": ["*"],
                        "key_ids": [self.provider_key.key_id],
                        "budget": BUDGET,
                        "rate_limit": RATE,
                    }
                ],
                "mcp_configs": [{"mcp_client_name": "files", "tools_to_execute": ["read"]}],
            }
        )
        self.model_config = engine.model_configs.create(
            {"model_name": "m", "provider": "p", "budget": BUDGET}
        )
        self.routing_rule = engine.routing_rules.create(
            {
                "name": "cheap first",
                "description": "d",
                "cel_expression": 'model == "m"',
                "scope": "team",
                "scope_id": self.team.id,
                "priority": 1,
                "targets": [
                    {"provider": "p", "key_id": self.provider_key.key_id, "weight": 0.25},
                    {"provider": "p", "model": "n", "weight": 0.75},
                ],
                "fallbacks": ["p/o", "p/"],
                "query": {"rules": [{"field": "model", "value": 1.5}]},
            }
        )
        self.pricing_override = engine.pricing_overrides.create(
            {
                "name": "contract",
                "scope_kind": "virtual_key_provider",
                "virtual_key_id": self.virtual_key.id,
                "provider_id": "p",
                "match_type": "wildcard",
                "pattern": "m-*",
                "request_types": ["chat_completion", "responses"],
                "patch": {"output_cost_per_token": 0.3, "input_cost_per_token": 1e-15},
            }
        )

    def ids(self) -> list[tuple[str, str]]:
        """(resource of the engine, id) of one entity of each kind."""
        return [
            ("customers", self.customer.id),
            ("teams", self.team.id),
            ("virtual_keys", self.virtual_key.id),
            ("model_configs", self.model_config.id),
            ("provider_keys", self.provider_key.key_id),
            ("providers", "p"),
            ("routing_rules", self.routing_rule.id),
            ("pricing_overrides", self.pricing_override.id),
        ]

    def picture(self) -> list[bytes]:
        return picture(self.engine)


LISTS = (
    "customers",
    "teams",
    "virtual_keys",
    "model_configs",
    "providers",
    "provider_keys",
    "routing_rules",
    "pricing_overrides",
    "budgets",
    "rate_limits",
)


def picture(engine: Any) -> list[bytes]:
    """Everything that reads show, as bytes."""
    return [model.to_json(getattr(engine, word).list()) for word in LISTS]


def dump(engine: Any) -> Any:
    """Everything that is kept, as it is kept, and every counter: quicker than a picture."""
    return {kind: dict(kept) for kind, kept in engine._book.records.items()}, engine.snapshot()
