"""Decisions explained: every rule, candidate and counter; as structs, over HTTP, from the command line."""

from __future__ import annotations

import json
import re
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from door import application, drive
from over_http import HEADERS

import limen
from house import START
from limen.explanation import Explanation
from test_cli import run

ALL = {"weight": 1, "allowed_models": ["*"]}
ONCE = {"rate_limit": {"request_max_limit": 1, "request_reset_duration": "1m"}}
NEVER = {"rate_limit": {"request_max_limit": 0, "request_reset_duration": "1m"}}
WIDE = {"rate_limit": {"token_max_limit": 1_000, "token_reset_duration": "1m"}}
KEYS = [
    {"id": "k1", "name": "k1", "provider": "p", "value": "s", "weight": 1, "models": ["n"]},
    {"id": "k2", "name": "k2", "provider": "q", "value": "s", "weight": 1},
]


def limit(kind: str, owner: str, numbers: str, verdict: str = "", of: str = "0 used and 0 held of") -> str:
    return f"limit {kind} of {owner} (ID): {of} {numbers}, resets 2024-01-01T00:01:00Z{verdict}"


def rule(*targets: dict[str, Any], expression: str = "", **more: Any) -> dict[str, Any]:
    made = {"name": "r", "scope": "global", "cel_expression": expression, "priority": 0}
    return {**made, "targets": list(targets), **more}


ROWS: dict[str, tuple[dict[str, Any], dict[str, Any], list[str]]] = {
    # what it says -> (the key and the rest of the configuration), what is asked, what is told
    "a choice among the key's providers": (
        {
            "key": {
                "provider_configs": [
                    {"provider": "p", **ALL, "weight": 3},
                    {"provider": "q", **ALL, "weight": 0},
                    {"provider": "r", "allowed_models": ["*"]},
                    {"provider": "s", "weight": 1, "allowed_models": ["n"]},
                ],
                **ONCE,
            }
        },
        {},
        [
            "it would be admitted, to p/m",
            "candidate p/m (weight 3): chosen",
            "candidate q/m (weight 0): fallback",
            "candidate r/m: no_weight",
            "candidate s/m (weight 1): model_blocked",
            limit("requests", "virtual_key bot", "1, 1 asked", of="0 used and 1 held of"),
        ],
    ),
    "whom a limit leaves out before another is drawn": (
        {
            "key": {
                "provider_configs": [
                    {"provider": "p", **ALL, "weight": 1e9, **NEVER},
                    {"provider": "q", **ALL},
                ],
                **WIDE,
            }
        },
        {"tokens": 30},
        [
            "it would be admitted, to q/m",
            "candidate p/m (weight 1e+09): limits, requests of provider_config 1",
            "candidate q/m (weight 1): chosen",
            limit("tokens", "virtual_key bot", "1000, 30 asked", of="0 used and 30 held of"),
            limit("requests", "provider_config 1", "0, 1 asked", ": refuses for good"),
        ],
    ),
    "a refusal tells the limits that do not refuse as well": (
        {
            "key": {"provider_configs": [{"provider": "p", **ALL}], **WIDE, "team_id": "t"},
            "teams": [{"id": "t", "name": "t", "rate_limit": {**WIDE["rate_limit"], "token_max_limit": 20}}],
            "model_configs": [{"id": "mc", "model_name": "m", **ONCE}],
        },
        {"provider": "p", "tokens": 30},
        [
            "it would be refused: token_limited",
            "candidate p/m: limits, tokens of team t",
            limit("tokens", "virtual_key bot", "1000, 30 asked"),
            limit("tokens", "team t", "20, 30 asked", ": refuses for good"),
            limit("requests", "model mc", "1, 1 asked"),
        ],
    ),
    "who is closed is told with the counters that nobody asked": (
        {"key": {"provider_configs": [{"provider": "p", "weight": 1, "allowed_models": ["n"]}], **ONCE}},
        {"provider": "p"},
        [
            "it would be refused: model_blocked",
            "candidate p/m: model_blocked",
            limit("requests", "virtual_key bot", "1, not asked"),
        ],
    ),
    "no provider, and none allows the model": (
        {"key": {"provider_configs": [{"provider": "p", "weight": 1, "allowed_models": ["n"]}], **ONCE}},
        {},
        [
            "it would be refused: model_blocked",
            "candidate p/m (weight 1): model_blocked",
            limit("requests", "virtual_key bot", "1, not asked"),
        ],
    ),
    "a config whose provider keys cannot serve stands by nobody": (
        {
            "key": {"provider_configs": [{"provider": "q", **ALL, "weight": 1e9}, {"provider": "p", **ALL}]},
            "provider_keys": KEYS,
        },
        {},
        [
            "it would be admitted, to q/m with key k2",
            "candidate q/m with key k2 (weight 1e+09): chosen",
            "candidate p/m (weight 1): no_key",
        ],
    ),
    "a price that nobody knows": (
        {
            "key": {
                "provider_configs": [{"provider": "p", **ALL}],
                "budget": {"max_limit": 1, "reset_duration": "1m"},
            }
        },
        {"provider": "p"},
        [
            "it would be refused: price_unknown",
            "candidate p/m: price_unknown",
            limit("budget", "virtual_key bot", "$1, not asked", of="$0 used and $0 held of"),
        ],
    ),
    "a stated provider, and the request's fallbacks": (
        {"key": {"provider_configs": [{"provider": name, **ALL} for name in "pqr"]}},
        {"provider": "x", "fallbacks": ["q/n", "r/"]},
        [
            "it would be admitted, to q/n",
            "candidate x/m: provider_blocked",
            "candidate q/n: chosen",
            "candidate r/m: fallback",
        ],
    ),
    "a rule: its targets, and its fallbacks in vain": (
        {
            "key": {"provider_configs": [{"provider": name, **ALL} for name in "pq"]},
            "provider_keys": KEYS,
            "routing_rules": [
                rule(
                    {"provider": "p", "key_id": "k1", "weight": 1},
                    expression='model == "m"',
                    fallbacks=["x/", "q/o", "p/n"],
                ),
                rule({"weight": 1}, name="never met", priority=9),
            ],
        },
        {},
        [
            "it would be admitted, to q/o with key k2",
            'rule r (global): match, it holds: model is "m"',
            "candidate p/m with key k1 (weight 1): no_key",
            "candidate x/m: provider_blocked",
            "candidate q/o with key k2: chosen",
            "candidate p/n: fallback",
        ],
    ),
    "a rule: a target that was drawn, and one that was not": (
        {
            "key": {"provider_configs": [{"provider": name, **ALL} for name in "pq"]},
            "routing_rules": [
                rule({"provider": "p", "weight": 1 - 1e-12}, {"provider": "q", "model": "n", "weight": 1e-12})
            ],
        },
        {"fallbacks": ["q/o"]},
        [
            "it would be admitted, to p/m",
            "rule r (global): match, it holds",
            "candidate p/m (weight 1): chosen",
            "candidate q/n (weight 1e-12): not_tried",
            "candidate q/o: fallback",
        ],
    ),
    "a rule whose target leaves the provider to the key": (
        {
            "key": {
                "provider_configs": [{"provider": "p", **ALL, **NEVER}, {"provider": "q", "weight": 0, **ALL}]
            },
            "routing_rules": [
                rule({"model": "n", "weight": 1 - 1e-12}, {"provider": "q", "weight": 1e-12}),
                rule({"weight": 1}, name="off", enabled=False, priority=-1),
            ],
        },
        {},
        [
            "it would be admitted, to q/n",
            "rule off (global): disabled, it is switched off",
            "rule r (global): match, it holds",
            "candidate p/n (weight 1): limits, requests of provider_config 1",
            "candidate q/n (weight 1): chosen",
            "candidate q/m (weight 1e-12): not_tried",
            limit("requests", "provider_config 1", "0, 1 asked", ": refuses for good"),
        ],
    ),
    "nobody who is known": ({"key": None}, {}, ["it would be refused: virtual_key_required"]),
}


def document(furniture: dict[str, Any]) -> dict[str, Any]:
    rest = {section: entries for section, entries in furniture.items() if section != "key"}
    key = furniture["key"]
    return rest if key is None else {"virtual_keys": [{"id": "bot", "name": "bot", **key}], **rest}


def masked(told: list[str]) -> list[str]:
    """The sentences, without the ids that are made."""
    return [re.sub(r"\([0-9a-f]{8}-[0-9a-f-]{27}\)", "(ID)", line) for line in told]


@pytest.mark.parametrize("says", ROWS)
def test_a_decision_is_told_alike_by_every_door(says: str, tmp_path: Path) -> None:
    furniture, request, told = ROWS[says]
    file = tmp_path / "policy.json"
    file.write_text(json.dumps(document(furniture)))
    clock = limen.ManualClock(START)
    with limen.Engine(clock=clock, seed=7) as engine:
        engine.load(file)
        known = furniture["key"] is not None
        found = engine.explain(engine.handle(id="bot") if known else None, "m", **request)
        assert masked(found.told()) == told
        agrees_with_peek(engine, known, found, request)
        body = {"model": "m", **request} | ({"virtual_key_id": "bot"} if known else {})
        content = json.dumps(body).encode()
        reply = drive(application(engine), "POST", "/api/governance/pricing/explain", [content], HEADERS)
        assert reply.status == 200
        assert set(reply.body) == {
            *("cost_usd", "cost_nano_usd", "exact_usd", "row", "override", "tier", "lines", "notes")
        }
        assert masked(reply.body["notes"])[-len(told) :] == told


def agrees_with_peek(engine: Any, known: bool, found: Explanation, request: dict[str, Any]) -> None:
    """What is explained is what is decided."""
    answer = engine.peek(engine.handle(id="bot") if known else None, "m", **request)
    assert found.allowed == bool(answer)
    if answer:
        assert (found.provider, found.model, found.key_id, found.rule_id) == (
            answer.provider,
            answer.model,
            answer.key_id,
            answer.rule_id,
        )
        assert [one.result for one in found.candidates].count("chosen") == 1
        # Whom a limit leaves out now stands by all the same: it may have room by then.
        stand_by = [one for one in found.candidates if one.result in ("fallback", "limits")]
        named = [text if text.partition("/")[2] else f"{text}m" for text in answer.fallbacks]
        assert sorted(f"{one.provider}/{one.model}" for one in stand_by) == sorted(named)
        return
    assert found.code == answer.code
    refusing = [(one.limit_id, one.kind) for one in found.limits if one.refuses]
    assert set(refusing) >= {(one.limit_id, one.kind) for one in answer.limits}
    told = [(one.provider, one.model, one.result) for one in found.candidates if one.result != "not_tried"]
    assert told[: len(answer.excluded)] == [(one.provider, one.model, one.reason) for one in answer.excluded]


CLI = ("a choice among the key's providers", "a refusal tells the limits that do not refuse as well")


@pytest.mark.parametrize("says", CLI)
def test_the_command_prints_it_for_a_person(says: str, tmp_path: Path) -> None:
    furniture, request, told = ROWS[says]
    file = tmp_path / "policy.json"
    file.write_text(json.dumps(document(furniture)))
    words = [f"{word}={value}" for word, value in request.items() if word != "provider"]
    words += ["--provider", request["provider"]] if "provider" in request else []
    done = run("explain", "m", *words, "--key-id", "bot", "--config", file)
    assert done.returncode == 0, done.stderr
    shown = masked(done.stdout.splitlines())
    # The clock is the real one.
    shown = [re.sub(r"resets \S+Z", "resets 2024-01-01T00:01:00Z", line) for line in shown]
    assert shown[-len(told) :] == [f"- {line}" for line in told]


def test_a_tool_alone_and_what_nobody_may_call() -> None:
    with limen.Engine() as engine:
        tools = [{"mcp_client_name": "client", "tools_to_execute": ["read"]}]
        key = engine.virtual_keys.create({"name": "bot", "mcp_configs": tools, **ONCE})
        found = engine.explain(key.value, None, mcp_tool="client/read")
        assert (found.allowed, found.price, found.candidates) == (True, None, [])
        assert [(one.kind, one.held) for one in found.limits] == [("requests", 1)]
        blocked = engine.explain(key.value, None, mcp_tool="client/delete")
        assert (blocked.code, blocked.limits[0].asked) == ("mcp_tool_blocked", None)


def test_usage_words_are_what_is_expected_where_nothing_else_is_said() -> None:
    with limen.Engine() as engine:
        configs = [{"provider": "openai", **ALL}]
        body = {"name": "bot", "provider_configs": configs, **WIDE}
        key = engine.virtual_keys.create(body | {"budget": {"max_limit": 1, "reset_duration": "1m"}})
        words = {"prompt_tokens": 812, "completion_tokens": 233}
        found = engine.explain(key.value, "gpt-4o", provider="openai", **words)
        assert (found.allowed, found.code) == (False, "token_limited")
        assert [one.asked for one in found.limits] == [1_045, Decimal("0.00436")]
        stated = engine.explain(key.value, "gpt-4o", 5, 5, provider="openai", **words)
        assert (stated.allowed, stated.price.cost_usd) == (True, Decimal("0.00436"))
        assert stated.limits[0].held == 10
