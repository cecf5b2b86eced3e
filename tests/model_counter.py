"""One limit as a log: every admission and every charge is an entry with its instant, nothing is summed up.

What counts is asked of the log each time: an entry counts at `now` if its instant lies in the window that
holds `now`. So a roll is no event, a hold knows its own entry, and a give-back cannot land elsewhere.
Where more came in one window (sliding: one sub-window) than can be counted, it stays full until it ends.

    minute = Counter("rl", "requests", 2, "1m", "fixed", now=0)
    minute.add(59_000, used=2)      # two requests in the window [0, 60000)
    minute.used(59_999)             # 2
    minute.used(60_000)             # 0, although nothing happened at 60,000
"""

from __future__ import annotations

import calendar
from collections.abc import Iterable
from copy import copy
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

I64_MAX = 2**63 - 1
SLOT_MAX = 2**46 - 1
SECONDS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400, "w": 604_800, "M": 30 * 86_400, "Y": 365 * 86_400}
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def duration_ms(per: str) -> int:
    """The length of a rolling window."""
    return int(per[:-1]) * SECONDS[per[-1]] * 1_000


def instant_ms(moment: datetime) -> int:
    return calendar.timegm(moment.utctimetuple()) * 1_000


def calendar_bounds(per: str, now: int) -> tuple[int, int]:
    """Start and end of the calendar period of `n` units that holds `now`."""
    n, unit = int(per[:-1]), per[-1]
    day = EPOCH + timedelta(days=now // 86_400_000)
    if unit in "dw":
        first = EPOCH if unit == "d" else datetime(1970, 1, 5, tzinfo=UTC)
        length = timedelta(days=n * (1 if unit == "d" else 7))
        start = first + (day - first) // length * length
        return instant_ms(start), instant_ms(start + length)
    if unit == "M":
        month = (day.year * 12 + day.month - 1) // n * n
        starts = [datetime(at // 12, at % 12 + 1, 1, tzinfo=UTC) for at in (month, month + n)]
    else:
        year = day.year // n * n
        starts = [datetime(at, 1, 1, tzinfo=UTC) for at in (year, year + n)]
    return instant_ms(starts[0]), instant_ms(starts[1])


@dataclass(eq=False)
class Entry:
    """What one admission or one charge put into a counter, and whether an edit dropped it since."""

    at: int
    used: int = 0
    held: int = 0
    dropped: bool = False


class Counter:
    """A limit of `limit` units in a `fixed`, `calendar` or `sliding` window of `per`, created at `now`."""

    def __init__(
        self, limit_id: str, kind: str, limit: int, per: str, window: str, now: int, buckets: int = 60
    ) -> None:
        self.limit_id, self.kind, self.limit, self.per, self.window = limit_id, kind, limit, per, window
        self.buckets = buckets
        self.anchor = now
        self.newest = now
        self.entries: list[Entry] = []
        self.overflown: dict[str, set[int]] = {"taken": set(), "used": set()}

    # The window

    def time(self, now: int) -> int:
        """Time never runs backwards for a counter."""
        return max(now, self.newest)

    def bounds(self, t: int) -> tuple[int, int]:
        """Start and end of the fixed or calendar window that holds `t`."""
        if self.window == "calendar":
            return calendar_bounds(self.per, t)
        length = duration_ms(self.per)
        start = self.anchor + (t - self.anchor) // length * length
        return start, start + length

    def ring(self) -> tuple[int, int]:
        """Length of a sub-window, and how many of them after its own an entry still counts."""
        length = duration_ms(self.per)
        sub = -(-length // self.buckets)
        return sub, -(-length // sub)

    def leaves_at(self, entry: Entry) -> int:
        """The first instant at which the entry no longer counts."""
        if self.window != "sliding":
            return self.bounds(entry.at)[1]
        sub, count = self.ring()
        return (entry.at // sub + count + 1) * sub

    def counts(self, entry: Entry, now: int) -> bool:
        return not entry.dropped and self.time(now) < self.leaves_at(entry)

    # What it shows

    def sums(self, of: str, now: int) -> dict[int, int]:
        """What is `taken` or `used` in each window that counts, by its end."""
        sums: dict[int, int] = {}
        for e in self.entries:
            if self.counts(e, now):
                end = self.leaves_at(e)
                sums[end] = sums.get(end, 0) + e.used + (e.held if of == "taken" else 0)
        return sums

    def shown(self, of: str, now: int) -> dict[int, int]:
        full = SLOT_MAX if self.window == "sliding" else I64_MAX
        return {
            end: full if end in self.overflown[of] else amount for end, amount in self.sums(of, now).items()
        }

    def note_overflow(self) -> None:
        fits = SLOT_MAX - 1 if self.window == "sliding" else I64_MAX
        for of, ends in self.overflown.items():
            ends |= {end for end, amount in self.sums(of, self.newest).items() if amount > fits}

    def used(self, now: int) -> int:
        return sum(self.shown("used", now).values())

    def taken(self, now: int) -> int:
        return sum(self.shown("taken", now).values())

    def held(self, now: int) -> int:
        """What is taken and not used: of a full window also what nobody can tell any more."""
        return self.taken(now) - self.used(now)

    def room(self, now: int) -> int:
        return self.limit - self.taken(now)

    def reset_at(self, now: int) -> int:
        """When it is empty: the end of the window; for a sliding one, when the last that counts leaves."""
        if self.window != "sliding":
            return self.bounds(self.time(now))[1]
        return max((end for end, amount in self.shown("taken", now).items() if amount), default=now)

    # Decisions

    def fits(self, now: int, asked: int) -> bool:
        taken = self.taken(now)
        return taken + asked <= self.limit and taken < self.limit

    def never(self, asked: int) -> bool:
        return asked > self.limit or self.limit == 0

    def passes_at(self, now: int, asked: int, ending: Iterable[tuple[Entry, int]] = ()) -> int | None:
        """The first instant from which `asked` fits if nothing else comes; None where it never does.
        `ending`: entries whose hold is given back, and when."""
        if self.never(asked):
            return None
        if self.fits(now, asked):
            return now
        ends = dict(ending)
        instants = sorted({*self.sums("taken", now), *ends.values()})
        later = {at: self.without([e for e, end in ends.items() if end <= at]) for at in instants}
        return next(at for at in instants if later[at].fits(at, asked))

    def without(self, ended: list[Entry]) -> Counter:
        """What it will be when these holds have been given back."""
        later = copy(self)
        later.entries = [replace(e, held=0) if e in ended else e for e in self.entries]
        return later

    # Changes

    def add(self, now: int, used: int = 0, held: int = 0) -> Entry:
        """An admission or a charge: the only things that move the counter's own time."""
        self.newest = self.time(now)
        self.entries = [e for e in self.entries if self.counts(e, now)]
        entry = Entry(self.newest, used, held)
        self.entries.append(entry)
        self.note_overflow()
        return entry

    def set(self, entry: Entry, used: int, held: int) -> None:
        """Other amounts in an entry."""
        entry.used, entry.held = used, held
        self.note_overflow()

    def reset(self, now: int) -> None:
        """Usage to zero in the current window; what is held stays. No correction reaches what was used."""
        for entry in [entry for entry in self.entries if entry.used and self.counts(entry, now)]:
            entry.dropped = True
            self.entries.append(Entry(entry.at))

    def credit(self, now: int, amount: int) -> None:
        """A correction of the usage, never below zero."""
        lowered = 0 if self.overflown["used"] & set(self.sums("used", now)) else min(amount, self.used(now))
        if lowered:
            self.add(now, used=-lowered)

    def reshape(self, now: int, per: str, window: str) -> None:
        """An edit of duration, alignment or kind of window at `now`."""
        if (per, window) == (self.per, self.window):
            return
        # A counter knows its time by its (sub-)window: an edit under a clock set back is placed there.
        step = self.ring()[0]
        known = self.newest // step * step if self.window == "sliding" else self.bounds(self.newest)[0]
        t = max(now, known)
        kept = [e for e in self.entries if self.counts(e, now)]
        if window == "calendar" and self.window != "calendar":
            kept = []
        for entry in self.entries:
            entry.dropped = entry not in kept
        overflown = {of for of, ends in self.overflown.items() if ends & {self.leaves_at(e) for e in kept}}
        old_last_reset = now if self.window == "sliding" else self.bounds(t)[0]
        self.per, self.window, self.anchor, self.newest = per, window, old_last_reset, t
        for entry in kept:
            entry.at = t
        self.entries = kept
        for of, ends in self.overflown.items():
            ends.clear()
            if of in overflown:
                ends |= {self.leaves_at(e) for e in kept}
        self.note_overflow()
