"""The bench room: every row has its bench, both sides read one workload, the command works. None is timed."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
BENCHES = ROOT / "benches"


def run(*words: str) -> str:
    command = [sys.executable, str(BENCHES / "run.py"), *words]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


# name, bench, what it says
ROWS = [line.split(maxsplit=2) for line in run("--list").splitlines()]


def places(bench: str) -> list[Path]:
    """Where a bench is written, on either side."""
    kind, name = bench.split(":")
    return {
        "rust": [BENCHES / "src" / f"{name}.rs"],
        "python": [BENCHES / "python" / f"{name}.py"],
        "callgrind": [BENCHES / "src" / "count.rs"],
    }[kind]


def test_rows_have_names_of_their_own() -> None:
    assert len(ROWS) == len({name for name, _, _ in ROWS}) == len({says for _, _, says in ROWS})


@pytest.mark.parametrize("bench", sorted({bench for _, bench, _ in ROWS}))
def test_a_bench_is_there_and_the_readme_names_it(bench: str) -> None:
    assert all(place.exists() for place in places(bench))
    assert f"`{bench}`" in (BENCHES / "README.md").read_text()


def test_every_question_of_the_rust_benches_has_rows() -> None:
    questions = re.findall(
        r'^    \("(\w+)", \w+::run\),$', (BENCHES / "src" / "main.rs").read_text(), re.MULTILINE
    )
    assert sorted(questions) == sorted({bench[5:] for _, bench, _ in ROWS if bench.startswith("rust:")})


def test_every_line_of_the_readmes_table_is_a_row() -> None:
    table = (ROOT / "README.md").read_text().partition("## How fast")[2].partition("\n## ")[0]
    lines = [line.split(" | ")[0].removeprefix("| ") for line in table.splitlines() if line.startswith("| ")]
    known = {says for _, _, says in ROWS}
    assert lines[:1] == ["row"]
    assert set(lines[2:]) <= known
    assert len(lines) > 2


def test_both_sides_read_the_same_workloads() -> None:
    names = set(json.loads((BENCHES / "workloads.json").read_text()))
    rust = (BENCHES / "src" / "workloads.rs").read_text()
    python = "".join(file.read_text() for file in (BENCHES / "python").glob("*.py"))
    assert 'include_str!("../workloads.json")' in rust
    assert "deny_unknown_fields" in rust
    assert '"workloads.json"' in python
    assert {name for name in names if f"{name}:" not in rust and f'"{name}"' not in rust} == set()
    # Keys are written alike: the same prefix, the same stride, padded to the same length.
    assert "7_919" in rust
    assert "7_919" in python


@pytest.mark.parametrize("wanted", ["checks", "administer"])
def test_a_quick_run_of_one_bench_prints_its_rows_and_writes_them(tmp_path: Path, wanted: str) -> None:
    file = tmp_path / "found.json"
    text = run("--quick", "--installed", "--only", wanted, "--json", str(file))
    found = json.loads(file.read_text())
    rows = [(name, says) for name, bench, says in ROWS if bench == f"python:{wanted}"]
    assert list(found["rows"]) == [name for name, _ in rows]
    assert all(row["median"] > 0 for row in found["rows"].values())
    assert {"processor", "kernel", "rustc", "Python", "date"} <= set(found["machine"])
    assert all(says in text for _, says in rows)
    assert "the figures mean little" in text


def test_what_was_missed_is_said_and_can_fail_a_command(tmp_path: Path) -> None:
    file = tmp_path / "found.json"
    rows = {
        name: {"median": value, "least": value}
        for name, value in (("check_string", 9.0), ("http_admit", 0.9))
    }
    file.write_text(json.dumps({"machine": {}, "peers": {}, "quick": False, "rows": rows}))
    text = run("--from", str(file))
    assert re.search(r"one check by string .* 9\.00x .* MISSED", text)
    assert re.search(r"POST /v1/admit, throughput .* 0\.90x .* met$", text, re.MULTILINE)
    assert "Where we lose:\n- one check by string" in text
    with pytest.raises(subprocess.CalledProcessError) as failed:
        run("--from", str(file), "--gate")
    assert failed.value.returncode == 1


def test_a_row_that_is_not_there_is_refused() -> None:
    with pytest.raises(subprocess.CalledProcessError) as failed:
        run("--list", "--only", "check_strnig")
    assert "check_strnig" in failed.value.stderr
