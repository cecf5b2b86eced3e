"""Engines under the workloads' policies, through the public face."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

from common import MODEL, PROVIDER, WORKLOADS, values

import limen

ROOMY = WORKLOADS["roomy"]
PER = WORKLOADS["per"]


def limits(counters: list[str]) -> dict[str, Any]:
    """The limits of one level, as they stand in a body."""
    body: dict[str, Any] = {}
    rate: dict[str, Any] = {}
    for kind, name in (("tokens", "token"), ("requests", "request")):
        if kind in counters:
            rate |= {f"{name}_max_limit": ROOMY[kind], f"{name}_reset_duration": PER["rate"]}
    if rate:
        body["rate_limit"] = rate
    if "budget" in counters:
        body["budget"] = {
            "max_limit": ROOMY["budget_usd"],
            "reset_duration": PER["budget"],
            "calendar_aligned": True,
        }
    return body


def document(chain: str, keys: int) -> dict[str, Any]:
    """A configuration file: one customer, team and provider, and many keys."""
    levels: dict[str, list[str]] = WORKLOADS["levels"][chain]

    def level(name: str) -> dict[str, Any]:
        return limits(levels.get(name, []))

    config = {"provider": PROVIDER, "weight": 1.0, "allowed_models": ["*"], **level("provider_config")}
    found: dict[str, Any] = {
        "providers": [{"name": PROVIDER, **level("provider")}],
        "customers": [{"id": "customer", "name": "customer", **level("customer")}],
        "teams": [{"id": "team", "name": "team", "customer_id": "customer", **level("team")}],
        "virtual_keys": [
            {
                "id": f"key{number}",
                "name": f"key{number}",
                "value": value,
                "team_id": "team",
                "provider_configs": [config],
                **level("virtual_key"),
            }
            for number, value in enumerate(values(keys))
        ],
    }
    models = [
        {"model_name": MODEL, **where, **level(name)}
        for name, where in (("model", {}), ("model_provider", {"provider": PROVIDER}))
        if name in levels
    ]
    return found | ({"model_configs": models} if models else {})


def build(chain: str, keys: int, **settings: Any) -> limen.Engine:
    """An engine with this many keys."""
    engine = limen.Engine(settings=settings)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "policy.json"
        file.write_text(json.dumps(document(chain, keys)))
        engine.load(file)
    return engine


def spent_nano_usd(engine: limen.Engine) -> int:
    """What the one customer has spent."""
    budget = engine.customers.get("customer").budget
    assert budget is not None
    assert budget.held == 0
    return int(budget.current_usage * 1_000_000_000)
