"""What does administration cost where there is much of it: 100,000 keys in 10,000 teams, in a store?

By the clock on the wall: a change waits for the disk, and what it stands beside waits for the same disk, in
turn. Each side makes its own entities, in a store of its own.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from itertools import cycle, islice
from pathlib import Path
from typing import Any

from common import (
    ASKED,
    ASKED_USD,
    MODEL,
    QUICK,
    USED,
    USED_USD,
    WORKLOADS,
    Spread,
    in_turn,
    print_row,
    values,
)
from policy import document
from served import serving

import limen
from limen.store import copies

SIZES = WORKLOADS["administered"]
KEYS, TEAMS = (1_000, 100) if QUICK else (SIZES["keys"], SIZES["teams"])
FEW, PAGE, CREATED = WORKLOADS["keys"]["few"], SIZES["page"], SIZES["created"]
_KEY = document("typical", 1)["virtual_keys"][0]
LIKE = {word: item for word, item in _KEY.items() if word not in ("id", "value")} | {"team_id": "team1"}
LIST = "/api/governance/virtual-keys"
SETTINGS = {"usage_flush_ms": 3_600_000}  # none but those that are measured
OPEN = """
import sys, time, limen
from pathlib import Path
begun = time.perf_counter()
engine = limen.Engine.open(sys.argv[1])
print(time.perf_counter() - begun)
print(int(Path("/proc/self/statm").read_text().split()[1]) * 4_096)
print(engine.virtual_keys.list(limit=0).total_count, engine.teams.list(limit=0).total_count)
"""


def fill(path: Path, keys: int, teams: int) -> None:
    """A store with so many, each key with its limits and in a team."""
    whole = document("typical", keys)
    (team,) = whole["teams"]
    whole["teams"] = [team | {"id": f"team{number}", "name": f"team{number}"} for number in range(teams)]
    for number, key in enumerate(whole["virtual_keys"]):
        key["team_id"] = f"team{number % teams}"
    file = path.with_suffix(".json")
    file.write_text(json.dumps(whole))
    with limen.Engine.open(path) as engine:
        engine.load(file)


def body(number: int) -> dict[str, Any]:
    """A key like those that are there."""
    return LIKE | {"name": f"made {number}"}


def each(call: Callable[[int], object], count: int) -> Callable[[], float]:
    """A side that makes so many calls, each with a number of its own: seconds a call."""
    made = 0

    def sample() -> float:
        nonlocal made
        begun = time.perf_counter()
        for number in range(made, made + count):
            call(number)
        made += count
        return (time.perf_counter() - begun) / count

    return sample


def sync(path: Path) -> Callable[[int], None]:
    """The least that a durable change can be: a page written and synced, in a file that need not grow."""
    file = os.open(path, os.O_RDWR | os.O_CREAT)
    pages, data = 1_000, bytes(4_096)
    os.write(file, data * pages)
    os.fsync(file)

    def call(number: int) -> None:
        os.pwrite(file, data, number % pages * len(data))
        os.fdatasync(file)

    return call


def asked(port: int) -> Callable[..., Any]:
    """A client of a server: the body of its answer."""
    client = http.client.HTTPConnection("127.0.0.1", port, timeout=60)

    def ask(method: str, path: str, sent: Any = None) -> Any:
        client.request(method, path, json.dumps(sent), {"content-type": "application/json"})
        reply = client.getresponse()
        content = reply.read()
        assert reply.status == 200, content
        return json.loads(content)

    return ask


def starts(path: Path) -> Iterator[tuple[float, int]]:
    """Seconds to open the store in a fresh process, and what that process takes then."""
    for _ in range(1 if QUICK else 3):
        done = subprocess.run([sys.executable, "-c", OPEN, path], check=True, capture_output=True, text=True)
        seconds, resident, *counts = done.stdout.split()
        assert list(map(int, counts)) == [KEYS, TEAMS]
        yield float(seconds), int(resident)


def ratio(row: str, ours: Spread, peer: Spread, note: str) -> None:
    print_row(row, ours.median / peer.median, ours.least / peer.least, note=note)


def main() -> None:
    with tempfile.TemporaryDirectory() as name, contextlib.ExitStack() as stack:
        folder = Path(name)
        fill(folder / "many.db", KEYS, TEAMS)
        fill(folder / "few.db", FEW, 10)
        seconds, resident = zip(*starts(folder / "many.db"), strict=True)
        copies.copy(str(folder / "many.db"), str(folder / "served.db"))
        command = [str(Path(sys.executable).with_name("limen")), "serve", "--port", "0", "--db"]
        begun = time.perf_counter()
        port, _ = stack.enter_context(serving([*command, str(folder / "served.db")]))
        ready = time.perf_counter() - begun
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
        many, few = (
            stack.enter_context(limen.Engine.open(folder / name, settings=SETTINGS))
            for name in ("many.db", "few.db")
        )
        create(many, few, asked(port), folder)
        pages(many, few, asked(port))
        flushes(many)
    took = sorted(seconds)
    note = f"{ready:.1f} s until limen serve answers"
    print_row("admin_open_s", took[len(took) // 2], took[0], note=note)
    print_row("admin_memory_mb", max(resident) / 1e6, min(resident) / 1e6)


def create(many: limen.Engine, few: limen.Engine, ask: Callable[..., Any], folder: Path) -> None:
    calls = (
        lambda number: many.virtual_keys.create(body(number)),
        lambda number: few.virtual_keys.create(body(number)),
        lambda number: ask("POST", LIST, body(number)),
        sync(folder / "pages"),
    )
    mine, mine_few, served, bare = in_turn([each(call, CREATED) for call in calls])
    made = many.virtual_keys.list(limit=1, search="made ").total_count
    assert made == few.virtual_keys.list(limit=1, search="made ").total_count > CREATED
    assert ask("GET", f"{LIST}?limit=1")["total_count"] == KEYS + made
    note = f"{1 / mine.median:.0f} a second beside {1 / bare.median:.0f}"
    ratio("admin_create", mine, bare, note)
    ratio("admin_create_many", mine, mine_few, f"{1 / mine_few.median:.0f} a second among {FEW}")
    ratio("admin_create_http", served, mine, f"{1 / served.median:.0f} a second, one connection")


def pages(many: limen.Engine, few: limen.Engine, ask: Callable[..., Any]) -> None:
    middle = KEYS // 2

    def page(engine: limen.Engine, offset: int) -> Callable[[int], None]:
        def call(_: int) -> None:
            found = engine.virtual_keys.list(limit=PAGE, offset=offset)
            assert [found.items[0].name, found.items[-1].name] == [f"key{offset}", f"key{offset + PAGE - 1}"]

        return call

    def served(_: int) -> None:
        found = ask("GET", f"{LIST}?limit={PAGE}&offset={middle}")["virtual_keys"]
        assert [found[0]["name"], found[-1]["name"]] == [f"key{middle}", f"key{middle + PAGE - 1}"]

    calls = (page(many, middle), page(few, 0), served)
    mine, mine_few, over_http = in_turn([each(call, 5) for call in calls])
    ratio("admin_page", mine, mine_few, f"{mine.median * 1e3:.1f} ms for {PAGE} keys")
    ratio("admin_page_http", over_http, mine, f"{over_http.median * 1e3:.1f} ms for {PAGE} keys")


def flushes(many: limen.Engine) -> None:
    """What a flush costs, by how many keys were used since the last one; each use moves seven counters."""
    wanted = SIZES["flushed"]
    keys = cycle(values(KEYS))

    def flush(used: int) -> Callable[[], float]:
        def sample() -> float:
            many.flush()
            for key in islice(keys, used):
                many.admit(key, MODEL, *ASKED, cost_usd=ASKED_USD).settle(*USED, cost_usd=USED_USD)
            begun = time.perf_counter()
            many.flush()
            return time.perf_counter() - begun

        return sample

    most = KEYS // 10 if QUICK else wanted["many"]
    of_many, of_few, of_none = in_turn([flush(number) for number in (most, wanted["few"], 0)])
    page = many.virtual_keys.list(limit=PAGE)
    assert all(key.budget and key.budget.current_usage for key in page), "every key was used"
    note = f"{of_many.median * 1e3:.1f} ms beside {of_few.median * 1e3:.1f} ms"
    ratio("admin_flush", of_many, of_few, f"{note}, {of_many.median / most * 1e6:.1f} us a key")
    ratio("admin_flush_idle", of_none, of_few, f"{of_none.median * 1e3:.2f} ms")


if __name__ == "__main__":
    main()
