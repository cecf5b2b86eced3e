"""Budgets and rate limits by themselves: every one with its live usage, and corrections of it.

They are made and changed through their owners; here usage is set to zero or corrected, for a stated reason.
"""

from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any, Final, cast

from limen.errors import Faults, LimenError, fault
from limen.model import Budget, ListBudgetsResponse, ListRateLimitsResponse, RateLimit, to_json, usd
from limen.resources.anchors import limit_rows
from limen.resources.base import read_filters
from limen.resources.book import Book
from limen.resources.limits import show_budget, show_rate
from limen.resources.reading import MAX_TEXT, correction, line
from limen.resources.records import KINDS, BudgetRow, Kind, Owner, ProviderConfigRow, RateRow, Record
from limen.resources.views import hash_of

_reason: Final = line(MAX_TEXT)


def _owners(record: Record) -> Iterator[Owner | ProviderConfigRow]:
    """The owners of limits in a record: itself, and the provider configs of a key."""
    if isinstance(record, Owner):
        yield record
        yield from getattr(record, "providers", ())


class _Limits:
    """What the two lists share: all records in order, and finding the owner of one limit."""

    noun: str

    def __init__(self, book: Book) -> None:
        self.book = book

    def _records(self) -> Iterator[Record]:
        for kind in KINDS:
            for id in self.book.records[kind]:
                yield cast("Record", self.book.get(kind, id))

    def _owner(self, id: object) -> Record:
        """The record that holds a limit. The index is made by the first question, and kept by every edit."""
        if not isinstance(id, str):
            raise fault("invalid_request", "must be text", "id")
        if self.book.owners is None:
            self.book.owners = {
                limit.id: (kind, owner)
                for kind in KINDS
                for owner in self.book.records[kind]
                for limit in limit_rows(self.book.get(kind, owner))
            }
        found: tuple[Kind, str] | None = self.book.owners.get(id)
        if found is None:
            raise self._unknown()
        return cast("Record", self.book.get(*found))

    def _unknown(self) -> Exception:
        return fault("not_found", f"there is no {self.noun} with this id", "id")

    def _keep(self) -> None:
        """A correction that was answered outlives a crash, as a change does.

        Where the disk refuses it stays to be written: it has been made, and is noted.
        """
        with suppress(LimenError):
            self.book.flush()


def _check_reason(reason: object) -> None:
    faults = Faults()
    _reason(reason, "reason", faults)
    faults.check()


class Budgets(_Limits):
    """`engine.budgets`."""

    noun = "budget"

    def list(self, **filters: Any) -> ListBudgetsResponse:
        """A page of all budgets, owner by owner. Filters: limit, offset."""
        paging, _ = read_filters(filters, {})
        with self.book.reading():
            rows, total = paging.cut(
                (row, record)
                for record in self._records()
                for owner in _owners(record)
                for row in owner.budgets
            )
            items = [show_budget(row, self.book.usage, hash_of(record)) for row, record in rows]
        return cast("ListBudgetsResponse", paging.page(ListBudgetsResponse, items, total))

    def get(self, id: str) -> Budget:
        """One budget. NotFoundError where there is none with this id."""
        with self.book.reading():
            return self._found(id)

    def reset(self, id: str, reason: str) -> Budget:
        """Usage to zero in the current window; what open permits hold stays."""
        _check_reason(reason)
        return self._corrected(
            "reset", id, reason, lambda used: 0, lambda: self.book.core.reset(id, "budget")
        )

    def credit(self, id: str, amount: Any, reason: str) -> Budget:
        """Lower the usage of the current window by dollars (negative: raise it), never below zero."""
        faults = Faults()
        nano_usd = correction(amount, "amount", faults)
        _reason(reason, "reason", faults)
        faults.check()
        return self._corrected(
            "credit",
            id,
            reason,
            lambda used: max(0, used - nano_usd),
            lambda: self.book.core.credit(id, nano_usd),
        )

    def _corrected(
        self, action: str, id: str, reason: str, after: Callable[[int], int], correct: Callable[[], None]
    ) -> Budget:
        with self.book.edit() as draft:
            self._found(id)
            used = self.book.usage(id, "budget")[0]
            amounts = [{"current_usage": usd(nano_usd)} for nano_usd in (used, after(used))]
            draft.note(action, "budget", id, to_json(amounts[0]), to_json({**amounts[1], "reason": reason}))
            # Noted first: once it is, nothing can keep the correction from being made.
            draft.publish()
            correct()
            found = self._found(id)
        self._keep()
        return found

    def _found(self, id: str) -> Budget:
        record = self._owner(id)
        row: BudgetRow | None = next(
            (row for owner in _owners(record) for row in owner.budgets if row.id == id), None
        )
        if row is None:
            raise self._unknown()
        return show_budget(row, self.book.usage, hash_of(record))


class RateLimits(_Limits):
    """`engine.rate_limits`."""

    noun = "rate limit"

    def list(self, **filters: Any) -> ListRateLimitsResponse:
        """A page of all rate limits, owner by owner. Filters: limit, offset."""
        paging, _ = read_filters(filters, {})
        with self.book.reading():
            rows, total = paging.cut(
                (owner.rate, record)
                for record in self._records()
                for owner in _owners(record)
                if owner.rate is not None
            )
            items = [show_rate(row, self.book.usage, hash_of(record)) for row, record in rows]
        return cast("ListRateLimitsResponse", paging.page(ListRateLimitsResponse, items, total))

    def get(self, id: str) -> RateLimit:
        """One rate limit. NotFoundError where there is none with this id."""
        with self.book.reading():
            row, record = self._found(id)
            return self._shown(row, record)

    def reset(self, id: str, reason: str) -> RateLimit:
        """Usage to zero in the current windows of tokens and requests; what open permits hold stays."""
        _check_reason(reason)
        with self.book.edit() as draft:
            row, record = self._found(id)
            limited = (("tokens", row.tokens), ("requests", row.requests))
            kinds = [kind for kind, most in limited if most is not None]
            used = {f"{kind[:-1]}_current_usage": self.book.usage(id, kind)[0] for kind in kinds}
            after = {**dict.fromkeys(used, 0), "reason": reason}
            draft.note("reset", "rate_limit", id, to_json(used), to_json(after))
            draft.publish()
            for kind in kinds:
                self.book.core.reset(id, kind)
            shown = self._shown(row, record)
        self._keep()
        return shown

    def _shown(self, row: RateRow, record: Record) -> RateLimit:
        return cast("RateLimit", show_rate(row, self.book.usage, hash_of(record)))

    def _found(self, id: str) -> tuple[RateRow, Record]:
        record = self._owner(id)
        for owner in _owners(record):
            if owner.rate is not None and owner.rate.id == id:
                return owner.rate, record
        raise self._unknown()
