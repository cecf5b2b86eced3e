"""What names what: uniqueness, attaching, and what goes or stays when something is deleted."""

from __future__ import annotations

from operator import attrgetter
from typing import Any

import pytest

from furnished import BUDGET, RATE, Furnished, picture
from house import House, refused
from limen import model


@pytest.fixture
def bench() -> Furnished:
    return Furnished()


EVERYWHERE = {"scope_kind": "global", "request_types": ["responses"]}
RULE = {"cel_expression": "", "priority": 1, "targets": [{"weight": 1}]}
CLASHES = [
    ("virtual_keys", {"name": " bot"}, "name"),
    ("model_configs", {"model_name": "m", "provider": "p"}, "model_name"),
    ("provider_keys", {"provider": "p", "name": "main", "value": "s"}, "name"),
    ("providers", {"name": "p"}, "name"),
    ("routing_rules", {**RULE, "name": " cheap first", "scope": "team", "scope_id": "TEAM"}, "name"),
]


@pytest.mark.parametrize(("resource", "body", "path"), CLASHES)
def test_a_name_that_must_be_unique_clashes(bench: Furnished, resource: str, body: Any, path: str) -> None:
    before = bench.picture()
    body = {word: bench.team.id if value == "TEAM" else value for word, value in body.items()}
    assert refused(lambda: getattr(bench.engine, resource).create(body), "conflict").param == path
    assert bench.picture() == before


def test_a_clash_by_rename_changes_nothing(bench: Furnished) -> None:
    keys = bench.engine.virtual_keys
    other = keys.create({"name": "other"})
    refused(lambda: keys.update(other.id, {"name": "bot", "description": "x"}), "conflict", "name")
    assert (keys.get(other.id).name, keys.get(other.id).description) == ("other", "")


def test_a_name_is_free_again_after_a_rename_or_a_delete(bench: Furnished) -> None:
    keys = bench.engine.virtual_keys
    keys.update(bench.virtual_key.id, {"name": "bot 2"})
    second = keys.create({"name": "bot"})
    keys.delete(second.id)
    keys.create({"name": "bot"})


def test_names_that_may_repeat_do(bench: Furnished) -> None:
    bench.engine.customers.create({"name": "acme"})
    bench.engine.teams.create({"name": "growth"})
    bench.engine.model_configs.create({"model_name": "m"})
    bench.engine.model_configs.create({"model_name": "m", "provider": "q"})
    bench.engine.provider_keys.create({"provider": "q", "name": "main", "value": "s"})
    for scope, id in (
        ("global", None),
        ("customer", bench.customer.id),
        ("virtual_key", bench.virtual_key.id),
    ):
        bench.engine.routing_rules.create({**RULE, "name": "cheap first", "scope": scope, "scope_id": id})
    bench.engine.pricing_overrides.create(
        {"name": "contract", **EVERYWHERE, "match_type": "exact", "pattern": "m"}
    )


def test_what_is_embedded_is_in_its_plain_form(bench: Furnished) -> None:
    engine = bench.engine
    direct = engine.virtual_keys.create({"name": "direct", "customer_id": bench.customer.id})
    customer, team = engine.customers.get(bench.customer.id), engine.teams.get(bench.team.id)
    key = engine.virtual_keys.get(bench.virtual_key.id)
    assert [t.name for t in customer.teams] == ["growth"]
    assert [k.id for k in customer.virtual_keys] == [direct.id]
    assert [k.name for k in team.virtual_keys] == ["bot"]
    assert (team.customer.name, key.team.name, key.customer) == ("acme", "growth", None)
    assert [k.name for k in key.provider_configs[0].keys] == ["main"]
    for plain, absent in (
        (customer.teams[0], ("customer", "virtual_keys")),
        (customer.virtual_keys[0], ("team", "customer")),
        (team.customer, ("teams", "virtual_keys")),
        (team.virtual_keys[0], ("team", "customer")),
        (team.virtual_keys[0].provider_configs[0], ("keys",)),
        (key.team, ("customer", "virtual_keys")),
    ):
        shown = set(model.fields_of(plain))
        assert not set(absent) & shown, plain
        assert "budgets" in shown
    assert key.team.customer_id == bench.customer.id


def test_an_empty_owner_shows_empty_lists(bench: Furnished) -> None:
    empty = bench.engine.customers.create({"name": "empty"})
    assert (empty.teams, empty.virtual_keys, empty.budgets, empty.config_hash) == ([], [], [], "")
    team = bench.engine.teams.create({"name": "empty"})
    assert (team.virtual_keys, team.customer, team.config_hash) == ([], None, None)


def test_deleting_a_customer_leaves_its_teams_and_keys_detached(bench: Furnished) -> None:
    engine = bench.engine
    direct = engine.virtual_keys.create({"name": "direct", "customer_id": bench.customer.id})
    engine.customers.delete(bench.customer.id)
    assert engine.teams.get(bench.team.id).customer_id is None
    assert engine.virtual_keys.get(direct.id).customer_id is None
    assert engine.virtual_keys.get(bench.virtual_key.id).team_id == bench.team.id
    assert bench.customer.budget.id not in [b.id for b in engine.budgets.list()]


def test_deleting_a_team_leaves_its_keys_detached(bench: Furnished) -> None:
    bench.engine.teams.delete(bench.team.id)
    key = bench.engine.virtual_keys.get(bench.virtual_key.id)
    assert (key.team_id, key.team) == (None, None)
    assert bench.engine.customers.get(bench.customer.id).teams == []


def test_deleting_a_provider_removes_its_keys_and_limits_and_leaves_the_configs(bench: Furnished) -> None:
    engine = bench.engine
    engine.providers.known.delete("p")
    refused(lambda: engine.providers.get("p"), "not_found")
    refused(lambda: engine.providers.known.delete("p"), "not_found")
    refused(lambda: engine.provider_keys.get(bench.provider_key.key_id), "not_found")
    (config,) = engine.virtual_keys.get(bench.virtual_key.id).provider_configs
    assert (config.provider, config.keys, config.budget.max_limit) == ("p", [], 5)
    assert engine.model_configs.get(bench.model_config.id).provider == "p"


def test_deleting_what_governs_a_provider_removes_its_limits_alone(bench: Furnished) -> None:
    engine = bench.engine
    engine.providers.update("p", {"rate_limit": RATE})
    gone = engine.providers.get("p")

    def refusing() -> set[str]:
        return {limit.level for limit in bench.admit(bench.virtual_key, 5, cost_usd=100).limits}

    assert "provider" in refusing()
    engine.providers.delete("p")
    assert "provider" not in refusing()
    left = engine.providers.get("p")
    assert (left.budget, left.budgets, left.rate_limit) == (None, [], None)
    assert engine.providers.list().providers == []
    assert gone.budget.id not in [limit.id for limit in engine.budgets.list()]
    assert gone.rate_limit.id not in [limit.id for limit in engine.rate_limits.list()]
    assert [key.key_id for key in engine.providers.known.get("p").keys] == [bench.provider_key.key_id]
    (config,) = engine.virtual_keys.get(bench.virtual_key.id).provider_configs
    assert [key.key_id for key in config.keys] == [bench.provider_key.key_id]
    before = bench.picture()
    engine.providers.delete("p")
    assert bench.picture() == before, "again, it has nothing to do"
    refused(lambda: engine.providers.delete("nobody"), "not_found")


POINTING: list[tuple[str, str, str, dict[str, str]]] = [
    ("customers", "customer", "routing_rules", {"scope": "customer", "scope_id": "customer"}),
    ("teams", "team", "routing_rules", {"scope": "team", "scope_id": "team"}),
    ("virtual_keys", "virtual_key", "routing_rules", {"scope": "virtual_key", "scope_id": "virtual_key"}),
    (
        "virtual_keys",
        "virtual_key",
        "pricing_overrides",
        {"scope_kind": "virtual_key", "virtual_key_id": "virtual_key"},
    ),
    (
        "provider_keys",
        "provider_key",
        "pricing_overrides",
        {"scope_kind": "provider_key", "provider_key_id": "provider_key"},
    ),
    (
        "providers.known",
        "provider",
        "pricing_overrides",
        {
            "scope_kind": "virtual_key_provider_key",
            "virtual_key_id": "virtual_key",
            "provider_key_id": "provider_key",
        },
    ),
]


@pytest.mark.parametrize(
    ("owners", "owner", "kind", "scope"), POINTING, ids=[f"{row[1]} {row[2]}" for row in POINTING]
)
def test_what_points_to_an_entity_goes_with_it_and_nothing_else_does(
    bench: Furnished, owners: str, owner: str, kind: str, scope: dict[str, str]
) -> None:
    ids = {word: dict(bench.ids())[f"{word}s"] for word in ("customer", "team", "virtual_key")}
    ids |= {"provider_key": bench.provider_key.key_id, "provider": "p"}
    resource = getattr(bench.engine, kind)
    form = RULE if kind == "routing_rules" else {**EVERYWHERE, "match_type": "exact", "pattern": "m"}
    pointing = resource.create(
        {"name": "n", **form, **{w: ids[v] if w.endswith("_id") else v for w, v in scope.items()}}
    )
    if kind == "routing_rules":
        stays = resource.create({"name": "n", **form, "scope": "global"})
    else:
        stays = resource.create({"name": "n", **form, "scope_kind": "provider", "provider_id": "p"})
    attrgetter(owners)(bench.engine).delete(ids[owner])
    refused(lambda: resource.get(pointing.id), "not_found", "id")
    assert resource.get(stays.id).id == stays.id
    assert not [link for link in bench.engine._book.links if link[1] == ids[owner]]


def test_a_rule_whose_target_pins_a_key_stays_when_the_key_goes_and_says_so(bench: Furnished) -> None:
    bench.engine.provider_keys.delete(bench.provider_key.key_id)
    answer = bench.engine.routing_rules.update(bench.routing_rule.id, {})
    assert "targets[0].key_id is unknown: the provider has no such key" in answer.warnings


def test_a_list_that_loses_its_last_provider_key_stays_closed(bench: Furnished) -> None:
    engine = bench.engine
    engine.provider_keys.delete(bench.provider_key.key_id)
    engine.provider_keys.create({"provider": "p", "name": "new", "value": "s"})
    assert engine.virtual_keys.get(bench.virtual_key.id).provider_configs[0].keys == []


def test_a_provider_may_be_named_before_it_is_there(bench: Furnished) -> None:
    key = bench.engine.provider_keys.create({"provider": "later", "name": "k", "value": "s"})
    again = bench.engine.provider_keys.create({"provider": "later", "name": "l", "value": "s"})
    assert bench.provider_key.provider_id < key.provider_id == again.provider_id
    assert bench.engine.providers.get("later").budget is None


def test_deleting_everything_leaves_no_trace(bench: Furnished) -> None:
    engine = bench.engine
    for kind, id in reversed(bench.ids()):
        if kind != "provider_keys":
            attrgetter("providers.known" if kind == "providers" else kind)(engine).delete(id)
    assert picture(engine) == picture(House().engine)
    book = engine._book
    assert not book.links
    assert not any(book.uniques.values())


def test_a_key_moves_between_owners_and_the_lists_follow(bench: Furnished) -> None:
    engine, id = bench.engine, bench.virtual_key.id
    second = engine.teams.create({"name": "second"})
    engine.virtual_keys.update(id, {"team_id": second.id})
    assert engine.virtual_keys.list(team_id=bench.team.id).count == 0
    assert [k.id for k in engine.virtual_keys.list(team_id=second.id)] == [id]
    engine.virtual_keys.update(id, {"customer_id": bench.customer.id})
    assert engine.virtual_keys.list(team_id=second.id).count == 0
    assert [k.id for k in engine.virtual_keys.list(customer_id=bench.customer.id)] == [id]


def test_a_new_counter_stands_where_one_was_deleted(bench: Furnished) -> None:
    engine, body = bench.engine, {"name": "again", "budget": BUDGET, "rate_limit": RATE}
    first = engine.virtual_keys.create(body)
    engine.virtual_keys.delete(first.id)
    second = engine.virtual_keys.create(body)
    assert second.id != first.id
    assert second.budget.id != first.budget.id
    assert second.rate_limit.id != first.rate_limit.id
