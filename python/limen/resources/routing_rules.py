"""Routing rules: which requests of a scope go to which targets.

A rule belongs to one virtual key, team or customer, and goes with it when it is deleted, or to all (global).
"""

from collections.abc import Collection, Mapping, Sequence
from decimal import Context, Decimal
from functools import reduce
from typing import Any, Final, cast, get_args

import msgspec

from limen.bodies import RuleScope
from limen.errors import Faults, InvalidError
from limen.evaluation import RoutedTarget, RuleEvaluation, RuleStep, RuleVariables
from limen.model import ListRoutingRulesResponse, RoutingRule
from limen.resources import views
from limen.resources.base import Paging, Resource, filter_id, need, search
from limen.resources.book import Draft
from limen.resources.reading import (
    BAD,
    INT64,
    Bad,
    boolean,
    description,
    free_object,
    integer,
    line,
    list_of,
    name,
    one_of,
    optional_name,
    reference,
    weight,
)
from limen.resources.records import Kind, ProviderKeyRow, RoutingRuleRow, TargetRow
from limen.resources.shape import Body, Field, Null, Shape, nested

MAX_EXPRESSION: Final = 4096
_SCOPES: Final[tuple[RuleScope, ...]] = get_args(RuleScope)
_OWNERS: Final[tuple[Kind, ...]] = ("virtual_key", "team", "customer")
# Weights are summed as the decimals that they were sent as: 0.5 and 0.500000001 are off by 1e-9 exactly.
_EXACT: Final = Context(prec=60, traps=[])
_TOLERANCE: Final = Decimal("1e-9")
_text = line(513)


def expression(value: object, at: str, faults: Faults) -> str | Bad:
    """The source of an expression; an empty one is true."""
    text = description(value, at, faults)
    if isinstance(text, str) and len(text.encode()) > MAX_EXPRESSION:
        faults.add(at, f"must have at most {MAX_EXPRESSION} bytes")
        return BAD
    return text


def _fallback(value: object, at: str, faults: Faults) -> str | Bad:
    """`provider/model`, or `provider/` for the request's own model."""
    text = cast("str | Bad", _text(value, at, faults))
    if isinstance(text, str) and text.find("/") < 1:
        faults.add(at, "must be provider/model, or provider/ for the model of the request")
        return BAD
    return text


def _weight(value: object, at: str, faults: Faults) -> float | Bad:
    found = cast("float | Bad", weight(value, at, faults))
    if found == 0:
        faults.add(at, "must be above zero")
        return BAD
    return found


TARGET: Final = Shape(
    {
        "provider": Field(optional_name),
        "model": Field(optional_name),
        "key_id": Field(reference),
        "weight": Field(_weight, Null.REFUSED),
    },
    live=False,
)
_FIELDS: Final = {
    "name": Field(name, Null.REFUSED),
    "description": Field(description, ""),
    "enabled": Field(boolean, Null.REFUSED),
    "cel_expression": Field(expression, Null.REFUSED),
    "targets": Field(list_of(nested(TARGET, create=True))),
    "fallbacks": Field(list_of(_fallback)),
    "priority": Field(integer(-INT64 - 1, INT64), Null.REFUSED),
    "query": Field(free_object, Null.VALUE),
}


def erase_rules(draft: Draft, scope: Kind, id: str) -> None:
    """Remove the rules of a scope that is going."""
    for rule in draft.linked(scope, id, "routing_rule"):
        draft.drop("routing_rule", rule)


class RoutingRules(Resource[RoutingRuleRow, RoutingRule, ListRoutingRulesResponse]):
    """`engine.routing_rules`. Lists are in the order in which rules are looked at.

    That is by scope (virtual key, team, customer, global) and scope_id, then by priority, time and id.
    """

    kind = "routing_rule"
    noun = "routing rule"
    page = ListRoutingRulesResponse
    create_shape = Shape(
        {
            **_FIELDS,
            "scope": Field(one_of(*_SCOPES), Null.REFUSED),
            "scope_id": Field(reference),
        },
        fixed=("id",),
    )
    update_shape = Shape(_FIELDS, fixed=("id", "scope", "scope_id"))
    filters = {"search": search, "scope": one_of(*_SCOPES), "scope_id": filter_id}

    def merge(
        self, old: RoutingRuleRow | None, body: Body, at: str, draft: Draft, id: str, create: bool
    ) -> RoutingRuleRow | None:
        faults = draft.faults
        called = need(body, "name", old.name if old else None, at, faults)
        source = need(body, "cel_expression", old.cel if old else None, at, faults)
        if "cel_expression" in body and source is not None:
            _check(source, f"{at}cel_expression", draft)
        priority = need(body, "priority", old.priority if old else None, at, faults)
        scope = need(body, "scope", old.scope if old else None, at, faults)
        scope_id = _scope_id(body, scope, at, draft) if old is None else old.scope_id
        targets = need(body, "targets", old.targets if old else None, at, faults)
        if "targets" in body:
            targets = _read_targets(targets, f"{at}targets", faults)
        if called is None or source is None or priority is None or scope is None or targets is None:
            return None
        record = old or RoutingRuleRow(
            id=id,
            created=draft.now,
            updated=draft.now,
            name=called,
            cel=source,
            targets=targets,
            scope=scope,
            scope_id=scope_id,
            priority=priority,
        )
        return msgspec.structs.replace(
            record,
            name=called,
            description=body.get("description", record.description),
            enabled=body.get("enabled", record.enabled),
            cel=source,
            targets=targets,
            fallbacks=body.get("fallbacks", record.fallbacks),
            priority=priority,
            query=body.get("query", record.query),
        )

    def recognise(self, old: RoutingRuleRow, body: Body) -> None:
        """No scope_id may be said as the empty text."""
        if body.fixed.get("scope_id") == "":
            body.fixed["scope_id"] = None

    def show(self, record: RoutingRuleRow) -> RoutingRule:
        return views.routing_rule(self.book, record)

    def title(self, record: RoutingRuleRow) -> str:
        return record.name

    def matches(self, record: RoutingRuleRow, wanted: dict[str, Any]) -> bool:
        scope, scope_id = wanted.get("scope"), wanted.get("scope_id")
        return (
            (scope is None or record.scope == scope)
            and (scope_id is None or record.scope_id == scope_id)
            and super().matches(record, wanted)
        )

    def warn(self, record: RoutingRuleRow, draft: Draft) -> list[str]:
        found: list[str] = []
        for index, target in enumerate(record.targets):
            if target.provider is None:
                continue
            if not draft.knows("provider", target.provider):
                found.append(f"targets[{index}].provider is unknown: it has no keys and no limits")
            elif target.key_id is not None and not _is_key(target.key_id, target.provider, draft):
                found.append(f"targets[{index}].key_id is unknown: the provider has no such key")
        for index, fallback in enumerate(record.fallbacks):
            if not draft.knows("provider", fallback.partition("/")[0]):
                found.append(f"fallbacks[{index}] names an unknown provider: it has no keys and no limits")
        return found

    def evaluation(
        self, variables: Mapping[str, Any], steps: Sequence[tuple[str, str, str]], answer: Any
    ) -> RuleEvaluation:
        """What the core found in a dry run, with the rules under their names."""
        told = self.steps(steps)
        target = None
        if answer:
            target = RoutedTarget(provider=answer.provider, model=answer.model, key_id=answer.key_id)
        elif answer is not None:
            left_out = [f"{one.provider}/{one.model} ({one.reason})" for one in answer.excluded]
            told[-1].reason += f"; nobody can serve it: {', '.join(left_out) or answer.message}"
        return RuleEvaluation(
            matched=answer is not None,
            rule=None if answer is None else self.show(self._kept(told[-1].rule_id)),
            target=target,
            fallbacks=answer.fallbacks if answer else [],
            variables=RuleVariables(**variables),
            steps=told,
        )

    def steps(self, steps: Sequence[tuple[str, str, str]]) -> list[RuleStep]:
        """Rules that were looked at (id, result, reason), under their names."""
        told: list[RuleStep] = []
        for id, result, reason in steps:
            rule = self._kept(id)
            step = {"rule_id": id, "name": rule.name, "scope": rule.scope, "result": result, "reason": reason}
            told.append(msgspec.convert(step, RuleStep))
        return told

    def _ids(self, wanted: dict[str, Any]) -> Collection[str]:
        scope_id = wanted.get("scope_id")
        if scope_id is None:
            return super()._ids(wanted)
        return [id for owner in _OWNERS for id in self.book.linked(owner, scope_id, "routing_rule")]

    def _select(self, paging: Paging, wanted: dict[str, Any]) -> tuple[Sequence[RoutingRuleRow], int]:
        every, _ = super()._select(Paging(None, 0), wanted)
        return paging.cut(sorted(every, key=_place))


def _check(source: str, at: str, draft: Draft) -> None:
    """An expression that the core cannot take is a fault, with its place in the text."""
    try:
        draft.book.core.check_expression(source)
    except InvalidError as error:
        draft.faults.add(at, error.message)


def _place(rule: RoutingRuleRow) -> tuple[int, str, int, int, str]:
    return _SCOPES.index(rule.scope), rule.scope_id or "", rule.priority, rule.created, rule.id


def _scope_id(body: Body, scope: RuleScope | None, at: str, draft: Draft) -> str | None:
    """The id that a new rule's scope needs, or None where it needs none."""
    if scope is None:
        return None
    if scope == "global":
        if body.get("scope_id") is not None:
            draft.faults.add(f"{at}scope_id", "must be left out: the global scope has no id")
        return None
    found: str | None = need(body, "scope_id", None, at, draft.faults)
    if found is not None and not draft.knows(scope, found):
        draft.faults.add(f"{at}scope_id", f"there is no {scope.replace('_', ' ')} with this id", "not_found")
    return found


def _is_key(id: str, provider: str, draft: Draft) -> bool:
    record = cast("ProviderKeyRow | None", draft.get("provider_key", id))
    return record is not None and record.provider == provider


def _read_targets(entries: list[Body], at: str, faults: Faults) -> list[TargetRow]:
    """The targets of a body: at least one, none twice, their weights together 1."""
    if not entries:
        faults.add(at, "must have at least one entry")
    sound = all(entry.clean for entry in entries)
    found: dict[tuple[str | None, str | None, str | None], TargetRow] = {}
    for index, entry in enumerate(entries):
        path = f"{at}[{index}]"
        provider, model, key_id = entry.get("provider"), entry.get("model"), entry.get("key_id")
        share = need(entry, "weight", None, f"{path}.", faults)
        if not entry.clean:
            continue
        if key_id is not None and provider is None:
            faults.add(f"{path}.provider", "is required beside key_id")
        if (provider, model, key_id) in found:
            faults.add(path, "stands twice: a target has one weight")
        sound = sound and share is not None
        found[provider, model, key_id] = TargetRow(provider, model, key_id, share)
    if sound and entries:
        total = reduce(_EXACT.add, (Decimal(repr(entry["weight"])) for entry in entries))
        if abs(_EXACT.subtract(total, 1)) > _TOLERANCE:
            faults.add(at, f"must have weights that sum to 1, not to {total:.12g}")
    return list(found.values())
