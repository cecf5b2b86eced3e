"""What does a key cost that nobody uses, entity and names and all? Memory of a process that embeds limen."""

from __future__ import annotations

import gc
from pathlib import Path

from common import QUICK, print_row
from policy import build

PAGE = 4_096
KEYS = 2_000 if QUICK else 50_000


def resident() -> int:
    gc.collect()
    return int(Path("/proc/self/statm").read_text().split()[1]) * PAGE


def main() -> None:
    first = build("typical", 10)
    before = resident()
    engine = build("typical", KEYS)
    bytes_a_key = (resident() - before) / KEYS
    assert engine.virtual_keys.get(f"key{KEYS - 1}").name == f"key{KEYS - 1}"
    first.close()
    print_row(
        "py_memory_million_mb", bytes_a_key, bytes_a_key, note=f"{KEYS} keys measured, with their entities"
    )


if __name__ == "__main__":
    main()
