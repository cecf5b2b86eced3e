"""What of a limit must be the same after a restart: its number, and the instant on which its windows lie.

A limit's number is its name where its counts are kept; no other limit ever has it. Its windows lie on the
lattice anchor + k x duration: a new limit is anchored at its creation, one whose duration or kind of window
is edited at the start of the window that runs. (Sliding windows and calendar periods need no anchor: it is
kept for the edit that makes them rolling ones.) Since when they lie so tells counts that were written down
before an edit from those after it.
"""

from collections.abc import Callable, Iterator

from limen.resources.records import BudgetRow, RateRow, Record

Starting = Callable[[str, str], int]
"""(limit id, kind) -> start of the window that runs."""


def limit_rows(record: Record | None) -> Iterator[BudgetRow | RateRow]:
    """Every budget and rate limit that a record holds, at any depth."""
    for owner in (record, *getattr(record, "providers", ())):
        yield from getattr(owner, "budgets", ())
        rate = getattr(owner, "rate", None)
        if rate is not None:
            yield rate


def settle_limits(
    record: Record, old: Record | None, now: int, number: Callable[[], int], starting: Starting
) -> None:
    """Number and anchor the limits of a record that is about to replace `old`."""
    before = {row.id: row for row in limit_rows(old)}
    for row in limit_rows(record):
        known = before.get(row.id)
        row.number = number() if known is None else known.number
        if isinstance(row, BudgetRow):
            _anchor_budget(row, known, now, starting)
        else:
            _anchor_rate(row, known, now, starting)


def _anchor_budget(row: BudgetRow, known: BudgetRow | RateRow | None, now: int, starting: Starting) -> None:
    if not isinstance(known, BudgetRow):
        row.anchor = row.since = now
    elif (row.per, row.aligned) == (known.per, known.aligned):
        row.anchor, row.since = known.anchor, known.since
    else:
        row.anchor, row.since = starting(row.id, "budget"), now


def _anchor_rate(row: RateRow, known: BudgetRow | RateRow | None, now: int, starting: Starting) -> None:
    old = known if isinstance(known, RateRow) else None

    def anchor(kind: str, per: str | None, before: str | None, anchored: tuple[int, int]) -> tuple[int, int]:
        if old is None or before is None:
            return now, now
        if (per, row.window) == (before, old.window):
            return anchored
        # A sliding window has no start that a lattice could go on from.
        return now if old.window == "sliding" else starting(row.id, kind), now

    tokens, requests = (old.token_per, old.request_per) if old else (None, None)
    known_tokens = (old.token_anchor, old.token_since) if old else (now, now)
    known_requests = (old.request_anchor, old.request_since) if old else (now, now)
    row.token_anchor, row.token_since = anchor("tokens", row.token_per, tokens, known_tokens)
    row.request_anchor, row.request_since = anchor("requests", row.request_per, requests, known_requests)
