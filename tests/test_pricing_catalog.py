"""Price files: what becomes of each part of one, how rows are found, and files that are not what they say."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import limen
from house import refused
from limen.pricing_catalog import BUILTIN_DATE, MOST_BYTES

ROOT = Path(__file__).parent.parent
ROWS = json.loads((ROOT / "tests/vectors/pricing.json").read_text())
OF_CATALOG = sorted({row["card"] for row in ROWS["rows"] if row.get("catalog")})


@pytest.fixture
def load(tmp_path: Path) -> Any:
    """A price file with this text, or these entries, loaded."""

    def loaded(content: Any) -> Any:
        path = tmp_path / "prices.json"
        path.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
        return limen.load_prices(path)

    return loaded


# The packaged catalogue


def test_the_packaged_catalogue_is_whole_and_dated() -> None:
    report = limen.load_prices().report
    assert report.source == f"builtin, of {BUILTIN_DATE}"
    assert (report.skipped, report.rounded) == ({}, {})
    assert report.entries >= 40
    assert report.fields_taken > 300
    source = (ROOT / "python/limen/catalog/SOURCE.txt").read_text()
    assert BUILTIN_DATE in source
    assert "MIT License" in source
    assert f"{report.entries} common models" in source


@pytest.mark.parametrize("model", OF_CATALOG)
def test_the_vectors_of_real_models_have_the_prices_of_the_catalogue(model: str) -> None:
    catalog = limen.load_prices()
    found = catalog.find(model) or catalog.find(model, "gemini")
    assert found.card.prices == {
        field: price for field, price in ROWS["cards"][model].items() if not field.startswith("google_maps")
    }


# Parts of a file


def test_every_part_of_a_file_is_accounted_for(load: Any) -> None:
    catalog = load(
        {
            "sample_spec": {"input_cost_per_token": 0, "mode": "one of: chat, embedding"},
            "good": {"input_cost_per_token": 1e-6, "output_cost_per_token": 2e-6, "max_tokens": 10},
            "half": {"input_cost_per_token": 1e-6, "tiered_pricing": [{}], "off_peak_pricing": {"a": 1}},
            "fine": {"input_cost_per_second": 0.0005666666666666667},
            "text": {"input_cost_per_token": "1e-6"},
            "list": [],
            "number": 5,
            "negative": {"output_cost_per_token": -1},
            "search": {"search_context_cost_per_query": {"search_context_size_low": "x"}},
            "bare": {},
        }
    )
    assert list(catalog) == ["good", "half", "fine", "bare"]
    assert len(catalog) == catalog.report.entries == 4
    assert catalog.report.fields_taken == 4
    assert catalog.report.not_taken == {"half": ["tiered_pricing", "off_peak_pricing"]}
    assert catalog.report.rounded == {"fine": ["input_cost_per_second"]}
    number = "must be a number of dollars a unit, such as 0.0000025"
    assert catalog.report.skipped == {
        "sample_spec": "describes the format",
        "text": f"input_cost_per_token: {number}",
        "list": "must be an object of fields",
        "number": "must be an object of fields",
        "negative": "output_cost_per_token: must be from 0 to 9223 dollars a unit",
        "search": f"search_context_cost_per_query.search_context_size_low: {number}",
    }


OUT_OF_RANGE = "input_cost_per_token: must be from 0 to 9223 dollars a unit"


@pytest.mark.parametrize(
    ("entry", "why"),
    [
        (b'{"input_cost_per_token": 1, "input_cost_per_token": 2}', "input_cost_per_token: is there twice"),
        (b'{"input_cost_per_token": NaN}', OUT_OF_RANGE),
        (
            b'{"input_cost_per_token": -Infinity}',
            OUT_OF_RANGE,
        ),
        (b'{"input_cost_per_token": 1e400}', OUT_OF_RANGE),
        (
            b'{"input_cost_per_token": 1e99999999999999999999}',
            OUT_OF_RANGE,
        ),
        (b'{"input_cost_per_token": ' + b"9" * 10_000 + b"}", None),
        (b'{"input_cost_per_token": true}', None),
        (b'{"mode": 5}', "mode: must be a text"),
        (b'{"\\ud800": 1}', "entry: must not contain lone surrogates"),
        (b'{"a": {"b": 1, "b": 2}}', "a.b: is there twice"),
        (b"null", "must be an object of fields"),
    ],
)
def test_an_entry_that_cannot_be_read_is_skipped_and_the_rest_taken(
    load: Any, entry: bytes, why: str
) -> None:
    catalog = load(b'{"bad": ' + entry + b', "good": {"input_cost_per_token": 1}}')
    assert list(catalog) == ["good"]
    assert catalog.report.skipped["bad"] == (why or catalog.report.skipped["bad"])


def test_a_model_that_is_there_twice_is_neither(load: Any) -> None:
    price = b'{"input_cost_per_token": 1}'
    catalog = load(b'{"m": ' + price + b', "n": ' + price + b', "m": ' + price + b"}")
    assert (list(catalog), catalog.report.skipped) == (["n"], {"m": "is there twice"})


def test_a_price_is_the_text_of_the_file(load: Any) -> None:
    text = b'{"m": {"input_cost_per_token": 0.000000000000123, "output_cost_per_token": 2.50E-6}}'
    prices = load(text).find("m").card.prices
    assert prices == {"input_cost_per_token": "0.000000000000123", "output_cost_per_token": "0.0000025"}


# Finding


PRICES = {
    "gpt": {"litellm_provider": "openai", "input_cost_per_token": 1},
    "azure/gpt": {"litellm_provider": "azure", "input_cost_per_token": 2},
    "openai/gpt": {"litellm_provider": "openai", "input_cost_per_token": 3},
    "odd": {"litellm_provider": 5, "input_cost_per_token": 4},
}


@pytest.mark.parametrize(
    ("model", "provider", "entry", "by"),
    [
        ("gpt", "openai", "gpt", "provider and name"),
        ("gpt", "azure", "azure/gpt", "provider/name"),
        ("gpt", "bedrock", "gpt", "name"),
        ("gpt", None, "gpt", "name"),
        ("azure/gpt", None, "azure/gpt", "name"),
        ("azure/gpt", "azure", "azure/gpt", "provider and name"),
        ("odd", "openai", "odd", "name"),
    ],
)
def test_a_row_is_found_by_provider_and_model_then_with_a_prefix_then_by_the_name(
    load: Any, model: str, provider: str | None, entry: str, by: str
) -> None:
    found = load(PRICES).find(model, provider)
    assert (found.entry, found.by) == (entry, by)
    assert found.card.cost({"prompt_tokens": 1}).nano_usd == PRICES[entry]["input_cost_per_token"] * 10**9


@pytest.mark.parametrize(
    "asked", [("GPT", "openai"), ("none", None), ("none", "azure"), ("", None), ("gpt ", None)]
)
def test_what_is_not_there_is_not_found(load: Any, asked: tuple[str, str | None]) -> None:
    assert load(PRICES).find(*asked) is None


# Files that are not what they say


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b'{"m": {"input_cost_per_token": 1',
        b'{"m": {}} x',
        b"[]",
        b"null",
        b"5",
        b'"m"',
        b"\xff\xfe\x00",
        b"\x80abc",
        b"[" * 100_000,
        b'{"a":' * 100_000,
        b"<html>",
    ],
    ids=lambda content: repr(content[:20]),
)
def test_a_file_of_another_shape_is_refused(load: Any, content: bytes) -> None:
    refused(lambda: load(content), param="source")


def test_a_file_that_is_too_long_is_refused_before_it_is_read(load: Any) -> None:
    entry = b'"m%d": {"input_cost_per_token": 1},'
    content = b"{" + b"".join(entry % number for number in range(1_500_000)) + b'"n": {}}'
    assert len(content) > 50_000_000
    error = refused(lambda: load(content), param="source")
    assert error.message == f"is longer than {MOST_BYTES // 2**20} MiB: no price file is"


@pytest.mark.parametrize(
    "source", ["no/such/file.json", ".", "", "a\0b", os.devnull, 5, None, b"prices.json"]
)
def test_what_is_no_file_is_refused(source: Any) -> None:
    refused(lambda: limen.load_prices(source), param="source")


def test_a_device_is_no_file() -> None:
    # A pipe that nobody writes to would be waited for.
    assert refused(lambda: limen.load_prices(os.devnull)).message == "there is no such file"


# An installed litellm

USES_LITELLM = """
import sys
import limen
catalog = limen.load_prices("litellm")
assert "litellm" not in sys.modules
print(catalog.report.source, catalog.find("m").card.prices["input_cost_per_token"])
"""


def test_the_file_of_an_installed_litellm_is_read_and_none_of_its_code(tmp_path: Path) -> None:
    package = tmp_path / "litellm"
    package.mkdir()
    (package / "__init__.py").write_text("raise SystemExit('imported')")
    file = package / "model_prices_and_context_window_backup.json"
    file.write_text('{"m": {"input_cost_per_token": 0.5}}')
    words = [sys.executable, "-W", "ignore", "-c", USES_LITELLM]
    paths = os.pathsep.join([str(tmp_path), str(Path(limen.__file__).parent.parent)])
    done = subprocess.run(
        words, capture_output=True, text=True, timeout=60, env={**os.environ, "PYTHONPATH": paths}
    )
    assert (done.stdout, done.stderr) == (f"{file} 0.5\n", "")


def test_without_litellm_there_is_nothing_to_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    refused(lambda: limen.load_prices("litellm"), param="source")
