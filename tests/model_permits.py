"""What becomes of a permit in the oracle: settled, updated, released, expired, forgotten.

A permit knows its entries in the logs, so each step changes just those, or adds one for what comes too late.
"""

from __future__ import annotations

from model_counter import Counter, Entry
from model_types import Allowed, Hold, MisuseError, Settings, Settled, Violation

Chain = list[tuple[str, str, Counter]]
NOTHING = {"tokens": 0, "requests": 0, "budget": 0}


def violations(
    now: int, chain: Chain, asked: dict[str, int], given_back: list[tuple[Entry, int]]
) -> list[Violation]:
    """These limits with their numbers, and how long `asked` has to wait for each.
    `given_back` says which holds end, and when."""
    limits = []
    for level, owner, counter in chain:
        least = asked[counter.kind]
        ending = [(entry, at) for entry, at in given_back if entry in counter.entries]
        passes_at = counter.passes_at(now, least, ending)
        limits.append(
            Violation(
                counter.kind,
                level,
                owner,
                counter.limit_id,
                counter.limit,
                counter.used(now),
                counter.held(now),
                least,
                counter.reset_at(now),
                None if passes_at is None else passes_at - now,
                counter.never(least),
            )
        )
    return limits


def price(femto_usd: int | None, tokens: int) -> int:
    """Nano-dollars, rounded up once; nothing where the price is not known."""
    return -(-(femto_usd or 0) * tokens // 10**6)


class Permits:
    """Every permit that is remembered, and the limits that exist."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.limits: dict[tuple[str, str], list[Counter]] = {}
        self.permits: list[Allowed] = []

    def counters(self) -> list[Counter]:
        return [counter for of_owner in self.limits.values() for counter in of_owner]

    def sweep(self, now: int) -> int:
        """Permits past their time expire; closed ones are forgotten one time to live after closing."""
        overdue = [p for p in self.permits if p.state == "open" and now >= p.expires_at]
        for permit in overdue:
            permit.state, permit.expired, permit.closed_at = "expired", True, permit.expires_at
            for hold in permit.of("tokens") + permit.of("budget"):
                charged = hold.amount if self.settings.on_expiry == "charge" else 0
                hold.counter.set(hold.entry, charged, 0)
        self.permits = [
            p for p in self.permits if p.state == "open" or now < p.closed_at + self.settings.ttl_ms
        ]
        return len(overdue)

    def given_back(self) -> list[tuple[Entry, int]]:
        """Every hold that ends if nobody settles it, and when."""
        if self.settings.on_expiry == "charge":
            return []
        return [(hold.entry, p.expires_at) for p in self.permits if p.state == "open" for hold in p.holds]

    def find(self, now: int, permit: Allowed) -> None:
        self.sweep(now)
        if permit not in self.permits:
            raise MisuseError("permit_not_found")

    def settle(
        self,
        now: int,
        permit: Allowed,
        tokens: int | None = None,
        cost: int | None = None,
        as_held: bool = False,
    ) -> Settled:
        """Real amounts for held ones, once."""
        if not as_held and tokens is None and cost is None:
            raise MisuseError("invalid_request")
        self.find(now, permit)
        outcome = (tokens, cost, as_held)
        if permit.state == "released":
            raise MisuseError("permit_closed")
        if permit.answer is not None:
            if permit.outcome != outcome:
                raise MisuseError("settle_conflict")
            return Settled(
                permit.answer.tokens, permit.answer.cost, permit.answer.overrun, True, permit.expired
            )
        real = {
            "tokens": permit.tokens if as_held else tokens or 0,
            "budget": permit.cost if cost is None else cost,
        }
        if cost is None and tokens is not None and permit.femto_usd is not None:
            real["budget"] = price(permit.femto_usd, tokens)
        overrun = False
        for kind, amount in real.items():
            overrun = overrun or (bool(permit.of(kind)) and amount > permit.amount(kind))
            for hold in permit.of(kind):
                charge_hold(now, hold, amount)
        permit.answer = Settled(real["tokens"], real["budget"], overrun, False, permit.expired)
        permit.state, permit.outcome, permit.closed_at = "settled", outcome, now
        return permit.answer

    def update(
        self, now: int, permit: Allowed, tokens: int | None = None, cost: int | None = None
    ) -> list[Violation]:
        """Totals so far (what is not said is as it was); answers which limits are over."""
        if tokens is None and cost is None:
            raise MisuseError("invalid_request")
        self.find(now, permit)
        if permit.state != "open":
            raise MisuseError("permit_closed")
        told = {"tokens": tokens, "budget": cost}
        given = {kind: permit.totals[kind] if total is None else total for kind, total in told.items()}
        if any(total < permit.totals[kind] for kind, total in given.items()):
            raise MisuseError("invalid_request")
        permit.totals |= given
        for kind, total in given.items():
            growth = total - permit.amount(kind)
            if growth <= 0 or not permit.of(kind):
                continue
            for hold in permit.of(kind):
                if hold.counter.counts(hold.entry, now):
                    hold.counter.set(hold.entry, hold.entry.used, hold.entry.held + growth)
                    hold.amount += growth
                else:
                    hold.counter.add(now, used=growth)
                    hold.final += growth
            if kind == "tokens":
                permit.tokens = total
            else:
                permit.cost = total
        existing = self.counters()
        over = [
            (hold.level, hold.owner_id, hold.counter)
            for hold in permit.holds
            if hold.counter in existing and hold.counter.room(now) < 0
        ]
        return violations(now, over, NOTHING, [])

    def release(self, now: int, permit: Allowed, request: bool = False) -> None:
        """What is held goes back, and the request as well where that is said."""
        self.find(now, permit)
        if permit.state == "released" and permit.outcome == (request,):
            return
        if permit.state not in ("open", "expired"):
            raise MisuseError("permit_closed")
        for hold in permit.holds:
            if hold.counter.kind != "requests" or request:
                hold.counter.set(hold.entry, 0, 0)
        permit.state, permit.outcome, permit.closed_at = "released", (request,), now


def charge_hold(now: int, hold: Hold, real: int) -> None:
    """What was held becomes what was used, in its own window; what exceeds it goes where time is now."""
    if hold.counter.counts(hold.entry, now):
        hold.counter.set(hold.entry, max(0, real - hold.final), 0)
        return
    hold.counter.set(hold.entry, min(real, hold.amount), 0)
    excess = real - hold.amount - hold.final
    if excess > 0:
        hold.counter.add(now, used=excess)
