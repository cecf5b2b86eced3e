"""Routing rules: expressions go over as they stand, targets name keys by their id."""

from typing import Any, Final

from limen.importing.entries import Entry
from limen.importing.limits import KEPT
from limen.importing.node import Fields, Node, Note
from limen.importing.providers import Providers

_CHAIN: Final = "rules are not chained here: the rule is switched off"
_DEFAULTS: Final = {"cel_expression": "", "scope": "global", "priority": 0}


def routing_rule(node: Node, providers: Providers) -> Entry:
    """The entry of one rule. What Bifrost lets out has its default."""
    body: Fields = {**_DEFAULTS, **node.fields(id="id", name="name", description="description")}
    body |= node.fields(enabled="enabled", cel_expression="cel_expression", scope="scope")
    body |= node.fields(scope_id="scope_id", priority="priority", query="query")
    entry = Entry("routing_rules", node, body)
    body["targets"] = [
        _target(entry, index, target, providers) for index, target in enumerate(node.nodes("targets"))
    ]
    single = node.fields(provider="provider", model="model")
    if single and not body["targets"]:
        body["targets"] = [{**single, "weight": 1}]
        node.notes.changed.append(
            Note(node.path, "has one provider and model, as old rules have: one target")
        )
    fallbacks = node.take("fallbacks")
    if fallbacks is not None:
        body["fallbacks"] = (
            [_fallback(one) for one in fallbacks] if isinstance(fallbacks, list) else fallbacks
        )
    if node.take("chain_rule"):
        node.leave_out("chain_rule", _CHAIN)
        body["enabled"] = False
    node.outside(KEPT, "config_hash", "created_at", "updated_at")
    return entry


def _target(entry: Entry, index: int, node: Node, providers: Providers) -> Fields:
    entry.origins[f"targets[{index}]"] = node.path
    body = node.fields(provider="provider", model="model", key_id="key_id", weight="weight")
    named = node.take("provider_key_name") or body.get("key_id")
    if named is not None:
        provider = body.get("provider")
        body["key_id"] = providers.key_id(provider if isinstance(provider, str) else None, named)
    node.ignore("rule_id")
    return body


def _fallback(value: Any) -> Any:
    """A provider alone means the model of the request: here that is said with a slash."""
    return f"{value}/" if isinstance(value, str) and "/" not in value else value
