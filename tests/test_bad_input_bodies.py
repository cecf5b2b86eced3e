"""What a faulty body, id or filter gets: the named error, a stable code, the full path, nothing changed.

One row is one fault. The clock moves before each call, so that a change would show in a time at least.
"""

from __future__ import annotations

import json
from decimal import Decimal
from math import inf, nan
from typing import Any

import pytest

from bad_values import COUNTS, DOLLARS, DURATIONS, LONG, NAMES, TEXT_LISTS, TIMES, TRUTHS, WEIGHTS
from furnished import BUDGET, LISTS, RATE, Furnished
from house import SECOND, refused


def at_rows(path: str, build: Any, values: list[Any]) -> list[Any]:
    return [
        pytest.param(build(value), path, id=f"{path} {str(value)[:24]!r} {n}")
        for n, value in enumerate(values)
    ]


def key_rows() -> list[Any]:
    config = {"provider": "p"}
    rows = [
        *at_rows("name", lambda v: {"name": v}, NAMES),
        *at_rows("is_active", lambda v: {"name": "n", "is_active": v}, TRUTHS),
        *at_rows("expires_at", lambda v: {"name": "n", "expires_at": v}, TIMES),
        *at_rows(
            "description", lambda v: {"name": "n", "description": v}, [5, LONG, "a\x00", "\ud800", True, []]
        ),
        *at_rows(
            "budget.max_limit",
            lambda v: {"name": "n", "budget": {**BUDGET, "max_limit": v}},
            [*DOLLARS, None],
        ),
        *at_rows(
            "budget.reset_duration",
            lambda v: {"name": "n", "budget": {**BUDGET, "reset_duration": v}},
            DURATIONS,
        ),
        *at_rows(
            "budget.calendar_aligned",
            lambda v: {"name": "n", "budget": {**BUDGET, "calendar_aligned": v}},
            TRUTHS,
        ),
        *at_rows(
            "rate_limit.token_max_limit",
            lambda v: {"name": "n", "rate_limit": {**RATE, "token_max_limit": v}},
            COUNTS,
        ),
        *at_rows(
            "rate_limit.request_max_limit",
            lambda v: {"name": "n", "rate_limit": {**RATE, "request_max_limit": v}},
            COUNTS,
        ),
        *at_rows(
            "rate_limit.token_reset_duration",
            lambda v: {"name": "n", "rate_limit": {**RATE, "token_reset_duration": v}},
            DURATIONS,
        ),
        *at_rows(
            "rate_limit.window",
            lambda v: {"name": "n", "rate_limit": {**RATE, "window": v}},
            ["rolling", 5, True, ""],
        ),
        *at_rows(
            "provider_configs", lambda v: {"name": "n", "provider_configs": v}, ["p", {}, 5, [config] * 1001]
        ),
        *at_rows("provider_configs[0]", lambda v: {"name": "n", "provider_configs": [v]}, ["p", 5, [], None]),
        *at_rows(
            "provider_configs[1].provider",
            lambda v: {"name": "n", "provider_configs": [config, {"provider": v}]},
            NAMES,
        ),
        *at_rows(
            "provider_configs[1].weight",
            lambda v: {"name": "n", "provider_configs": [config, {**config, "weight": v}]},
            WEIGHTS,
        ),
        *at_rows(
            "provider_configs[0].allowed_models",
            lambda v: {"name": "n", "provider_configs": [{**config, "allowed_models": v}]},
            TEXT_LISTS,
        ),
        *at_rows(
            "provider_configs[0].allowed_models[1]",
            lambda v: {"name": "n", "provider_configs": [{**config, "allowed_models": ["m", v]}]},
            NAMES,
        ),
        *at_rows(
            "provider_configs[0].budget.max_limit",
            lambda v: {"name": "n", "provider_configs": [{**config, "budget": {**BUDGET, "max_limit": v}}]},
            DOLLARS,
        ),
        *at_rows(
            "provider_configs[0].budgets[1].max_limit",
            lambda v: {
                "name": "n",
                "provider_configs": [
                    {**config, "budgets": [BUDGET, {"max_limit": v, "reset_duration": "1w"}]}
                ],
            },
            DOLLARS,
        ),
        *at_rows(
            "mcp_configs[0].mcp_client_name",
            lambda v: {"name": "n", "mcp_configs": [{"mcp_client_name": v}]},
            NAMES,
        ),
        *at_rows(
            "mcp_configs[0].tools_to_execute",
            lambda v: {"name": "n", "mcp_configs": [{"mcp_client_name": "c", "tools_to_execute": v}]},
            TEXT_LISTS,
        ),
        *at_rows("team_id", lambda v: {"name": "n", "team_id": v}, [5, "x" * 129, "a\nb", True, []]),
    ]
    single = [
        ({}, "name"),
        ([], None),
        ("bot", None),
        (None, None),
        ({"name": "n", "nonsense": 1}, "nonsense"),
        ({"name": "n", 5: 1}, None),
        ({"name": "n", "id": "mine"}, "id"),
        ({"name": "n", "value": "sk-bf-mine"}, "value"),
        ({"name": "n", "config_hash": "ff"}, "config_hash"),
        ({"name": "n", "team": {"name": "t"}}, "team"),
        ({"name": "n", "budget": {}}, "budget.max_limit"),
        ({"name": "n", "budget": {"max_limit": 1}}, "budget.reset_duration"),
        ({"name": "n", "budget": {"reset_duration": "1d"}}, "budget.max_limit"),
        ({"name": "n", "budget": {**BUDGET, "id": "mine"}}, "budget.id"),
        ({"name": "n", "budget": {**BUDGET, "spent": 1}}, "budget.spent"),
        (
            {"name": "n", "budget": {"max_limit": 1, "reset_duration": "24h", "calendar_aligned": True}},
            "budget.calendar_aligned",
        ),
        (
            {"name": "n", "budgets": [{"max_limit": 1, "reset_duration": f"{n}d"} for n in range(1, 10)]},
            "budgets",
        ),
        (
            {"name": "n", "budgets": [BUDGET, {"max_limit": 9, "reset_duration": "01d"}]},
            "budgets[1].reset_duration",
        ),
        ({"name": "n", "budgets": [BUDGET, BUDGET]}, "budgets[1].reset_duration"),
        ({"name": "n", "budgets": [{"max_limit": 1}]}, "budgets[0].reset_duration"),
        ({"name": "n", "budgets": [BUDGET], "budget": {"max_limit": 6, "reset_duration": "1d"}}, "budget"),
        ({"name": "n", "rate_limit": {}}, "rate_limit"),
        ({"name": "n", "rate_limit": {"window": "sliding"}}, "rate_limit"),
        ({"name": "n", "rate_limit": {"token_max_limit": 5}}, "rate_limit.token_reset_duration"),
        ({"name": "n", "rate_limit": {"token_reset_duration": "1m"}}, "rate_limit.token_max_limit"),
        ({"name": "n", "rate_limit": {"request_max_limit": 5}}, "rate_limit.request_reset_duration"),
        ({"name": "n", "rate_limit": {"request_reset_duration": "1m"}}, "rate_limit.request_max_limit"),
        (
            {"name": "n", "rate_limit": {**RATE, "token_max_limit": 2**46 - 1, "window": "sliding"}},
            "rate_limit.token_max_limit",
        ),
        (
            {"name": "n", "rate_limit": {**RATE, "request_max_limit": 2**63 - 1, "window": "sliding"}},
            "rate_limit.request_max_limit",
        ),
        ({"name": "n", "provider_configs": [{"weight": 1}]}, "provider_configs[0].provider"),
        ({"name": "n", "provider_configs": [{"provider": "p", "id": 1}]}, "provider_configs[0].id"),
        ({"name": "n", "provider_configs": [{"provider": "p", "models": []}]}, "provider_configs[0].models"),
        ({"name": "n", "mcp_configs": [{}]}, "mcp_configs[0].mcp_client_name"),
    ]
    return rows + [pytest.param(body, path, id=f"{path} single {n}") for n, (body, path) in enumerate(single)]


OTHER_CREATES = [
    ("customers", {"name": "n", "description": "x"}, "description"),
    ("customers", {}, "name"),
    ("customers", {"name": "n", "teams": [{}]}, "teams"),
    ("customers", {"name": "n", "budget": {**BUDGET, "max_limit": "5"}}, "budget.max_limit"),
    ("teams", {}, "name"),
    ("teams", {"name": "n", "profile": []}, "profile"),
    ("teams", {"name": "n", "profile": {"a": nan}}, "profile.a"),
    ("teams", {"name": "n", "profile": {"a": [1, 2**63]}}, "profile.a[1]"),
    ("teams", {"name": "n", "config": {"a": object()}}, "config.a"),
    ("teams", {"name": "n", "claims": {"a": "x" * 4097}}, "claims.a"),
    ("teams", {"name": "n", "claims": {str(n): n for n in range(1001)}}, "claims"),
    ("teams", {"name": "n", "claims": {5: 1}}, "claims"),
    ("model_configs", {}, "model_name"),
    ("model_configs", {"model_name": "", "provider": "p"}, "model_name"),
    ("model_configs", {"model_name": "n", "provider": 5}, "provider"),
    ("model_configs", {"model_name": "n", "name": "x"}, "name"),
    ("provider_keys", {"name": "n", "value": "s"}, "provider"),
    ("provider_keys", {"provider": "p", "value": "s"}, "name"),
    ("provider_keys", {"provider": "p", "name": "n"}, "value"),
    ("provider_keys", {"provider": "p", "name": "n", "value": ""}, "value"),
    ("provider_keys", {"provider": "p", "name": "n", "value": 5}, "value"),
    ("provider_keys", {"provider": "p", "name": "n", "value": "x" * 16_385}, "value"),
    ("provider_keys", {"provider": "p", "name": "n", "value": {"value": 5}}, "value.value"),
    ("provider_keys", {"provider": "p", "name": "n", "value": {"from_env": "yes"}}, "value.from_env"),
    (
        "provider_keys",
        {"provider": "p", "name": "n", "value": {"from_env": True, "env_var": "HOME"}},
        "value.env_var",
    ),
    ("provider_keys", {"provider": "p", "name": "n", "value": "env.HOME"}, "value"),
    ("provider_keys", {"provider": "p", "name": "n", "value": "env."}, "value"),
    ("provider_keys", {"provider": "p", "name": "n", "value": "s", "bedrock_arn": "env.PATH"}, "bedrock_arn"),
    ("provider_keys", {"provider": "p", "name": "n", "value": "s", "weight": -1}, "weight"),
    ("provider_keys", {"provider": "p", "name": "n", "value": "s", "enabled": 1}, "enabled"),
    ("provider_keys", {"provider": "p", "name": "n", "value": "s", "key_id": "k"}, "key_id"),
    ("providers", {}, "name"),
    ("providers", {"name": "n", "keys": []}, "keys"),
]

UPDATES = [
    ("virtual_keys", {"name": None}, "name"),
    ("virtual_keys", {"is_active": None}, "is_active"),
    ("virtual_keys", {"budget": {"max_limit": None}}, "budget.max_limit"),
    ("virtual_keys", {"budget": {"reset_duration": None}}, "budget.reset_duration"),
    (
        "virtual_keys",
        {"budget": {"reset_duration": "1h", "calendar_aligned": True}},
        "budget.calendar_aligned",
    ),
    ("virtual_keys", {"budget": {"id": "other"}}, "budget.id"),
    ("virtual_keys", {"budgets": [{}]}, "budgets[0].max_limit"),
    ("virtual_keys", {"budgets": [], "budget": {"max_limit": 5}}, "budget"),
    ("virtual_keys", {"rate_limit": {"token_max_limit": None}}, "rate_limit.token_max_limit"),
    ("virtual_keys", {"rate_limit": {"request_reset_duration": None}}, "rate_limit.request_reset_duration"),
    ("virtual_keys", {"rate_limit": {"window": None}}, "rate_limit.window"),
    (
        "virtual_keys",
        {"rate_limit": {"token_max_limit": 2**46 - 1, "window": "sliding"}},
        "rate_limit.token_max_limit",
    ),
    ("virtual_keys", {"rate_limit": {"id": "other"}}, "rate_limit.id"),
    ("virtual_keys", {"provider_configs": [{"provider": None}]}, "provider_configs[0].provider"),
    (
        "virtual_keys",
        {"provider_configs": [{"provider": "p", "virtual_key_id": "x"}]},
        "provider_configs[0].virtual_key_id",
    ),
    ("virtual_keys", {"provider_configs": [{"provider": "p", "keys": []}]}, "provider_configs[0].keys"),
    ("virtual_keys", {"provider_configs": [{"provider": "p", "id": True}]}, "provider_configs[0].id"),
    ("virtual_keys", {"provider_configs": [{"provider": "p", "id": 0}]}, "provider_configs[0].id"),
    ("virtual_keys", {"value": "sk-bf-other"}, "value"),
    ("virtual_keys", {"budget_id": "other"}, "budget_id"),
    ("virtual_keys", {"team": {"name": "other"}}, "team"),
    ("teams", {"name": None}, "name"),
    ("teams", {"virtual_keys": []}, "virtual_keys"),
    ("customers", {"name": None}, "name"),
    ("customers", {"id": "other"}, "id"),
    ("model_configs", {"model_name": None}, "model_name"),
    ("provider_keys", {"name": None}, "name"),
    ("provider_keys", {"value": None}, "value"),
    ("provider_keys", {"provider": "q"}, "provider"),
    ("provider_keys", {"id": 99}, "id"),
    ("providers", {"provider": "q"}, "provider"),
    ("providers", {"budget": {"max_limit": -1}}, "budget.max_limit"),
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


@pytest.mark.parametrize(("body", "path"), key_rows())
def test_a_faulty_virtual_key_is_refused_with_the_path_of_its_fault(
    bench: Furnished, body: Any, path: str
) -> None:
    nothing_happens(bench, lambda: bench.engine.virtual_keys.create(body), path)


@pytest.mark.parametrize(("resource", "body", "path"), OTHER_CREATES)
def test_a_faulty_create_of_any_kind_is_refused(
    bench: Furnished, resource: str, body: Any, path: str
) -> None:
    nothing_happens(bench, lambda: getattr(bench.engine, resource).create(body), path)


@pytest.mark.parametrize(("resource", "body", "path"), UPDATES)
def test_a_faulty_update_is_refused_and_changes_nothing(
    bench: Furnished, resource: str, body: Any, path: str
) -> None:
    id = dict(bench.ids())[resource]
    nothing_happens(bench, lambda: getattr(bench.engine, resource).update(id, body), path)


@pytest.mark.parametrize("resource", [kind for kind in LISTS[:-2] if kind != "providers"])
@pytest.mark.parametrize("call", ["get", "update", "delete"])
@pytest.mark.parametrize(
    ("id", "code"),
    [
        ("nobody", "not_found"),
        ("", "not_found"),
        (LONG, "not_found"),
        (5, "invalid_request"),
        (None, "invalid_request"),
    ],
)
def test_an_unknown_id_is_not_found(bench: Furnished, resource: str, call: str, id: Any, code: str) -> None:
    rest = [{}] if call == "update" else []
    nothing_happens(bench, lambda: getattr(getattr(bench.engine, resource), call)(id, *rest), "id", code)


@pytest.mark.parametrize(
    ("body", "path"),
    [
        ({"name": "n", "team_id": "nobody"}, "team_id"),
        ({"name": "n", "customer_id": "nobody"}, "customer_id"),
        (
            {"name": "n", "provider_configs": [{"provider": "p", "key_ids": ["nobody"]}]},
            "provider_configs[0].key_ids[0]",
        ),
        (
            {"name": "n", "provider_configs": [{"provider": "q", "key_ids": ["p's"]}]},
            "provider_configs[0].key_ids[0]",
        ),
    ],
)
def test_what_a_body_names_must_exist(bench: Furnished, body: Any, path: str) -> None:
    text = json.dumps(body).replace("p's", bench.provider_key.key_id)
    nothing_happens(bench, lambda: bench.engine.virtual_keys.create(json.loads(text)), path, "not_found")


def test_configs_and_budgets_that_a_body_names_by_id_must_exist(bench: Furnished) -> None:
    update = bench.engine.virtual_keys.update
    id = bench.virtual_key.id
    for body, path in (
        ({"provider_configs": [{"id": 999, "provider": "p"}]}, "provider_configs[0].id"),
        ({"mcp_configs": [{"id": 999, "mcp_client_name": "c"}]}, "mcp_configs[0].id"),
        ({"budgets": [{**BUDGET, "id": "nobody"}]}, "budgets[0].id"),
    ):
        nothing_happens(bench, lambda body=body: update(id, body), path, "not_found")


def test_a_key_belongs_to_one_owner(bench: Furnished) -> None:
    body = {"name": "n", "team_id": bench.team.id, "customer_id": bench.customer.id}
    nothing_happens(bench, lambda: bench.engine.virtual_keys.create(body), "customer_id")
    nothing_happens(
        bench, lambda: bench.engine.virtual_keys.update(bench.virtual_key.id, body), "customer_id"
    )


@pytest.mark.parametrize("grace", [-1, 1.5, True, "5", nan, 30 * 86_400 + 1, 2**63, None, []])
def test_a_grace_is_whole_seconds_up_to_thirty_days(bench: Furnished, grace: Any) -> None:
    nothing_happens(bench, lambda: bench.engine.virtual_keys.rotate(bench.virtual_key.id, grace), "grace")


@pytest.mark.parametrize(
    ("filters", "path"),
    [
        ({"limit": 1001}, "limit"),
        ({"limit": -1}, "limit"),
        ({"limit": True}, "limit"),
        ({"limit": "5"}, "limit"),
        ({"limit": 1.5}, "limit"),
        ({"offset": -1}, "offset"),
        ({"offset": 2**63}, "offset"),
        ({"search": 5}, "search"),
        ({"search": LONG}, "search"),
        ({"sort_by": "value"}, "sort_by"),
        ({"order": "up"}, "order"),
        ({"team_id": 5}, "team_id"),
        ({"nonsense": 1}, "nonsense"),
    ],
)
def test_a_faulty_filter_is_refused(bench: Furnished, filters: Any, path: str) -> None:
    nothing_happens(bench, lambda: bench.engine.virtual_keys.list(**filters), path)


@pytest.mark.parametrize("amount", [nan, inf, True, "5", None, 2**63, Decimal("1e400"), 1e-10])
def test_a_correction_is_dollars(bench: Furnished, amount: Any) -> None:
    budget = bench.virtual_key.budget.id
    nothing_happens(bench, lambda: bench.engine.budgets.credit(budget, amount, "because"), "amount")


@pytest.mark.parametrize("reason", ["", "  ", None, 5, LONG, "a\x00b"])
def test_a_correction_has_a_reason(bench: Furnished, reason: Any) -> None:
    engine, key = bench.engine, bench.virtual_key
    nothing_happens(bench, lambda: engine.budgets.reset(key.budget.id, reason), "reason")
    nothing_happens(bench, lambda: engine.budgets.credit(key.budget.id, 1, reason), "reason")
    nothing_happens(bench, lambda: engine.rate_limits.reset(key.rate_limit.id, reason), "reason")


@pytest.mark.parametrize("id", ["nobody", ""])
def test_a_correction_of_nothing_is_not_found(bench: Furnished, id: str) -> None:
    for call in (
        lambda: bench.engine.budgets.reset(id, "r"),
        lambda: bench.engine.budgets.credit(id, 1, "r"),
        lambda: bench.engine.rate_limits.reset(id, "r"),
        lambda: bench.engine.budgets.get(id),
        lambda: bench.engine.rate_limits.get(bench.virtual_key.budget.id),
        lambda: bench.engine.budgets.get(bench.virtual_key.rate_limit.id),
    ):
        nothing_happens(bench, call, "id", "not_found")


@pytest.mark.parametrize("name", NAMES)
def test_a_provider_has_a_name(bench: Furnished, name: Any) -> None:
    nothing_happens(bench, lambda: bench.engine.providers.update(name, {}), "name")


def test_every_fault_of_a_body_is_named_in_one_run(bench: Furnished) -> None:
    body = {
        "nme": "n",
        "team_id": "nobody",
        "provider_configs": [{"weight": "1"}, {"provider": "p", "budget": {"max_limit": True}}],
    }
    fault = refused(lambda: bench.engine.virtual_keys.create(body))
    assert {found.param for found in fault.faults} == {
        "nme",
        "name",
        "team_id",
        "provider_configs[0].weight",
        "provider_configs[0].provider",
        "provider_configs[1].budget.max_limit",
    }


def test_a_body_of_a_million_unknown_fields_makes_a_bounded_list_of_faults(
    bench: Furnished, way: str
) -> None:
    if way == "http":
        pytest.skip("an error body tells of a hundred")
    fault = refused(lambda: bench.engine.customers.create({f"f{n}": n for n in range(5000)}))
    assert len(fault.faults) == 1000


def test_the_name_of_an_unknown_field_comes_back_short_and_printable(bench: Furnished) -> None:
    fault = refused(lambda: bench.engine.customers.create({"\x1b[31m" + LONG: 1}))
    assert fault.param == "?[31m" + "x" * 59
