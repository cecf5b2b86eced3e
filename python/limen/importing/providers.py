"""Providers and their keys: the `providers` section, and the limits that governance adds to it.

How a provider is called (addresses, timeouts, proxies, aliases of models) is the gateway's business, and
stays with it.
"""

from collections.abc import Iterator
from typing import Any, Final

from limen.importing.entries import Entry
from limen.importing.limits import KEPT, Limits
from limen.importing.node import Fields, Node, Note
from limen.importing.secrets import Secrets

GATEWAY: Final = "says how a provider is called: that is the gateway's business"
NO_VALUE: Final = "-"
_NESTED: Final = {
    "azure_key_config": ("endpoint", "api_version", "client_id", "client_secret", "tenant_id"),
    "vertex_key_config": ("project_id", "project_number", "region", "auth_credentials"),
    "bedrock_key_config": ("access_key", "secret_key", "session_token", "region", "arn"),
}
_ANY: Final = ["*"]


class Providers:
    """The providers of a file, by name, and the names of their keys."""

    def __init__(self, document: Node, secrets: Secrets, old: bool) -> None:
        self._secrets = secrets
        self._old = old
        self._keys: dict[tuple[str | None, str], str] = {}
        self.entries: dict[str, Entry] = {}
        self.key_entries: list[Entry] = []
        section = document.node("providers")
        for name in section.value if section is not None else ():
            node = section.node(name) if section is not None else None
            if node is None:
                continue
            self.entries[name] = Entry("providers", node, {"name": name})
            for key in node.nodes("keys"):
                self.key_entries.append(self._key(name, key))
            node.rest_outside(GATEWAY)

    def names(self) -> Iterator[str]:
        return iter(self.entries)

    def key_id(self, provider: str | None, named: Any) -> Any:
        """The id of a key that is named by its id or its name; what is unknown stays as it is.

        Without a provider, any key of that name: they are unique in Bifrost.
        """
        return self._keys.get((provider, named), named) if isinstance(named, str) else named

    def limit(self, node: Node, limits: Limits) -> None:
        """The limits of a provider."""
        self.add(node.take("name"), node, limits, None, False)
        node.ignore("id")
        node.outside(KEPT, "config_hash", "created_at", "updated_at")
        node.rest_outside(GATEWAY)

    def add(self, name: Any, node: Node, limits: Limits, word: str | None, aligned: bool) -> None:
        """Limits of one provider: a provider has one budget of a period, and one rate limit."""
        entry = self.entries.get(name) if isinstance(name, str) else None
        if entry is None or "budgets" in entry.body or "rate_limit" in entry.body:
            fresh = Entry("providers", node, {} if name is None else {"name": name})
            if entry is not None:
                fresh.refuse(node.path, "is a second set of limits of this provider: it has one")
            key = name if isinstance(name, str) and entry is None else node.path
            self.entries[key] = entry = fresh
        entry.body |= limits.of(entry, node, word, aligned)

    def _key(self, provider: str, node: Node) -> Entry:
        id, key_id, name = map(node.take, ("id", "key_id", "name"))
        # An answer of Bifrost's API has a number as id, and the text in key_id.
        id = id if isinstance(id, str) and key_id is None else key_id
        body: Fields = {"id": id or name, "provider": provider, "name": name or id}
        body |= node.fields(models="models", weight="weight", enabled="enabled")
        body |= node.fields(use_for_batch_api="use_for_batch_api")
        entry = Entry("provider_keys", node, body)
        if not body.get("models"):
            body["models"] = _ANY if self._old else []
        for called in (id, name):
            if isinstance(called, str) and isinstance(body["id"], str):
                self._keys.setdefault((provider, called), body["id"])
                self._keys.setdefault((None, called), body["id"])
        self._fill(entry, node)
        blocked = node.take("blacklisted_models")
        if blocked:
            body["models"] = without(node, body["models"], blocked, "the key serves none")
        node.outside(GATEWAY, "aliases", "description")
        node.outside(KEPT, "config_hash", "created_at", "updated_at", "status", "provider", "provider_id")
        for word in [word for word in node.value if word.endswith("_key_config")]:
            node.outside(GATEWAY, word) if word not in _NESTED else None
        return entry

    def _fill(self, entry: Entry, node: Node) -> None:
        """The secrets of a key. limen asks for a value; where a provider needs none, a dash stands there."""
        secrets = {"value": self._secrets.take(node, "value")}
        for nested, words in _NESTED.items():
            prefix = nested.removesuffix("key_config")
            inner = node.node(nested)
            for word in words:
                ours = prefix + word
                secrets[ours] = self._secrets.take(node, ours)
                if inner is not None and inner.value.get(word) is not None:
                    entry.origins[ours] = inner.at(word)
                    secrets[ours] = self._secrets.take(inner, word)
            if inner is not None:
                inner.rest_outside(GATEWAY)
        if secrets["value"] is None:
            secrets["value"] = NO_VALUE
            node.notes.changed.append(Note(node.path, "has no value of its own: a dash stands there"))
        entry.body |= {word: value for word, value in secrets.items() if value is not None}


def without(node: Node, allowed: Any, blocked: Any, closed: str) -> Any:
    """A list of what is allowed without the node's blacklisted_models; none where that cannot be said."""
    sound = isinstance(allowed, list) and isinstance(blocked, list)
    if not sound or "*" in allowed or "*" in blocked:
        node.leave_out("blacklisted_models", f"cannot be taken out of all models: {closed}")
        return []
    node.change("blacklisted_models", "is taken out of what is allowed")
    return [name for name in allowed if name not in blocked]
