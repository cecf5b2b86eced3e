"""Virtual keys, with what they allow. A value goes over as its SHA-256: the written file holds none."""

from collections.abc import Mapping
from typing import Any, Final

from limen.importing.entries import Entry
from limen.importing.limits import COPY, KEPT, Limits
from limen.importing.node import Fields, Node, Note
from limen.importing.providers import Providers, without
from limen.importing.secrets import ENV, Secrets, variable
from limen.secret import digest

_ANY: Final = ["*"]
_NO_VALUE: Final = "is not in the file: nobody knows the key's value here until it is rotated"
_PROFILE: Final = "access profiles are not known here: the key is switched off, for its limits were there"
_TOOLS: Final = "says how tools are called: that is the gateway's business"


class Keys:
    """Reads virtual keys. `old` is version 1 of the file: what is left out or empty in it allows all."""

    def __init__(
        self, document: Node, providers: Providers, limits: Limits, secrets: Secrets, old: bool
    ) -> None:
        self._providers = providers
        self._limits = limits
        self._secrets = secrets
        self._old = old
        mcp = document.value.get("mcp")
        clients = mcp.get("client_configs") if isinstance(mcp, Mapping) else None
        listed = clients if isinstance(clients, list) else []
        self._clients = [one.get("name") for one in listed if isinstance(one, Mapping)]
        document.outside(_TOOLS, "mcp")

    def entry(self, node: Node) -> Entry:
        body = node.fields(id="id", name="name", description="description", is_active="is_active")
        body |= node.fields(expires_at="expires_at", team_id="team_id", customer_id="customer_id")
        entry = Entry("virtual_keys", node, body)
        self._value(entry, node)
        aligned = node.take("calendar_aligned") is True
        body |= self._limits.of(entry, node, "virtual_key_id", aligned)
        body["provider_configs"] = [
            self._config(entry, index, config, aligned)
            for index, config in enumerate(node.nodes("provider_configs"))
        ]
        tools = [self._tools(config) for config in node.nodes("mcp_configs")]
        body["mcp_configs"] = [config for config in tools if config is not None]
        if self._old:
            self._allow_all(node, body)
        if node.take("access_profile_id") is not None:
            node.leave_out("access_profile_id", _PROFILE)
            body["is_active"] = False
        node.outside(KEPT, "config_hash", "created_at", "updated_at")
        node.outside(COPY, "team", "customer")
        return entry

    def _value(self, entry: Entry, node: Node) -> None:
        value = self._secrets.take(node, "value")
        if value is None:
            if node.value.get("value") is None:
                node.notes.left_out.append(Note(node.at("value"), _NO_VALUE))
        elif not isinstance(value, str) or not value.isascii():
            entry.refuse(node.at("value"), "must be text in ASCII")
        elif not value.startswith(ENV):
            entry.body["value_sha256"] = digest(value).hex()
        elif variable(value) is None:
            entry.refuse(node.at("value"), "must be env. and the name of a variable")
        else:
            entry.body["value"] = value

    def _config(self, entry: Entry, index: int, node: Node, aligned: bool) -> Fields:
        at = f"provider_configs[{index}]"
        entry.origins[at] = node.path
        body = node.fields(provider="provider", weight="weight", allowed_models="allowed_models")
        if not body.get("allowed_models"):
            body["allowed_models"] = _ANY if self._old else []
        blocked = node.take("blacklisted_models")
        if blocked:
            closed = "the provider is closed to the key"
            body["allowed_models"] = without(node, body["allowed_models"], blocked, closed)
        body["key_ids"] = self._key_ids(node, body.get("provider"))
        body |= self._limits.of(entry, node, "provider_config_id", aligned, f"{at}.")
        node.ignore("id", "virtual_key_id")
        return body

    def _key_ids(self, node: Node, provider: Any) -> Any:
        """The keys that may serve: their ids, in answers of Bifrost's API whole keys, once `allowed_keys`."""
        named, former, whole = map(node.take, ("key_ids", "allowed_keys", "keys"))
        named = named or former
        if not named and isinstance(whole, list):
            named = [key.get("key_id") or key.get("name") for key in whole if isinstance(key, Mapping)]
        if node.take("allow_all_keys") is True:
            return _ANY
        if not named:
            return _ANY if self._old else []
        if not isinstance(named, list) or not isinstance(provider, str):
            return named
        return [self._providers.key_id(provider, name) for name in named]

    def _tools(self, node: Node) -> Fields | None:
        name, client = node.take("mcp_client_name"), node.take("mcp_client")
        if name is None and isinstance(client, Mapping):
            name = client.get("name")
        node.ignore("id", "virtual_key_id", "mcp_client_id")
        tools = node.take("tools_to_execute") or (_ANY if self._old else [])
        if name is None:
            node.say("names its client by a number of Bifrost's: its tools are not allowed")
            return None
        return {"mcp_client_name": name, "tools_to_execute": tools}

    def _allow_all(self, node: Node, body: Fields) -> None:
        """Version 1: a key that names no provider, or no client, may use all of them."""
        if not node.value.get("provider_configs"):
            names = self._providers.names()
            body["provider_configs"] = [
                {"provider": name, "allowed_models": _ANY, "key_ids": _ANY} for name in names
            ]
            reason = "is empty, which is every provider of the file in version 1"
            node.notes.changed.append(Note(node.at("provider_configs"), reason))
        if not node.value.get("mcp_configs") and self._clients:
            body["mcp_configs"] = [
                {"mcp_client_name": name, "tools_to_execute": _ANY} for name in self._clients
            ]
            reason = "is empty, which is every client of the file in version 1"
            node.notes.changed.append(Note(node.at("mcp_configs"), reason))
