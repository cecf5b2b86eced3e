"""Measure, and print the whole table: `python benches/run.py`. See the README beside this."""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import time
import venv
from pathlib import Path
from typing import Any

import report
from report import ROOT, Found

from rows import ROWS, TABLE

HERE = Path(__file__).parent
VENV = ROOT / "target" / "benches"
PYTHON = VENV / "bin" / "python"
RUST = ROOT / "target" / "release" / "limen-benches"
FEW, MANY = 1_000, 11_000


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def output(*command: str | Path, **more: Any) -> str:
    """What a command prints; an exception where it fails."""
    return subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True, **more).stdout


def build(kinds: set[str], python: Path) -> None:
    """Rust in release; for Python an environment of its own, with the wheel as anybody would install it."""
    if kinds & {"rust", "callgrind"}:
        say("building the Rust benches ...")
        output("cargo", "build", "--quiet", "--release", "--package", "limen-benches")
    if "python" in kinds and python == PYTHON:
        say(f"installing limen and its peers into {VENV.relative_to(ROOT)} ...")
        if not PYTHON.exists():
            venv.create(VENV, with_pip=True)
        output(PYTHON, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", ".[bench]")


def measure(bench: str, python: Path, quick: bool) -> Found:
    """The rows that one bench prints."""
    kind, name = bench.split(":")
    if kind == "callgrind":
        return {f"instructions_{name}": instructions(name)}
    flags = ["--quick"] if quick else []
    program = [RUST, name] if kind == "rust" else [python, HERE / "python" / f"{name}.py"]
    lines = [json.loads(line) for line in output(*program, *flags).splitlines()]
    return {line.pop("row"): line for line in lines}


def instructions(name: str) -> dict[str, Any]:
    """Instructions of one pair: by how much many pairs take more than few, so that the start is not in it."""
    if shutil.which("valgrind") is None:
        return {"median": None, "least": None, "note": "valgrind is not installed"}

    def count(pairs: int) -> int:
        with tempfile.TemporaryDirectory() as folder:
            out = Path(folder) / "out"
            options = ["--tool=callgrind", f"--callgrind-out-file={out}"]
            output("valgrind", *options, RUST, "count", name, str(pairs), stderr=subprocess.DEVNULL)
            summary = next(line for line in out.read_text().splitlines() if line.startswith("summary:"))
        return int(summary.split()[1])

    each = (count(MANY) - count(FEW)) / (MANY - FEW)
    return {"median": each, "least": each}


def chosen(names: list[str]) -> dict[str, list[str]]:
    """Rows by bench: all, or those of which one of the names is the row's, its bench's, or a part of that."""
    rows = {bench: [row.name for row in rows] for bench, rows in TABLE.items()}
    known = {name: {name, bench, *bench.split(":")} for bench, found in rows.items() for name in found}
    for name in names:
        if not any(name in words for words in known.values()):
            raise SystemExit(f"there is no row or bench named {name}: see --list")
    wanted = {row for row, words in known.items() if not names or words & set(names)}
    return {
        bench: [row for row in found if row in wanted] for bench, found in rows.items() if wanted & {*found}
    }


def run(rows: dict[str, list[str]], python: Path, quick: bool) -> dict[str, Any]:
    build({bench.split(":")[0] for bench in rows}, python)
    found: Found = {}
    for place, (bench, names) in enumerate(rows.items(), 1):
        say(f"{place}/{len(rows)} {bench} ...")
        begun = time.monotonic()
        try:
            measured = measure(bench, python, quick)
        except subprocess.CalledProcessError:
            # It has said why. The other rows are still worth having.
            measured = dict.fromkeys(names, report.FAILED)
        say(f"    {time.monotonic() - begun:.0f} s")
        found |= {name: measured[name] for name in names}
    return {"machine": report.machine(), "peers": report.peers(python), "quick": quick, "rows": found}


def arguments(words: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="benches/run.py", description=__doc__)
    add = parser.add_argument
    add("--only", metavar="NAME", action="append", default=[], help="a row or a bench; may be repeated")
    add("--quick", action="store_true", help="see that all works: the figures mean little")
    add("--json", metavar="PATH", type=Path, help="write what was found there as well")
    add("--from", dest="source", metavar="PATH", type=Path, help="measure nothing: print what --json wrote")
    add("--installed", action="store_true", help="install nothing: measure what this Python has")
    add("--markdown", action="store_true", help="print the table as Markdown")
    add("--gate", action="store_true", help="exit with 1 where a row misses its target")
    add("--list", action="store_true", help="print the names of the rows and of their benches")
    return parser.parse_args(words)


def main(words: list[str] | None = None) -> None:
    options = arguments(words)
    rows = chosen(options.only)
    if options.list:
        for bench, names in rows.items():
            for name in names:
                print(f"{name:<30}{bench:<28}{ROWS[name].says}")
        return
    if options.source:
        result = json.loads(options.source.read_text())
    else:
        result = run(rows, Path(sys.executable) if options.installed else PYTHON, options.quick)
    if options.json:
        options.json.write_text(json.dumps(result, indent=1) + "\n")
    print(report.text(result, options.markdown))
    if report.FAILED in result["rows"].values() or (options.gate and report.missed(result["rows"])):
        raise SystemExit(1)


if __name__ == "__main__":
    main()
