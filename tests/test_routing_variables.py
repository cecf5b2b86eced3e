"""What expressions are asked about, through the engine and through HTTP.

The rows of `vectors/rules.json` are expressions; here each is a rule of an engine whose requests, owners and
usage are what the row says, so that the variables come from where they really come from.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from house import HOUR, House
from routing_doors import admit, bind, evaluate

FILE = json.loads((Path(__file__).parent / "vectors" / "rules.json").read_text())
ALL = {"weight": 1, "allowed_models": ["*"]}
LIMIT = 1_600
"""Of dollars, tokens and requests: every percentage of the rows is a whole number of these."""


def limits() -> dict[str, Any]:
    """Budget, tokens and requests; one request more than the percentages are of, for those above all."""
    return {
        "budget": {"max_limit": LIMIT, "reset_duration": "1d"},
        "rate_limit": {
            "token_max_limit": LIMIT,
            "token_reset_duration": "1h",
            "request_max_limit": LIMIT + 1,
            "request_reset_duration": "1h",
        },
    }


def furnished(tmp_path: Path, facts: dict[str, Any]) -> tuple[House, Any]:
    """A key with the ids and names of a row, whose limits are as full as the row says."""
    house = House()
    key: dict[str, Any] = {
        "id": facts["virtual_key_id"],
        "name": facts["virtual_key_name"],
        "value": "sk-bf-of-a-row",
        "provider_configs": [{"provider": name, **ALL} for name in {facts["provider"] or "p", "q"}],
        **limits(),
    }
    document: dict[str, Any] = {"virtual_keys": [key]}
    if facts["team_id"]:
        document["teams"] = [{"id": facts["team_id"], "name": facts["team_name"]}]
        key["team_id"] = facts["team_id"]
    path = tmp_path / "policy.json"
    path.write_text(json.dumps(document))
    house.engine.load(path)
    made = house.engine.virtual_keys.get(facts["virtual_key_id"])
    made.value = key["value"]
    house.engine.budgets.credit(made.budget.id, -facts["budget_used"] * LIMIT / 100, "a row")
    one = {"key": key["value"], "model": "m", "tokens": 0, "cost_usd": 0}
    requests = [one] * round(facts["request"] * LIMIT / 100)
    inner = getattr(house.engine, "engine", house.engine)
    assert all(inner.admit_many(requests))
    assert facts["tokens_used"] == 0, "no row has any"
    # What was admitted keeps its count where the limit is lowered to what the percentages are of.
    house.engine.virtual_keys.update(made.id, {"rate_limit": {"request_max_limit": LIMIT}})
    return house, made


@pytest.mark.parametrize("row", FILE["holds"], ids=lambda row: row["expression"][:60])
def test_an_expression_is_asked_about_the_request_its_key_and_its_usage(tmp_path: Path, row: Any) -> None:
    facts = {**FILE["request"], **row["request"]}
    house, key = furnished(tmp_path, facts)
    engine = house.engine
    rule = bind(house, row["expression"])
    request = {
        "model": facts["model"],
        "provider": facts["provider"] or None,
        "request_type": facts["request_type"],
        "headers": facts["headers"],
        "params": facts["params"],
        "cost_usd": 0,
    }
    told = evaluate(engine, key, **request)
    wanted = {name: facts[name] for name in FILE["request"]}
    assert told["variables"] == wanted
    (step,) = told["steps"]
    answer = admit(engine, key, **request)
    health = engine.routing_rules.get(rule.id).health
    holds = row["expected"] is True
    assert told["matched"] is holds
    assert (health.matches, health.errors) == (int(holds), int(not isinstance(row["expected"], bool)))
    result = {True: "match", False: "no_match"}.get(row["expected"], "error")
    assert (step["rule_id"], step["name"], step["scope"], step["result"]) == (
        rule.id,
        rule.name,
        "global",
        result,
    )
    if facts["request"] < 100:
        assert answer["rule_id"] == (rule.id if holds else None)
    else:
        assert answer["code"] == "request_limited"


USED = [
    # says, who is limited and how full (percent), what is asked, the expression, whether it holds
    ("a key's budget", {"key": {"budget": 80.5}}, {}, "budget_used == 80.5 && budget_used > 80", True),
    ("an integer and a double are one number", {"key": {"budget": 80}}, {}, "budget_used > 80", False),
    ("the same as a double", {"key": {"budget": 80}}, {}, "budget_used > 80.0", False),
    ("a team's budget", {"team": {"budget": 50}}, {}, "budget_used == 50.0", True),
    ("a customer's budget", {"customer": {"budget": 50}}, {}, "budget_used == 50", True),
    (
        "the highest of key, team and customer",
        {"key": {"budget": 10}, "team": {"budget": 60}, "customer": {"budget": 40}},
        {},
        "budget_used == 60",
        True,
    ),
    (
        "the budget of a provider config",
        {"config": {"budget": 75}},
        {"provider": "p"},
        "budget_used == 75",
        True,
    ),
    (
        "of a config of the provider that is asked for alone",
        {"config": {"budget": 75}},
        {"provider": "q"},
        "budget_used == 0",
        True,
    ),
    ("without a provider no config counts", {"config": {"budget": 75}}, {}, "budget_used == 0", True),
    ("the budget of a provider", {"provider": {"budget": 30}}, {"provider": "p"}, "budget_used == 30", True),
    ("without a provider no provider counts", {"provider": {"budget": 30}}, {}, "budget_used == 0", True),
    ("the budget of a model", {"model": {"budget": 20}}, {}, "budget_used == 20", True),
    ("of another model not", {"model": {"budget": 20}}, {"model": "n"}, "budget_used == 0", True),
    (
        "the budget of a model on a provider",
        {"model_on": {"budget": 20}},
        {"provider": "p"},
        "budget_used == 20",
        True,
    ),
    ("on another provider not", {"model_on": {"budget": 20}}, {"provider": "q"}, "budget_used == 0", True),
    ("without a provider no model on one counts", {"model_on": {"budget": 20}}, {}, "budget_used == 0", True),
    (
        "a prefix is a provider",
        {"provider": {"budget": 30}},
        {"model": "p/m"},
        "budget_used == 30 && model == 'm'",
        True,
    ),
    ("a key's tokens", {"key": {"tokens": 25}}, {}, "tokens_used == 25.0 && budget_used == 0.0", True),
    ("held tokens count", {"key": {"held": 25}}, {}, "tokens_used == 25", True),
    ("a team's tokens", {"team": {"tokens": 25}}, {}, "tokens_used == 25", True),
    ("a customer's tokens", {"customer": {"tokens": 12.5}}, {}, "tokens_used == 12.5", True),
    ("a provider's tokens", {"provider": {"tokens": 12.5}}, {"provider": "p"}, "tokens_used == 12.5", True),
    ("a model's tokens", {"model": {"tokens": 12.5}}, {}, "tokens_used == 12.5", True),
    (
        "the highest of tokens and the highest of money are two",
        {"key": {"tokens": 5}, "team": {"budget": 7}},
        {},
        "tokens_used == 5 && budget_used == 7",
        True,
    ),
    (
        "nothing is limited: nothing is used",
        {},
        {},
        "budget_used == 0 && tokens_used == 0 && request == 0",
        True,
    ),
    ("requests of a key", {"key": {"requests": 50}}, {}, "request == 50.0", True),
    ("requests of a team", {"team": {"requests": 50}}, {}, "request >= 50 && request <= 50", True),
    ("a limit of nothing is full", {"key": {"none": 1}}, {}, "request == 100", True),
    (
        "a window that has passed is an empty one",
        {"key": {"tokens": 50, "later": HOUR}},
        {},
        "tokens_used == 0",
        True,
    ),
    (
        "one millisecond before it counts",
        {"key": {"tokens": 50, "later": HOUR - 1}},
        {},
        "tokens_used == 50",
        True,
    ),
    (
        "a sliding window counts what is in it",
        {"key": {"tokens": 50, "window": "sliding"}},
        {},
        "tokens_used == 50",
        True,
    ),
    (
        "a sliding window that has passed is empty",
        {"key": {"tokens": 50, "window": "sliding", "later": 2 * HOUR}},
        {},
        "tokens_used == 0",
        True,
    ),
    ("both ends of a range", {"key": {"tokens": 50}}, {}, "tokens_used > 49.9 && tokens_used < 50.1", True),
    ("more than there is", {"key": {"budget": 150}}, {}, "budget_used == 150", True),
]


def owner(house: House, full: dict[str, Any]) -> dict[str, Any]:
    """The limits of one owner."""
    if "none" in full:
        return {"rate_limit": {"request_max_limit": 0, "request_reset_duration": "1h"}}
    body: dict[str, Any] = {}
    if "budget" in full:
        body["budget"] = {"max_limit": LIMIT, "reset_duration": "1h"}
    if {"tokens", "held"} & set(full):
        body["rate_limit"] = {"token_max_limit": LIMIT, "token_reset_duration": "1h"}
        body["rate_limit"]["window"] = full.get("window", "fixed")
    if "requests" in full:
        body["rate_limit"] = {"request_max_limit": 8, "request_reset_duration": "1h"}
    return body


def used(house: House, key: Any, holder: Any, full: dict[str, Any], request: dict[str, Any]) -> None:
    """Let what the row says be used of one owner's limits."""
    engine, percent = getattr(house.engine, "engine", house.engine), LIMIT / 100
    if "budget" in full:
        house.engine.budgets.credit(holder.budget.id, -full["budget"] * percent, "a row")
    for word in ("tokens", "held"):
        if word in full:
            permit = engine.admit(
                key.value, **{"model": "m", **request}, tokens=int(full[word] * percent), cost_usd=0
            )
            if word == "tokens":
                permit.settle(as_held=True)
    for _ in range(int(full.get("requests", 0) * 8 / 100)):
        assert engine.admit(key.value, **{"model": "m", **request}, tokens=0, cost_usd=0)
    house.clock.advance(full.get("later", 0))


@pytest.mark.parametrize("row", USED, ids=lambda row: row[0])
def test_percentages_are_those_of_the_fullest_limits_that_the_request_would_meet(row: Any) -> None:
    _, full, request, expression, holds = row
    house = House()
    engine, holders = house.engine, {}
    body = {
        name: owner(house, full.get(name, {}))
        for name in ("key", "team", "customer", "config", "provider", "model", "model_on")
    }
    holders["customer"] = engine.customers.create({"name": "c", **body["customer"]})
    holders["team"] = engine.teams.create(
        {"name": "t", "customer_id": holders["customer"].id, **body["team"]}
    )
    holders["provider"] = engine.providers.update("p", body["provider"])
    holders["model"] = engine.model_configs.create({"model_name": "m", **body["model"]})
    holders["model_on"] = engine.model_configs.create(
        {"model_name": "m", "provider": "p", **body["model_on"]}
    )
    configs = [{"provider": "p", **ALL, **body["config"]}, {"provider": "q", **ALL}]
    key = engine.virtual_keys.create(
        {"name": "k", "team_id": holders["team"].id, "provider_configs": configs, **body["key"]}
    )
    holders |= {"key": key, "config": key.provider_configs[0]}
    for name, wanted in full.items():
        used(house, key, holders[name], wanted, {"provider": "p"} if name == "provider" else {})
    rule = bind(house, expression)
    asked = {"model": "m", "cost_usd": 0, **request}
    told = evaluate(engine, key, **asked)
    assert told["matched"] is holds, told["variables"]
    answer = admit(engine, key, **asked)
    assert engine.routing_rules.get(rule.id).health.matches == int(holds)
    if answer["allowed"]:
        assert answer["rule_id"] == (rule.id if holds else None)
