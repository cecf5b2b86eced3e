"""Budgets and rate limits: the part of a body that every owner has, merged, shown, and as rows for the core.

`budget` is the first of `budgets`. A value merges: what it leaves out stays, as do id and usage.

    >>> faults = Faults()
    >>> body = LIMITS_CREATE.read({"budget": {"max_limit": 5, "reset_duration": "1d"}}, "", faults, True)
    >>> budgets, _ = merge_limits([], None, body, "", Merge(faults, now=0, create=True))
    >>> body = LIMITS_UPDATE.read({"budget": {"calendar_aligned": True}}, "", faults)
    >>> merged, _ = merge_limits(budgets, None, body, "", Merge(faults, now=0, create=False))
    >>> merged[0].nano_usd, merged[0].per, merged[0].aligned, merged[0].id == budgets[0].id
    (5000000000, '1d', True, True)
"""

from collections.abc import Callable
from typing import Any, Final, NamedTuple, TypeAlias

from msgspec.structs import replace

from limen.errors import Faults
from limen.model import Budget, RateLimit, usd
from limen.resources.reading import (
    boolean,
    count,
    dollars,
    duration,
    identifier,
    list_of,
    moment,
    one_of,
    parse_duration,
)
from limen.resources.records import BudgetRow, Owner, ProviderConfigRow, RateRow
from limen.resources.shape import Body, Field, Null, Shape, check_fixed, nested
from limen.secret import new_id

MAX_BUDGETS: Final = 8
MAX_SLIDING: Final = 2**46 - 2
"""The largest limit of a sliding window: the core counts no more in one of its sub-windows."""

BUDGET: Final = {
    "max_limit": Field(dollars, Null.REFUSED),
    "reset_duration": Field(duration, Null.REFUSED),
    "calendar_aligned": Field(boolean, Null.UNCHANGED),
}
RATE: Final = {
    "token_max_limit": Field(count, Null.VALUE),
    "token_reset_duration": Field(duration, Null.VALUE),
    "request_max_limit": Field(count, Null.VALUE),
    "request_reset_duration": Field(duration, Null.VALUE),
    "window": Field(one_of("fixed", "sliding"), Null.REFUSED),
}
_BUDGET_SHAPE: Final = Shape(BUDGET, fixed=("id", "config_hash"))
# In a list of several the id says which one is meant.
_ENTRY_SHAPE: Final = Shape({**BUDGET, "id": Field(identifier, Null.REFUSED)}, fixed=("config_hash",))
_RATE_SHAPE: Final = Shape(RATE, fixed=("id", "config_hash"))


def limit_fields(create: bool) -> dict[str, Field]:
    """The fields of an owner that describe its limits."""
    entry = _BUDGET_SHAPE if create else _ENTRY_SHAPE
    return {
        "budget": Field(nested(_BUDGET_SHAPE, create)),
        "budgets": Field(list_of(nested(entry, create), MAX_BUDGETS)),
        "rate_limit": Field(nested(_RATE_SHAPE, create)),
    }


LIMITS_CREATE: Final = Shape(limit_fields(True))
LIMITS_UPDATE: Final = Shape(limit_fields(False))

Reading: TypeAlias = Callable[[str, str], tuple[int, int, int, int]]
"""(limit id, kind) -> used, held, start and end of the current window."""


class Merge(NamedTuple):
    """What every step of one edit shares: where faults go, the time, the kind of body, the stored hash."""

    faults: Faults
    now: int
    create: bool
    config_hash: str | None = None


def merge_limits(
    budgets: list[BudgetRow], rate: RateRow | None, body: Body, at: str, merge: Merge
) -> tuple[list[BudgetRow], RateRow | None]:
    """The limits of an owner after a body; `at` ends with a point, or is empty."""
    many: list[Body] | None = body.get("budgets")
    one: Body | None = body.get("budget")
    if many is not None:
        merged = _full_set(budgets, many, f"{at}budgets", merge)
        if one is not None and one.clean and all(entry.clean for entry in many):
            _agree(merged, one, f"{at}budget", merge)
        _one_per_duration(merged, f"{at}budgets", merge.faults)
        budgets = merged
    elif one is not None:
        first = _budget(budgets[0] if budgets else None, one, f"{at}budget", merge)
        budgets = ([] if first is None else [first]) + budgets[1:]
        if len(budgets) > 1:
            _one_per_duration(budgets, f"{at}budget", merge.faults, single=True)
    limit: Body | None = body.get("rate_limit")
    if limit is not None:
        rate = _rate(rate, limit, f"{at}rate_limit", merge)
    return budgets, rate


def _check_fixed(body: Body, id: str | None, at: str, merge: Merge) -> None:
    shown = {"id": id, "config_hash": None if id is None else merge.config_hash}
    check_fixed(body, shown, at, merge.faults)


def _budget(old: BudgetRow | None, body: Body, at: str, merge: Merge) -> BudgetRow | None:
    if body.blank and not merge.create:
        return None
    faults, now = merge.faults, merge.now
    _check_fixed(body, old.id if old else None, at, merge)
    if not body.clean:
        return old
    nano_usd = body.get("max_limit", old.nano_usd if old else None)
    per = body.get("reset_duration", old.per if old else None)
    aligned = body.get("calendar_aligned", old.aligned if old else False)
    if nano_usd is None:
        faults.add(f"{at}.max_limit", "is required")
    if per is None:
        faults.add(f"{at}.reset_duration", "is required")
    elif aligned and per[-1] in "smh":
        faults.add(f"{at}.calendar_aligned", f"is for days, weeks, months and years, not for {per}")
    if nano_usd is None or per is None:
        return old
    if old is None:
        return BudgetRow(new_id(), nano_usd, per, aligned, now, now)
    if (nano_usd, per, aligned) == (old.nano_usd, old.per, old.aligned):
        return old
    return replace(old, nano_usd=nano_usd, per=per, aligned=aligned, updated=now)


def _full_set(old: list[BudgetRow], entries: list[Body], at: str, merge: Merge) -> list[BudgetRow]:
    """Each entry keeps the budget that it names by id, else the first free one of the same duration."""
    left = {row.id: row for row in old}
    kept: list[BudgetRow | None] = []
    for index, entry in enumerate(entries):
        asked = entry.get("id")
        if asked is not None and asked not in left:
            known = any(row.id == asked for row in old)
            words = ("is named twice", "invalid_request") if known else ("is no budget here", "not_found")
            merge.faults.add(f"{at}[{index}].id", *words)
        kept.append(None if asked is None else left.pop(asked, None))
    for index, entry in enumerate(entries):
        per = entry.get("reset_duration")
        if "id" not in entry and per is not None:
            length = parse_duration(per)
            match = next((row for row in left.values() if parse_duration(row.per) == length), None)
            kept[index] = left.pop(match.id) if match else None
    # An entry of a list is never a removal, so `{}` in it lacks its fields.
    merge = merge._replace(create=True)
    found = [_budget(kept[index], entry, f"{at}[{index}]", merge) for index, entry in enumerate(entries)]
    return [row for row in found if row is not None]


def _agree(merged: list[BudgetRow], one: Body, at: str, merge: Merge) -> None:
    """`budget` beside `budgets` may say again what the first of them says, and nothing else."""
    if one.blank and not merge.create:
        agrees = not merged
    else:
        agrees = bool(merged) and all(
            one.get(word, value) == value
            for word, value in (
                ("max_limit", merged[0].nano_usd),
                ("reset_duration", merged[0].per),
                ("calendar_aligned", merged[0].aligned),
            )
        )
        if agrees:
            _check_fixed(one, merged[0].id, at, merge)
    if not agrees:
        merge.faults.add(at, "does not agree with the first of budgets")


def _one_per_duration(budgets: list[BudgetRow], at: str, faults: Faults, single: bool = False) -> None:
    seen = set()
    for index, row in enumerate(budgets):
        length = parse_duration(row.per)
        if length in seen:
            path = at if single else f"{at}[{index}]"
            faults.add(f"{path}.reset_duration", "is that of another budget of this owner")
        seen.add(length)


def _rate(old: RateRow | None, body: Body, at: str, merge: Merge) -> RateRow | None:
    if body.blank and not merge.create:
        return None
    faults, now = merge.faults, merge.now
    _check_fixed(body, old.id if old else None, at, merge)
    if not body.clean:
        return old
    row = RateRow(
        id=old.id if old else "",
        tokens=body.get("token_max_limit", old.tokens if old else None),
        token_per=body.get("token_reset_duration", old.token_per if old else None),
        requests=body.get("request_max_limit", old.requests if old else None),
        request_per=body.get("request_reset_duration", old.request_per if old else None),
        window=body.get("window", old.window if old else "fixed"),
        created=old.created if old else now,
        updated=old.updated if old else now,
        number=old.number if old else 0,
        token_anchor=old.token_anchor if old else 0,
        request_anchor=old.request_anchor if old else 0,
        token_since=old.token_since if old else 0,
        request_since=old.request_since if old else 0,
    )
    for kind, most, per in _kinds(row):
        word = kind.removesuffix("s")
        if (most is None) != (per is None):
            missing = f"{word}_max_limit" if most is None else f"{word}_reset_duration"
            faults.add(f"{at}.{missing}", "is required: a limit needs its duration, and a duration its limit")
        if row.window == "sliding" and most is not None and most > MAX_SLIDING:
            faults.add(f"{at}.{word}_max_limit", f"must be at most {MAX_SLIDING} in a sliding window")
    if old is None and all(most is None and per is None for _, most, per in _kinds(row)):
        faults.add(at, "limits nothing: state a maximum of tokens or of requests")
    if row == old:
        return old
    row.id, row.updated = row.id or new_id(), now
    return row


def _kinds(row: RateRow) -> tuple[tuple[str, int | None, str | None], ...]:
    return ("tokens", row.tokens, row.token_per), ("requests", row.requests, row.request_per)


def graft(old: list[BudgetRow], new: list[BudgetRow]) -> list[BudgetRow]:
    """New budgets with the ids and times of the old ones that they continue: usage then stays."""
    left = list(old)
    grafted = []
    for row in new:
        match = next((o for o in left if parse_duration(o.per) == parse_duration(row.per)), None)
        if match is None and len(old) == len(new) == 1:
            match = old[0]
        if match is not None:
            left.remove(match)
            same = (match.nano_usd, match.per, match.aligned) == (row.nano_usd, row.per, row.aligned)
            updated = match.updated if same else row.updated
            row = replace(match, nano_usd=row.nano_usd, per=row.per, aligned=row.aligned, updated=updated)
        grafted.append(row)
    return grafted


def graft_rate(old: RateRow | None, new: RateRow | None) -> RateRow | None:
    """The new rate limit, continuing the old one."""
    if old is None or new is None:
        return new
    new.id, new.created, updated = old.id, old.created, new.updated
    new.number, new.token_anchor, new.request_anchor = old.number, old.token_anchor, old.request_anchor
    new.token_since, new.request_since = old.token_since, old.request_since
    new.updated = old.updated
    if new != old:
        new.updated = updated
    return new


def core_limits(owner: Owner | ProviderConfigRow) -> list[dict[str, Any]]:
    """The rows of an owner's limits, in the order in which they are checked: tokens, requests, budgets."""
    rows: list[dict[str, Any]] = []
    rate = owner.rate
    if rate is not None:
        anchors = (rate.token_anchor, rate.token_since), (rate.request_anchor, rate.request_since)
        for (kind, most, per), anchor in zip(_kinds(rate), anchors, strict=True):
            if most is not None:
                rows.append(_core_limit(rate, kind, most, per, rate.window, *anchor))
    for budget in owner.budgets:
        window = "calendar" if budget.aligned else "fixed"
        rows.append(
            _core_limit(budget, "budget", budget.nano_usd, budget.per, window, budget.anchor, budget.since)
        )
    return rows


def _core_limit(
    row: BudgetRow | RateRow, kind: str, most: int, per: str | None, window: str, anchor: int, since: int
) -> dict[str, Any]:
    return {
        "id": row.id,
        "number": row.number,
        "kind": kind,
        "limit": most,
        "per": per,
        "window": window,
        "anchor_ms": anchor,
        "since_ms": since,
    }


def show_budget(row: BudgetRow, read: Reading, config_hash: str | None) -> Budget:
    """A budget with its live usage."""
    used, held, start, _ = read(row.id, "budget")
    return Budget(
        id=row.id,
        max_limit=usd(row.nano_usd),
        reset_duration=row.per,
        calendar_aligned=row.aligned,
        last_reset=moment(start),
        current_usage=usd(used),
        held=usd(held),
        config_hash=config_hash,
        created_at=moment(row.created),
        updated_at=moment(row.updated),
    )


def show_rate(row: RateRow | None, read: Reading, config_hash: str | None) -> RateLimit | None:
    """A rate limit with its live usage; a kind that is not limited counts nothing."""
    if row is None:
        return None
    idle = (0, 0, row.created, row.created)
    tokens = idle if row.tokens is None else read(row.id, "tokens")
    requests = idle if row.requests is None else read(row.id, "requests")
    return RateLimit(
        id=row.id,
        token_max_limit=row.tokens,
        token_reset_duration=row.token_per,
        token_current_usage=tokens[0],
        token_held=tokens[1],
        token_last_reset=moment(tokens[2]),
        request_max_limit=row.requests,
        request_reset_duration=row.request_per,
        request_current_usage=requests[0],
        request_last_reset=moment(requests[2]),
        window=row.window,
        config_hash=config_hash,
        created_at=moment(row.created),
        updated_at=moment(row.updated),
    )
