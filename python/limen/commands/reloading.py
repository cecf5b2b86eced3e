"""SIGHUP: the configuration file is taken again, with the prices that it names, beside the requests."""

import logging
import signal
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Final

from limen import Engine
from limen.errors import LimenError

_LOG: Final = logging.getLogger("limen")
AT_START: Final = ("admin_tokens", "gateway_tokens", "allowed_hosts", "metrics_open", "require_virtual_key")
"""Settings that the server takes when it starts."""


def reload_on_hangup(engine: Engine, file: Path, prune: bool) -> None:
    """From here on. A file with a fault changes nothing, and its faults are logged."""
    if hasattr(signal, "SIGHUP"):
        turn = threading.Lock()
        _on_hangup(lambda: _reload(engine, file, prune, turn))


def _on_hangup(call: Callable[[], None]) -> None:
    # Not in the handler: that runs between two steps of the thread that serves.
    def handle(*_: object) -> None:
        threading.Thread(target=call, name="limen-reload", daemon=True).start()

    signal.signal(signal.SIGHUP, handle)


def _reload(engine: Engine, file: Path, prune: bool, turn: threading.Lock) -> None:
    with turn:
        before = engine.settings
        try:
            report = engine.load(file, prune)
        except LimenError as error:
            for fault in error.faults:
                _LOG.error("%s is not loaded: %s", file, fault)
            return
    counts = ", ".join(f"{len(getattr(report, word))} {word}" for word in ("created", "updated", "removed"))
    _LOG.warning("%s is loaded again: %s", file, counts)
    for warning in report.warnings:
        _LOG.warning("%s: %s", file, warning)
    changed = [word for word in AT_START if getattr(before, word) != getattr(engine.settings, word)]
    if changed:
        _LOG.warning("in force when the server starts again: %s", ", ".join(f"settings.{w}" for w in changed))
