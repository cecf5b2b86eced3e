"""`engine.audit`: who changed what, newest first.

An entry is kept with the change that it speaks of, or neither is.
"""

from decimal import Decimal
from typing import Any, Final, cast

import msgspec

from limen.model import AuditEntry, ListAuditResponse
from limen.resources.base import filter_id, read_filters
from limen.resources.book import Book
from limen.resources.change import Entry, Sought
from limen.resources.reading import moment

# Numbers with a point stay exact: they are dollars.
_DECODER: Final = msgspec.json.Decoder(float_hook=Decimal)


class Audit:
    """The list of changes."""

    def __init__(self, book: Book) -> None:
        self.book = book

    def list(self, **filters: Any) -> ListAuditResponse:
        """A page, newest first. Filters: entity, id, actor, action, limit, offset."""
        paging, wanted = read_filters(filters, dict.fromkeys(Sought._fields, filter_id))
        with self.book.reading():
            found, total = self.book.keeper.audit(Sought(**wanted), paging.limit, paging.offset)
        return cast(
            "ListAuditResponse", paging.page(ListAuditResponse, [_shown(row) for row in found], total)
        )


def _shown(row: Entry) -> AuditEntry:
    return AuditEntry(
        at=moment(row.at),
        actor=row.actor,
        action=row.action,
        entity=row.entity,
        id=row.id,
        before=None if row.before is None else _DECODER.decode(row.before),
        after=None if row.after is None else _DECODER.decode(row.after),
    )
