"""Rules at work, through the engine and through HTTP: which binds, and where it sends a request."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

import limen
from house import HOUR, START, House, refused
from routing_doors import admit, bind, evaluate

ALL = {"weight": 1, "allowed_models": ["*"]}


def three(house: House, **body: Any) -> Any:
    """A key that may use p, q and r."""
    return house.key(provider_configs=[{"provider": name, **ALL} for name in "pqr"], **body)


def to(*targets: tuple[str, str], weights: tuple[float, ...] = (), **pins: str) -> dict[str, Any]:
    """Targets by provider and model, "" for the request's own."""
    shares = weights or (1 / len(targets),) * len(targets)
    return {
        "targets": [
            {
                "provider": provider,
                "model": model,
                "weight": share,
                **({"key_id": pins[provider]} if provider in pins else {}),
            }
            for (provider, model), share in zip(targets, shares, strict=True)
        ]
    }


FIRST = (1 - 1e-12, 1e-12)
GOES = [
    # says, rule, request, what the answer says
    ("a target's provider and model", to(("q", "n")), {"model": "m"}, ("q", "n", [])),
    ("an absent model is the request's", to(("q", "")), {"model": "m"}, ("q", "m", [])),
    ("without its provider's prefix", to(("q", "")), {"model": "p/m"}, ("q", "m", [])),
    ("an absent provider is the request's", to(("", "n")), {"model": "m", "provider": "p"}, ("p", "n", [])),
    ("and that of a prefix", to(("", "n")), {"model": "p/m"}, ("p", "n", [])),
    (
        "nothing but a weight is where it was going",
        to(("", "")),
        {"model": "m", "provider": "r"},
        ("r", "m", []),
    ),
    (
        "the rule's fallbacks are told",
        {**to(("q", "n")), "fallbacks": ["r/o", "p/"]},
        {"model": "m"},
        ("q", "n", ["r/o", "p/m"]),
    ),
    (
        "and stand for the request's own",
        {**to(("q", "n")), "fallbacks": ["r/o"]},
        {"model": "m", "fallbacks": ["p/x"]},
        ("q", "n", ["r/o"]),
    ),
    (
        "a rule without any leaves the request's",
        to(("q", "n")),
        {"model": "m", "fallbacks": ["p/x"]},
        ("q", "n", ["p/x"]),
    ),
    (
        "a target that is not allowed is passed over",
        to(("nobody", "n"), ("q", "o"), weights=FIRST),
        {"model": "m"},
        ("q", "o", []),
    ),
    (
        "where none is, the first fallback that can",
        {**to(("nobody", "n")), "fallbacks": ["nobody/", "r/o", "q/x"]},
        {"model": "m"},
        ("r", "o", ["q/x"]),
    ),
    (
        "a fallback without a model is for the request's",
        {**to(("nobody", "n")), "fallbacks": ["r/"]},
        {"model": "m"},
        ("r", "m", []),
    ),
    ("a model may hold a slash", to(("q", "a/b")), {"model": "m"}, ("q", "a/b", [])),
    ("with a sticky key as well", to(("q", "n")), {"model": "m", "sticky": "u"}, ("q", "n", [])),
]


@pytest.mark.parametrize("row", GOES, ids=lambda row: row[0])
def test_where_a_rule_sends_a_request(row: Any) -> None:
    _, body, request, wanted = row
    house = House()
    key = three(house)
    rule = bind(house, **body)
    told = evaluate(house.engine, key, **request)
    answer = admit(house.engine, key, **request)
    assert (answer["provider"], answer["model"], answer["fallbacks"]) == wanted
    assert (answer["rule_id"], answer["key_id"]) == (rule.id, None)
    assert told["target"] == {"provider": wanted[0], "model": wanted[1], "key_id": None}
    assert (told["matched"], told["rule"]["id"], told["fallbacks"]) == (True, rule.id, wanted[2])


REFUSED = [
    # says, rule, request, code, who was left out
    (
        "nobody can serve: each with its reason",
        {**to(("x", "n")), "fallbacks": ["y/o"]},
        {"model": "m"},
        "provider_blocked",
        [("x", "n", "provider_blocked"), ("y", "o", "provider_blocked")],
    ),
    (
        "a single target is told about too",
        to(("x", "n")),
        {"model": "m"},
        "provider_blocked",
        [("x", "n", "provider_blocked")],
    ),
    (
        "never by the request's own fallbacks",
        to(("x", "n")),
        {"model": "m", "fallbacks": ["p/m"]},
        "provider_blocked",
        [("x", "n", "provider_blocked")],
    ),
    (
        "the first target's code, not what says most",
        {**to(("x", ""), ("p", "not here"), weights=FIRST), "fallbacks": []},
        {"model": "m"},
        "provider_blocked",
        [("x", "m", "provider_blocked"), ("p", "not here", "model_blocked")],
    ),
    (
        "a choice of ours that nobody can serve",
        to(("", "not here")),
        {"model": "m"},
        "model_blocked",
        [("p", "not here", "model_blocked"), ("q", "not here", "model_blocked")],
    ),
    (
        "a choice of ours, then a target",
        to(("", "not here"), ("x", "m"), weights=FIRST),
        {"model": "m"},
        "model_blocked",
        [
            ("p", "not here", "model_blocked"),
            ("q", "not here", "model_blocked"),
            ("x", "m", "provider_blocked"),
        ],
    ),
]


@pytest.mark.parametrize("row", REFUSED, ids=lambda row: row[0])
def test_where_nobody_can_serve_everybody_is_told_and_the_next_rule_is_not_asked(row: Any) -> None:
    _, body, request, code, left_out = row
    house = House()
    models = {"weight": 1, "allowed_models": ["m", "n", "o"]}
    key = house.key(provider_configs=[{"provider": name, **models} for name in "pq"])
    bind(house, **body)
    bind(house, **to(("p", "m")))
    answer = admit(house.engine, key, **request)
    assert (answer["allowed"], answer["code"], answer["excluded"]) == (False, code, left_out)
    told = evaluate(house.engine, key, **request)
    assert (told["matched"], told["target"], told["fallbacks"], len(told["steps"])) == (True, None, [], 1)
    for provider, model, reason in left_out:
        assert f"{provider}/{model} ({reason})" in told["steps"][0]["reason"]


def test_a_target_that_a_limit_of_its_own_refuses_is_left_out_and_comes_back() -> None:
    house = House()
    once = {"rate_limit": {"request_max_limit": 1, "request_reset_duration": "1h"}}
    key = house.key(provider_configs=[{"provider": "p", **ALL, **once}, {"provider": "q", **ALL}])
    bind(house, **to(("p", "n"), ("q", "o"), weights=FIRST))
    served = [admit(house.engine, key, model="m")["provider"] for _ in range(3)]
    assert served == ["p", "q", "q"]
    house.clock.advance(HOUR)
    assert admit(house.engine, key, model="m")["provider"] == "p"


def test_a_limit_that_every_target_meets_refuses_at_once() -> None:
    house = House()
    key = three(house, requests=(1, "1h"))
    bind(house, **to(("p", "n"), ("q", "o")))
    assert admit(house.engine, key, model="m")["allowed"]
    assert admit(house.engine, key, model="m") == {
        "allowed": False,
        "status": 429,
        "code": "request_limited",
        "excluded": [],
    }


def test_a_target_with_a_key_goes_to_that_key_or_nowhere() -> None:
    house = House()
    engine = house.engine
    first, second = (
        engine.provider_keys.create({"provider": "q", "name": name, "value": "x", "weight": weight})
        for name, weight in (("a", 1), ("b", None))
    )
    key = three(house)
    rule = bind(house, **to(("q", "n"), q=second.key_id))
    for _ in range(5):
        assert admit(engine, key, model="m")["key_id"] == second.key_id
    assert evaluate(engine, key, model="m")["target"]["key_id"] == second.key_id
    engine.provider_keys.update(second.key_id, {"models": ["another"]})
    answer = admit(engine, key, model="m")
    assert (answer["code"], answer["excluded"]) == ("provider_blocked", [("q", "n", "no_key")])
    engine.provider_keys.update(second.key_id, {"models": ["*"], "enabled": False})
    assert admit(engine, key, model="m")["excluded"] == [("q", "n", "no_key")]
    engine.provider_keys.update(second.key_id, {"enabled": True})
    only = [{"provider": "q", **ALL, "key_ids": [first.key_id]}]
    engine.virtual_keys.update(key.id, {"provider_configs": only})
    assert admit(engine, key, model="m")["excluded"] == [("q", "n", "no_key")]
    engine.routing_rules.update(rule.id, to(("q", "n"), q=first.key_id))
    assert admit(engine, key, model="m")["key_id"] == first.key_id


def test_scopes_are_asked_in_their_order_and_the_first_rule_that_holds_binds() -> None:
    house = House()
    engine = house.engine
    customer = engine.customers.create({"name": "c"})
    team = engine.teams.create({"name": "t", "customer_id": customer.id})
    key = three(house, team_id=team.id)
    scopes = [("virtual_key", key.id), ("team", team.id), ("customer", customer.id), ("global", None)]
    rules = [
        bind(house, "model == 'm'", scope=scope, scope_id=id, priority=-number)
        for number, (scope, id) in enumerate(scopes)
    ]
    for number, rule in enumerate(rules):
        told = evaluate(engine, key, model="m")
        assert [(step["scope"], step["result"]) for step in told["steps"]] == [
            *((scope, "disabled") for scope, _ in scopes[:number]),
            (scopes[number][0], "match"),
        ]
        assert admit(engine, key, model="m")["rule_id"] == rule.id
        assert admit(engine, key, model="another")["rule_id"] is None
        engine.routing_rules.update(rule.id, {"enabled": False})
    assert admit(engine, key, model="m")["rule_id"] is None
    told = evaluate(engine, key, model="m")
    assert (told["matched"], told["rule"], told["target"], told["fallbacks"]) == (False, None, None, [])
    engine.routing_rules.update(rules[1].id, {"enabled": True})
    engine.teams.delete(team.id)
    assert admit(engine, key, model="m")["rule_id"] is None
    assert [rule.scope for rule in engine.routing_rules.list()] == ["virtual_key", "customer", "global"]


def test_targets_are_drawn_by_their_weights() -> None:
    house = House()
    key = three(house)
    bind(house, **to(("p", ""), ("q", ""), ("r", ""), weights=(0.5, 0.3, 0.2)))
    inner = getattr(house.engine, "engine", house.engine)
    answers = inner.admit_many([(key.value, "m", 0)] * 20_000)
    drawn = Counter(answer.provider for answer in answers)
    # The chance of more than six standard deviations is below one in ten million.
    for provider, share in (("p", 0.5), ("q", 0.3), ("r", 0.2)):
        assert abs(drawn[provider] - 20_000 * share) < 6 * (20_000 * share * (1 - share)) ** 0.5
    homes = {
        admit(house.engine, key, model="m", sticky=f"user {number % 20}")["provider"] + str(number % 20)
        for number in range(100)
    }
    assert len(homes) == 20


def test_a_repeated_id_is_the_same_permit_whatever_the_rules_would_say_by_now() -> None:
    house = House()
    key = three(house)
    rule = bind(house, "headers['x'] == 'a'", **to(("q", "n")), fallbacks=["r/o"])
    first = admit(house.engine, key, model="m", headers={"x": "a"}, id="once")
    again = admit(house.engine, key, model="m", headers={"x": "b"}, id="once")
    assert first == again and first["rule_id"] == rule.id
    house.engine.routing_rules.delete(rule.id)
    assert admit(house.engine, key, model="m", id="once") == first


def test_what_a_rule_said_is_said_again_after_a_restart_when_the_rule_is_gone(tmp_path: Path) -> None:
    def opened() -> limen.Engine:
        return limen.Engine.open(tmp_path / "kept.db", clock=limen.ManualClock(START))

    def ask(engine: limen.Engine, value: str, id: str) -> Any:
        permit = engine.admit(value, "m", id=id, headers={"x": "a"})
        assert permit, permit.code
        return permit.provider, permit.model, permit.rule_id, permit.fallbacks, permit.expires_at_ms

    house = House()
    with opened() as engine:
        house.engine = engine
        key = three(house)
        rules = [
            bind(
                house,
                "headers.x == 'a'",
                **to(("x", "n"), ("q", "n"), weights=FIRST),
                fallbacks=["r/o", "p/"],
            ),
            bind(house, "headers.x == 'a'", **to(("x", "")), fallbacks=["y/", "r/", "p/o"]),
        ]
        before = [ask(engine, key.value, "first")]
        engine.routing_rules.update(rules[0].id, {"enabled": False})
        before.append(ask(engine, key.value, "second"))
        assert [told[:4] for told in before] == [
            ("q", "n", rules[0].id, ["r/o", "p/m"]),
            ("r", "m", rules[1].id, ["p/o"]),
        ]
        for rule in rules:
            engine.routing_rules.delete(rule.id)
    with opened() as engine:
        assert [ask(engine, key.value, id) for id in ("first", "second")] == before


def test_nobody_s_requests_are_bound_by_rules_of_all() -> None:
    house = House(require_virtual_key=False)
    made = house.engine.provider_keys.create({"provider": "q", "name": "a", "value": "x"})
    rule = bind(house, "virtual_key_id == '' && model == 'm'", **to(("q", "n"), q=made.key_id))
    inner = getattr(house.engine, "engine", house.engine)
    permit = inner.admit(None, "m")
    assert (permit.provider, permit.model, permit.key_id, permit.rule_id) == ("q", "n", made.key_id, rule.id)
    assert evaluate(house.engine, None, model="m")["target"]["key_id"] == made.key_id
    house.engine.provider_keys.update(made.key_id, {"enabled": False})
    assert inner.admit(None, "m").code == "provider_blocked"
    assert inner.admit(None, None, mcp_tool="a/b").rule_id is None


FAULTS: list[tuple[str, dict[str, Any], int, str, str | None]] = [
    ("nobody", {}, 401, "virtual_key_required", None),
    ("an unknown value", {"virtual_key": "sk-bf-nobody"}, 401, "virtual_key_not_found", None),
    ("an unknown id", {"virtual_key_id": "nobody"}, 404, "not_found", "virtual_key_id"),
    (
        "a value and an id",
        {"virtual_key": "x", "virtual_key_id": "y"},
        400,
        "invalid_request",
        "virtual_key_id",
    ),
    ("a blocked key", {"virtual_key_id": "BLOCKED"}, 403, "virtual_key_blocked", None),
    ("no model and no tool", {"virtual_key_id": "KEY", "model": None}, 400, "invalid_request", "model"),
    (
        "a header that is no text",
        {"virtual_key_id": "KEY", "headers": {"a": 1}},
        400,
        "invalid_request",
        "headers",
    ),
    ("an unknown word", {"virtual_key_id": "KEY", "modle": "m"}, 400, "invalid_request", "modle"),
    (
        "an unknown type",
        {"virtual_key_id": "KEY", "request_type": "x"},
        400,
        "invalid_request",
        "request_type",
    ),
]


@pytest.mark.parametrize("row", FAULTS, ids=lambda row: row[0])
def test_what_cannot_be_evaluated_is_refused(row: Any, way: str) -> None:
    _, body, status, code, param = row
    house = House()
    ids = {"KEY": three(house).id, "BLOCKED": three(house, is_active=False).id}
    bind(house, "true")
    body = {"model": "m", **body}
    if body.get("virtual_key_id") in ids:
        body["virtual_key_id"] = ids[body["virtual_key_id"]]
    if way == "http":
        path = "/api/governance/routing-rules/evaluate"
        reply = house.engine.send("POST", path, json.dumps(body).encode())
        assert (reply.status, reply.code) == (status, code)
        assert (reply.param or "").startswith(param or "")
        return
    if "virtual_key_id" in body and (status == 404 or "virtual_key" in body or "modle" in body):
        pytest.skip("what only a body can say")
    known = house.engine.handle(id=body.pop("virtual_key_id")) if "virtual_key_id" in body else None
    key = body.pop("virtual_key", known)
    refused(lambda: house.engine.evaluate(key, body.pop("model"), **body), code)


def test_a_tool_alone_meets_no_rule() -> None:
    house = House()
    key = three(house, mcp_configs=[{"mcp_client_name": "a", "tools_to_execute": ["*"]}])
    rule = bind(house, "true")
    told = evaluate(house.engine, key, model=None, mcp_tool="a/b")
    assert (told["matched"], told["steps"]) == (False, [])
    assert house.engine.admit(key.value, None, mcp_tool="a/b").rule_id is None
    assert house.engine.routing_rules.get(rule.id).health.matches == 0
    assert admit(house.engine, key, model="m", mcp_tool="a/b")["rule_id"] == rule.id


def test_health_is_live_and_outlives_edits_of_all_but_the_expression() -> None:
    house = House()
    key = three(house)
    engine = house.engine
    rule = bind(house, "headers.x == 'a'")
    admit(engine, key, model="m")
    admit(engine, key, model="m", headers={"x": "a"})
    house.clock.advance(1_000)
    admit(engine, key, model="m", headers={"x": "a"})
    evaluate(engine, key, model="m", headers={"x": "a"})
    engine.peek(key.value, "m", headers={"x": "a"})
    three(house)
    engine.routing_rules.update(rule.id, {"priority": 9, **to(("p", ""))})
    (health,) = [one.health for one in engine.routing_rules.list()]
    assert (health.matches, health.errors, health.over_budget) == (2, 1, 0)
    assert health.last_error == 'line 1, column 8 (offset 7): headers has no "x"'
    assert health.last_match_at.timestamp() * 1_000 == house.clock.now_ms
    engine.routing_rules.update(rule.id, {"cel_expression": "headers.x == 'b'"})
    health = engine.routing_rules.get(rule.id).health
    assert (health.matches, health.errors, health.last_error, health.last_match_at) == (0, 0, None, None)
