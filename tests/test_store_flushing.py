"""A flush beside what else happens: faults, signals, and who closes the engine meanwhile."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import weakref
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

import limen
from house import HOUR
from kept import ENDED, LIMITS, Kept, ended, spend, used
from limen.store import usage
from limen.store.flusher import Flusher

PATIENCE_S = 60


class Source:
    """An engine of which there is always something to write."""

    def __init__(self) -> None:
        self.told = 0
        self.trouble = None

    def collect(self) -> Any:
        self.told += 1
        return [(self.told, b"row")], [], [], [], []


def test_whatever_goes_wrong_in_a_flush_the_next_one_is_tried_with_all_that_is_pending() -> None:
    source, written = Source(), threading.Event()
    seen: list[int] = []

    def write(source: Source, pending: Any) -> None:
        seen.append(len(pending.permits))
        if len(seen) == 1:
            raise OverflowError("nobody has thought of it")
        written.set()

    flusher = Flusher(weakref.ref(source), Source.collect, lambda source: 0, write)
    assert written.wait(PATIENCE_S)
    flusher.stop()
    assert seen[:2] == [1, 2]


def test_an_error_that_nobody_has_thought_of_is_trouble(kept: Kept) -> None:
    def job(connection: Any) -> None:
        raise OverflowError("too large")

    writer = kept.engine._book.keeper._writer
    with pytest.raises(OverflowError):
        writer.write(job, job)
    assert "too large" in str(kept.engine.trouble)
    kept.engine.customers.create({"name": "c"})
    assert kept.engine.trouble is None


def test_periods_that_wait_for_the_disk_are_bounded_and_those_that_find_no_room_counted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(usage, "MOST_PERIODS", 2)
    pending = usage.Pending()
    periods = [(key, 0, HOUR, 9, 5, None) for key in range(4)]
    pending.lay(([], [], [], [], [*periods, (0, 0, HOUR, 9, None, -2)]))
    assert (pending.periods, pending.lost) == ({(0, 0): (HOUR, 9, 3), (1, 0): (HOUR, 9, 5)}, 2)


@pytest.fixture
def interrupted(kept: Kept) -> Iterator[Callable[[], None]]:
    """The next commit is interrupted as Ctrl-C does it: whoever waits for it in the main thread raises."""
    before = signal.signal(signal.SIGUSR1, signal.default_int_handler)
    writer = kept.engine._book.keeper._writer
    commit, main = writer._commit, threading.main_thread().ident
    assert main is not None

    def interrupting(*words: Any) -> Any:
        writer._commit = commit
        signal.pthread_kill(main, signal.SIGUSR1)
        return commit(*words)

    def arm() -> None:
        writer._commit = interrupting

    yield arm
    signal.signal(signal.SIGUSR1, before)


def test_a_flush_whose_caller_is_interrupted_counts_a_period_once(
    kept: Kept, interrupted: Callable[[], None]
) -> None:
    key = kept.key(**LIMITS)
    spend(kept, key)
    kept.at(HOUR)
    spend(kept, key)
    interrupted()
    with pytest.raises(KeyboardInterrupt):
        kept.engine.flush()
    kept.engine.flush()
    assert used(ended(kept)) == ENDED


def test_a_change_whose_caller_is_interrupted_has_not_happened(
    kept: Kept, interrupted: Callable[[], None]
) -> None:
    interrupted()
    with pytest.raises(KeyboardInterrupt):
        kept.engine.customers.create({"name": "acme"})
    assert kept.engine.customers.list().count == 0
    kept.engine.customers.create({"name": "acme"})
    kept.restart()
    assert [customer.name for customer in kept.engine.customers.list()] == ["acme"]
    assert kept.engine.audit.list().total_count == 1


def test_of_two_that_close_an_engine_both_wait_for_the_last_flush(kept: Kept) -> None:
    key = kept.key(**LIMITS)
    spend(kept, key)
    engine, second = kept.engine, threading.Thread(target=kept.engine.close)
    flusher, keeper = engine._flusher, engine._book.keeper
    closing, collect = threading.Event(), flusher._collect

    def told(call: Callable[[], None]) -> Callable[[], None]:
        def call_and_tell() -> None:
            closing.set()
            call()

        return call_and_tell

    def collecting(source: Any) -> Any:
        flusher.stop, keeper.close = told(flusher.stop), told(keeper.close)
        second.start()
        assert closing.wait(PATIENCE_S)
        return collect(source)

    flusher._collect = collecting
    engine.close()
    second.join()
    kept.engine = kept.opened()
    assert kept.counts(key) == [(7, 0), (1, 0), (250_000_000, 0)]


def test_another_time_between_flushes_is_in_force_at_once(kept: Kept, tmp_path: Path) -> None:
    """The thread sleeps for an hour when it is told."""
    flusher, written = kept.engine._flusher, threading.Event()
    write = flusher._write

    def writing(*words: Any) -> None:
        write(*words)
        written.set()

    flusher._write = writing
    key = kept.key(**LIMITS)
    file = tmp_path / "policy.json"
    file.write_text('{"settings": {"usage_flush_ms": 10}}')
    kept.engine.load(file)
    for _ in range(2):
        written.clear()
        spend(kept, key)
        assert written.wait(PATIENCE_S)


ROUNDS = 20


def test_what_was_answered_while_the_engine_is_closed_is_on_the_disk(tmp_path: Path) -> None:
    kept = Kept(tmp_path / "limen.db", usage_flush_ms=3_600_000)
    key = kept.key(requests=(10**12, "1d"))
    admitted = 0
    for _ in range(ROUNDS):
        begun, answers = threading.Event(), [0]

        def ask(engine: Any, begun: threading.Event = begun, answers: list[int] = answers) -> None:
            with suppress(limen.LimenError):
                while True:
                    answers[0] += sum(map(bool, engine.admit_many([(key.value, "m", 1, 1)] * 500)))
                    begun.set()

        asking = threading.Thread(target=ask, args=(kept.engine,))
        asking.start()
        assert begun.wait(PATIENCE_S)
        kept.engine.close()
        asking.join()
        admitted += answers[0]
        kept.engine = kept.opened()
        assert kept.requests(key) == (admitted, 0)
    kept.engine.close()


CHILD = """
import os, sys, limen
engine = limen.Engine.open(sys.argv[1])
if os.fork() == 0:
    sys.exit(0)
os.wait()
engine.close()
"""


def test_a_child_of_fork_that_ends_by_itself_says_nothing(tmp_path: Path) -> None:
    words = [sys.executable, "-c", CHILD, tmp_path / "limen.db"]
    done = subprocess.run(words, capture_output=True, text=True, timeout=PATIENCE_S)
    assert (done.returncode, done.stdout) == (0, "")
    assert "Traceback" not in done.stderr
