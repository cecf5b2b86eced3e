"""Lists: pages, totals, filters and orders; and the two lists of limits with their corrections."""

from __future__ import annotations

from decimal import Decimal, localcontext
from typing import Any

import pytest

from furnished import BUDGET, RATE
from house import SECOND, House, refused
from limen import model


@pytest.fixture
def bench() -> House:
    """Keys c, a, B, d, made in this order, a second apart."""
    house = House()
    house.ids = {}
    house.team = house.engine.teams.create({"name": "t"})
    for name, body in (
        ("c", {"budget": {"max_limit": 10, "reset_duration": "1M"}}),
        ("a", {"is_active": False, "budget": BUDGET}),
        ("B", {"team_id": house.team.id, "rate_limit": RATE}),
        ("d", {"team_id": house.team.id, "expires_at": "2023-01-01T00:00:00Z"}),
    ):
        house.clock.advance(SECOND)
        house.ids[name] = house.engine.virtual_keys.create({"name": name, **body}).id
    for name, spent in (("c", -3), ("a", -4)):
        budget = house.engine.virtual_keys.get(house.ids[name]).budget
        house.engine.budgets.credit(budget.id, spent, "spent elsewhere")
    return house


ROWS: list[tuple[dict[str, Any], str, int]] = [
    ({}, "caBd", 4),
    ({"order": "asc"}, "caBd", 4),
    ({"order": "desc"}, "dBac", 4),
    ({"limit": 2}, "ca", 4),
    ({"limit": 2, "offset": 2}, "Bd", 4),
    ({"limit": 2, "offset": 3}, "d", 4),
    ({"offset": 9}, "", 4),
    ({"limit": 1000, "offset": 2**63 - 1}, "", 4),
    ({"limit": 0}, "", 4),
    ({"limit": None, "search": None}, "caBd", 4),
    ({"search": "b"}, "B", 1),
    ({"search": "A "}, "a", 1),
    ({"search": ""}, "caBd", 4),
    ({"search": "zz"}, "", 0),
    ({"team_id": "TEAM"}, "Bd", 2),
    ({"team_id": "TEAM", "search": "D"}, "d", 1),
    ({"team_id": "TEAM", "limit": 1}, "B", 2),
    ({"team_id": "nobody"}, "", 0),
    ({"customer_id": "nobody"}, "", 0),
    ({"team_id": ""}, "caBd", 4),
    ({"sort_by": "name"}, "Bacd", 4),
    ({"sort_by": "name", "order": "desc"}, "dcaB", 4),
    ({"sort_by": "name", "limit": 2, "offset": 1}, "ac", 4),
    ({"sort_by": "created_at", "order": "desc"}, "dBac", 4),
    ({"sort_by": "budget_spent", "order": "desc", "limit": 2}, "ac", 4),
]


@pytest.mark.parametrize(("filters", "names", "total"), ROWS, ids=[str(row[0]) for row in ROWS])
def test_a_list_shows_the_page_that_is_asked_for(bench: Any, filters: Any, names: str, total: int) -> None:
    filters = {word: bench.team.id if value == "TEAM" else value for word, value in filters.items()}
    page = bench.engine.virtual_keys.list(**filters)
    assert "".join(key.name for key in page) == names
    assert (page.count, page.total_count, page.offset) == (len(names), total, filters.get("offset", 0))
    asked = filters.get("limit")
    assert page.limit == (len(names) if asked is None else asked)


def test_status_tells_those_that_are_good_now_from_the_others(bench: Any) -> None:
    names = [key.name for key in bench.engine.virtual_keys.list(sort_by="status")]
    assert (set(names[:2]), set(names[2:])) == ({"c", "B"}, {"a", "d"})


def test_an_order_is_total_so_that_pages_never_overlap(bench: Any) -> None:
    pages = [
        bench.engine.virtual_keys.list(sort_by="status", limit=1, offset=n).virtual_keys for n in range(4)
    ]
    assert {key.name for page in pages for key in page} == set("caBd")


def test_lists_of_limits_hold_those_of_every_owner() -> None:
    engine = House().engine
    both = {"budget": BUDGET, "rate_limit": RATE}
    owners = [
        engine.customers.create({"name": "c", **both}),
        engine.teams.create({"name": "t", **both}),
        engine.virtual_keys.create({"name": "k", **both, "provider_configs": [{"provider": "p", **both}]}),
        engine.model_configs.create({"model_name": "m", **both}),
        engine.providers.update("p", both),
    ]
    holders = [*owners, owners[2].provider_configs[0]]
    budgets, rates = engine.budgets.list(), engine.rate_limits.list()
    assert {b.id for b in budgets} == {owner.budget.id for owner in holders}
    assert {r.id for r in rates} == {owner.rate_limit.id for owner in holders}
    assert budgets.total_count == rates.total_count == 6
    paged = [engine.budgets.list(limit=4, offset=n).budgets for n in (0, 4)]
    assert [b.id for page in paged for b in page] == [b.id for b in budgets]
    assert all(engine.budgets.get(b.id) == b for b in budgets)
    assert all(engine.rate_limits.get(r.id) == r for r in rates)


def test_providers_are_listed_where_they_have_limits() -> None:
    engine = House().engine
    engine.providers.update("a", {"budget": BUDGET})
    engine.providers.update("b", {})
    assert [p.provider for p in engine.providers.list()] == ["a"]
    assert engine.providers.get("b").budgets == []


def test_a_credit_lowers_usage_and_a_negative_one_raises_it() -> None:
    engine = House().engine
    budget = engine.customers.create({"name": "c", "budget": BUDGET}).budget
    assert engine.budgets.credit(budget.id, -2.5, "spent elsewhere").current_usage == Decimal("2.5")
    assert engine.budgets.credit(budget.id, 1, "our mistake").current_usage == Decimal("1.5")
    assert engine.budgets.credit(budget.id, 100, "never below zero").current_usage == 0


def test_a_reset_sets_usage_to_zero() -> None:
    house = House()
    key = house.key(tokens=(100, "1d"), requests=(10, "1d"), budget=(5, "1d"))
    house.admit(key, 10, cost_usd=1).settle(tokens=10, cost_usd=1)
    shown = house.engine.virtual_keys.get(key.id)
    used = (
        shown.budget.current_usage,
        shown.rate_limit.token_current_usage,
        shown.rate_limit.request_current_usage,
    )
    assert used == (1, 10, 1)
    assert house.engine.budgets.reset(key.budget.id, "new contract").current_usage == 0
    rate = house.engine.rate_limits.reset(key.rate_limit.id, "new contract")
    assert (rate.token_current_usage, rate.request_current_usage) == (0, 0)


def test_the_index_of_limits_follows_edits() -> None:
    engine = House().engine
    first = engine.customers.create({"name": "c", "budget": BUDGET})
    engine.budgets.reset(first.budget.id, "builds the index")
    second = engine.customers.create({"name": "d", "budget": BUDGET, "rate_limit": RATE})
    assert engine.budgets.get(second.budget.id).id == second.budget.id
    assert engine.rate_limits.get(second.rate_limit.id).id == second.rate_limit.id
    engine.customers.update(second.id, {"budget": {}})
    engine.customers.delete(first.id)
    for id in (first.budget.id, second.budget.id):
        refused(lambda limit=id: engine.budgets.get(limit), "not_found", "id")


def test_reads_show_what_is_used_and_what_is_held() -> None:
    house = House()
    key = house.key(tokens=(100, "1d"), requests=(10, "1d"), budget=(5, "1d"))
    permit = house.admit(key, 10, cost_usd=0.25)
    shown = house.engine.virtual_keys.get(key.id)
    assert (shown.budget.current_usage, shown.budget.held) == (0, Decimal("0.25"))
    # What is stated, and a guess of a tenth of the limit.
    assert (shown.rate_limit.token_current_usage, shown.rate_limit.token_held) == (0, 20)
    assert shown.rate_limit.request_current_usage == 1
    permit.settle(tokens=7, cost_usd=0.2)
    (listed,) = house.engine.virtual_keys.list()
    assert (listed.budget.current_usage, listed.budget.held) == (Decimal("0.2"), 0)
    assert (listed.rate_limit.token_current_usage, listed.rate_limit.token_held) == (7, 0)


@pytest.mark.parametrize(
    ("dollars", "text"),
    [
        (0.3, b"0.3"),
        (0.1 * 3, b"0.3"),
        (100, b"100"),
        (100.0, b"100"),
        (Decimal("1E+2"), b"100"),
        (0, b"0"),
        (1e-9, b"1E-9"),
        (9_223_372_036, b"9223372036"),
        (1234567.890000001, b"1234567.890000001"),
    ],
)
def test_money_comes_back_as_the_shortest_text_of_the_same_nano_dollars(dollars: Any, text: bytes) -> None:
    with localcontext(prec=3):  # the precision of a caller's own decimals is no concern of ours
        budget = (
            House()
            .engine.customers.create({"name": "c", "budget": {"max_limit": dollars, "reset_duration": "1d"}})
            .budget
        )
    assert b'"max_limit":' + text + b"," in model.to_json(budget)
