"""PUT, field by field: what is left out stays; what null, an empty body and a value mean is in the rows.

Each row begins with the same key, sends one body and looks at one thing. Ids of limits tell whether usage
stays: a counter is known by the id of its limit.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest

from furnished import BUDGET, LISTS, RATE, Furnished
from house import DAY, SECOND, START
from limen import model


@pytest.fixture
def bench() -> Furnished:
    return Furnished()


def budgets(key: Any) -> list[tuple[Decimal, str, bool]]:
    return [(b.max_limit, b.reset_duration, b.calendar_aligned) for b in key.budgets]


def rate(key: Any) -> tuple[Any, ...] | None:
    r = key.rate_limit
    if r is None:
        return None
    return r.token_max_limit, r.token_reset_duration, r.request_max_limit, r.request_reset_duration, r.window


def config(key: Any) -> tuple[Any, ...]:
    (only,) = key.provider_configs
    keys = [k.name for k in only.keys]
    return (
        only.provider,
        only.weight,
        only.allowed_models,
        keys,
        len(only.budgets),
        only.rate_limit is not None,
    )


FIVE = (Decimal(5), "1d", False)
ROWS: list[tuple[str, Any, Callable[[Any], Any], Any]] = [
    ("nothing stays", {}, budgets, [FIVE]),
    ("budget null is unchanged", {"budget": None}, budgets, [FIVE]),
    ("budget {} removes it", {"budget": {}}, budgets, []),
    ("budget merges the limit", {"budget": {"max_limit": 0.3}}, budgets, [(Decimal("0.3"), "1d", False)]),
    (
        "budget merges the duration",
        {"budget": {"reset_duration": "1w"}},
        budgets,
        [(Decimal(5), "1w", False)],
    ),
    ("alignment alone toggles", {"budget": {"calendar_aligned": True}}, budgets, [(Decimal(5), "1d", True)]),
    ("alignment null is unchanged", {"budget": {"calendar_aligned": None}}, budgets, [FIVE]),
    ("budgets null is unchanged", {"budgets": None}, budgets, [FIVE]),
    ("budgets [] removes all", {"budgets": []}, budgets, []),
    (
        "budgets are the full set",
        {"budgets": [{"max_limit": 1, "reset_duration": "1h"}, {"max_limit": 2, "reset_duration": "1w"}]},
        budgets,
        [(Decimal(1), "1h", False), (Decimal(2), "1w", False)],
    ),
    (
        "budget beside budgets may agree",
        {"budgets": [BUDGET, {"max_limit": 9, "reset_duration": "1w"}], "budget": {"max_limit": 5.0}},
        budgets,
        [FIVE, (Decimal(9), "1w", False)],
    ),
    ("rate_limit null is unchanged", {"rate_limit": None}, rate, (1000, "1d", 60, "1d", "fixed")),
    ("rate_limit {} removes it", {"rate_limit": {}}, rate, None),
    ("rate_limit merges", {"rate_limit": {"token_max_limit": 7.0}}, rate, (7, "1d", 60, "1d", "fixed")),
    ("a limit of zero is one", {"rate_limit": {"token_max_limit": 0}}, rate, (0, "1d", 60, "1d", "fixed")),
    ("window is set", {"rate_limit": {"window": "sliding"}}, rate, (1000, "1d", 60, "1d", "sliding")),
    (
        "null for both fields of a kind ends it",
        {"rate_limit": {"token_max_limit": None, "token_reset_duration": None}},
        rate,
        (None, None, 60, "1d", "fixed"),
    ),
    (
        "provider_configs null is unchanged",
        {"provider_configs": None},
        config,
        ("p", 1.0, ["*"], ["main"], 1, True),
    ),
    ("provider_configs [] is none", {"provider_configs": []}, lambda key: key.provider_configs, []),
    (
        "the entry of a provider keeps what it leaves out",
        {"provider_configs": [{"provider": "p"}]},
        config,
        ("p", 1.0, ["*"], ["main"], 1, True),
    ),
    (
        "weight null leaves the draw",
        {"provider_configs": [{"provider": "p", "weight": None}]},
        config,
        ("p", None, ["*"], ["main"], 1, True),
    ),
    (
        "models [] allows none",
        {"provider_configs": [{"provider": "p", "allowed_models": []}]},
        config,
        ("p", 1.0, [], ["main"], 1, True),
    ),
    (
        "models null is unchanged",
        {"provider_configs": [{"provider": "p", "allowed_models": None}]},
        config,
        ("p", 1.0, ["*"], ["main"], 1, True),
    ),
    (
        "key_ids [] closes the provider",
        {"provider_configs": [{"provider": "p", "key_ids": []}]},
        config,
        ("p", 1.0, ["*"], [], 1, True),
    ),
    (
        "key_ids of a star are all",
        {"provider_configs": [{"provider": "p", "key_ids": ["*"]}]},
        config,
        ("p", 1.0, ["*"], ["main", "spare"], 1, True),
    ),
    (
        "limits of a config are removed alone",
        {"provider_configs": [{"provider": "p", "budget": {}, "rate_limit": {}}]},
        config,
        ("p", 1.0, ["*"], ["main"], 0, False),
    ),
    (
        "an entry of another provider is new",
        {"provider_configs": [{"provider": "q"}]},
        config,
        ("q", None, [], [], 0, False),
    ),
    (
        "mcp_configs null is unchanged",
        {"mcp_configs": None},
        lambda k: k.mcp_configs[0].tools_to_execute,
        ["read"],
    ),
    ("mcp_configs [] is none", {"mcp_configs": []}, lambda key: key.mcp_configs, []),
    (
        "tools are the full list",
        {"mcp_configs": [{"mcp_client_name": "files", "tools_to_execute": ["write"]}]},
        lambda key: [(c.id, c.tools_to_execute) for c in key.mcp_configs],
        [(1, ["write"])],
    ),
    (
        "tools left out stay",
        {"mcp_configs": [{"id": 1}]},
        lambda key: [(c.mcp_client_name, c.tools_to_execute) for c in key.mcp_configs],
        [("files", ["read"])],
    ),
    ("team null detaches", {"team_id": None}, lambda key: (key.team_id, key.customer_id), (None, None)),
    ("an empty team detaches", {"team_id": ""}, lambda key: (key.team_id, key.team), (None, None)),
    (
        "a customer takes the key from its team",
        {"customer_id": "CUSTOMER"},
        lambda k: (k.team_id, k.customer.name),
        (None, "acme"),
    ),
    ("description null clears", {"description": None}, lambda key: key.description, ""),
    ("description is set", {"description": "a\nb"}, lambda key: key.description, "a\nb"),
    ("names are trimmed", {"name": "  bot 2 "}, lambda key: key.name, "bot 2"),
    ("expires_at null clears", {"expires_at": None}, lambda key: key.expires_at, None),
    ("is_active is set", {"is_active": False}, lambda key: key.is_active, False),
]


@pytest.mark.parametrize(("body", "look", "wanted"), [row[1:] for row in ROWS], ids=[row[0] for row in ROWS])
def test_a_field_merges_as_its_row_says(bench: Furnished, body: Any, look: Any, wanted: Any) -> None:
    engine, id = bench.engine, bench.virtual_key.id
    engine.provider_keys.create({"provider": "p", "name": "spare", "value": "s"})
    engine.virtual_keys.update(id, {"description": "before", "expires_at": "2030-01-01T00:00:00Z"})
    body = {name: bench.customer.id if value == "CUSTOMER" else value for name, value in body.items()}
    answer = engine.virtual_keys.update(id, body)
    assert look(answer) == wanted
    assert look(engine.virtual_keys.get(id)) == wanted


@pytest.mark.parametrize(
    "body",
    [
        {"budget": {"max_limit": 9}, "rate_limit": {"token_max_limit": 9}},
        {"budget": {"reset_duration": "1w"}, "rate_limit": {"token_reset_duration": "1w"}},
        {"budgets": [{"max_limit": 9, "reset_duration": "1d"}], "rate_limit": {"window": "sliding"}},
        {
            "provider_configs": [
                {"provider": "p", "budget": {"max_limit": 9}, "rate_limit": {"token_max_limit": 9}}
            ]
        },
        {"provider_configs": [{"id": 1, "provider": "q"}]},
    ],
)
def test_a_merged_limit_keeps_its_id_and_the_time_of_its_making(bench: Furnished, body: Any) -> None:
    bench.clock.advance(SECOND)
    before, after = bench.virtual_key, bench.engine.virtual_keys.update(bench.virtual_key.id, body)
    for owner, changed in ((before, after), (before.provider_configs[0], after.provider_configs[0])):
        assert owner.id == changed.id
        assert owner.budget.id == changed.budget.id
        assert owner.rate_limit.id == changed.rate_limit.id
        assert owner.budget.created_at == changed.budget.created_at
    assert after.created_at == before.created_at
    assert after.updated_at > before.updated_at


def test_an_entry_of_budgets_continues_the_one_it_names_else_the_one_of_its_duration(
    bench: Furnished,
) -> None:
    update, id = bench.engine.virtual_keys.update, bench.virtual_key.id
    day, week = update(id, {"budgets": [BUDGET, {"max_limit": 20, "reset_duration": "1w"}]}).budgets
    swapped = update(
        id, {"budgets": [{"id": week.id, "max_limit": 21}, {"max_limit": 6, "reset_duration": "1d"}]}
    )
    assert [(b.id, b.max_limit) for b in swapped.budgets] == [(week.id, 21), (day.id, 6)]
    assert swapped.budget.id == week.id == swapped.budget_id


def test_removing_the_budget_leaves_those_of_other_periods(bench: Furnished) -> None:
    update, id = bench.engine.virtual_keys.update, bench.virtual_key.id
    _, week = update(id, {"budgets": [BUDGET, {"max_limit": 20, "reset_duration": "1w"}]}).budgets
    assert [b.id for b in update(id, {"budget": {}}).budgets] == [week.id]


def test_entries_by_id_are_matched_before_entries_by_provider(bench: Furnished) -> None:
    update, id = bench.engine.virtual_keys.update, bench.virtual_key.id
    two = update(id, {"provider_configs": [{"provider": "p"}, {"provider": "p", "weight": 2}]})
    first, second = (c.id for c in two.provider_configs)
    again = update(id, {"provider_configs": [{"provider": "p", "weight": 9}, {"id": first, "weight": 8}]})
    assert [(c.id, c.weight) for c in again.provider_configs] == [(first, 8), (second, 9)]


def test_integer_ids_rise_and_are_never_used_again(bench: Furnished) -> None:
    update, id = bench.engine.virtual_keys.update, bench.virtual_key.id
    update(id, {"provider_configs": [], "mcp_configs": []})
    again = update(
        id, {"provider_configs": [{"provider": "p"}], "mcp_configs": [{"mcp_client_name": "files"}]}
    )
    assert (again.provider_configs[0].id, again.mcp_configs[0].id) == (2, 2)


@pytest.mark.parametrize("kind", LISTS[:-2])
def test_what_get_answers_can_be_sent_back_and_changes_nothing(bench: Furnished, kind: str) -> None:
    resource, id = getattr(bench.engine, kind), dict(bench.ids())[kind]
    before = bench.picture()
    for offset in (SECOND, 2 * DAY):
        bench.at(offset)
        shown = resource.get(id)
        resource.update(id, shown)
        resource.update(id, model.fields_of(shown))
        resource.update(id, over_the_wire(shown))
        resource.update(id, over_the_wire(next(item for item in resource.list() if id in (item_id(item)))))
    bench.at(0)
    assert bench.picture() == before


def test_what_create_answered_can_be_sent_back(bench: Furnished) -> None:
    before = bench.picture()
    for answer, (kind, id) in (
        (bench.virtual_key, bench.ids()[2]),
        (bench.provider_key, bench.ids()[4]),
        (bench.routing_rule, bench.ids()[6]),
        (bench.pricing_override, bench.ids()[7]),
    ):
        getattr(bench.engine, kind).update(id, over_the_wire(answer))
    assert bench.picture() == before


def over_the_wire(answer: Any) -> Any:
    return json.loads(model.to_json(answer), parse_float=Decimal)


def item_id(item: Any) -> tuple[Any, ...]:
    return tuple(getattr(item, word, None) for word in ("id", "key_id", "provider"))


def test_a_stale_copy_of_usage_is_no_fault(bench: Furnished) -> None:
    resource, id = bench.engine.virtual_keys, bench.virtual_key.id
    stale = over_the_wire(resource.get(id))
    stale["budget"]["current_usage"] = 4.5
    stale["budget"]["last_reset"] = "1999-01-01T00:00:00Z"
    stale["rate_limit"]["token_held"] = 77
    stale["team"]["rate_limit"]["request_current_usage"] = 3
    del stale["budgets"][0]["current_usage"]
    assert resource.update(id, stale).budget.current_usage == 0


def test_in_a_create_body_null_is_as_left_out(bench: Furnished) -> None:
    words = "description is_active expires_at provider_configs mcp_configs team_id customer_id budget budgets"
    nothing = dict.fromkeys([*words.split(), "rate_limit", "id", "value", "created_at"])
    key = bench.engine.virtual_keys.create({"name": "n", **nothing})
    assert (key.is_active, key.budgets, key.rate_limit, key.team) == (True, [], None, None)
    spare = bench.engine.provider_keys.create(
        {"provider": "p", "name": "n", "value": "s", "weight": None, "enabled": None}
    )
    assert (spare.weight, spare.enabled) == (None, True)


def test_what_a_provider_key_leaves_out_has_its_defaults(bench: Furnished) -> None:
    key = bench.engine.provider_keys.create({"provider": "p", "name": "n", "value": "s"})
    assert (key.models, key.weight, key.enabled, key.use_for_batch_api) == (["*"], 1.0, True, False)
    changed = bench.engine.provider_keys.update(key.key_id, {"enabled": False, "weight": None, "models": []})
    assert (changed.models, changed.weight, changed.enabled) == ([], None, False)
    assert bench.engine.provider_keys.update(key.key_id, {"enabled": None}).enabled is True


def test_free_form_objects_are_kept_as_they_came_and_replaced_whole(bench: Furnished) -> None:
    teams, id = bench.engine.teams, bench.team.id
    given = {"a": [1, 2.5, None, True, {"b": "ü"}], "big": 2**63 - 1}
    assert teams.update(id, {"profile": given, "config": {"x": 1}}).profile == given
    changed = teams.update(id, {"profile": {"c": 1}, "config": None})
    assert (changed.profile, changed.config, changed.claims) == ({"c": 1}, {}, {})


def test_the_provider_of_a_model_config_is_cleared_by_null(bench: Furnished) -> None:
    assert bench.engine.model_configs.update(bench.model_config.id, {"provider": None}).provider is None


def test_a_provider_is_made_by_its_first_update(bench: Furnished) -> None:
    made = bench.engine.providers.update(" q ", {"rate_limit": RATE})
    assert (made.provider, made.rate_limit.token_max_limit) == ("q", 1000)
    assert bench.engine.providers.update("q", {"rate_limit": {}}).rate_limit is None
    assert bench.engine.providers.get("q").budget is None


def test_an_expiry_in_the_past_is_taken_with_a_warning(bench: Furnished) -> None:
    answer = bench.engine.virtual_keys.update(bench.virtual_key.id, {"expires_at": "2023-12-31T23:59:59Z"})
    assert answer.warnings == ["expires_at is in the past: the key is refused"]
    assert answer.expires_at.timestamp() * 1000 == START - SECOND


WARNED = [
    ({}, ["provider_configs is empty: the key may use no provider"]),
    (
        {"provider_configs": [{"provider": "p"}]},
        ["provider_configs[0].allowed_models is empty: it allows no model"],
    ),
    (
        {"provider_configs": [{"provider": "p", "allowed_models": ["m"], "key_ids": []}]},
        ["provider_configs[0].key_ids is empty: the provider is closed to the key"],
    ),
    (
        {"mcp_configs": [{"mcp_client_name": "c"}]},
        ["mcp_configs[0].tools_to_execute is empty: it allows no tool"],
    ),
    ({"mcp_configs": [{"mcp_client_name": "c", "tools_to_execute": ["*"]}]}, []),
    ({"provider_configs": [{"provider": "p", "allowed_models": ["*"]}]}, []),
]


@pytest.mark.parametrize(("body", "warnings"), WARNED)
def test_what_can_have_no_effect_is_warned_of(bench: Furnished, body: Any, warnings: list[str]) -> None:
    assert bench.engine.virtual_keys.create({"name": "n", **body}).warnings == warnings
