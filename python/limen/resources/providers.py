"""Providers and their limits. A provider may be named before it is here; its name is its id.

It has two faces. As a provider, deleting it removes its keys and its limits, and the configs of virtual keys
that name it stay. As what governs it, deleting removes the limits alone, as in Bifrost: a script that lifts a
budget must not lose the provider's keys.
"""

from collections.abc import Sequence
from typing import Any, Final, cast

import msgspec

from limen.errors import fault
from limen.model import (
    ListProviderGovernanceResponse,
    ListProvidersResponse,
    Provider,
    ProviderGovernance,
)
from limen.resources import views
from limen.resources.base import A, P, Paging, Resource, merged_limits
from limen.resources.book import Book, Draft
from limen.resources.limits import limit_fields
from limen.resources.pricing_overrides import erase_overrides
from limen.resources.reading import name
from limen.resources.records import ProviderConfigRow, ProviderKeyRow, ProviderRow, VirtualKeyRow
from limen.resources.shape import Body, Field, Null, Shape

_UPDATE: Final = Shape(limit_fields(False), fixed=("provider",))


def ensure_provider(draft: Draft, called: str) -> ProviderRow:
    """The provider of this name, made where it is not there yet."""
    record = cast("ProviderRow | None", draft.get("provider", called))
    if record is None:
        number = draft.book.number("provider")
        record = ProviderRow(id=called, created=draft.now, updated=draft.now, number=number)
        draft.put("provider", record)
    return record


def erase_key(draft: Draft, key_id: str) -> None:
    """Remove a provider key and its overrides, and take it from lists: an empty one closes the provider."""
    for id in draft.linked("provider_key", key_id, "virtual_key"):
        record = cast("VirtualKeyRow", draft.get("virtual_key", id))
        providers = [_without(config, key_id) for config in record.providers]
        draft.put("virtual_key", msgspec.structs.replace(record, providers=providers, updated=draft.now))
    erase_overrides(draft, "provider_key", key_id)
    draft.drop("provider_key", key_id)


def _without(config: ProviderConfigRow, key_id: str) -> ProviderConfigRow:
    if config.key_ids is None:
        return config
    return msgspec.structs.replace(config, key_ids=[id for id in config.key_ids if id != key_id])


class ProviderRows(Resource[ProviderRow, A, P]):
    """What is common to the two faces of a provider: its limits, and its keys."""

    kind = "provider"
    noun = "provider"

    def merge(
        self, old: ProviderRow | None, body: Body, at: str, draft: Draft, id: str, create: bool
    ) -> ProviderRow | None:
        budgets, rate = merged_limits(old, body, at, draft, create)
        record = old or ProviderRow(id=id, created=draft.now, updated=draft.now, number=0)
        return msgspec.structs.replace(record, budgets=budgets, rate=rate)

    def complete(self, record: ProviderRow, draft: Draft) -> None:
        record.number = record.number or draft.book.number("provider")

    def create(self, body: Any) -> A:
        """Make one, of a name that is not taken."""
        with self.book.edit() as draft:
            parsed = self.create_shape.read(body, "", draft.faults, create=True)
            called = parsed.get("name")
            if called is None and parsed.clean:
                draft.faults.add("name", "is required")
            elif called is not None and self.book.get("provider", called) is not None:
                draft.faults.add("name", "another provider has it already", "conflict")
            record = self.merge(None, parsed, "", draft, called or "", create=True)
            draft.faults.check()
            assert record is not None
            self._take(None, record, draft)
            return self._told(record, draft)

    def title(self, record: ProviderRow) -> str:
        return record.id

    def erase(self, draft: Draft, id: str) -> None:
        for key_id in draft.linked("provider", id, "provider_key"):
            erase_key(draft, key_id)
        draft.drop("provider", id)

    def _kept(self, id: Any) -> ProviderRow:
        if not isinstance(id, str):
            raise fault("invalid_request", "must be text", "name")
        record = self.book.get("provider", id)
        if record is None:
            raise fault("not_found", "there is no provider of this name", "id")
        return cast("ProviderRow", record)


class KnownProviders(ProviderRows[Provider, ListProvidersResponse]):
    """Every provider that is there, whether it has limits or not, with its keys."""

    page = ListProvidersResponse
    create_shape = Shape({"name": Field(name, Null.REFUSED)})
    update_shape = Shape({}, fixed=("name", "keys"))
    id_word = "name"

    def show(self, record: ProviderRow) -> Provider:
        ids = self.book.linked("provider", record.id, "provider_key")
        keys = [cast("ProviderKeyRow", self.book.get("provider_key", id)) for id in ids]
        return Provider(name=record.id, keys=[views.provider_key(self.book, key) for key in keys])


class Providers(ProviderRows[ProviderGovernance, ListProviderGovernanceResponse]):
    """`engine.providers`: get, list (those with limits), update (makes what is not there), delete its limits.

    `known` are the same providers as names with keys: create, get, list, delete.
    """

    noun = "provider governance"
    page = ListProviderGovernanceResponse
    create_shape = Shape({"name": Field(name, Null.REFUSED), **limit_fields(True)})
    update_shape = _UPDATE
    filters = {}
    id_word = "provider"

    def __init__(self, book: Book) -> None:
        super().__init__(book)
        self.known = KnownProviders(book)

    def update(self, id: str, body: Any) -> ProviderGovernance:
        """Set limits of the provider with this name; it is made where it is not there."""
        with self.book.edit() as draft:
            called = name(id, "name", draft.faults)
            draft.faults.check()
            old = cast("ProviderRow | None", self.book.get("provider", called))
            parsed = self.update_shape.read(body, "", draft.faults)
            for word, given in parsed.fixed.items():
                if given != called:
                    draft.faults.add(word, "is read-only")
            record = self.merge(old, parsed, "", draft, called, create=False)
            draft.faults.check()
            assert record is not None
            self._take(old, record, draft)
            return self._told(record, draft)

    def delete(self, id: str) -> None:
        """Remove its limits. The provider stays, with its keys: `known.delete` removes it."""
        with self.book.edit() as draft:
            old = self._kept(id)
            self._take(old, msgspec.structs.replace(old, budgets=[], rate=None), draft)

    def show(self, record: ProviderRow) -> ProviderGovernance:
        return views.provider(self.book, record)

    def _select(self, paging: Paging, wanted: dict[str, Any]) -> tuple[Sequence[ProviderRow], int]:
        rows = map(self._kept, self.book.records["provider"])
        return paging.cut(row for row in rows if row.budgets or row.rate)
