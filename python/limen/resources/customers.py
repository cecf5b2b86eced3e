"""Customers: the widest owner of limits. Deleting one leaves its teams and keys, detached."""

from typing import Final, cast

import msgspec

from limen.model import Customer, ListCustomersResponse
from limen.resources import views
from limen.resources.base import Resource, detach, merged_limits, need
from limen.resources.book import Draft
from limen.resources.limits import limit_fields
from limen.resources.reading import name
from limen.resources.records import CustomerRow, TeamRow, VirtualKeyRow
from limen.resources.routing_rules import erase_rules
from limen.resources.shape import Body, Field, Null, Shape

_FIXED: Final = ("id", "budget_id", "rate_limit_id", "teams", "virtual_keys", "config_hash")


def _shape(create: bool) -> Shape:
    return Shape({"name": Field(name, Null.REFUSED), **limit_fields(create)}, fixed=_FIXED)


class Customers(Resource[CustomerRow, Customer, ListCustomersResponse]):
    """`engine.customers`."""

    kind = "customer"
    noun = "customer"
    page = ListCustomersResponse
    create_shape = _shape(True)
    update_shape = _shape(False)

    def merge(
        self, old: CustomerRow | None, body: Body, at: str, draft: Draft, id: str, create: bool
    ) -> CustomerRow | None:
        called = need(body, "name", old.name if old else None, at, draft.faults)
        budgets, rate = merged_limits(old, body, at, draft, create)
        if called is None:
            return None
        if old is None:
            return CustomerRow(
                id=id, created=draft.now, updated=draft.now, name=called, budgets=budgets, rate=rate
            )
        return msgspec.structs.replace(old, name=called, budgets=budgets, rate=rate)

    def show(self, record: CustomerRow) -> Customer:
        answer = views.customer(self.book, record)
        teams = self.book.linked("customer", record.id, "team")
        keys = self.book.linked("customer", record.id, "virtual_key")
        answer.teams = [views.team(self.book, cast("TeamRow", self.book.get("team", id))) for id in teams]
        answer.virtual_keys = [
            views.virtual_key(self.book, cast("VirtualKeyRow", self.book.get("virtual_key", id)))
            for id in keys
        ]
        return answer

    def title(self, record: CustomerRow) -> str:
        return record.name

    def erase(self, draft: Draft, id: str) -> None:
        detach(draft, "team", draft.linked("customer", id, "team"), customer_id=None)
        detach(draft, "virtual_key", draft.linked("customer", id, "virtual_key"), customer_id=None)
        erase_rules(draft, "customer", id)
        draft.drop("customer", id)
