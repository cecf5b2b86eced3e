"""What a faulty routing rule or pricing override gets: the path of its fault, and nothing changed.

Each row goes through create, and, where it is one field of it, through update too.
"""

from __future__ import annotations

from math import nan
from typing import Any

import pytest

from bad_values import LONG, NAMES, RATES, TEXT_LISTS, TRUTHS, WEIGHTS
from furnished import Furnished
from house import SECOND, refused
from limen import model

RULE: dict[str, Any] = {
    "name": "n",
    "cel_expression": "true",
    "scope": "global",
    "priority": 1,
    "targets": [{"provider": "p", "weight": 1}],
}
OVERRIDE: dict[str, Any] = {
    "name": "n",
    "scope_kind": "global",
    "match_type": "exact",
    "pattern": "m",
    "request_types": ["responses"],
}
TEXTS = [5, LONG, "a\x00", "\ud800", True, [], {}, b"x"]
IDS = [5, "x" * 129, "a\nb", True, [], {}]
WHOLE = [1.5, nan, True, "5", [], {}, 2**63, -(2**63) - 1, 10**400, 1e400, b"5"]
WORDS = ["", "Global", "everything", 5, True, [], LONG, "global "]
TYPES = ["", "chat", "chat_completion ", 5, None, True, {}]


def each(word: str, values: list[Any], path: str | None = None, wrap: Any = None) -> list[Any]:
    """One row for each value of a field; `wrap` puts it where it belongs."""
    return [
        pytest.param({word: wrap(value) if wrap else value}, path or word, id=f"{path or word} {n}")
        for n, value in enumerate(values)
    ]


def in_target(**fields: Any) -> list[dict[str, Any]]:
    return [{"model": "a", "weight": 0.5}, {"provider": "q", "weight": 0.5, **fields}]


RULES = [
    *each("name", NAMES),
    *each("description", TEXTS),
    *each("enabled", TRUTHS),
    *each("cel_expression", [5, True, [], None, LONG, "x" * 4097, "ü" * 2049, "a\x00b", "\ud800", b"true"]),
    *each("cel_expression", ["model", "model = 1", "x", "1 + 'a' == 2", "+".join(["1"] * 2047), "(" * 2000]),
    *each("priority", [*WHOLE, None]),
    *each("query", [5, "x", True, [], [1]]),
    *each("query", [nan, 2**63, object(), "x" * 4097], "query.a", lambda value: {"a": value}),
    *each("fallbacks", TEXT_LISTS),
    *each(
        "fallbacks",
        [*NAMES, "m", "/m", "/", "x" * 500 + "/" + "y" * 500],
        "fallbacks[1]",
        lambda v: ["p/m", v],
    ),
    *each("targets", [[], "p", {}, 5, True, [{"weight": 1}] * 1001]),
    *each("targets", ["p", 5, [], None, True], "targets[0]", lambda value: [value]),
    *each("targets", [*WEIGHTS, 0, 0.0, -0.0, None], "targets[1].weight", lambda v: in_target(weight=v)),
    *each(
        "targets", [5, True, LONG, "a\nb", [], b"p"], "targets[1].provider", lambda v: in_target(provider=v)
    ),
    *each("targets", [5, True, LONG, "a\nb", [], b"m"], "targets[1].model", lambda v: in_target(model=v)),
    *each("targets", IDS, "targets[1].key_id", lambda v: in_target(key_id=v)),
    *each("targets", [None, ""], "targets[1].provider", lambda v: in_target(provider=v, key_id="k")),
    *each("targets", [1], "targets[1].nonsense", lambda v: in_target(nonsense=v)),
    *each("targets", [0.25, 0.5000001, 1], "targets", lambda v: in_target(weight=v)),
    *each("targets", [[{"provider": "p"}]], "targets[0].weight"),
    *each("targets", [[{"weight": 0.5}, {"weight": 0.5}]], "targets[1]"),
    *each("targets", [[{"weight": 0.5}, {"provider": "", "model": None, "weight": 0.5}]], "targets[1]"),
    *each("targets", [[*in_target(), {"model": " a ", "weight": 0.1}]], "targets[2]"),
    *each("id", ["mine", 5]),
    *each("nonsense", [1]),
    *each("config_hash", [None]),
]
RULE_CREATES = [
    *[({word: value for word, value in RULE.items() if word != left}, left) for left in RULE],
    *[({**RULE, "scope": word}, "scope") for word in WORDS],
    *[({**RULE, "scope": "team", "scope_id": value}, "scope_id") for value in (None, "")],
    *[({**RULE, "scope": "team", "scope_id": value}, "scope_id") for value in (*IDS, " ")],
    ({**RULE, "scope_id": "x"}, "scope_id"),
    ({**RULE, "scope": None}, "scope"),
    ({**RULE, "targets": None}, "targets"),
    *[(body, None) for body in ([], "r", 5, None)],
]
RULE_UPDATES = [
    ({"enabled": None}, "enabled"),
    ({"scope": "global"}, "scope"),
    ({"scope_id": None}, "scope_id"),
    ({"scope_id": ""}, "scope_id"),
    ({"scope_id": "other"}, "scope_id"),
]

OVERRIDES = [
    *each("name", NAMES),
    *each("scope_kind", [*WORDS, None]),
    *each("match_type", [*WORDS, None, "regex"]),
    *each("pattern", NAMES),
    *each("request_types", [[], "rerank", {}, 5, True, ["rerank"] * 1001]),
    *each("request_types", TYPES, "request_types[1]", lambda value: ["responses", value]),
    *each("request_types", ["responses_stream", "rerank_stream"], "request_types[0]", lambda value: [value]),
    *each("patch", [5, "{}", True, [], "x"]),
    *each("patch", RATES, "patch.input_cost_per_token", lambda value: {"input_cost_per_token": value}),
    *each("patch", [1], "patch.input_cost_per_tokens", lambda value: {"input_cost_per_tokens": value}),
    *each("patch", [None], "patch.created_at", lambda value: {"created_at": value}),
    *each("patch", [1], "patch", lambda value: {5: value}),
    *each("free", TRUTHS),
    *each("confirm", [*TRUTHS, "yes"]),
    *each("virtual_key_id", IDS),
    *each("provider_id", [5, "x" * 257, "a\nb", True, [], {}]),
    *each("provider_key_id", IDS),
    *each("id", ["mine", 5]),
    *each("pricing_patch", ["[]", 5, {"input_cost_per_token": 1}]),
    *each("config_hash", ["ff"]),
    *each("nonsense", [1]),
]
OVERRIDE_CREATES = [
    *[({word: value for word, value in OVERRIDE.items() if word != left}, left) for left in OVERRIDE],
    *[({**OVERRIDE, "pattern": pattern}, "pattern") for pattern in ("*", "m*", "*m", "a*b")],
    *[
        ({**OVERRIDE, "match_type": "wildcard", "pattern": pattern}, "pattern")
        for pattern in ("m", "*m", "m**", "**", "a*b", "a*b*")
    ],
    ({**OVERRIDE, "patch": {"input_cost_per_token": 0}, "free": True}, "free"),
    ({**OVERRIDE, "request_types": None}, "request_types"),
    *[(body, None) for body in ([], "o", 5, None)],
]
OVERRIDE_UPDATES = [
    ({"free": None}, "free"),
    ({"patch": None}, "patch"),
    ({"match_type": "exact"}, "pattern"),
    ({"pattern": "m"}, "pattern"),
    ({"scope_kind": "provider_key"}, "provider_key_id"),
    ({"scope_kind": "virtual_key", "provider_id": "other"}, "provider_id"),
    ({"provider_key_id": "KEY_ID"}, "provider_key_id"),
    ({"pricing_patch": "{}"}, "pricing_patch"),
]
UNKNOWN = [
    ("routing_rules", {**RULE, "scope": "team", "scope_id": "nobody"}, "scope_id"),
    ("routing_rules", {**RULE, "scope": "customer", "scope_id": "TEAM"}, "scope_id"),
    ("routing_rules", {**RULE, "scope": "virtual_key", "scope_id": "nobody"}, "scope_id"),
    (
        "pricing_overrides",
        {**OVERRIDE, "scope_kind": "virtual_key", "virtual_key_id": "nobody"},
        "virtual_key_id",
    ),
    (
        "pricing_overrides",
        {**OVERRIDE, "scope_kind": "provider_key", "provider_key_id": "nobody"},
        "provider_key_id",
    ),
]


@pytest.fixture
def bench() -> Furnished:
    return Furnished()


def nothing_happens(bench: Furnished, call: Any, param: str | None, code: str = "invalid_request") -> None:
    bench.clock.advance(SECOND)
    before = bench.picture()
    fault = refused(call, code)
    assert fault.param == param
    assert bench.picture() == before


@pytest.mark.parametrize(("fields", "path"), RULES)
def test_a_faulty_field_of_a_rule_is_refused(bench: Furnished, fields: Any, path: str) -> None:
    rules, null = bench.engine.routing_rules, None in fields.values()
    if not null or path in ("name", "cel_expression", "priority"):
        nothing_happens(bench, lambda: rules.create({**RULE, **fields}), path)
    nothing_happens(bench, lambda: rules.update(bench.routing_rule.id, fields), path)


@pytest.mark.parametrize(("fields", "path"), OVERRIDES)
def test_a_faulty_field_of_an_override_is_refused(bench: Furnished, fields: Any, path: str) -> None:
    overrides = bench.engine.pricing_overrides
    nothing_happens(bench, lambda: overrides.create({**OVERRIDE, **fields}), path)
    nothing_happens(bench, lambda: overrides.update(bench.pricing_override.id, fields), path)


@pytest.mark.parametrize(("body", "path"), RULE_CREATES)
def test_a_faulty_rule_is_refused(bench: Furnished, body: Any, path: str | None) -> None:
    nothing_happens(bench, lambda: bench.engine.routing_rules.create(body), path)


@pytest.mark.parametrize(("body", "path"), OVERRIDE_CREATES)
def test_a_faulty_override_is_refused(bench: Furnished, body: Any, path: str | None) -> None:
    nothing_happens(bench, lambda: bench.engine.pricing_overrides.create(body), path)


@pytest.mark.parametrize(("body", "path"), RULE_UPDATES)
def test_what_is_fixed_or_must_stay_in_a_rule_does(bench: Furnished, body: Any, path: str) -> None:
    nothing_happens(bench, lambda: bench.engine.routing_rules.update(bench.routing_rule.id, body), path)


@pytest.mark.parametrize(("body", "path"), OVERRIDE_UPDATES)
def test_what_a_merged_override_breaks_is_refused(bench: Furnished, body: Any, path: str) -> None:
    body = {word: bench.provider_key.key_id if value == "KEY_ID" else value for word, value in body.items()}
    id = bench.pricing_override.id
    nothing_happens(bench, lambda: bench.engine.pricing_overrides.update(id, body), path)


@pytest.mark.parametrize(("kind", "body", "path"), UNKNOWN)
def test_what_a_body_names_must_exist(bench: Furnished, kind: str, body: Any, path: str) -> None:
    body = {word: bench.team.id if value == "TEAM" else value for word, value in body.items()}
    nothing_happens(bench, lambda: getattr(bench.engine, kind).create(body), path, "not_found")


@pytest.mark.parametrize("word", model.PricingPatch.__struct_fields__)
@pytest.mark.parametrize("value", [-1, nan, 1e400, "1", True, 1e-16])
def test_every_field_of_a_patch_is_a_price(bench: Furnished, word: str, value: Any) -> None:
    body = {**OVERRIDE, "patch": {word: value}}
    nothing_happens(bench, lambda: bench.engine.pricing_overrides.create(body), f"patch.{word}")


@pytest.mark.parametrize(
    ("kind", "filters", "path"),
    [
        ("routing_rules", {"scope": "nobody"}, "scope"),
        ("routing_rules", {"scope_id": 5}, "scope_id"),
        ("routing_rules", {"limit": 1001}, "limit"),
        ("routing_rules", {"sort_by": "name"}, "sort_by"),
        ("pricing_overrides", {"scope_kind": "team"}, "scope_kind"),
        ("pricing_overrides", {"virtual_key_id": 5}, "virtual_key_id"),
        ("pricing_overrides", {"provider_id": LONG}, "provider_id"),
        ("pricing_overrides", {"provider_key_id": True}, "provider_key_id"),
        ("pricing_overrides", {"scope": "global"}, "scope"),
    ],
)
def test_a_faulty_filter_is_refused(bench: Furnished, kind: str, filters: Any, path: str) -> None:
    nothing_happens(bench, lambda: getattr(bench.engine, kind).list(**filters), path)


def test_every_fault_of_a_rule_or_an_override_is_named_in_one_run(bench: Furnished) -> None:
    rule = {"scope_id": 5, "targets": [{"key_id": "k", "weight": 0.5}, {"weight": "1"}], "fallbacks": ["m"]}
    fault = refused(lambda: bench.engine.routing_rules.create(rule))
    assert {found.param for found in fault.faults} == {
        "name",
        "cel_expression",
        "priority",
        "scope",
        "scope_id",
        "targets[0].provider",
        "targets[1].weight",
        "fallbacks[0]",
    }
    override = {"scope_kind": "provider", "patch": {"input_cost_per_token": -1, "x": 1}, "pattern": "m"}
    fault = refused(lambda: bench.engine.pricing_overrides.create(override))
    assert {found.param for found in fault.faults} == {
        "name",
        "provider_id",
        "match_type",
        "request_types",
        "patch.input_cost_per_token",
        "patch.x",
    }
