"""One number at a time, and how it changed since it was saved: pytest-benchmark.

    pytest benches/python/test_numbers.py --benchmark-autosave --benchmark-compare

For whoever changes something and wants to see what came of it. What is compared with others is in the table.
"""

from __future__ import annotations

from typing import Any

import pytest
from common import ASKED, ASKED_USD, MODEL, USED, USED_USD, WORKLOADS, values
from policy import build

import limen

STILL = WORKLOADS["per"]["still"]
LIMIT = WORKLOADS["sliding"]["limit"]


def test_keyed_limiter(benchmark: Any) -> None:
    limiter = limen.KeyedLimiter(LIMIT, STILL)
    assert benchmark(limiter.take, values(1)[0])


def test_fixed_window(benchmark: Any) -> None:
    window = limen.FixedWindow(LIMIT, STILL)
    assert benchmark(window.take)


@pytest.mark.parametrize("chain", ["typical", "full"])
def test_admit_and_settle(benchmark: Any, chain: str) -> None:
    engine, key = build(chain, 1), values(1)[0]

    def pair() -> limen.Settlement:
        return engine.admit(key, MODEL, *ASKED, cost_usd=ASKED_USD).settle(*USED, cost_usd=USED_USD)

    assert benchmark(pair).tokens == sum(USED)
    assert engine.open_permits() == 0
