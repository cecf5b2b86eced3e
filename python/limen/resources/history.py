"""`engine.history`: what was used of every limit, period by period.

Periods that have ended come from the keeper, the one that runs from the counters themselves. A sliding window
has no periods: of it there is what counts now.
"""

from collections.abc import Iterable, Iterator
from typing import Any, Final, cast, get_args

from limen.model import ListUsageResponse, UsagePeriod, usd
from limen.reports import Level
from limen.resources.base import filter_id, read_filters
from limen.resources.book import Book
from limen.resources.change import Named, Period, PeriodsSought
from limen.resources.counted import LIMIT_KINDS, Counted, counted
from limen.resources.reading import instant, moment, one_of
from limen.resources.records import KINDS, Record

LEVELS: Final[tuple[Level, ...]] = get_args(Level)
FILTERS: Final = {
    "level": one_of(*LEVELS),
    "owner_id": filter_id,
    "limit_id": filter_id,
    "from": instant,
    "to": instant,
}
_WORDS: Final = {"from": "since", "to": "until"}


class History:
    """The list of periods."""

    def __init__(self, book: Book) -> None:
        self.book = book

    def list(self, **filters: Any) -> ListUsageResponse:
        """A page: periods that run, then those that have ended, each the newest first.

        Filters: level, owner_id, limit_id, from, to (instants: shown is every period of which a part lies
        between them), limit, offset. One that ended a moment ago is here when the next flush has written it.
        """
        paging, wanted = read_filters(filters, FILTERS)
        sought = PeriodsSought(**{_WORDS.get(word, word): value for word, value in wanted.items()})
        with self.book.reading():
            now = self.book.core.now_ms()
            found = {one.key: one for one in self._counting()}
            running = sorted(self._running(found.values(), sought), key=lambda one: (-one.start, one.key))
            first, count = paging.cut(running)
        # Without the lock: there may be many.
        left = None if paging.limit is None else paging.limit - len(first)
        ended, more = self.book.keeper.periods(now, sought, left, max(0, paging.offset - count))
        shown = [_shown(period, found.get(period.key)) for period in (*first, *ended)]
        return cast("ListUsageResponse", paging.page(ListUsageResponse, shown, count + more))

    def named(self, number: int) -> Named | None:
        """Whose limit a number is; None where it exists no longer."""
        with self.book.lock:
            if self.book.limit_numbers is None:
                self.book.limit_numbers = {one.key // 4: one.named for one in self._counting()}
            return self.book.limit_numbers.get(number)

    def _running(self, counting: Iterable[Counted], sought: PeriodsSought) -> Iterator[Period]:
        wanted = [one for one in counting if _is_of(one.named, sought)]
        read = self.book.core.read([(one.named.limit_id, one.kind) for one in wanted])
        for one, (used, _, start, end) in zip(wanted, read, strict=True):
            if end > sought.since and start < sought.until:
                yield Period(one.key, start, end, one.most, used, one.named)

    def _counting(self) -> Iterator[Counted]:
        for kind in KINDS:
            for id in self.book.records[kind]:
                yield from counted(kind, cast("Record", self.book.get(kind, id)))


def _is_of(named: Named, sought: PeriodsSought) -> bool:
    words = ("level", "owner_id", "limit_id")
    return all(getattr(sought, word) in (None, getattr(named, word)) for word in words)


def _shown(period: Period, counted: Counted | None) -> UsagePeriod:
    kind = LIMIT_KINDS[period.key % 4]
    amount = usd if kind == "budget" else int
    most = counted.most if period.most is None and counted is not None else period.most
    return UsagePeriod(
        level=cast("Level", period.named.level),
        owner_id=period.named.owner_id,
        limit_id=period.named.limit_id,
        kind=kind,
        period_start=moment(period.start),
        period_end=moment(period.end),
        limit=None if most is None else amount(most),
        used=amount(period.used),
    )
