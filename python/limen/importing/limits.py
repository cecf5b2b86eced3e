"""Budgets and rate limits: Bifrost keeps them in lists of their own, by id, or inside their owner.

An owner names its budgets (`budget_id`, `budget_ids`), or a budget names its owner (`team_id` and others), or
they stand in it (`budget`, `budgets`). Here they always stand in it.
"""

from typing import Any, Final, TypeAlias

from limen.importing.durations import written
from limen.importing.entries import Entry
from limen.importing.node import Fields, Node

Index: TypeAlias = dict[str | int, list[Node]]
OWNERS: Final = ("virtual_key_id", "provider_config_id", "team_id", "customer_id", "model_config_id")
COPY: Final = "is a copy of what has a list of its own"
KEPT: Final = "is kept by Bifrost for itself"
_USAGE: Final = "usage is no part of a configuration file: /api/governance/budgets/{id}/credit can set it"
_MORE: Final = ("override_amount", "override_mode", "override_cycles_remaining", "override_cycles_total")
_TIMES: Final = ("last_reset", "token_last_reset", "request_last_reset", "override_anchor_reset")
_COUNTS: Final = ("current_usage", "token_current_usage", "request_current_usage")


class Limits:
    """The two lists of a governance section, and who has what of them."""

    def __init__(self, governance: Node) -> None:
        self._budgets = governance.nodes("budgets")
        self._rates = governance.nodes("rate_limits")
        self._budget_by = {word: _index(self._budgets, word) for word in ("id", *OWNERS)}
        self._rate_by_id = _index(self._rates, "id")
        self._owner: dict[int, str] = {}

    def of(self, entry: Entry, owner: Node, word: str | None, aligned: bool, at: str = "") -> Fields:
        """What limits an owner, as part of its body at `at`; a budget names such an owner by `word`."""
        body: Fields = {}
        for index, node in enumerate(self._budgets_of(entry, owner, word)):
            entry.origins[f"{at}budgets[{index}]"] = node.path
            body.setdefault("budgets", []).append(_budget(entry, node, aligned))
        rate = self._rate_of(entry, owner)
        if rate is not None:
            entry.origins[f"{at}rate_limit"] = rate.path
            body["rate_limit"] = _rate_limit(entry, rate, aligned)
            if not body["rate_limit"]:
                del body["rate_limit"]
        return body

    def finish(self) -> None:
        """A limit that nobody has limits nothing."""
        for node in [*self._budgets, *self._rates]:
            if id(node) not in self._owner:
                node.refuse("limits nothing: no entry names it")

    def _budgets_of(self, entry: Entry, owner: Node, word: str | None) -> list[Node]:
        inside = owner.nodes("budgets")
        single = owner.node("budget")
        if single is not None and single.value.get("id") not in _ids(inside):
            inside.insert(0, single)
        named = owner.take("budget_ids")
        if named is not None and not isinstance(named, list):
            entry.refuse(owner.at("budget_ids"), "must be a list")
            named = None
        found: dict[int, Node] = {}
        for name in [owner.take("budget_id"), *(named or [])]:
            if name is not None and name not in _ids(inside):
                node = self._named(entry, owner, self._budget_by["id"], name, "budget")
                found |= {} if node is None else {id(node): node}
        if word is not None:
            mine = _at(self._budget_by[word], owner.value.get("id"))
            found |= {id(node): node for node in mine}
        for node in found.values():
            self._take(node, owner)
        return [*inside, *found.values()]

    def _rate_of(self, entry: Entry, owner: Node) -> Node | None:
        inside, name = owner.node("rate_limit"), owner.take("rate_limit_id")
        if inside is not None or name is None:
            return inside
        node = self._named(entry, owner, self._rate_by_id, name, "rate limit")
        if node is not None:
            self._take(node, owner)
        return node

    def _named(self, entry: Entry, owner: Node, there: Index, name: Any, kind: str) -> Node | None:
        found = _at(there, name)
        if len(found) == 1:
            return found[0]
        words = "stands twice in the file" if found else "is not in the file"
        entry.refuse(owner.path, f"names a {kind} whose id {words}")
        return None

    def _take(self, node: Node, owner: Node) -> None:
        first = self._owner.setdefault(id(node), owner.path)
        if first != owner.path:
            node.say(f"is shared by {first} and {owner.path}: here each has the whole of it for itself")


def _index(nodes: list[Node], word: str) -> Index:
    found: Index = {}
    for node in nodes:
        value = node.value.get(word)
        if isinstance(value, str | int):
            found.setdefault(value, []).append(node)
    return found


def _at(index: Index, name: Any) -> list[Node]:
    return index.get(name, []) if isinstance(name, str | int) else []


def _ids(nodes: list[Node]) -> list[Any]:
    return [node.value["id"] for node in nodes if node.value.get("id") is not None]


def _usual(node: Node) -> None:
    """What every limit has beside what it limits."""
    node.ignore("id", *OWNERS)
    node.outside(KEPT, *_TIMES, "config_hash", "created_at", "updated_at")
    for word in _COUNTS:
        if node.take(word):
            node.leave_out(word, _USAGE)


def _duration(entry: Entry, node: Node, word: str) -> Any:
    value = node.take(word)
    if not isinstance(value, str):
        return value
    try:
        found = written(value)
    except ValueError as error:
        entry.refuse(node.at(word), str(error))
        return None
    if found != value:
        node.change(word, f"is written as {found}")
    return found


def _budget(entry: Entry, node: Node, aligned: bool) -> Fields:
    _usual(node)
    for word in _MORE:
        if node.take(word):
            node.leave_out(word, "a budget has one maximum: it is the one without what was added to it")
    body = node.fields(max_limit="max_limit")
    per = _duration(entry, node, "reset_duration")
    if per is not None:
        body["reset_duration"] = per
    own = node.take("calendar_aligned")
    if (own is True or aligned) and isinstance(per, str) and per[-1] in "dwMY":
        body["calendar_aligned"] = True
    elif own is not None and not isinstance(own, bool):
        body["calendar_aligned"] = own
    return body


def _rate_limit(entry: Entry, node: Node, aligned: bool) -> Fields:
    _usual(node)
    node.outside(KEPT, "metric")
    body: Fields = {}
    own = node.take("calendar_aligned")
    for kind in ("token", "request"):
        most, per = f"{kind}_max_limit", f"{kind}_reset_duration"
        found = {most: node.take(most), per: _duration(entry, node, per)}
        body |= {word: value for word, value in found.items() if value is not None}
        if (own is True or aligned) and str(body.get(per))[-1] in "dwMY":
            node.change(per, "is not aligned to the calendar: here only budgets are, a rate limit rolls")
    return body
