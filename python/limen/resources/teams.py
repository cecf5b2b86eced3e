"""Teams: between keys and customers. Deleting one leaves its keys, detached."""

from typing import Any, Final, cast

import msgspec

from limen.model import ListTeamsResponse, Team
from limen.resources import views
from limen.resources.base import Resource, detach, filter_id, merged_limits, need, search
from limen.resources.book import Draft
from limen.resources.limits import limit_fields
from limen.resources.reading import free_object, name, reference
from limen.resources.records import CustomerRow, TeamRow, VirtualKeyRow
from limen.resources.routing_rules import erase_rules
from limen.resources.shape import Body, Field, Null, Shape

_FIXED: Final = ("id", "budget_id", "rate_limit_id", "customer", "virtual_keys", "config_hash")


def _shape(create: bool) -> Shape:
    fields = {
        "name": Field(name, Null.REFUSED),
        "customer_id": Field(reference, Null.VALUE),
        "profile": Field(free_object, {}),
        "config": Field(free_object, {}),
        "claims": Field(free_object, {}),
    }
    return Shape(fields | limit_fields(create), fixed=_FIXED)


class Teams(Resource[TeamRow, Team, ListTeamsResponse]):
    """`engine.teams`."""

    kind = "team"
    noun = "team"
    page = ListTeamsResponse
    create_shape = _shape(True)
    update_shape = _shape(False)
    filters = {"search": search, "customer_id": filter_id}

    def merge(
        self, old: TeamRow | None, body: Body, at: str, draft: Draft, id: str, create: bool
    ) -> TeamRow | None:
        called = need(body, "name", old.name if old else None, at, draft.faults)
        budgets, rate = merged_limits(old, body, at, draft, create)
        customer = body.get("customer_id", old.customer_id if old else None)
        if customer is not None and not draft.knows("customer", customer):
            draft.faults.add(f"{at}customer_id", "there is no customer with this id", "not_found")
        if called is None:
            return None
        record = old or TeamRow(id=id, created=draft.now, updated=draft.now, name=called)
        return msgspec.structs.replace(
            record,
            name=called,
            customer_id=customer,
            budgets=budgets,
            rate=rate,
            profile=body.get("profile", record.profile),
            config=body.get("config", record.config),
            claims=body.get("claims", record.claims),
        )

    def show(self, record: TeamRow) -> Team:
        answer = views.team(self.book, record)
        answer.customer = None
        if record.customer_id is not None:
            owner = cast("CustomerRow", self.book.get("customer", record.customer_id))
            answer.customer = views.customer(self.book, owner)
        answer.virtual_keys = [
            views.virtual_key(self.book, cast("VirtualKeyRow", self.book.get("virtual_key", id)))
            for id in self.book.linked("team", record.id, "virtual_key")
        ]
        return answer

    def title(self, record: TeamRow) -> str:
        return record.name

    def matches(self, record: TeamRow, wanted: dict[str, Any]) -> bool:
        owner = wanted.get("customer_id")
        return (owner is None or record.customer_id == owner) and super().matches(record, wanted)

    def erase(self, draft: Draft, id: str) -> None:
        detach(draft, "virtual_key", draft.linked("team", id, "virtual_key"), team_id=None)
        erase_rules(draft, "team", id)
        draft.drop("team", id)
