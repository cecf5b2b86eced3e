"""Usage as rows, out and in, as a store sees it: texts of permits, ids and keys go on in the next engine."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

import limen
from house import HOUR, MINUTE, START, House, limits, refused
from limen import _core
from limen.resources.rows import core_row

Engine: Any = _core.Engine
SECRET = bytes(range(32))
VALUE = "sk-bf-of-the-collect-test"
TOKENS, REQUESTS, BUDGET = range(3)


class Stored:
    """Engines of one store, one after the other, and the rows that it has."""

    def __init__(self) -> None:
        self.clock = limen.ManualClock(START)
        house = House()
        body = {"provider_configs": [{"provider": "p", "weight": 1, "allowed_models": ["*"]}]}
        whole = {"name": "bot", **body, **limits((1_000, "1h"), (5, "1m"), (5, "1d"))}
        key = house.engine.virtual_keys.create(whole)
        record: Any = house.engine._book.get("virtual_key", key.id)
        credential = {"value": VALUE, "sha256": None, "until_ms": None}
        self.rows = [core_row("virtual_key", record, [credential])]
        self.number = record.rate.number * 4, record.budgets[0].number * 4
        rate, money = record.rate.id, record.budgets[0].id
        self.limits = [(rate, "tokens"), (rate, "requests"), (money, "budget")]
        self.permits: dict[int, bytes] = {}
        self.counters: dict[int, bytes] = {}
        self.periods: list[Any] = []
        self.boot = 0
        self.engine = self.open()

    def open(self, secret: bytes = SECRET) -> Any:
        self.boot += 1
        settings = limen.Settings().core()
        self.engine = Engine(settings, self.clock, secret=secret, boot=self.boot)
        self.engine.keep_history(True)
        self.engine.apply(self.rows)
        return self.engine

    def flush(self) -> None:
        permits, gone, counters, gone_counters, periods = self.engine.collect()
        for key in gone:
            self.permits.pop(key, None)
        for key in gone_counters:
            self.counters.pop(key, None)
        self.permits.update(permits)
        self.counters.update((key, row) for key, _, _, _, row in counters)
        self.periods += periods

    def crash(self, secret: bytes = SECRET) -> dict[str, Any]:
        engine = self.open(secret)
        rows = list(self.permits.items()), list(self.counters.items())
        restored: dict[str, Any] = engine.restore_usage(*rows)
        return restored

    def ask(self, **words: Any) -> Any:
        words = {"provider": "p", "tokens": 100, "cost_usd": 1, **words}
        return self.engine.admit(VALUE, "m", **words)

    def shown(self) -> list[tuple[int, int]]:
        return [(used, held) for used, held, _, _ in self.engine.read(self.limits)]


def test_a_permit_goes_on_by_its_text() -> None:
    stored = Stored()
    text = stored.ask().token
    stored.flush()
    stored.flush()
    assert stored.crash() == {"counters": 3, "permits": 1, "unknown": []}
    assert stored.shown() == [(0, 100), (1, 0), (0, 1_000_000_000)]
    stored.engine.check_credential(text, VALUE)
    refused(lambda: stored.engine.check_credential(text, "sk-bf-another"), "permit_not_found")
    settled = stored.engine.settle(text, tokens=40, cost_usd=2)
    assert (settled.repeated, settled.overrun) == (False, True)
    assert stored.shown() == [(40, 0), (1, 0), (2_000_000_000, 0)]
    stored.flush()
    stored.crash()
    assert stored.engine.settle(text, tokens=40, cost_usd=2).repeated
    assert stored.shown() == [(40, 0), (1, 0), (2_000_000_000, 0)]


def test_a_text_that_was_lost_or_is_of_another_secret_is_no_permit() -> None:
    stored = Stored()
    kept = stored.ask().token
    stored.flush()
    stored.flush()
    lost = stored.ask().token
    stored.crash()
    another = stored.ask().token
    assert another not in (kept, lost)
    refused(lambda: stored.engine.settle(lost, as_held=True), "permit_not_found")
    stored.engine.settle(kept, as_held=True)
    stored.crash(secret=bytes(32))
    refused(lambda: stored.engine.settle(kept, as_held=True), "permit_not_found")


def test_an_id_goes_on_with_all_that_its_answer_says() -> None:
    stored = Stored()
    given = stored.ask(id="one", fallbacks=["q/n"])
    stored.flush()
    stored.crash()
    again = stored.ask(id="one", fallbacks=["q/n"])
    words = ("token", "provider", "model", "key_id", "fallbacks", "max_output_tokens", "expires_at_ms")
    assert [getattr(again, word) for word in words] == [getattr(given, word) for word in words]
    assert again.held.tokens == given.held.tokens == 100
    refused(lambda: stored.ask(id="one", tokens=7), "id_conflict")
    assert stored.shown() == [(0, 100), (1, 0), (0, 1_000_000_000)]


def test_counters_are_told_by_number_and_kind_with_their_window() -> None:
    stored = Stored()
    stored.ask().settle(tokens=30, cost_usd=2)
    _, _, counters, _, _ = stored.engine.collect()
    rate, budget = stored.number
    told = sorted((key, start - START, end - START, total) for key, start, end, total, _ in counters)
    assert told == sorted(
        [
            (rate + TOKENS, 0, HOUR, 30),
            (rate + REQUESTS, 0, MINUTE, 1),
            (budget + BUDGET, 0, 24 * HOUR, 2_000_000_000),
        ]
    )
    assert stored.engine.collect() == ([], [], [], [], [])


def test_periods_are_told_once_with_their_corrections() -> None:
    stored = Stored()
    late = stored.ask()
    stored.clock.advance(2 * MINUTE)
    stored.ask()
    stored.flush()
    late.release(request=True)
    stored.flush()
    rate, _ = stored.number
    window = (rate + REQUESTS, START, START + MINUTE, 5)
    assert stored.periods == [(*window, 1, None), (*window, None, -1)]
    stored.flush()
    assert len(stored.periods) == 2


WRONG: dict[str, tuple[Callable[[], Any], str | None]] = {
    "a secret that is short": (lambda: Engine(SETTINGS, secret=bytes(31)), "secret"),
    "a boot number that is too large": (lambda: Engine(SETTINGS, boot=1 << 24), "boot"),
    "a permit that is none": (lambda: Engine(SETTINGS, boot=1).restore_usage([(0, b"x")], []), "permits"),
    "a counter that is none": (lambda: Engine(SETTINGS, boot=1).restore_usage([], [(4, b"")]), "counters"),
}
SETTINGS = limen.Settings().core()


@pytest.mark.parametrize(("call", "param"), WRONG.values(), ids=WRONG)
def test_what_is_wrong_is_named(call: Callable[[], Any], param: str | None) -> None:
    refused(call, "invalid_request", param)


@pytest.mark.parametrize(
    "call",
    [
        lambda: Engine(SETTINGS, secret="x" * 32),
        lambda: Engine(SETTINGS, boot=-1),
        lambda: Engine(SETTINGS).restore_usage([(0, "x")], []),
        lambda: Engine(SETTINGS).restore_usage([(-1, b"")], []),
        lambda: Engine(SETTINGS).restore_usage([], [(1 << 70, b"")]),
    ],
)
def test_what_is_of_another_type_is_no_argument(call: Callable[[], Any]) -> None:
    with pytest.raises((TypeError, OverflowError)):
        call()
