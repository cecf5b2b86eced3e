"""Who changes the configuration, for the audit: set by whoever lets a caller in.

>>> with acting_as("alice"):
...     actor.get()
'alice'
>>> actor.get()
'embedded'
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Final

actor: Final = ContextVar("limen_actor", default="embedded")
"""The name that changes are noted under in this context."""


@contextmanager
def acting_as(name: str) -> Iterator[None]:
    """Changes inside the block are noted under `name`."""
    token = actor.set(name)
    try:
        yield
    finally:
        actor.reset(token)
