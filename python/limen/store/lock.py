"""One store, one engine: a lock on a file beside it, which ends with the process however that ends.

It is a lock of the open file, not of the process: so a second engine of the same process is refused as well,
and nobody loses it by closing some other handle (as with POSIX locks, which SQLite itself uses on the store).
A child of fork shares it, so it lets go of its copy at once: else the lock would outlive the parent in it.
"""

import fcntl
import os
import weakref
from contextlib import suppress
from typing import Final

from limen.errors import fault

SUFFIX: Final = ".lock"


class Lock:
    """Held from its making on; where another has it, `store_locked` with the holder's process id."""

    def __init__(self, path: str) -> None:
        self._handle = os.open(path + SUFFIX, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(self._handle, 32, 0).decode(errors="replace").strip()
            self.release()
            who = f"process {holder}" if holder.isdecimal() else "another process"
            if holder == str(os.getpid()):
                who = f"another engine of this process ({holder})"
            words = f"{path} is in use by {who}: one engine at a time, else each would admit the whole limit"
            raise fault("store_locked", words) from None
        except BaseException:
            self.release()
            raise
        os.ftruncate(self._handle, 0)
        os.pwrite(self._handle, str(os.getpid()).encode(), 0)
        _HELD.add(self)

    def release(self) -> None:
        """Let go. Twice is once. The file stays: whoever removed it could take another's away."""
        handle, self._handle = self._handle, -1
        if handle >= 0:
            with suppress(OSError):
                os.close(handle)


def holder(path: str) -> str | None:
    """Who has the store, None where nobody does. Asks, and holds nothing."""
    try:
        handle = os.open(path + SUFFIX, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return f"process {os.pread(handle, 32, 0).decode(errors='replace').strip() or 'unknown'}"
    finally:
        os.close(handle)
    return None


_HELD: Final[weakref.WeakSet[Lock]] = weakref.WeakSet()


def _forked() -> None:
    for lock in list(_HELD):
        lock.release()


os.register_at_fork(after_in_child=_forked)
