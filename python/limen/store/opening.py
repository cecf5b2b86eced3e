"""From a path to an open store and what is in it; whatever goes wrong, the store is let go of again."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

import msgspec

from limen.errors import Faults, LimenError, fault
from limen.resources.change import Kept
from limen.resources.prices import CATALOG
from limen.settings import Settings, merge_settings
from limen.store import files
from limen.store.store import Store


@contextmanager
def open_store(path: str | os.PathLike[str]) -> Iterator[tuple[Store, Kept]]:
    """The store, and what it holds; the block makes an engine of it, or the store is closed."""
    store = Store.open(path)
    try:
        yield store, store.kept()
    except BaseException as error:
        store.close()
        if isinstance(error, msgspec.MsgspecError):
            raise files.damaged(store.path, str(error)) from None
        if isinstance(error, LimenError) and error.code == "not_found":
            raise files.damaged(store.path, error.message) from None
        raise


def settings_after(given: Settings, kept: bytes | None) -> Settings:
    """What a caller gives, and over it what files have set."""
    if kept is None:
        return given
    faults = Faults()
    set_by_files = msgspec.json.decode(kept)
    set_by_files.pop(CATALOG, None)
    found = merge_settings(set_by_files, "", faults, given)
    if faults:
        raise fault("store_refused", f"the settings in the store are not those of this version: {faults[0]}")
    return found
