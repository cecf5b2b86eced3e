"""What does a decision cost over HTTP, beside a callable that only reads and writes the same bodies?

Both servers run at once, on one processor; the load comes from the other. `limen serve` is started as anybody
would start it. The throughput rows say ours to the peer's, the p99 row likewise of the slowest hundredth.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from common import ASKED, ASKED_USD, MODEL, QUICK, WORKLOADS, print_row, values
from load import Load, request
from policy import document

ROUNDS = 3 if QUICK else 15
SINGLES = 1_000 if QUICK else 12_000
BATCH = WORKLOADS["batch"]["http_calls"]
BATCHES = 10 if QUICK else 100
PERMITS = 10_000_000


@contextlib.contextmanager
def serving(command: list[str]) -> Iterator[tuple[int, int]]:
    """A server that prints a line with its port when it is ready: the port, and the process."""
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        os.sched_setaffinity(process.pid, {min(os.sched_getaffinity(0))})
        assert process.stdout is not None
        line = process.stdout.readline()
        yield int(line.strip().rsplit(":", 1)[-1].strip("/")), process.pid
    finally:
        process.terminate()
        process.wait()


def main() -> None:
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        policy = Path(folder) / "policy.json"
        settings = {"max_open_permits": PERMITS}
        policy.write_text(json.dumps({"settings": settings, **document("typical", 1)}))
        ours = [str(Path(sys.executable).with_name("limen")), "serve", "--config", str(policy), "--port", "0"]
        bare = [sys.executable, str(Path(__file__).with_name("bare.py"))]
        # Started before the load is kept to one processor, which they would inherit.
        loads = [Load(*stack.enter_context(serving(command))) for command in (ours, bare)]
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
        measure(*loads)


def measure(ours: Load, bare: Load) -> None:
    body = {
        "virtual_key": values(1)[0],
        "model": MODEL,
        "input_tokens": ASKED[0],
        "max_output_tokens": ASKED[1],
        "cost_usd": ASKED_USD,
    }
    single = request("/v1/admit", json.dumps(body).encode())
    batch = request("/v1/batch", json.dumps({"calls": [{"op": "admit", **body}] * BATCH}).encode())
    check(ours, bare, single, batch)
    sides = [(ours, single, SINGLES), (bare, single, SINGLES), (ours, batch, BATCHES)]
    seconds: list[list[float]] = [[] for _ in sides]
    latencies: list[list[float]] = [[] for _ in sides]
    running: list[list[float]] = [[] for _ in sides]
    for number in range(ROUNDS + 1):
        order = list(enumerate(sides))
        for place, (load, what, count) in reversed(order) if number % 2 else order:
            before = load.server_seconds()
            elapsed, waited = load.many(what, count)
            if number:
                seconds[place].append(elapsed / count)
                running[place].append((load.server_seconds() - before) / count)
                latencies[place] += waited
    for found in (*seconds, *latencies, *running):
        found.sort()
    mine, theirs, batched = seconds
    median, least = ROUNDS // 2, 0
    print_row(
        "http_admit",
        theirs[median] / mine[median],
        theirs[least] / mine[least],
        note=f"{1 / mine[median]:.0f} requests a second beside {1 / theirs[median]:.0f}; the server ran"
        f" {running[0][median] * 1e6:.0f} us a request beside {running[1][median] * 1e6:.0f} us",
    )
    slow_mine, slow_theirs = (found[len(found) * 99 // 100] for found in latencies[:2])
    note = f"{slow_mine * 1e3:.2f} ms beside {slow_theirs * 1e3:.2f} ms, 16 connections"
    print_row("http_admit_p99", slow_mine / slow_theirs, slow_mine / slow_theirs, note=note)
    print_row(
        "http_batch",
        BATCH * mine[median] / batched[median],
        BATCH * mine[least] / batched[least],
        note=f"{BATCH / batched[median]:.0f} decisions a second; the server ran"
        f" {running[2][median] / BATCH * 1e6:.2f} us a decision",
    )


def check(ours: Load, bare: Load, single: bytes, batch: bytes) -> None:
    """Both answer with the same fields; every call of a batch is admitted."""
    permit, imitation = (json.loads(load.one(single)) for load in (ours, bare))
    assert permit["allowed"] is imitation["allowed"] is True
    assert permit["held"].keys() == imitation["held"].keys(), (permit, imitation)
    assert permit.keys() == imitation.keys(), (permit, imitation)
    results = json.loads(ours.one(batch))["results"]
    assert [result["status"] for result in results] == [200] * BATCH


if __name__ == "__main__":
    main()
