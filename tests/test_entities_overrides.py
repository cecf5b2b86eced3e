"""Pricing overrides as entities: their field table, their scopes, their exact patches."""

from __future__ import annotations

import json
from collections.abc import Callable
from decimal import Decimal, localcontext
from typing import Any

import pytest

from furnished import Furnished
from house import refused
from limen import model

BODY: dict[str, Any] = {
    "name": "o",
    "scope_kind": "global",
    "match_type": "exact",
    "pattern": "m",
    "request_types": ["responses"],
}


@pytest.fixture
def bench() -> Furnished:
    bench = Furnished()
    bench.other_key = bench.engine.virtual_keys.create({"name": "other"})
    bench.foreign = bench.engine.provider_keys.create({"provider": "q", "name": "k", "value": "s"})
    return bench


def filled(bench: Any, body: Any) -> Any:
    """The body with ids for the words that stand for them."""
    ids = {
        "KEY": bench.virtual_key.id,
        "OTHER": bench.other_key.id,
        "P'S": bench.provider_key.key_id,
        "Q'S": bench.foreign.key_id,
    }
    return {word: ids.get(value, value) if isinstance(value, str) else value for word, value in body.items()}


def scope(override: Any) -> tuple[Any, ...]:
    """The scope and which ids are there."""
    ids = (override.virtual_key_id, override.provider_id, override.provider_key_id)
    return override.scope_kind, *(id is not None for id in ids)


def patch(override: Any) -> dict[str, str]:
    return {word: str(price) for word, price in model.fields_of(override.patch).items()}


PRICES = {"input_cost_per_token": "1E-15", "output_cost_per_token": "0.3"}
ROWS: list[tuple[str, Any, Callable[[Any], Any], Any]] = [
    ("nothing stays", {}, patch, PRICES),
    ("name is trimmed", {"name": " o "}, lambda o: o.name, "o"),
    ("ids null are unchanged", {"virtual_key_id": None, "provider_id": None}, lambda o: o.provider_id, "p"),
    ("an id is set", {"provider_id": "later"}, lambda o: o.provider_id, "later"),
    (
        "an id of an entity is set",
        {"virtual_key_id": "OTHER"},
        scope,
        ("virtual_key_provider", True, True, False),
    ),
    ("the pattern is set", {"pattern": "*", "confirm": True}, lambda o: o.pattern, "*"),
    ("both of a match are set", {"match_type": "exact", "pattern": "n"}, lambda o: o.match_type, "exact"),
    ("types null is unchanged", {"request_types": None}, lambda o: len(o.request_types), 2),
    ("types are the full list", {"request_types": ["rerank"]}, lambda o: o.request_types, ["rerank"]),
    ("a type counts once", {"request_types": ["rerank", "rerank"]}, lambda o: o.request_types, ["rerank"]),
    ("patch {} is an empty patch", {"patch": {}}, patch, {}),
    (
        "patch replaces the whole",
        {"patch": {"input_cost_per_image": 2}},
        patch,
        {"input_cost_per_image": "2"},
    ),
    ("a price of null is none", {"patch": {"input_cost_per_image": None}}, patch, {}),
    (
        "a price of zero is kept",
        {"patch": {"output_cost_per_token": 0.0}},
        patch,
        {"output_cost_per_token": "0"},
    ),
    ("free without a patch", {"free": True, "patch": {}}, lambda o: (o.free, patch(o)), (True, {})),
    ("confirm is taken, and not kept", {"confirm": True}, lambda o: hasattr(o, "confirm"), False),
    ("confirm null is as left out", {"confirm": None}, patch, PRICES),
    (
        "a wider scope drops what it does not need",
        {"scope_kind": "global"},
        scope,
        ("global", False, False, False),
    ),
    ("one id of two", {"scope_kind": "provider"}, scope, ("provider", False, True, False)),
    (
        "what is sent back with another scope is dropped too",
        {"scope_kind": "virtual_key", "virtual_key_id": "KEY", "provider_id": "p"},
        scope,
        ("virtual_key", True, False, False),
    ),
    (
        "the provider beside a provider key is dropped",
        {"scope_kind": "virtual_key_provider_key", "provider_key_id": "Q'S"},
        scope,
        ("virtual_key_provider_key", True, False, True),
    ),
    (
        "and kept where it is said",
        {"scope_kind": "virtual_key_provider_key", "provider_key_id": "P'S", "provider_id": "p"},
        scope,
        ("virtual_key_provider_key", True, True, True),
    ),
    (
        "a narrower scope gets its id",
        {"scope_kind": "provider_key", "provider_key_id": "P'S"},
        scope,
        ("provider_key", False, False, True),
    ),
]


@pytest.mark.parametrize(("body", "look", "wanted"), [row[1:] for row in ROWS], ids=[row[0] for row in ROWS])
def test_a_field_merges_as_its_row_says(bench: Furnished, body: Any, look: Any, wanted: Any) -> None:
    overrides, id = bench.engine.pricing_overrides, bench.pricing_override.id
    assert look(overrides.update(id, filled(bench, body))) == wanted
    assert look(overrides.get(id)) == wanted


IDS = {"virtual_key_id": "KEY", "provider_id": "p", "provider_key_id": "P'S"}
NEEDED: dict[str, tuple[set[str], set[str]]] = {
    "global": (set(), set()),
    "provider": ({"provider_id"}, set()),
    "provider_key": ({"provider_key_id"}, set()),
    "virtual_key": ({"virtual_key_id"}, set()),
    "virtual_key_provider": ({"virtual_key_id", "provider_id"}, set()),
    "virtual_key_provider_key": ({"virtual_key_id", "provider_key_id"}, {"provider_id"}),
}
SUBSETS = [{word for n, word in enumerate(IDS) if bits >> n & 1} for bits in range(8)]


@pytest.mark.parametrize("given", SUBSETS, ids=["+".join(sorted(given)) or "none" for given in SUBSETS])
@pytest.mark.parametrize("kind", NEEDED)
def test_a_scope_takes_exactly_the_ids_that_it_needs(bench: Furnished, kind: str, given: set[str]) -> None:
    needed, optional = NEEDED[kind]
    body = filled(bench, {**BODY, "scope_kind": kind, **{word: IDS[word] for word in given}})
    wrong = (needed - given) | (given - needed - optional)
    if not wrong:
        shown = bench.engine.pricing_overrides.create(body)
        assert {word for word in IDS if getattr(shown, word) is not None} == given
        return
    before = bench.picture()
    fault = refused(lambda: bench.engine.pricing_overrides.create(body))
    assert {found.param for found in fault.faults} == wrong
    assert bench.picture() == before


def test_the_empty_text_is_no_id(bench: Furnished) -> None:
    nobody = {"virtual_key_id": "", "provider_id": "", "provider_key_id": ""}
    assert scope(bench.engine.pricing_overrides.create({**BODY, **nobody})) == ("global", False, False, False)
    for word in ("virtual_key_id", "provider_id"):
        update = {word: ""}
        refused(
            lambda update=update: bench.engine.pricing_overrides.update(bench.pricing_override.id, update),
            "invalid_request",
            word,
        )


def test_the_provider_beside_a_provider_key_is_its_own_and_can_be_cleared(bench: Furnished) -> None:
    overrides = bench.engine.pricing_overrides
    body = filled(bench, {**BODY, **IDS, "scope_kind": "virtual_key_provider_key"})
    made = overrides.create(body)
    for update in ({"provider_id": "q"}, {"provider_key_id": bench.foreign.key_id}):
        fault = refused(lambda update=update: overrides.update(made.id, update), "invalid_request")
        assert fault.param == "provider_id"
    assert overrides.update(made.id, {"provider_id": ""}).provider_id is None
    overrides.update(made.id, {"provider_key_id": bench.foreign.key_id})


EXACT = [
    (1e-15, "1E-15"),
    (Decimal("0.000000000000001"), "1E-15"),
    (Decimal("1e-15"), "1E-15"),
    (2.5e-6, "0.0000025"),
    (Decimal("0.123456789012345"), "0.123456789012345"),
    (Decimal("0.1000"), "0.1"),
    (1234.123456789012, "1234.123456789012"),
    (Decimal("9222.999999999999999"), "9222.999999999999999"),
    (9223, "9223"),
    (Decimal("9.223E+3"), "9223"),
    (0, "0"),
    (-0.0, "0"),
    (Decimal("0e999999"), "0"),
]


@pytest.mark.parametrize(("given", "text"), EXACT, ids=[str(row[0]) for row in EXACT])
def test_a_price_is_kept_exactly(bench: Furnished, given: Any, text: str) -> None:
    body = {**BODY, "patch": {"cache_read_input_token_cost": given}}
    made = bench.engine.pricing_overrides.create(body)
    assert patch(made) == {"cache_read_input_token_cost": text}
    assert made.pricing_patch == f'{{"cache_read_input_token_cost":{text}}}'
    assert f'"patch":{made.pricing_patch},'.encode() in model.to_json(made)
    with localcontext(prec=3):
        assert patch(bench.engine.pricing_overrides.get(made.id)) == patch(made)


def test_every_field_of_a_patch_is_kept_in_the_order_of_the_schema(bench: Furnished) -> None:
    words = model.PricingPatch.__struct_fields__
    given = {word: Decimal(n + 1).scaleb(-12) for n, word in reversed(list(enumerate(words)))}
    made = bench.engine.pricing_overrides.create({**BODY, "patch": given})
    shown = json.loads(made.pricing_patch, parse_float=Decimal)
    assert list(shown) == list(words)
    assert shown == given
    assert model.fields_of(made.patch) == given
    again = bench.engine.pricing_overrides.update(made.id, {"patch": json.loads(made.pricing_patch)})
    assert again.updated_at == made.updated_at


def test_a_patch_and_free_exclude_each_other_whichever_comes_last(bench: Furnished) -> None:
    overrides, id = bench.engine.pricing_overrides, bench.pricing_override.id
    price = {"input_cost_per_token": 1}
    refused(lambda: overrides.create({**BODY, "patch": price, "free": True}), "invalid_request", "free")
    refused(lambda: overrides.update(id, {"free": True}), "invalid_request", "free")
    overrides.update(id, {"free": True, "patch": {}})
    refused(lambda: overrides.update(id, {"patch": price}), "invalid_request", "patch")
    overrides.update(id, {"patch": price, "free": False})


def test_what_an_override_leaves_out_has_its_defaults(bench: Furnished) -> None:
    words = ("virtual_key_id", "provider_id", "provider_key_id", "patch", "free", "confirm", "config_hash")
    made = bench.engine.pricing_overrides.create({**BODY, **dict.fromkeys(words)})
    assert (patch(made), made.pricing_patch, made.free, made.config_hash) == ({}, "{}", False, None)
    assert made.warnings == []
    assert bench.engine.pricing_overrides.get(made.id).warnings is model.UNSET


WARNED: list[tuple[dict[str, Any], list[str]]] = [
    ({"scope_kind": "provider", "provider_id": "p"}, []),
    (
        {"scope_kind": "provider", "provider_id": "later"},
        ["provider_id is unknown: the provider has no keys and no limits"],
    ),
    (
        {"patch": {"input_cost_per_token": 0, "output_cost_per_token": 1}},
        ["patch.input_cost_per_token is zero, which is not applied: `free` is what makes a model free"],
    ),
]


@pytest.mark.parametrize(("body", "warnings"), WARNED)
def test_what_can_have_no_effect_is_warned_of(bench: Furnished, body: Any, warnings: list[str]) -> None:
    made = bench.engine.pricing_overrides.create({**BODY, **body})
    assert made.warnings == warnings
    assert bench.engine.pricing_overrides.update(made.id, {}).warnings == made.warnings


LISTS: list[tuple[dict[str, Any], str, int]] = [
    ({}, "abcdef", 6),
    ({"limit": 2, "offset": 1}, "bc", 6),
    ({"scope_kind": "provider"}, "b", 1),
    ({"provider_id": "p"}, "be", 2),
    ({"virtual_key_id": "KEY"}, "def", 3),
    ({"virtual_key_id": "OTHER"}, "", 0),
    ({"provider_key_id": "P'S"}, "cf", 2),
    ({"virtual_key_id": "KEY", "provider_key_id": "P'S"}, "f", 1),
    ({"virtual_key_id": "KEY", "limit": 1, "offset": 1}, "e", 3),
    ({"virtual_key_id": "", "provider_id": "", "provider_key_id": ""}, "abcdef", 6),
    ({"virtual_key_id": "KEY", "search": "E"}, "e", 1),
    ({"search": "zz"}, "", 0),
]


@pytest.mark.parametrize(("filters", "names", "total"), LISTS, ids=[str(row[0]) for row in LISTS])
def test_a_list_shows_the_page_that_is_asked_for(
    bench: Furnished, filters: Any, names: str, total: int
) -> None:
    bench.engine.pricing_overrides.delete(bench.pricing_override.id)
    for name, (kind, (needed, _)) in zip("abcdef", NEEDED.items(), strict=True):
        ids = {word: IDS[word] for word in needed}
        bench.engine.pricing_overrides.create(
            filled(bench, {**BODY, "name": name, "scope_kind": kind, **ids})
        )
    page = bench.engine.pricing_overrides.list(**filled(bench, filters))
    assert "".join(override.name for override in page) == names
    assert (page.count, page.total_count) == (len(names), total)


def test_typed_bodies_are_as_good_as_mappings(bench: Furnished) -> None:
    made = bench.engine.pricing_overrides.create(
        model.CreatePricingOverrideRequest(
            name="typed",
            scope_kind="global",
            match_type="wildcard",
            pattern="*",
            request_types=["speech"],
            patch=model.PricingPatch(input_cost_per_character=0.000015),
        )
    )
    assert patch(made) == {"input_cost_per_character": "0.000015"}
    changed = bench.engine.pricing_overrides.update(made.id, model.UpdatePricingOverrideRequest(pattern="t*"))
    assert (changed.pattern, changed.patch) == ("t*", made.patch)
