"""`limen import bifrost`, as a user runs it."""

from __future__ import annotations

import copy
import json
import stat
from decimal import Decimal
from pathlib import Path

import pytest

import limen
from bifrost_file import ENVIRONMENT, WHOLE, governed, override
from test_cli import run


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "config.json"
    path.write_text(json.dumps(WHOLE))
    return path


def test_what_is_written_passes_check_and_is_its_owners_alone(file: Path, tmp_path: Path) -> None:
    out = tmp_path / "policy.json"
    done = run("import", "bifrost", file, "-o", out)
    assert (done.returncode, done.stdout) == (0, "")
    assert stat.S_IMODE(out.stat().st_mode) == 0o600
    checked = run("check", out, **ENVIRONMENT)
    assert (checked.returncode, checked.stdout) == (0, f"{out}: no faults, 11 entries\n")
    again = run("import", "bifrost", file, "-o", out)
    assert (again.returncode, again.stderr) == (3, f"{out} is there already, and is not written over\n")
    assert run("import", "bifrost", file).stdout == out.read_text()


def test_the_report_says_the_same_in_words_and_as_json(file: Path, tmp_path: Path) -> None:
    document = copy.deepcopy(WHOLE)
    document["governance"]["virtual_keys"][0]["access_profile_id"] = 3
    file.write_text(json.dumps(document))
    plain = run("import", "bifrost", file)
    done = run("import", "bifrost", file, "-o", tmp_path / "a.json", "--json")
    assert (plain.returncode, done.returncode) == (1, 1)
    report = json.loads(done.stdout)
    assert report["taken"]["virtual_keys"] == 2
    for word in ("changed", "left_out", "outside"):
        assert report[word]
        for note in report[word]:
            assert f"{word.replace('_', ' ')}: {note['path']} {note['reason']}\n" in plain.stderr


def test_no_report_holds_a_secret(file: Path, tmp_path: Path) -> None:
    document = copy.deepcopy(WHOLE)
    document["governance"]["virtual_keys"][0] |= {"value": "sk-bf-secret-of-a-key", "team_id": "gone"}
    document["providers"]["openai"]["keys"][0] |= {"value": "sk-secret-of-a-provider", "weight": -1}
    file.write_text(json.dumps(document))
    for more in ([], ["--json", "-o", tmp_path / "out.json"]):
        done = run("import", "bifrost", file, *more)
        assert done.returncode == 1
        assert "secret-of" not in done.stdout + done.stderr


def test_a_store_takes_it_and_the_keys_stay_good(file: Path, tmp_path: Path) -> None:
    db = tmp_path / "limen.db"
    done = run("import", "bifrost", file, "--db", db, **ENVIRONMENT)
    assert (done.returncode, done.stdout) == (0, "")
    with limen.Engine.open(db) as engine:
        assert {
            engine.quota(value).virtual_key_name for value in ("sk-bf-of-growth", "sk-bf-of-the-bot")
        } == {
            "growth key",
            "bot",
        }
        held = run("import", "bifrost", file, "--db", db, **ENVIRONMENT)
        assert (held.returncode, "in use" in held.stderr) == (3, True)


def test_prices_far_off_the_catalogue_are_named_and_taken_where_they_are_confirmed(tmp_path: Path) -> None:
    file, out, db = tmp_path / "config.json", tmp_path / "policy.json", tmp_path / "limen.db"
    slip = override({"input_cost_per_token": 2.5, "output_cost_per_token": 1e-5}, pattern="gpt-4o")
    meant = override({"input_cost_per_token": 2.5e-6}, id="p", name="p", pattern="gpt-4o-mini")
    gone = override({"input_cost_per_token": -1}, id="q", name="q", pattern="gpt-4o")
    file.write_text(json.dumps(governed(pricing_overrides=[slip, meant, gone])))
    path = "governance.pricing_overrides[0]"
    done = run("import", "bifrost", file, "-o", out)
    assert done.returncode == 1
    assert f"left out: {path}.pricing_patch.input_cost_per_token is over 1,000 times" in done.stderr
    assert (
        f"left out: {path} is left out whole: if its prices are meant, import with --confirm" in done.stderr
    )
    assert [one["id"] for one in json.loads(out.read_text())["pricing_overrides"]] == ["p"]
    done = run("import", "bifrost", file, "--confirm", "--db", db)
    assert f"changed: {path} moves a price more than a thousandfold: confirmed" in done.stderr
    assert "left out: governance.pricing_overrides[2].pricing_patch.input_cost_per_token" in done.stderr
    assert (done.returncode, done.stderr.count("confirm")) == (1, 1)
    with limen.Engine.open(db) as engine:
        assert [one.id for one in engine.pricing_overrides.list()] == ["o", "p"]
        assert engine.pricing_overrides.get("o").patch.input_cost_per_token == Decimal("2.5")


@pytest.mark.parametrize(
    ("text", "arguments", "code", "word"),
    [
        ("{}", [], 2, "neither governance nor providers"),
        ("[", [], 2, "not JSON"),
        ('{"governance": {}, "governance": {}}', [], 2, "stands twice"),
        ("[" * 100_000, [], 2, "nested too deeply"),
        ('{"governance": {}}', ["--json"], 2, "--json"),
        ('{"governance": {}}', ["-o", "/no/such/folder/x"], 3, "cannot be written"),
        ('{"governance": {}}', [], 0, "taken nothing"),
    ],
)
def test_what_goes_wrong_has_its_code(
    tmp_path: Path, text: str, arguments: list[str], code: int, word: str
) -> None:
    path = tmp_path / "config.json"
    path.write_text(text)
    done = run("import", "bifrost", path, *arguments)
    assert (done.returncode, word in done.stderr) == (code, True), done.stderr
