"""The one thread that writes: jobs in their turn, each one transaction, on the disk when it is answered.

After an error nothing is known about the connection, so it is given up, and the next job opens another: a
disk that takes writes again is found by whoever asks next. And nothing is known about the job. Its frames may
stand whole in the log although the sync failed, and the next opening would read them as committed, long after
the caller was told that nothing had changed. So every transaction counts itself, and if the count on the disk
is one ahead of ours, the job is taken back before anything else happens.
"""

import os
import queue
import sqlite3
import threading
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from typing import Any, Final, TypeVar

from limen.errors import LimenError, fault
from limen.store import files
from limen.store.meta import read_number, write_number

T = TypeVar("T")
Job = Callable[[sqlite3.Connection], T]
COMMITS: Final = "commits"


class Writer:
    """`write` answers when the job is on the disk, or raises StorageError and nothing has changed."""

    def __init__(self, path: str, ended: Callable[[], None]) -> None:
        self.path = path
        self.trouble: str | None = None
        self._ended = ended
        self._jobs: queue.SimpleQueue[tuple[Job[Any], Job[Any] | None, Future[Any]] | None] = (
            queue.SimpleQueue()
        )
        self._connection: sqlite3.Connection | None = None
        self._inode: tuple[int, int] | None = None
        self._commits: int | None = None
        self._doubtful: Job[Any] | None = None
        self._closing = threading.Lock()
        self._closed = False
        # It must not keep the process alive: whoever was answered has it on the disk.
        self._thread = threading.Thread(target=self._work, name="limen-store", daemon=True)
        self._thread.start()

    def read(self, job: Job[T]) -> T:
        """The answer of a job that only reads."""
        future: Future[T] = Future()
        self._ask(job, None, future)
        return future.result()

    def write(self, job: Job[T], inverse: Job[Any]) -> T:
        """The job's answer. `inverse` takes it back, where it turns out to have happened after all."""
        future: Future[T] = Future()
        try:
            self._ask(job, inverse, future)
            return future.result()
        except BaseException:
            if not future.done() or future.exception() is None:
                # A signal's handler has raised in whoever waits (Ctrl-C), who takes it for not done.
                self._take_back(future, inverse)
            raise

    def _take_back(self, asked: Future[Any], inverse: Job[Any]) -> None:
        def job(connection: sqlite3.Connection) -> None:
            # In its turn behind what was asked for: if that is not done by now, it was never asked for.
            if asked.done() and asked.exception() is None:
                inverse(connection)

        with suppress(LimenError):
            self._ask(job, job, Future())

    def _ask(self, job: Job[T], inverse: Job[Any] | None, future: Future[T]) -> None:
        with self._closing:
            if self._closed:
                raise fault("engine_closed")
            self._jobs.put((job, inverse, future))

    def close(self) -> None:
        """Everything that was asked for is done, then the thread ends. Twice is once."""
        with self._closing:
            if not self._closed:
                self._closed = True
                self._jobs.put(None)
        if threading.current_thread() is not self._thread:
            self._thread.join()

    def _work(self) -> None:
        while (item := self._jobs.get()) is not None:
            job, inverse, future = item
            try:
                answer = self._transaction(job, inverse)
            except BaseException as error:  # noqa: BLE001 - it belongs to the caller, and the thread goes on
                future.set_exception(error)
            else:
                future.set_result(answer)
            # The last answer must not be kept alive by a thread that waits.
            del item, job, inverse, future
        if self._doubtful is not None:
            with suppress(sqlite3.Error, LimenError):
                self._connected()
        self._give_up()
        self._ended()

    def _transaction(self, job: Job[T], inverse: Job[Any] | None) -> T:
        try:
            connection = self._connected()
            if inverse is None:
                return job(connection)
            assert self._commits is not None
            answer = self._commit(connection, job, self._commits + 1, inverse)
        except BaseException as error:
            self._give_up()
            if self._doubtful is not None:
                with suppress(sqlite3.Error, LimenError):
                    # At once, where the disk lets us: who is told that nothing changed may look for himself.
                    self._connected()
            if isinstance(error, sqlite3.Error):
                error = files.refusal(self.path, error)
            self.trouble = error.message if isinstance(error, LimenError) else repr(error)
            raise error from None
        self.trouble = None
        return answer

    def _commit(self, connection: sqlite3.Connection, job: Job[T], commits: int, inverse: Job[Any]) -> T:
        connection.execute("BEGIN IMMEDIATE")
        answer = job(connection)
        write_number(connection, COMMITS, commits)
        self._doubtful = inverse
        connection.execute("COMMIT")
        self._doubtful, self._commits = None, commits
        return answer

    def _connected(self) -> sqlite3.Connection:
        """The connection, to the file that was opened first: one that was moved writes into nowhere."""
        try:
            found = os.stat(self.path)
        except OSError as error:
            raise self._lost(error.strerror or "it is gone") from None
        here = (found.st_dev, found.st_ino)
        if self._inode is None:
            self._inode = here
        elif here != self._inode:
            raise self._lost("it is another file than the one that was opened")
        if self._connection is None:
            connection = files.connect(self.path, "rw")
            try:
                self._settle_doubt(connection)
            except BaseException:
                connection.close()
                raise
            # Not before: the next job must not find a connection whose doubt was not settled.
            self._connection = connection
        return self._connection

    def _settle_doubt(self, connection: sqlite3.Connection) -> None:
        commits = read_number(connection, COMMITS)
        if self._commits is None:
            self._commits = commits
        elif commits == self._commits + 1 and self._doubtful is not None:
            self._commit(connection, self._doubtful, self._commits, self._doubtful)
        elif commits != self._commits:
            raise self._lost("another program has written into it")
        self._doubtful = None
        # A log whose sync failed may be whole in memory and torn on the disk: nothing is written behind it.
        (busy, *_) = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        if busy:
            raise self._lost("another program is reading it, and its log must be emptied first")

    def _lost(self, reason: str) -> LimenError:
        self._give_up()
        return fault("storage_unavailable", f"the store {self.path} cannot take changes: {reason}")

    def _give_up(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(sqlite3.Error):
                connection.close()
