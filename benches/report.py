"""What a run found, as a table, as Markdown, and in words; and what it was measured on."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import tomllib
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rows import ROWS, Row

ROOT = Path(__file__).parents[1]
HEAD = ["row", "median", "least", "target", "stretch", "verdict"]
CRATES = {"cel", "governor", "rand"}
PACKAGES = {
    "limits",
    "throttled-py",
    "pyrate-limiter",
    "rust-py-rate-limit",
    "floodgate-rs",
    "uvicorn",
    "msgspec",
}

Found = dict[str, dict[str, Any]]

FAILED: dict[str, Any] = {"median": None, "least": None, "note": "the bench failed"}


def number(value: float | None, unit: str) -> str:
    """A value with its unit."""
    if value is None:
        return "-"
    text = f"{value:,.0f}" if value >= 100 else f"{value:.2f}"
    return f"{text}x" if unit == "x" else f"{text} {unit}"


def cells(row: Row, found: dict[str, Any]) -> list[str]:
    median = found.get("median")
    numbers = [number(value, row.unit) for value in (median, found.get("least"), row.target, row.stretch)]
    return [row.says, *numbers, row.verdict(median)]


def lines_of(found: Found) -> list[list[str]]:
    return [cells(row, found[name]) for name, row in ROWS.items() if name in found]


def table(found: Found) -> str:
    """For a terminal."""
    lines = [HEAD, *lines_of(found)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]

    def text(line: list[str]) -> str:
        first, *numbers, last = line
        middle = [cell.rjust(width) for cell, width in zip(numbers, widths[1:-1], strict=True)]
        return "  ".join([first.ljust(widths[0]), *middle, last]).rstrip()

    return "\n".join(map(text, lines))


def markdown(found: Found) -> str:
    """For a README."""
    lines = [HEAD, ["---"] * len(HEAD), *lines_of(found)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def missed(found: Found) -> list[str]:
    """Where we lose."""
    return [
        f"{row.says}: {number(found[name]['median'], row.unit)}, aimed at {number(row.target, row.unit)}"
        for name, row in ROWS.items()
        if name in found and row.verdict(found[name].get("median")) == "MISSED"
    ]


def text(result: dict[str, Any], as_markdown: bool) -> str:
    """All that a run has to say."""
    found: Found = result["rows"]
    about = result["machine"] | result["peers"]
    notes = [
        f"{row.says}: {found[name]['note']}" for name, row in ROWS.items() if found.get(name, {}).get("note")
    ]
    parts = [
        markdown(found) if as_markdown else table(found),
        ", ".join(f"{name} {value}" for name, value in about.items() if value),
    ]
    if result["quick"]:
        parts.append("A quick run: the figures mean little.")
    for title, lines in (("Notes", notes), ("Where we lose", missed(found))):
        if lines:
            parts.append("\n".join([f"{title}:", *(f"- {line}" for line in lines)]))
    return "\n\n".join(parts)


def machine() -> dict[str, str]:
    """What the figures were measured on."""
    models = [
        line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")
    ]
    model = models[0].split(":", 1)[1].strip() if models else platform.machine()
    return {
        "processor": f"{model} ({len(os.sched_getaffinity(0))} of them)",
        "kernel": platform.release(),
        "rustc": _output("rustc", "--version").split()[1],
        "Python": platform.python_version(),
        "commit": _output("git", "describe", "--always", "--dirty").strip(),
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
    }


def peers(python: Path) -> dict[str, str]:
    """Versions of what we are compared with."""
    locked = tomllib.loads((ROOT / "Cargo.lock").read_text())["package"]
    # Of a crate that others need in an older version too, ours is the newest.
    found = {package["name"]: package["version"] for package in locked if package["name"] in CRATES}
    if python.exists():
        listed = _output(str(python), "-m", "pip", "list", "--format=json", "--disable-pip-version-check")
        found |= {one["name"]: one["version"] for one in json.loads(listed) if one["name"] in PACKAGES}
    return found


def _output(*command: str) -> str:
    """What a command prints; nothing where there is no such command, or it fails."""
    try:
        return subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return "? ?"
