"""The thread that brings usage to the disk, every so often, off the way of every request.

It knows its engine weakly: an engine that nobody keeps ends, and its flusher with it.
"""

import logging
import threading
import weakref
from collections.abc import Callable
from typing import Any, Final

from limen.errors import LimenError
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
        self._turn = threading.Lock()
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="limen-flush", daemon=True)
        self._thread.start()

    def flush(self, *, is_probe: bool = False) -> None:
        """What was used until now is on the disk, or StorageError, and it stays pending.

        A probe asks a disk that refused also where nothing is pending: whoever minds the trouble that a
        server tells of sends nobody there, so no use and no change would find that it is over.
        """
        with self._turn:
            source = self._source()
            if source is None:
                return
            self._pending.lay(self._collect(source))
            if self._pending or (is_probe and source.trouble is not None):
                self._write(source, self._pending)
                self._pending = Pending()

    def stop(self) -> None:
        """No more by itself. A flush that is under way ends."""
        self._stopped.set()
        if threading.current_thread() is not self._thread:
            self._thread.join()

    def _run(self) -> None:
        failed = False
        while (wait := self._wait()) is not None and not self._stopped.wait(wait):
            try:
                self.flush(is_probe=True)
            except LimenError as error:
                if error.code in ("engine_closed", "engine_forked"):
                    return
                if not failed:
                    _LOG.error("usage is not written, and kept in memory until it can be: %s", error.message)
                failed = True
            else:
                if failed:
                    _LOG.warning("usage is written again")
                failed = False

    def _wait(self) -> float | None:
        source = self._source()
        return None if source is None else self._every_s(source)
