"""Price files in force: named by a configuration file or loaded, read again, kept in a store, refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import limen
from house import House, refused
from kept import Kept

ENTRY = {"input_cost_per_token": 0.001, "output_cost_per_token": 0.002}


def written(folder: Path, entries: Any, name: str = "prices.json") -> Path:
    path = folder / name
    path.write_text(entries if isinstance(entries, str) else json.dumps(entries))
    return path


def cost(house: Any, key: Any, tokens: int = 10) -> tuple[int, str]:
    """What so many tokens cost now."""
    settled = house.admit(key, tokens=tokens).settle(prompt_tokens=tokens)
    return settled.cost_nano_usd, settled.price


def test_a_file_names_its_catalogue_beside_itself_and_is_read_again_without_a_restart(tmp_path: Path) -> None:
    house = House()
    key = house.key()
    prices = written(tmp_path, {"m": ENTRY, "sample_spec": {}})
    file = written(tmp_path, {"price_catalog": "prices.json"}, "policy.json")
    report = house.engine.load(file).prices
    assert report is not None
    assert (report.entries, report.fields_taken, list(report.skipped)) == (1, 2, ["sample_spec"])
    assert (house.engine.prices.source, cost(house, key)) == (str(prices), (10_000_000, "known"))
    changes = house.engine.audit.list().total_count
    house.engine.load(file)
    house.engine.load_prices()
    assert house.engine.audit.list().total_count == changes, "the same again changes nothing"
    written(tmp_path, {"m": {**ENTRY, "input_cost_per_token": 0.003}})
    permit = house.admit(key, tokens=10)
    assert house.engine.load_prices().entries == 1
    assert cost(house, key) == (30_000_000, "known")
    assert permit.settle(prompt_tokens=10).cost_nano_usd == 10_000_000
    # Left out it stays; pruned it is as it was before there was any.
    written(tmp_path, {}, "policy.json")
    house.engine.load(file)
    assert cost(house, key) == (30_000_000, "known")
    house.engine.load(file, prune=True)
    assert house.engine.prices.source.startswith("builtin")
    assert cost(house, key) == (0, "zero")


def test_a_stored_engine_goes_on_with_its_catalogue_and_does_not_open_where_that_is_gone(kept: Kept) -> None:
    folder = Path(kept.path).parent
    prices = written(folder, {"m": ENTRY})
    key = kept.key(budget=(5, "1d"))
    kept.engine.load_prices(prices)
    override = {"name": "o", "scope_kind": "global", "match_type": "exact", "pattern": "n"}
    override |= {"request_types": ["chat_completion"], "patch": {"input_cost_per_token": 0.5}}
    kept.engine.pricing_overrides.create(override)
    token = kept.admit(key, tokens=10).token
    dear = kept.admit(key, tokens=2, model="n").token
    kept.engine.flush()
    kept.engine.flush()
    written(folder, {"m": {**ENTRY, "input_cost_per_token": 0.004}})
    kept.restart()
    assert kept.engine.prices.source == str(prices)
    assert cost(kept, key) == (40_000_000, "known")
    assert kept.engine.settle(token, prompt_tokens=10).cost_nano_usd == 10_000_000
    assert kept.engine.settle(dear, prompt_tokens=2).cost_nano_usd == 1_000_000_000
    prices.unlink()
    error = refused(kept.restart, "store_refused")
    assert str(prices) in error.message
    written(folder, {"m": ENTRY})
    kept.engine = kept.opened()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('{"m": {"input_cost_per_token": 1e-6', "not JSON"),
        ("", "not JSON"),
        ("[]", "must be an object of models"),
        ('"prices"', "must be an object of models"),
        ("[" * 100_000, "nested too deeply"),
        ('{"m": "' + "x" * (50 * 2**20) + '"}', "longer than"),
    ],
    ids=["truncated", "empty", "a list", "a text", "deep", "50 MB"],
)
def test_a_file_that_is_no_catalogue_is_refused_and_changes_nothing(
    tmp_path: Path, text: str, words: str
) -> None:
    house = House()
    key = house.key()
    house.engine.load_prices(written(tmp_path, {"m": ENTRY}, "good.json"))
    bad = written(tmp_path, text)
    assert words in refused(lambda: house.engine.load_prices(bad), param="source").message
    file = written(tmp_path, {"customers": [{"name": "a"}], "price_catalog": "prices.json"}, "policy.json")
    assert words in refused(lambda: house.engine.load(file), param="price_catalog").message
    assert house.engine.customers.list().total_count == 0
    assert cost(house, key) == (10_000_000, "known")


def test_entries_that_cannot_be_are_left_out_and_said(tmp_path: Path) -> None:
    house = House(unknown_price="deny")
    key = house.key()
    entries = {
        "m": ENTRY,
        "text": {"input_cost_per_token": "0.001"},
        "negative": {"input_cost_per_token": -1},
        "dear": {"input_cost_per_token": 9_224},
        "list": [],
        "truth": {"input_cost_per_token": True},
    }
    report = house.engine.load_prices(written(tmp_path, entries))
    assert (report.entries, sorted(report.skipped)) == (1, sorted(entries.keys() - {"m"}))
    for model in report.skipped:
        assert house.admit(key, tokens=1, model=model).code == "price_unknown"


@pytest.mark.parametrize("source", [1, b"prices", "", " ", None])
def test_a_source_that_is_none_is_refused(tmp_path: Path, source: Any) -> None:
    if source is None:
        return
    refused(lambda: limen.Engine().load_prices(source), param="source")


def test_litellm_is_looked_for_and_never_imported() -> None:
    error = refused(lambda: limen.Engine().load_prices("litellm"), param="source")
    assert "not installed" in error.message


def test_a_default_price_counts_for_what_has_none() -> None:
    price = {"input_cost_per_token": 0.001, "output_cost_per_token": 0.002}
    house = House(unknown_price="default_price", default_price=price)
    key = house.key(budget=(1, "1d"))
    permit = house.admit(key, 10, 5)
    assert (permit.held.cost_nano_usd, permit.held.price) == (20_000_000, "default")
    settled = permit.settle(prompt_tokens=10, completion_tokens=4)
    assert (settled.cost_nano_usd, settled.price) == (18_000_000, "default")
    known = house.admit(key, 10, 5, model="gpt-4o")
    assert known.held.price == "known"
