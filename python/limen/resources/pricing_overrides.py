"""Pricing overrides: other prices for the requests that a scope, a pattern and types select.

A patch is kept as femto-dollars, exactly as it was sent. One that moves a rate more than a thousandfold is
most likely a slip of units, and wants to be confirmed.
"""

from collections.abc import Collection
from typing import Any, Final, cast, get_args

import msgspec

from limen.bodies import MatchType, OverrideScope, PricedType, PricingPatch
from limen.errors import Faults
from limen.model import ListPricingOverridesResponse, PricingOverride
from limen.resources import views
from limen.resources.base import Resource, filter_id, need, search
from limen.resources.book import Draft
from limen.resources.reading import (
    BAD,
    Bad,
    boolean,
    list_of,
    name,
    one_of,
    optional_name,
    rate,
    reference,
)
from limen.resources.records import Kind, PricingOverrideRow, ProviderKeyRow
from limen.resources.shape import Body, Field, Null, Shape, nested

_NEEDED: Final[dict[OverrideScope, tuple[str, ...]]] = {
    "virtual_key_provider_key": ("virtual_key_id", "provider_key_id"),
    "virtual_key_provider": ("virtual_key_id", "provider_id"),
    "virtual_key": ("virtual_key_id",),
    "provider_key": ("provider_key_id",),
    "provider": ("provider_id",),
    "global": (),
}
"""The ids of each scope. A virtual_key_provider_key may name the provider too: it must be the key's own."""
_IDS: Final = ("virtual_key_id", "provider_id", "provider_key_id")
_TYPES: Final[tuple[PricedType, ...]] = get_args(PricedType)
_type = one_of(*_TYPES)


def _request_type(value: object, at: str, faults: Faults) -> str | Bad:
    base = value.removesuffix("_stream") if isinstance(value, str) else value
    if base != value and base in _TYPES:
        faults.add(at, f"must be {base}: it holds the streaming variant too")
        return BAD
    return cast("str | Bad", _type(value, at, faults))


PATCH: Final = Shape({word: Field(rate) for word in PricingPatch.__struct_fields__}, live=False)
_FIELDS: Final = {
    "name": Field(name, Null.REFUSED),
    "scope_kind": Field(one_of(*_NEEDED), Null.REFUSED),
    "virtual_key_id": Field(reference),
    "provider_id": Field(optional_name),
    "provider_key_id": Field(reference),
    "match_type": Field(one_of(*get_args(MatchType)), Null.REFUSED),
    "pattern": Field(name, Null.REFUSED),
    "request_types": Field(list_of(_request_type)),
    "patch": Field(nested(PATCH, create=False), Null.REFUSED),
    "free": Field(boolean, Null.REFUSED),
    "confirm": Field(boolean),
}
_SHAPE: Final = Shape(_FIELDS, fixed=("id", "pricing_patch", "config_hash"))


def erase_overrides(draft: Draft, kind: Kind, id: str) -> None:
    """Remove the overrides that name an entity that is going."""
    for override in draft.linked(kind, id, "pricing_override"):
        draft.drop("pricing_override", override)


class PricingOverrides(Resource[PricingOverrideRow, PricingOverride, ListPricingOverridesResponse]):
    """`engine.pricing_overrides`."""

    kind = "pricing_override"
    noun = "pricing override"
    page = ListPricingOverridesResponse
    create_shape = _SHAPE
    update_shape = _SHAPE
    filters = {
        "search": search,
        "scope_kind": one_of(*_NEEDED),
        "virtual_key_id": filter_id,
        "provider_id": optional_name,
        "provider_key_id": filter_id,
    }

    def merge(
        self, old: PricingOverrideRow | None, body: Body, at: str, draft: Draft, id: str, create: bool
    ) -> PricingOverrideRow | None:
        faults = draft.faults
        called = need(body, "name", old.name if old else None, at, faults)
        scope = need(body, "scope_kind", old.scope_kind if old else None, at, faults)
        match = need(body, "match_type", old.match_type if old else None, at, faults)
        pattern = need(body, "pattern", old.pattern if old else None, at, faults)
        types = need(body, "request_types", old.request_types if old else None, at, faults)
        if types == []:
            faults.add(f"{at}request_types", "must have at least one entry")
        if match is not None and pattern is not None:
            _check_pattern(match, pattern, f"{at}pattern", faults)
        patch, free = _price(old, body, at, faults)
        if scope is None:
            return None
        ids = _ids(old, body, scope, at, draft)
        if called is None or match is None or pattern is None or types is None:
            return None
        record = old or PricingOverrideRow(
            id=id,
            created=draft.now,
            updated=draft.now,
            name=called,
            scope_kind=scope,
            match_type=match,
            pattern=pattern,
            request_types=types,
        )
        merged = msgspec.structs.replace(
            record,
            name=called,
            scope_kind=scope,
            match_type=match,
            pattern=pattern,
            request_types=list(dict.fromkeys(types)),
            patch=patch,
            free=free,
            **ids,
        )
        # A patch that says the same of the same models was confirmed when it came.
        if not body.get("confirm") and (old is None or _aim(merged) != _aim(old)):
            _check_strays(merged, f"{at}patch", draft)
        return merged

    def show(self, record: PricingOverrideRow) -> PricingOverride:
        return views.pricing_override(record)

    def title(self, record: PricingOverrideRow) -> str:
        return record.name

    def matches(self, record: PricingOverrideRow, wanted: dict[str, Any]) -> bool:
        asked = {word: wanted.get(word) for word in ("scope_kind", *_IDS)}
        return all(
            value is None or getattr(record, word) == value for word, value in asked.items()
        ) and super().matches(record, wanted)

    def warn(self, record: PricingOverrideRow, draft: Draft) -> list[str]:
        found: list[str] = []
        if record.provider_id is not None and not draft.knows("provider", record.provider_id):
            found.append("provider_id is unknown: the provider has no keys and no limits")
        found += [
            f"patch.{word} is zero, which is not applied: `free` is what makes a model free"
            for word, price in record.patch.items()
            if price == 0
        ]
        return found

    def _ids(self, wanted: dict[str, Any]) -> Collection[str]:
        kinds: tuple[Kind, ...] = ("virtual_key", "provider_key")
        for named in kinds:
            if (id := wanted.get(f"{named}_id")) is not None:
                return self.book.linked(named, id, "pricing_override")
        return super()._ids(wanted)


def _check_pattern(match: MatchType, pattern: str, at: str, faults: Faults) -> None:
    if match == "exact" and "*" in pattern:
        faults.add(at, "must hold no *: match_type is exact")
    if match == "wildcard" and pattern.find("*") != len(pattern) - 1:
        faults.add(at, "must hold one *, at its end: match_type is wildcard")


def _aim(record: PricingOverrideRow) -> tuple[object, ...]:
    """What a patch says, and of which models."""
    ids = (record.provider_id, record.provider_key_id)
    return record.patch, record.match_type, record.pattern, ids


def _check_strays(record: PricingOverrideRow, at: str, draft: Draft) -> None:
    provider = record.provider_id
    if record.provider_key_id is not None:
        key = cast("ProviderKeyRow | None", draft.get("provider_key", record.provider_key_id))
        provider = key.provider if key is not None else provider
    wildcard = record.match_type == "wildcard"
    strays = draft.prices.base.strays(record.pattern, wildcard, provider, record.patch)
    if strays is not None:
        model, field = strays
        words = f"is over 1,000 times the price of {model}, or less than a thousandth of it"
        draft.faults.add(f"{at}.{field}", f"{words}: set confirm to true if it is meant")


def _price(
    old: PricingOverrideRow | None, body: Body, at: str, faults: Faults
) -> tuple[dict[str, int], bool]:
    """The patch, and whether everything is free: not both."""
    patch: dict[str, int] = dict(body.get("patch", old.patch if old else {}))
    free = body.get("free", old.free if old else False)
    if patch and free:
        faults.add(f"{at}{'free' if 'free' in body else 'patch'}", "either a patch, or free: not both")
    return patch, free


def _ids(
    old: PricingOverrideRow | None, body: Body, scope: OverrideScope, at: str, draft: Draft
) -> dict[str, str | None]:
    """Exactly the ids that the scope needs; what another scope left behind goes."""
    faults = draft.faults
    moved = old is not None and old.scope_kind != scope
    found: dict[str, str | None] = {}
    for word in _IDS:
        kept = getattr(old, word) if old else None
        if word in _NEEDED[scope]:
            found[word] = need(body, word, kept, at, faults)
            continue
        found[word] = given = body.get(word, kept)
        if word == "provider_id" and scope == "virtual_key_provider_key":
            if moved and word not in body:
                found[word] = None
        elif given is not None and moved and given == kept:
            found[word] = None
        elif given is not None:
            faults.add(at + word, f"must be left out: the scope {scope} does not use it")
    _check_known(found, at, draft)
    return found


def _check_known(ids: dict[str, str | None], at: str, draft: Draft) -> None:
    kinds: tuple[Kind, ...] = ("virtual_key", "provider_key")
    for kind in kinds:
        id = ids[f"{kind}_id"]
        if id is not None and not draft.knows(kind, id):
            draft.faults.add(
                f"{at}{kind}_id", f"there is no {kind.replace('_', ' ')} with this id", "not_found"
            )
    provider, key_id = ids["provider_id"], ids["provider_key_id"]
    key = cast("ProviderKeyRow | None", draft.get("provider_key", key_id)) if key_id is not None else None
    if provider is not None and key is not None and key.provider != provider:
        draft.faults.add(f"{at}provider_id", "is not the provider of provider_key_id")
