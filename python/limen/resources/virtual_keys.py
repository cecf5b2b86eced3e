"""Virtual keys: what a caller of the gateway holds. What a key does not name, it may not use.

The value is shown by create and rotate only; kept are its SHA-256 and its mask.
"""

from collections.abc import Callable, Collection, Sequence
from typing import Any, Final, cast

import msgspec

from limen.errors import fault
from limen.model import ListVirtualKeysResponse, VirtualKey, VirtualKeyQuotaResponse
from limen.resources import views
from limen.resources.base import Paging, Resource, filter_id, merged_limits, need, search
from limen.resources.book import Draft
from limen.resources.key_parts import mcp_shape, merge_mcp, merge_providers, number_parts, provider_shape
from limen.resources.limits import limit_fields
from limen.resources.pricing_overrides import erase_overrides
from limen.resources.reading import (
    MAX_ID,
    boolean,
    description,
    instant,
    integer,
    list_of,
    name,
    one_of,
    reference,
)
from limen.resources.records import (
    CustomerRow,
    FormerRow,
    Kind,
    TeamRow,
    VirtualKeyRow,
)
from limen.resources.routing_rules import erase_rules
from limen.resources.rows import former_rows
from limen.resources.shape import Body, Field, Null, Shape, nested
from limen.secret import digest, mask, new_virtual_key

MAX_GRACE_S: Final = 30 * 86_400
MAX_FORMER: Final = 16
_FIXED: Final = ("id", "value", "team", "customer", "budget_id", "rate_limit_id", "config_hash")
_grace = integer(0, MAX_GRACE_S)


def _shape(create: bool) -> Shape:
    fields = {
        "name": Field(name, Null.REFUSED),
        "description": Field(description, ""),
        "is_active": Field(boolean, Null.REFUSED),
        "expires_at": Field(instant, Null.VALUE),
        "provider_configs": Field(list_of(nested(provider_shape(create), create))),
        "mcp_configs": Field(list_of(nested(mcp_shape(create), create))),
        "team_id": Field(reference, Null.VALUE),
        "customer_id": Field(reference, Null.VALUE),
    }
    return Shape(fields | limit_fields(create), fixed=_FIXED)


def is_active(record: VirtualKeyRow, now: int) -> bool:
    """Whether the key is good now: neither switched off nor expired."""
    return record.active and (record.expires is None or now < record.expires)


class VirtualKeys(Resource[VirtualKeyRow, VirtualKey, ListVirtualKeysResponse]):
    """`engine.virtual_keys`."""

    kind = "virtual_key"
    noun = "virtual key"
    page = ListVirtualKeysResponse
    create_shape = _shape(True)
    update_shape = _shape(False)
    filters = {
        "search": search,
        "customer_id": filter_id,
        "team_id": filter_id,
        "sort_by": one_of("name", "budget_spent", "created_at", "status"),
        "order": one_of("asc", "desc"),
    }

    def merge(
        self, old: VirtualKeyRow | None, body: Body, at: str, draft: Draft, id: str, create: bool
    ) -> VirtualKeyRow | None:
        called = need(body, "name", old.name if old else None, at, draft.faults)
        record = old or VirtualKeyRow(
            id=id, created=draft.now, updated=draft.now, name=called or "", sha256=b"", mask=""
        )
        budgets, rate = merged_limits(old, body, at, draft, create)
        team, customer = self._owner(record, body, at, draft)
        providers, mcp = record.providers, record.mcp
        if "provider_configs" in body:
            providers = merge_providers(
                record, body["provider_configs"], f"{at}provider_configs", draft, create
            )
        if "mcp_configs" in body:
            mcp = merge_mcp(record.mcp, body["mcp_configs"], f"{at}mcp_configs", draft.faults)
        if called is None:
            return None
        return msgspec.structs.replace(
            record,
            name=called,
            description=body.get("description", record.description),
            active=body.get("is_active", record.active),
            expires=body.get("expires_at", record.expires),
            team_id=team,
            customer_id=customer,
            providers=list(providers),
            mcp=list(mcp),
            budgets=budgets,
            rate=rate,
        )

    def _owner(
        self, record: VirtualKeyRow, body: Body, at: str, draft: Draft
    ) -> tuple[str | None, str | None]:
        """A key belongs to a team or to a customer: attaching it to one takes it from the other."""
        team, customer = body.get("team_id"), body.get("customer_id")
        if team is not None and not draft.knows("team", team):
            draft.faults.add(f"{at}team_id", "there is no team with this id", "not_found")
        if customer is not None and not draft.knows("customer", customer):
            draft.faults.add(f"{at}customer_id", "there is no customer with this id", "not_found")
        if team is not None and customer is not None:
            draft.faults.add(f"{at}customer_id", "a key belongs to a team or to a customer, not to both")
        if team is None and customer is None:
            team = None if "team_id" in body else record.team_id
            customer = None if "customer_id" in body else record.customer_id
        return team, customer

    def recognise(self, old: VirtualKeyRow, body: Body) -> None:
        """The answers of create and rotate hold the value itself."""
        value = body.fixed.get("value")
        if (
            isinstance(value, str)
            and len(value) <= MAX_ID
            and value.isascii()
            and digest(value) == old.sha256
        ):
            del body.fixed["value"]

    def complete(self, record: VirtualKeyRow, draft: Draft) -> None:
        number_parts(record, draft)
        if not record.sha256:
            self._issue(record, draft)

    def _issue(self, record: VirtualKeyRow, draft: Draft) -> None:
        value = new_virtual_key()
        record.sha256, record.mask = digest(value), mask(value)
        draft.credentials[record.id] = [
            {"value": value, "sha256": None, "until_ms": None},
            *former_rows(record),
        ]

    def _told(self, record: VirtualKeyRow, draft: Draft) -> VirtualKey:
        answer = super()._told(record, draft)
        if record.id in draft.credentials:
            answer.value = cast("str", draft.credentials[record.id][0]["value"])
        return answer

    def rotate(self, id: str, grace: int = 0) -> VirtualKey:
        """A new value; the old one stays good for `grace` seconds, at most 30 days. Usage stays.

        ConflictError where 16 former values are still good.
        """
        with self.book.edit() as draft:
            record = self._kept(id)
            seconds = _grace(grace, "grace", draft.faults)
            draft.faults.check()
            record.former = [former for former in record.former if former.until > draft.now]
            if seconds:
                if len(record.former) == MAX_FORMER:
                    raise fault("conflict", f"{MAX_FORMER} former values are still good", "grace")
                record.former.append(FormerRow(record.sha256, draft.now + 1000 * seconds))
            self._issue(record, draft)
            record.updated = draft.now
            draft.put("virtual_key", record)
            draft.action = "rotate"
            draft.publish()
            return self._told(record, draft)

    def quota(self, id: str) -> VirtualKeyQuotaResponse:
        """What the holder of a key may see of it."""
        with self.book.reading():
            record = self.book.get("virtual_key", id)
            if record is None:
                raise fault("virtual_key_not_found")
            key = cast("VirtualKeyRow", record)
            budgets, rate = views.limits_of(self.book, key, views.hash_of(key))
            return VirtualKeyQuotaResponse(
                virtual_key_name=key.name,
                is_active=is_active(key, self.book.core.now_ms()),
                budgets=budgets,
                rate_limit=rate,
            )

    def show(self, record: VirtualKeyRow) -> VirtualKey:
        answer = views.virtual_key(self.book, record)
        answer.team = answer.customer = None
        if record.team_id is not None:
            answer.team = views.team(self.book, cast("TeamRow", self.book.get("team", record.team_id)))
        if record.customer_id is not None:
            owner = cast("CustomerRow", self.book.get("customer", record.customer_id))
            answer.customer = views.customer(self.book, owner)
        for shown, config in zip(answer.provider_configs, record.providers, strict=True):
            shown.keys = views.keys_of(self.book, config)
        return answer

    def title(self, record: VirtualKeyRow) -> str:
        return record.name

    def matches(self, record: VirtualKeyRow, wanted: dict[str, Any]) -> bool:
        customer, team = wanted.get("customer_id"), wanted.get("team_id")
        return (
            (customer is None or record.customer_id == customer)
            and (team is None or record.team_id == team)
            and super().matches(record, wanted)
        )

    def warn(self, record: VirtualKeyRow, draft: Draft) -> list[str]:
        found = []
        if record.expires is not None and record.expires <= draft.now:
            found.append("expires_at is in the past: the key is refused")
        if not record.providers and not record.mcp:
            found.append("provider_configs is empty: the key may use no provider")
        for index, config in enumerate(record.providers):
            if not config.models:
                found.append(f"provider_configs[{index}].allowed_models is empty: it allows no model")
            if config.key_ids == []:
                found.append(f"provider_configs[{index}].key_ids is empty: the provider is closed to the key")
        for index, mcp in enumerate(record.mcp):
            if not mcp.tools:
                found.append(f"mcp_configs[{index}].tools_to_execute is empty: it allows no tool")
        return found

    def erase(self, draft: Draft, id: str) -> None:
        erase_rules(draft, "virtual_key", id)
        erase_overrides(draft, "virtual_key", id)
        draft.drop("virtual_key", id)

    def _ids(self, wanted: dict[str, Any]) -> Collection[str]:
        owners: tuple[Kind, ...] = ("team", "customer")
        for owner in owners:
            if (id := wanted.get(f"{owner}_id")) is not None:
                return self.book.linked(owner, id, "virtual_key")
        return super()._ids(wanted)

    def _select(self, paging: Paging, wanted: dict[str, Any]) -> tuple[Sequence[VirtualKeyRow], int]:
        by, descending = wanted.pop("sort_by", None), wanted.pop("order", "asc") == "desc"
        if by is None and not descending:
            return super()._select(paging, wanted)
        every, _ = super()._select(Paging(None, 0), wanted)
        if by is None:
            return paging.cut(reversed(every))
        return paging.cut(sorted(every, key=self._sorting(by), reverse=descending))

    def _sorting(self, by: str) -> Callable[[VirtualKeyRow], tuple[Any, str]]:
        """The id stands behind every criterion, so that the order is total and pages never overlap."""
        if by == "name":
            return lambda record: (record.name, record.id)
        if by == "created_at":
            return lambda record: (record.created, record.id)
        if by == "status":
            now = self.book.core.now_ms()
            return lambda record: (not is_active(record, now), record.id)
        return lambda record: (self._spent(record), record.id)

    def _spent(self, record: VirtualKeyRow) -> int:
        return self.book.usage(record.budgets[0].id, "budget")[0] if record.budgets else 0
