"""The thread that brings usage to the disk, every so often and when asked, off the way of every request.

Nobody else does: what is collected is told once, and a signal that raises in whoever waits for the disk
(Ctrl-C) would lose it between two steps. It knows its engine weakly: one that nobody keeps ends, and its
flusher with it.
"""

import logging
import queue
import threading
import weakref
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, Final

from limen.errors import fault
from limen.store.usage import Collected, Pending

_LOG: Final = logging.getLogger("limen")


class Flusher:
    """Collects from `source` and hands to `write`, which raises StorageError where the disk refuses."""

    def __init__(
        self,
        source: "weakref.ref[Any]",
        collect: Callable[[Any], Collected],
        every_s: Callable[[Any], float],
        write: Callable[[Any, Pending], None],
    ) -> None:
        self._source = source
        self._collect = collect
        self._every_s = every_s
        self._write = write
        self._pending = Pending()
        self._asked: queue.SimpleQueue[Future[None] | None] = queue.SimpleQueue()
        self._stopping = threading.Lock()
        self._stopped = False
        self._thread = threading.Thread(target=self._run, name="limen-flush", daemon=True)
        self._thread.start()

    def flush(self) -> None:
        """What was used until now is on the disk, or StorageError, and it stays pending."""
        asked: Future[None] = Future()
        with self._stopping:
            if self._stopped:
                raise fault("engine_closed")
            self._asked.put(asked)
        asked.result()

    def wake(self) -> None:
        """How often is another by now: not to be found when the old time is over."""
        self._asked.put(Future())

    def stop(self) -> None:
        """What was asked for is done, and nothing after it. Twice is once."""
        with self._stopping:
            self._stopped = True
            self._asked.put(None)
        if threading.current_thread() is not self._thread:
            self._thread.join()

    def _run(self) -> None:
        failed = False
        while (wait := self._wait()) is not None:
            is_probe = False
            try:
                asked = self._asked.get(timeout=wait)
            except queue.Empty:
                asked, is_probe = Future(), True
            if asked is None:
                return
            try:
                self._flush(is_probe)
            except Exception as error:  # noqa: BLE001 - whatever it is, the next one is tried
                if not failed:
                    _LOG.error("usage is not written, and kept in memory until it can be: %s", error)
                failed = True
                asked.set_exception(error)
            else:
                if failed:
                    _LOG.warning("usage is written again")
                failed = False
                asked.set_result(None)
            del asked

    def _flush(self, is_probe: bool) -> None:
        """A probe asks a disk that refused also where nothing is pending.

        Whoever minds the trouble that a server tells of sends nobody there, so no use and no change would
        find that it is over.
        """
        source = self._source()
        if source is None:
            return
        self._pending.lay(self._collect(source))
        if self._pending or (is_probe and source.trouble is not None):
            self._write(source, self._pending)
            if self._pending.lost:
                _LOG.error("%d periods found no room while usage was not written", self._pending.lost)
            self._pending = Pending()

    def _wait(self) -> float | None:
        source = self._source()
        return None if source is None else self._every_s(source)
