"""Provider keys: the API keys of providers, which `key_ids` name. Their secrets are never shown again."""

from collections.abc import Collection
from typing import Any, ClassVar, Final

import msgspec

from limen.errors import fault
from limen.model import ListProviderKeysResponse, TableKey
from limen.resources import views
from limen.resources.base import Filter, Resource, filter_id, need, search
from limen.resources.book import Book, Draft
from limen.resources.providers import ensure_provider, erase_key
from limen.resources.reading import boolean, name, names, weight
from limen.resources.records import ProviderKeyRow, SecretRow
from limen.resources.secrets import check_allowed, kept, secret
from limen.resources.shape import Body, Field, Null, Shape

_FIXED: Final = ("id", "provider_id", "key_id", "config_hash")
_FIELDS: Final = {
    "name": Field(name, Null.REFUSED),
    "value": Field(secret, Null.REFUSED),
    "models": Field(names, Null.UNCHANGED),
    "weight": Field(weight, Null.VALUE),
    "enabled": Field(boolean, True),
    "use_for_batch_api": Field(boolean, False),
    **{word: Field(secret, Null.VALUE) for word in views.SECRETS},
}


class ProviderKeys(Resource[ProviderKeyRow, TableKey, ListProviderKeysResponse]):
    """`engine.provider_keys`; an id is the key_id."""

    kind = "provider_key"
    noun = "provider key"
    page = ListProviderKeysResponse
    create_shape = Shape({"provider": Field(name, Null.REFUSED), **_FIELDS}, fixed=_FIXED)
    update_shape = Shape(_FIELDS, fixed=("provider", *_FIXED))
    filters: ClassVar[dict[str, Filter]] = {"search": search, "provider": filter_id}
    id_word = "key_id"

    def of(self, provider: str) -> "KeysOf":
        """The keys of one provider alone: what is made there is its own, and others are not there."""
        return KeysOf(self.book, provider)

    def merge(
        self, old: ProviderKeyRow | None, body: Body, at: str, draft: Draft, id: str, create: bool
    ) -> ProviderKeyRow | None:
        faults = draft.faults
        called = need(body, "name", old.name if old else None, at, faults)
        provider = need(body, "provider", old.provider if old else None, at, faults)
        secrets = self._secrets(old, body, at, draft)
        need(body, "value", secrets.get("value"), at, faults)
        if called is None or provider is None or "value" not in secrets:
            return None
        ensure_provider(draft, provider)
        record = old or ProviderKeyRow(
            id=id,
            created=draft.now,
            updated=draft.now,
            number=0,
            name=called,
            provider=provider,
            models=["*"],
            weight=1.0,
            enabled=True,
            batch=False,
            secrets={},
        )
        return msgspec.structs.replace(
            record,
            name=called,
            models=body.get("models", record.models),
            weight=body.get("weight", record.weight),
            enabled=body.get("enabled", record.enabled),
            batch=body.get("use_for_batch_api", record.batch),
            secrets=secrets,
        )

    def complete(self, record: ProviderKeyRow, draft: Draft) -> None:
        record.number = record.number or draft.book.number("provider_key")

    def _secrets(self, old: ProviderKeyRow | None, body: Body, at: str, draft: Draft) -> dict[str, SecretRow]:
        secrets = dict(old.secrets) if old else {}
        for word in ("value", *views.SECRETS):
            if word not in body:
                continue
            given: SecretRow | None = body[word]
            if given is None:
                secrets.pop(word, None)
                continue
            secrets[word] = kept(given, secrets.get(word))
            if secrets[word] is given:
                check_allowed(given, draft.secret_env, at + word, draft.faults)
        return secrets

    def show(self, record: ProviderKeyRow) -> TableKey:
        return views.provider_key(self.book, record)

    def title(self, record: ProviderKeyRow) -> str:
        return record.name

    def matches(self, record: ProviderKeyRow, wanted: dict[str, Any]) -> bool:
        provider = wanted.get("provider")
        return (provider is None or record.provider == provider) and super().matches(record, wanted)

    def warn(self, record: ProviderKeyRow, draft: Draft) -> list[str]:
        return [] if record.models else ["models is empty: this key serves no model"]

    def erase(self, draft: Draft, id: str) -> None:
        erase_key(draft, id)


class KeysOf(ProviderKeys):
    """The keys of one provider, which a body need not name."""

    filters = {"search": search}

    def __init__(self, book: Book, provider: str) -> None:
        super().__init__(book)
        self._provider = provider

    def merge(
        self, old: ProviderKeyRow | None, body: Body, at: str, draft: Draft, id: str, create: bool
    ) -> ProviderKeyRow | None:
        if create:
            called = name(self._provider, "provider", draft.faults)
            if body.setdefault("provider", called) != called:
                draft.faults.add("provider", "is another than that of the path")
        return super().merge(old, body, at, draft, id, create)

    def list(self, **filters: Any) -> ListProviderKeysResponse:
        if self.book.get("provider", self._provider) is None:
            raise fault("not_found", "there is no such provider", "provider")
        return super().list(**filters)

    def _ids(self, wanted: dict[str, Any]) -> Collection[str]:
        return self.book.linked("provider", self._provider, "provider_key")

    def _kept(self, id: Any) -> ProviderKeyRow:
        record = super()._kept(id)
        if record.provider != self._provider:
            raise fault("not_found", "there is no such key of this provider", "key_id")
        return record
