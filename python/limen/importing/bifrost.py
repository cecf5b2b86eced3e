"""A config.json of Bifrost as a configuration file of ours: which section becomes what.

>>> found = read_bifrost({"governance": {"customers": [{"id": "c", "name": "acme", "colour": "red"}]}})
>>> found.document["customers"], found.notes.left_out[0].path
([{'id': 'c', 'name': 'acme'}], 'governance.customers[0].colour')
"""

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from limen.errors import fault
from limen.importing.entries import Entry, loadable
from limen.importing.keys import Keys
from limen.importing.limits import COPY, KEPT, Limits
from limen.importing.node import Fields, Node, Note, Notes
from limen.importing.prices import pricing_override
from limen.importing.providers import Providers
from limen.importing.rules import routing_rule
from limen.importing.secrets import Secrets

_ELSEWHERE: Final = "is no part of governance"
_ENTERPRISE: Final = "is not known here: what it limits is no longer limited by it"
_ADMIN: Final = (
    "credentials of administrators are LIMEN_ADMIN_USER and LIMEN_ADMIN_PASSWORD in the environment"
)
_SCOPED: Final = "limits a model for one key or user, which limen does not"
_BOOKS: Final = ("config_hash", "created_at", "updated_at", "virtual_key_count")
_ENFORCED: Final = ("enforce_auth_on_inference", "enforce_governance_header")


class Imported(NamedTuple):
    """The configuration file, how many entries each section of it has, and what became of the rest."""

    document: Fields
    counts: dict[str, int]
    notes: Notes


def read_bifrost(value: Any, confirm: bool = False) -> Imported:
    """The whole of a config.json. InvalidError where it is none.

    `confirm` takes prices however far off the catalogue's they are.
    """
    if not isinstance(value, Mapping) or not {"governance", "providers"} & set(value):
        raise fault(
            "invalid_request", "has neither governance nor providers: it is no config.json of Bifrost"
        )
    notes = Notes()
    document = Node(value, "", notes)
    old = _is_old(document)
    secrets = Secrets()
    providers = Providers(document, secrets, old)
    governance = document.node("governance") or Node({}, "governance", notes)
    entries = _entries(document, governance, providers, secrets, old)
    settings = _settings(document, notes)
    if secrets.variables:
        settings["secret_env"] = sorted(secrets.variables)
    _name_the_rest(document, governance)
    notes.finish()
    found = loadable(entries, settings, notes, confirm)
    counts = {word: len(listed) for word, listed in found.items() if isinstance(listed, list)}
    return Imported(found, counts, notes)


def _entries(
    document: Node, governance: Node, providers: Providers, secrets: Secrets, old: bool
) -> list[Entry]:
    limits = Limits(governance)
    reading = Keys(document, providers, limits, secrets, old)
    customers = [_customer(node, limits) for node in governance.nodes("customers")]
    teams = [_team(node, limits) for node in governance.nodes("teams")]
    for node in governance.nodes("providers"):
        providers.limit(node, limits)
    keys = [reading.entry(node) for node in governance.nodes("virtual_keys")]
    models = _model_configs(governance, limits, providers, keys)
    rules = [routing_rule(node, providers) for node in governance.nodes("routing_rules")]
    overrides = [pricing_override(node, providers) for node in governance.nodes("pricing_overrides")]
    limits.finish()
    named = [*providers.entries.values(), *customers, *teams, *providers.key_entries, *keys]
    return [*named, *models, *rules, *overrides]


def _is_old(document: Node) -> bool:
    """Whether empty lists allow all, as before v1.5.0; a file says so by `version: 1`."""
    version = document.take("version")
    if version is not None and version not in (1, 2):
        document.leave_out(
            "version", "is not known: the file is read as version 2, where empty allows nothing"
        )
    return version == 1 and not isinstance(version, bool)


def _customer(node: Node, limits: Limits) -> Entry:
    entry = Entry("customers", node, node.fields(id="id", name="name"))
    entry.body |= limits.of(entry, node, "customer_id", node.take("calendar_aligned") is True)
    if node.take("access_profile"):
        node.leave_out("access_profile", _ENTERPRISE)
    node.outside(COPY, "teams", "virtual_keys")
    node.outside(KEPT, *_BOOKS)
    return entry


def _team(node: Node, limits: Limits) -> Entry:
    body = node.fields(id="id", name="name", customer_id="customer_id")
    body |= node.fields(profile="profile", config="config", claims="claims")
    entry = Entry("teams", node, body)
    entry.body |= limits.of(entry, node, "team_id", node.take("calendar_aligned") is True)
    node.leave_out("business_unit_id", _ENTERPRISE)
    node.leave_out("source_id", "is not kept of a team: name it in claims")
    node.outside(COPY, "customer", "virtual_keys")
    node.outside(KEPT, *_BOOKS)
    return entry


def _model_configs(governance: Node, limits: Limits, providers: Providers, keys: list[Entry]) -> list[Entry]:
    """Limits of models. Those of all models of a provider are the provider's; none are of one key alone."""
    by_id = {key.body.get("id"): key for key in keys if isinstance(key.body.get("id"), str)}
    found = []
    for node in governance.nodes("model_configs"):
        body = node.fields(id="id", model_name="model_name", provider="provider")
        scope, owner, aligned = map(node.take, ("scope", "scope_id", "calendar_aligned"))
        every = body.get("model_name") == "*"
        node.outside(KEPT, *_BOOKS, "scope_name")
        if scope not in (None, "", "global"):
            key = by_id.get(owner) if isinstance(owner, str) and scope == "virtual_key" else None
            node.refuse(_SCOPED if key is None else f"{_SCOPED}: {key.path} is switched off")
            if key is not None:
                key.body["is_active"] = False
        elif every and "provider" not in body:
            node.refuse("limits all models of all providers together, which limen does not")
        elif every:
            providers.add(body["provider"], node, limits, "model_config_id", aligned is True)
        else:
            entry = Entry("model_configs", node, body)
            entry.body |= limits.of(entry, node, "model_config_id", aligned is True)
            found.append(entry)
    return found


def _settings(document: Node, notes: Notes) -> Fields:
    """Whether a request needs a key. Bifrost lets one without a key pass unless it is told otherwise."""
    client = document.node("client")
    asked = [client.take(word) for word in _ENFORCED] if client is not None else []
    if client is not None:
        client.rest_outside(_ELSEWHERE)
    given = [value for value in asked if isinstance(value, bool)]
    if given:
        return {"require_virtual_key": any(given)}
    words = "is left out, and would let requests without a key pass: limen refuses them (require_virtual_key)"
    notes.changed.append(Note(f"client.{_ENFORCED[0]}", words))
    return {}


def _name_the_rest(document: Node, governance: Node) -> None:
    for node in (document, governance):
        auth = node.take("auth_config")
        if isinstance(auth, Mapping) and auth.get("is_enabled") is True:
            node.leave_out("auth_config", _ADMIN)
        else:
            node.outside("is switched off", "auth_config")
    governance.outside(_ELSEWHERE, "roles")
    governance.leave_out("business_units", _ENTERPRISE)
    governance.leave_out("complexity_analyzer_config", "requests are not rated by complexity here")
    document.ignore("$schema")
    document.leave_out("access_profiles", _ENTERPRISE)
    document.rest_outside(_ELSEWHERE)
