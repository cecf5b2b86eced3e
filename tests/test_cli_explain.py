"""`limen explain`: of a file, of a store, of a server; for a person and as JSON."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import limen
from test_cli import run

WORDS = ("gpt-4o", "prompt_tokens=812", "completion_tokens=233", "--provider", "openai")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "policy.json"
    override = {
        "name": "half price",
        "scope_kind": "provider",
        "provider_id": "openai",
        "match_type": "wildcard",
    }
    override |= {"pattern": "gpt-*", "request_types": ["chat_completion"], "confirm": True}
    path.write_text(
        json.dumps({"pricing_overrides": [{**override, "patch": {"input_cost_per_token": 1.25e-6}}]})
    )
    return path


def test_a_file_is_explained_line_by_line(file: Path) -> None:
    done = run("explain", *WORDS, "--config", file)
    assert (done.returncode, done.stderr) == (0, "")
    for words in (
        "812  $0.00000125  $0.001015",
        "exact $0.003345, charged $0.003345",
        "row gpt-4o, by provider and name (builtin",
        "override half price: its scope, provider, is the narrowest",
    ):
        assert words in done.stdout


def test_a_store_is_explained_as_json(tmp_path: Path) -> None:
    store = tmp_path / "limen.db"
    limen.Engine.open(store).close()
    done = run("explain", *WORDS, "batch=true", "--db", store, "--json")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert (told["cost_nano_usd"], told["tier"], told["row"]["name"]) == (2_180_000, "batches", "gpt-4o")


@pytest.mark.parametrize(
    ("words", "fault"),
    [
        (("gpt-4o", "prompt_tokens"), "no WORD=VALUE"),
        (("gpt-4o", "nope=1"), "nope"),
        (("gpt-4o", "prompt_tokens=-1"), "prompt_tokens"),
        (("gpt-4o", "--type", "dreaming"), "request_type"),
        (("gpt-4o", "--key-id", "nobody"), "not known"),
    ],
)
def test_what_cannot_be_explained_is_refused(file: Path, words: tuple[str, ...], fault: str) -> None:
    done = run("explain", *words, "--config", file)
    assert (done.returncode, done.stdout) == (2, "")
    assert fault in done.stderr
