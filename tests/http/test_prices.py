"""Prices in decisions, by the engine and by HTTP: rows by hand, random calls, overrides, explanations."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from door import Door

import limen
import model_prices
import test_pricing
import test_pricing_oracle as oracle
from house import refused
from limen.answers import to_json

CALLS = 2_000
MOST = 9_000_000_000
ANYTHING = {"unknown_price": "count_zero"}


def catalog(folder: Path, **entries: Any) -> Path:
    """A price file with these models."""
    path = folder / "prices.json"
    path.write_bytes(to_json(entries))
    return path


@pytest.fixture
def make_door(tmp_path: Path) -> Callable[..., Door]:
    def make(entries: dict[str, Any], **settings: Any) -> Door:
        door = Door(**settings)
        door.engine.load_prices(catalog(tmp_path, **entries))
        return door

    return make


def by_engine(door: Door, key: Any, model: str, kind: str, usage: dict[str, Any]) -> tuple[int, str]:
    permit = door.engine.admit(key.value, model, provider="p", request_type=kind)
    settled = permit.settle(**usage)
    return settled.cost_nano_usd, settled.price


def by_http(door: Door, key: Any, model: str, kind: str, usage: dict[str, Any]) -> tuple[int, str]:
    ask = {"virtual_key": key.value, "model": model, "provider": "p", "request_type": kind}
    permit = door.post("/v1/admit", ask).body["permit"]
    reply = door.post("/v1/settle", json.loads(to_json({"permit": permit, **usage}), parse_float=float))
    cost = json.loads(reply.content, parse_float=Decimal)["cost_usd"]
    return int(Decimal(cost).scaleb(9)), reply.body["price"]


def explained(door: Door, key: Any, model: str, kind: str, usage: dict[str, Any]) -> Any:
    ask = {"virtual_key": key.value, "model": model, "provider": "p", "request_type": kind}
    reply = door.post("/api/governance/pricing/explain", json.loads(to_json({**ask, **usage})))
    assert reply.status == 200, reply.body
    return json.loads(reply.content, parse_float=Decimal)


@pytest.mark.parametrize("row", test_pricing.ROWS, ids=test_pricing.says)
def test_a_row_by_hand_is_what_a_settle_charges_and_an_explanation_shows(
    make_door: Callable[..., Door], row: dict[str, Any]
) -> None:
    door = make_door(test_pricing.CARDS, **ANYTHING)
    key = door.key(budget=(MOST, "1d"))
    if row.get("patch"):
        body = {"name": "o", "scope_kind": "global", "match_type": "exact", "pattern": row["card"]}
        patch = {field: Decimal(price) for field, price in row["patch"].items()}
        body |= {"request_types": [row["type"]], "patch": patch, "confirm": True}
        door.engine.pricing_overrides.create(body)
    call = (door, key, row["card"], row["type"], dict(row["usage"]))
    told = explained(*call)
    assert told["exact_usd"] == row["exact"]
    charged = model_prices.nano_usd(Fraction(row["exact"]))
    assert told["cost_nano_usd"] == min(charged, 2**63 - 1)
    source = "zero" if row.get("unknown") else "known"
    if any(isinstance(value, int | float) for value in row["usage"].values() if not isinstance(value, bool)):
        assert by_engine(*call) == (told["cost_nano_usd"], source)
        # Another key: the first may have no room any more.
        assert by_http(door, door.key(), *call[2:]) == (told["cost_nano_usd"], source)
    if row.get("unknown"):
        assert any("no price for" in note for note in told["notes"])


def test_random_calls_are_charged_what_fractions_say(make_door: Callable[..., Door]) -> None:
    chance = random.Random("settled")
    kinds = tuple(model_prices.RULES)
    entries, cards = {}, []
    for number in range(50):
        entry = {
            field: oracle.price(chance) for field in chance.sample(oracle.FIELDS, chance.randrange(1, 40))
        }
        entries[f"m{number}"] = entry
        cards.append(model_prices.Prices({field: oracle.exact(value) for field, value in entry.items()}))
    door = make_door(entries, **ANYTHING)
    key = door.key()
    for number in range(0, 50, 2):
        patch = {field: oracle.price(chance) for field in chance.sample(oracle.PATCHED, 5)}
        body = {"name": "o", "scope_kind": "global", "match_type": "exact", "pattern": f"m{number}"}
        door.engine.pricing_overrides.create(
            {**body, "request_types": list(kinds), "patch": patch, "confirm": True}
        )
        cards[number].patch({field: oracle.exact(value) for field, value in patch.items()})
    for _ in range(CALLS):
        number, kind, words = chance.randrange(50), chance.choice(kinds), oracle.usage(chance)
        words.setdefault("prompt_tokens", 1)
        prices = (
            cards[number]
            if isinstance(cards[number], model_prices.Prices)
            else model_prices.Prices(cards[number])
        )
        dollars, lacks = model_prices.cost(prices, words, kind)
        charged = by_engine(door, key, f"m{number}", kind, words)
        expected = min(model_prices.nano_usd(dollars), 2**63 - 1)
        assert charged == (expected, "known" if lacks is None else "zero"), (number, kind, words)


@pytest.mark.parametrize("field", test_pricing.FIELDS)
def test_every_field_of_a_patch_moves_a_settled_price(make_door: Callable[..., Door], field: str) -> None:
    kind, usage = test_pricing.MOVED_BY[field]
    others = {name: 10 for name in test_pricing.FIELDS if name not in test_pricing.DEARER}
    door = make_door({"m": others}, **ANYTHING)
    key = door.key()

    def at(price: Any) -> int:
        body = {"name": "o", "scope_kind": "global", "match_type": "wildcard", "pattern": "*"}
        made = door.engine.pricing_overrides.create(
            {**body, "request_types": [kind], "patch": {field: price}, "confirm": True}
        )
        nano, source = by_engine(door, key, "m", kind, dict(usage))
        assert source == "known"
        door.engine.pricing_overrides.delete(made.id)
        return nano

    assert at(10) < at(11)


def test_a_hold_and_a_charge_are_those_of_the_model() -> None:
    door = Door()
    key = door.key(budget=(1, "1d"))
    ask = {"virtual_key": key.value, "model": "gpt-4o", "provider": "openai"}
    config = [{"provider": "openai", "weight": 1, "allowed_models": ["*"]}]
    door.engine.virtual_keys.update(key.id, {"provider_configs": config})
    body = door.post("/v1/admit", {**ask, "input_tokens": 812, "max_output_tokens": 400}).body
    assert body["held"] == {"requests": 0, "tokens": 0, "cost_usd": 0.00603}
    settled = door.post(
        "/v1/settle", {"permit": body["permit"], "prompt_tokens": 812, "completion_tokens": 233}
    ).body
    assert (settled["cost_usd"], settled["price"]) == (0.00436, "known")
    cut = door.post("/v1/admit", {**ask, "input_tokens": 0, "max_output_tokens": 200_000}).body
    assert cut["max_output_tokens"] == 99_564
    denied = door.post("/v1/admit", {**ask, "model": "of-no-catalogue", "input_tokens": 5})
    assert (denied.status, denied.code) == (402, "price_unknown")


def test_an_edited_override_leaves_open_permits_their_price_and_prices_the_next() -> None:
    door = Door()
    key = door.key(budget=(1, "1d"))
    body = {"name": "o", "scope_kind": "virtual_key", "virtual_key_id": key.id, "match_type": "exact"}
    body |= {"pattern": "m", "request_types": ["chat_completion"], "patch": {"input_cost_per_token": 0.001}}
    override = door.engine.pricing_overrides.create(body)

    def admit() -> Any:
        return door.admit(key, 10, 0)

    before = admit()
    door.engine.pricing_overrides.update(override.id, {"patch": {"input_cost_per_token": 0.002}})
    between = admit()
    door.engine.pricing_overrides.update(override.id, {"patch": {}, "free": True})
    after = admit()
    door.engine.pricing_overrides.delete(override.id)
    refusal = admit()
    assert not refusal
    assert refusal.code == "price_unknown"
    charged = [permit.settle(prompt_tokens=10).cost_nano_usd for permit in (before, between, after)]
    assert charged == [10_000_000, 20_000_000, 0]
    assert door.budget(key) == (30_000_000, 0)


STRAY: list[tuple[str, dict[str, Any], dict[str, Any], str | None]] = [
    # what it says, the override, its patch, the field that is refused
    ("a slip of units", {"pattern": "m"}, {"input_cost_per_token": 2}, "input_cost_per_token"),
    ("exactly a thousandfold", {"pattern": "m"}, {"input_cost_per_token": 0.002}, None),
    ("a thousandth", {"pattern": "m"}, {"input_cost_per_token": 2e-9}, None),
    ("less than that", {"pattern": "m"}, {"input_cost_per_token": 1.9e-9}, "input_cost_per_token"),
    ("a rate that the row has not", {"pattern": "m"}, {"output_cost_per_image": 9_000}, None),
    ("a model without a row", {"pattern": "n"}, {"input_cost_per_token": 2}, None),
    (
        "a wildcard",
        {"pattern": "m*", "match_type": "wildcard"},
        {"output_cost_per_token": 9},
        "output_cost_per_token",
    ),
    (
        "a wildcard over one that is dear",
        {"pattern": "mm*", "match_type": "wildcard"},
        {"input_cost_per_token": 2},
        None,
    ),
    ("zero is not applied", {"pattern": "m"}, {"input_cost_per_token": 0}, None),
    (
        "another's model",
        {"pattern": "x", "scope_kind": "provider", "provider_id": "p"},
        {"input_cost_per_token": 2},
        None,
    ),
    (
        "its own model",
        {"pattern": "x", "scope_kind": "provider", "provider_id": "q"},
        {"input_cost_per_token": 2},
        "input_cost_per_token",
    ),
    ("anybody's model", {"pattern": "x"}, {"input_cost_per_token": 2}, "input_cost_per_token"),
]


@pytest.mark.parametrize(("says", "over", "patch", "field"), STRAY, ids=[row[0] for row in STRAY])
def test_a_patch_that_moves_a_rate_over_a_thousandfold_wants_to_be_confirmed(
    make_door: Callable[..., Door], says: str, over: dict[str, Any], patch: dict[str, Any], field: str | None
) -> None:
    entries = {
        "m": {"input_cost_per_token": 2e-6, "output_cost_per_token": 3e-6},
        "mm": {"input_cost_per_token": 1},
        "q/x": {"input_cost_per_token": 1e-6},
    }
    door = make_door(entries)
    body = {"name": "o", "scope_kind": "global", "match_type": "exact", "request_types": ["rerank"], **over}
    ask = {**body, "patch": patch}
    reply = door.post("/api/governance/pricing-overrides", ask)
    if field is None:
        assert reply.status == 201
        return
    assert (reply.status, reply.param) == (400, f"patch.{field}")
    assert refused(lambda: door.engine.pricing_overrides.create(ask), param=f"patch.{field}")
    assert door.engine.pricing_overrides.list().total_count == 0
    made = door.engine.pricing_overrides.create({**ask, "confirm": True})
    # What was confirmed needs it no more, whatever else is edited.
    door.engine.pricing_overrides.update(made.id, {"name": "p"})
    door.engine.pricing_overrides.update(
        made.id, json.loads(to_json(door.engine.pricing_overrides.get(made.id)))
    )


def test_an_explanation_says_which_override_won_over_which(make_door: Callable[..., Door]) -> None:
    door = make_door({"m": {"input_cost_per_token": 2e-6, "input_cost_per_token_above_200k_tokens": 4e-6}})
    key = door.key(budget=(5, "1d"))
    for name, more in {
        "all": {"pattern": "*", "match_type": "wildcard"},
        "mine": {"scope_kind": "virtual_key", "virtual_key_id": key.id},
        "mine, later": {"scope_kind": "virtual_key", "virtual_key_id": key.id},
        "mine, by prefix": {
            "scope_kind": "virtual_key",
            "virtual_key_id": key.id,
            "pattern": "m*",
            "match_type": "wildcard",
        },
        "of speech": {
            "scope_kind": "virtual_key_provider",
            "virtual_key_id": key.id,
            "provider_id": "p",
            "request_types": ["speech"],
        },
    }.items():
        body = {"name": name, "scope_kind": "global", "match_type": "exact", "pattern": "m"}
        body |= {"request_types": ["chat_completion"], "patch": {"output_cost_per_token": 1e-6}, **more}
        door.engine.pricing_overrides.create(body)
        door.clock.advance(1)
    told = explained(door, key, "m", "chat_completion", {"prompt_tokens": 200_001, "completion_tokens": 3})
    assert (told["cost_usd"], told["cost_nano_usd"], told["exact_usd"]) == (
        Decimal("0.800007"),
        800_007_000,
        "0.800007",
    )
    assert told["tier"] == "above_200k_tokens"
    assert told["row"]["found_by"] == "name"
    assert [
        (line["component"], line["quantity"], line["rate"], line["amount"]) for line in told["lines"]
    ] == [
        ("input_cost_per_token_above_200k_tokens", 200_001, Decimal("0.000004"), Decimal("0.800004")),
        ("output_cost_per_token", 3, Decimal("0.000001"), Decimal("0.000003")),
    ]
    override = told["override"]
    assert (override["name"], override["why"]) == (
        "mine",
        "in the narrowest scope that the call meets, virtual_key, it comes first",
    )
    assert [(other["name"], other["why"]) for other in override["others"]] == [
        ("of speech", "it is not for chat_completion"),
        ("mine, later", "it was made later"),
        ("mine, by prefix", "a wildcard comes after an exact name"),
        ("all", "its scope, global, is wider"),
    ]


def test_a_whole_request_is_explained_and_nothing_is_taken(make_door: Callable[..., Door]) -> None:
    door = make_door({"m": {"input_cost_per_token": 2e-6, "output_cost_per_token": 3e-6}})
    configs = [
        {"provider": "p", "weight": 1, "allowed_models": ["*"]},
        {"provider": "q", "weight": 0, "allowed_models": ["*"]},
        {"provider": "r", "allowed_models": ["*"]},
        {"provider": "s", "weight": 1, "allowed_models": ["n"]},
    ]
    key = door.key(budget=(1, "1d"), provider_configs=configs)
    door.engine.routing_rules.create(
        {
            "name": "never",
            "cel_expression": 'model == "n"',
            "scope": "global",
            "priority": 1,
            "targets": [{"weight": 1}],
        }
    )
    told = door.engine.explain(key.value, "m", 100, 10)
    assert (told.allowed, told.provider, told.model, told.rule_id) == (True, "p", "m", None)
    assert told.price.cost_nano_usd == 230_000
    assert [(one.provider, one.weight, one.result) for one in told.candidates] == [
        ("p", 1.0, "chosen"),
        ("q", 0.0, "fallback"),
        ("r", None, "no_weight"),
        ("s", 1.0, "model_blocked"),
    ]
    assert [(one.level, one.kind, one.limit, one.used, one.held) for one in told.limits] == [
        ("virtual_key", "budget", 1, 0, Decimal("0.00023"))
    ]
    assert door.budget(key) == (0, 0)
    refusal = door.engine.explain(key.value, "of-no-catalogue", 100, 10, provider="p")
    assert (refusal.allowed, refusal.code, refusal.provider) == (False, "price_unknown", "p")
    assert refusal.price.row is None
    assert any(note.startswith("no price for") or "nothing is known" in note for note in refusal.price.notes)
    nobody = door.engine.explain(None, "m", 100)
    assert (nobody.code, nobody.price.cost_nano_usd) == ("virtual_key_required", 200_000)


BAD: list[tuple[dict[str, Any], int, str]] = [
    ({"model": None}, 400, "model"),
    ({"prompt_tokens": -1}, 400, "usage.prompt_tokens"),
    ({"prompt_tokens": "5"}, 400, "usage.prompt_tokens"),
    ({"input_seconds": True}, 400, "usage.input_seconds"),
    ({"service_tier": "gold"}, 400, "usage.service_tier"),
    ({"batch": "yes"}, 400, "batch"),
    ({"request_type": "dreaming"}, 400, "request_type"),
    ({"virtual_key_id": "nobody"}, 404, "virtual_key_id"),
    ({"nope": 1}, 400, "nope"),
]


@pytest.mark.parametrize(("more", "status", "param"), BAD, ids=[row[2] for row in BAD])
def test_a_faulty_sample_is_refused_with_its_field(more: dict[str, Any], status: int, param: str) -> None:
    reply = Door().post("/api/governance/pricing/explain", {"model": "gpt-4o", "provider": "openai", **more})
    assert (reply.status, reply.param) == (status, param)


def test_prices_without_a_key_are_explained_for_an_administrator() -> None:
    body = {"model": "openai/gpt-4o", "provider": "openai", "prompt_tokens": 1_000, "batch": True}
    told = Door().post("/api/governance/pricing/explain", body).body
    assert (told["cost_usd"], told["tier"]) == (0.00125, "batches")
    assert limen.load_prices().report.source == told["row"]["catalog"]
