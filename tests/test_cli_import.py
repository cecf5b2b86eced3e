"""`limen import bifrost`, as a user runs it."""

from __future__ import annotations

import copy
import json
import stat
from pathlib import Path

import pytest

import limen
from bifrost_file import ENVIRONMENT, WHOLE
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
