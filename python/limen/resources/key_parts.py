"""The provider configs and MCP configs inside a virtual key.

A body gives the full set. An entry keeps the config that it names by id, else the first free one of the same
provider or client: its integer id, its counters, and the fields that the entry leaves out. What is new has
the id 0 until the record is complete.
"""

from collections.abc import Callable, Sequence
from typing import Any, Final, TypeVar, cast

from limen.errors import Faults
from limen.resources.base import need
from limen.resources.book import Draft
from limen.resources.limits import Merge, limit_fields, merge_limits
from limen.resources.reading import identifier, integer, list_of, name, names, weight
from limen.resources.records import McpRow, ProviderConfigRow, ProviderKeyRow, VirtualKeyRow
from limen.resources.shape import Body, Field, Null, Shape, check_fixed, plain
from limen.resources.views import hash_of, keys_of, provider_config

ANY: Final = "*"
C = TypeVar("C", ProviderConfigRow, McpRow)
_number = integer(1, 2**63 - 1)
_PROVIDER_FIXED: Final = ("virtual_key_id", "budget_id", "rate_limit_id", "keys", "config_hash")
_ids = list_of(identifier)


def provider_shape(create: bool) -> Shape:
    """The fields of a provider config. At create the engine makes the id."""
    fields = {
        "provider": Field(name, Null.REFUSED),
        "weight": Field(weight, Null.VALUE),
        "allowed_models": Field(names),
        "key_ids": Field(_ids),
        **limit_fields(create),
    }
    if create:
        return Shape(fields, fixed=("id", *_PROVIDER_FIXED))
    return Shape({**fields, "id": Field(_number)}, fixed=_PROVIDER_FIXED)


def mcp_shape(create: bool) -> Shape:
    """The fields of an MCP config."""
    fields = {"mcp_client_name": Field(name, Null.REFUSED), "tools_to_execute": Field(names)}
    if create:
        return Shape(fields, fixed=("id",), live=False)
    return Shape({**fields, "id": Field(_number)}, live=False)


def _match(
    old: Sequence[C], entries: list[Body], word: str, called: Callable[[C], str], at: str, faults: Faults
) -> list[C | None]:
    """For each entry the config that it continues: those named by id are given out first."""
    left = {row.id: row for row in old}
    kept: list[C | None] = [None] * len(entries)
    for index, entry in enumerate(entries):
        asked = entry.get("id")
        if asked is None:
            continue
        kept[index] = left.pop(asked, None)
        if kept[index] is None:
            known = any(row.id == asked for row in old)
            words = (
                ("is named twice", "invalid_request") if known else ("is no config of this key", "not_found")
            )
            faults.add(f"{at}[{index}].id", *words)
    for index, entry in enumerate(entries):
        if entry.get("id") is None and word in entry:
            match = next((row for row in left.values() if called(row) == entry[word]), None)
            kept[index] = left.pop(match.id) if match else None
    return kept


def merge_providers(
    key: VirtualKeyRow, entries: list[Body], at: str, draft: Draft, create: bool
) -> list[ProviderConfigRow]:
    """The provider configs of a key after a body."""
    faults = draft.faults
    kept = _match(key.providers, entries, "provider", lambda row: row.provider, at, faults)
    merge = Merge(faults, draft.now, create, hash_of(key))
    found = []
    for index, (entry, old) in enumerate(zip(entries, kept, strict=True)):
        prefix = f"{at}[{index}]."
        if entry.fixed:
            shown = _shown(key, old, draft)
            check_fixed(entry, shown, prefix[:-1], faults)
        provider = need(entry, "provider", old.provider if old else None, prefix, faults)
        budgets, rate = merge_limits(
            old.budgets if old else [], old.rate if old else None, entry, prefix, merge
        )
        if provider is None:
            continue
        key_ids = _key_ids(entry, old, provider, prefix, draft)
        found.append(
            ProviderConfigRow(
                id=old.id if old else 0,
                provider=provider,
                weight=entry.get("weight", old.weight if old else None),
                models=entry.get("allowed_models", old.models if old else []),
                key_ids=key_ids,
                budgets=budgets,
                rate=rate,
            )
        )
    return found


def _shown(key: VirtualKeyRow, old: ProviderConfigRow | None, draft: Draft) -> dict[str, Any]:
    """What an answer shows of a config, for the read-only fields of a body."""
    if old is None:
        return {"virtual_key_id": key.id}
    answer = provider_config(draft.book, key, old)
    answer.keys = keys_of(draft.book, old)
    return cast("dict[str, Any]", plain(answer))


def _key_ids(
    entry: Body, old: ProviderConfigRow | None, provider: str, at: str, draft: Draft
) -> list[str] | None:
    """The keys that may serve; None is any. Those that a body names must be keys of the provider."""
    given: list[str] | None = entry.get("key_ids")
    if given is None:
        return old.key_ids if old else None
    if ANY in given:
        return None
    for index, key_id in enumerate(given):
        record = cast("ProviderKeyRow | None", draft.get("provider_key", key_id))
        if record is None and draft.knows("provider_key", key_id):
            continue
        if record is None or record.provider != provider:
            draft.faults.add(f"{at}key_ids[{index}]", f"there is no such key of {provider}", "not_found")
    return list(dict.fromkeys(given))


def merge_mcp(old: list[McpRow], entries: list[Body], at: str, faults: Faults) -> list[McpRow]:
    """The MCP configs of a key after a body."""
    kept = _match(old, entries, "mcp_client_name", lambda row: row.client, at, faults)
    found = []
    for index, (entry, row) in enumerate(zip(entries, kept, strict=True)):
        prefix = f"{at}[{index}]."
        check_fixed(entry, {}, prefix[:-1], faults)
        client = need(entry, "mcp_client_name", row.client if row else None, prefix, faults)
        if client is not None:
            tools = entry.get("tools_to_execute", row.tools if row else [])
            found.append(McpRow(row.id if row else 0, client, tools))
    return found


def number_parts(key: VirtualKeyRow, draft: Draft) -> None:
    """Integer ids for what is new; the order is that of the ids, in which the core checks them too."""
    for config in key.providers:
        config.id = config.id or draft.book.number("provider_config")
    for mcp in key.mcp:
        mcp.id = mcp.id or draft.book.number("mcp_config")
    key.providers.sort(key=lambda config: config.id)
    key.mcp.sort(key=lambda mcp: mcp.id)
