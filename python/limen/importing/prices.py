"""Pricing overrides. In Bifrost a zero in a patch is a price; here `free` says that nothing is charged.

A patch of zeros for all that its request types can cost becomes `free`. Any other zero is left out, and said:
the price of that unit then stays the catalogue's, so that nothing becomes free by the way.
"""

import json
from decimal import Decimal
from typing import Any, Final, get_args

from limen.bodies import PricedType, PricingPatch
from limen.importing.entries import Entry
from limen.importing.limits import KEPT
from limen.importing.node import Fields, Node
from limen.importing.providers import Providers

_TYPES: Final = frozenset(get_args(PricedType))
_RATES: Final = PricingPatch.__struct_fields__
_INPUT: Final = "input_cost_per_token"
_BOTH: Final = frozenset({_INPUT, "output_cost_per_token"})
_ALL_OF_IT: Final = {
    "embedding": frozenset({_INPUT}),
    **dict.fromkeys(("chat_completion", "text_completion", "responses", "rerank"), _BOTH),
}
"""Rates that, being zero, leave nothing to pay for a request of the type."""
_ZERO: Final = "is zero, and is not all that such requests cost: the catalogue's price stays"


def pricing_override(node: Node, providers: Providers) -> Entry:
    """The entry of one override."""
    body = node.fields(id="id", name="name", scope_kind="scope_kind", virtual_key_id="virtual_key_id")
    body |= node.fields(provider_id="provider_id", provider_key_id="provider_key_id")
    body |= node.fields(match_type="match_type", pattern="pattern")
    entry = Entry("pricing_overrides", node, body)
    named = node.take("provider_key_name") or body.get("provider_key_id")
    if named is not None:
        body["provider_key_id"] = providers.key_id(None, named)
    types = _types(node)
    if types is not None:
        body["request_types"] = types
    body |= _price(entry, node, types if isinstance(types, list) else [])
    node.outside(KEPT, "config_hash", "created_at", "updated_at")
    return entry


def _types(node: Node) -> Any:
    listed = node.take("request_types")
    if not isinstance(listed, list):
        return listed
    found = []
    for index, item in enumerate(listed):
        base = item.removesuffix("_stream") if isinstance(item, str) else item
        if isinstance(base, str) and base not in _TYPES:
            node.leave_out("request_types", f"[{index}] is a type that has no price here")
        else:
            found.append(base)
    return list(dict.fromkeys(found)) if all(isinstance(one, str) for one in found) else found


def _price(entry: Entry, node: Node, types: list[Any]) -> Fields:
    patch = _patch(entry, node)
    if patch is None:
        return {}
    rates = {word: patch.take(word) for word in _RATES}
    given = {word: rate for word, rate in rates.items() if rate is not None}
    zeros = [word for word, rate in given.items() if _is_zero(rate)]
    if (
        zeros
        and len(zeros) == len(given)
        and all(set(zeros).issuperset(_ALL_OF_IT.get(one, _RATES)) for one in types)
    ):
        for word in zeros:
            patch.change(word, "is zero, as all is: free says so")
        return {"free": True}
    for word in zeros:
        patch.leave_out(word, _ZERO)
        del given[word]
    entry.origins["patch"] = patch.path
    return {"patch": given}


def _patch(entry: Entry, node: Node) -> Node | None:
    """The patch: an object, or (as Bifrost's schema has it) its JSON as text."""
    text = node.take("pricing_patch")
    if text is None:
        return node.node("patch")
    node.leave_out("patch", "stands beside pricing_patch, which is taken")
    try:
        value = json.loads(text, parse_float=Decimal) if isinstance(text, str) else None
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        entry.refuse(node.at("pricing_patch"), "is no JSON object as text")
        return None
    return Node(value, node.at("pricing_patch"), node.notes)


def _is_zero(rate: Any) -> bool:
    return isinstance(rate, int | float | Decimal) and not isinstance(rate, bool) and rate == 0
