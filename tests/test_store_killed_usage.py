"""kill -9 under load: usage lies between what was flushed and what was attempted, and no hold is left behind.

LIMEN_KILLS rounds, else 10. A child serves itself as fast as it can and says what it does: `a` before it
asks, `s` when a settle was answered, `f` when a flush was.
"""

from __future__ import annotations

import os
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import limen
from limen.model import usd

ROUNDS = int(os.environ.get("LIMEN_KILLS", "10"))
TOKENS, NANO_USD, TTL_S = 7, 1_500_000, 2
CHILD = """
import os, sys, threading, limen
engine = limen.Engine.open(sys.argv[1], settings={"usage_flush_ms": 10, "permit_ttl_seconds": 2})
handle = engine.handle(sys.argv[2])
def serve():
    while True:
        os.write(1, b"a")
        permit = engine.admit(handle, "m", tokens=9, cost_usd=0.002)
        assert permit, permit.body()
        permit.settle(tokens=7, cost_usd=0.0015)
        os.write(1, b"s")
threading.Thread(target=serve, daemon=True).start()
while True:
    engine.flush()
    os.write(1, b"f")
"""


def counts(engine: Any, key: Any) -> tuple[int, int, int, int]:
    rate, budget = key.rate_limit.id, key.budget.id
    tokens, held, *_ = engine.read([(rate, "tokens")])[0]
    requests = engine.read([(rate, "requests")])[0][0]
    nano_usd = engine.read([(budget, "budget")])[0][0]
    return tokens, held, requests, nano_usd


def test_usage_after_kill_9_is_between_what_was_flushed_and_what_was_attempted(tmp_path: Path) -> None:
    store, dice = tmp_path / "limen.db", random.Random(5)
    with limen.Engine.open(store) as engine:
        key = engine.virtual_keys.create(
            {
                "name": "k",
                "provider_configs": [{"provider": "p", "weight": 1, "allowed_models": ["*"]}],
                "rate_limit": {
                    "token_max_limit": 10**12,
                    "token_reset_duration": "1d",
                    "request_max_limit": 10**12,
                    "request_reset_duration": "1d",
                },
                "budget": {"max_limit": 10**6, "reset_duration": "1d"},
            }
        )
    before = (0, 0, 0, 0)
    met = 0
    for _ in range(ROUNDS):
        with subprocess.Popen(
            [sys.executable, "-c", CHILD, store, key.value], stdout=subprocess.PIPE
        ) as child:
            assert child.stdout is not None
            told = child.stdout.read(1 + dice.randrange(20_000))
            child.kill()
            told += child.stdout.read()
        # The last flush that was told of began after the one before it was: what was settled until then is on
        # the disk.
        flushes = [place for place, word in enumerate(told) if word == ord("f")]
        sure = told[: flushes[-2]].count(b"s") if len(flushes) > 1 else 0
        attempted = told.count(b"a")
        clock = limen.ManualClock(_now())
        with limen.Engine.open(store, clock=clock, settings={"permit_ttl_seconds": TTL_S}) as engine:
            # What was held by permits that nobody settles any more is charged when their time is over.
            clock.advance(2 * TTL_S * 1000)
            engine.sweep()
            tokens, held, requests, nano_usd = counts(engine, key)
            assert held == 0
            assert before[2] + sure <= requests <= before[2] + attempted
            # The one that was under way may have been charged as it was held.
            assert before[0] + sure * TOKENS <= tokens <= before[0] + attempted * TOKENS + 2
            assert before[3] + sure * NANO_USD <= nano_usd <= before[3] + attempted * NANO_USD + 500_000
            assert engine.open_permits() == 0
            before = (tokens, 0, requests, nano_usd)
        met += sure
    assert met, "no round got as far as two flushes"
    assert usd(before[3])


def _now() -> int:
    return limen.Engine().now_ms()
