"""How a permit ends: settled, updated, released, expired, late, asked again. One row for each sentence."""

from __future__ import annotations

import pytest

from house import MINUTE, SECOND, House
from rows import (
    Row,
    allow,
    at,
    clash,
    deny,
    do,
    edit,
    instant,
    limited,
    reads,
    release,
    settle,
    sweep,
    update,
)

GIVE_BACK = {"on_expiry": "give_back", "permit_ttl_seconds": 10}
CHARGE = {"on_expiry": "charge", "permit_ttl_seconds": 10}
HUNDRED = limited(tokens=(100, "1m"))
HOURLY = limited(tokens=(100, "1h"), requests=(10, "1h"))
DOLLAR = limited(budget=(1, "1h"))
CENT = 10_000_000

ENDS = [
    Row(
        "a settle replaces the held amounts by the real ones",
        limited(tokens=(100, "1m"), budget=(1, "1h")),
        [
            allow(tokens=40, cost_usd=0.5),
            settle(
                prompt_tokens=10,
                completion_tokens=5,
                cost_usd=0.2,
                gives={"tokens": 15, "cost_nano_usd": 20 * CENT, "overrun": False, "price": "stated"},
            ),
            reads(tokens=(15, 0), budget=(20 * CENT, 0)),
        ],
    ),
    Row(
        "the same usage again is the same answer, marked, and charges nothing",
        HUNDRED,
        [
            allow(tokens=40),
            settle(tokens=15, gives={"tokens": 15, "repeated": False}),
            settle(tokens=15, gives={"tokens": 15, "repeated": True}),
            reads(tokens=(15, 0)),
        ],
    ),
    Row(
        "other usage is a conflict and changes nothing",
        HUNDRED,
        [
            allow(tokens=40),
            settle(tokens=15),
            settle(tokens=16, fault="settle_conflict"),
            reads(tokens=(15, 0)),
        ],
    ),
    Row(
        "no usage at all is a fault and leaves the permit open",
        HUNDRED,
        [allow(tokens=40), settle(fault="invalid_request"), reads(tokens=(0, 40)), settle(tokens=1)],
    ),
    Row(
        "as held charges what was held",
        limited(tokens=(100, "1m"), budget=(1, "1h")),
        [
            allow(tokens=40, cost_usd=0.5),
            settle(as_held=True, gives={"tokens": 40, "cost_nano_usd": 50 * CENT, "price": "held"}),
            reads(tokens=(40, 0), budget=(50 * CENT, 0)),
        ],
    ),
    Row(
        "a price that is unknown at settle charges what was held",
        DOLLAR,
        [
            allow(cost_usd=0.5),
            settle(prompt_tokens=10, gives={"cost_nano_usd": 50 * CENT, "price": "held"}),
            reads(budget=(50 * CENT, 0)),
        ],
    ),
    Row(
        "more than held is charged in full and marked",
        limited(tokens=(100, "1m"), budget=(1, "1h")),
        [
            allow(tokens=40, cost_usd=0.5),
            settle(tokens=140, cost_usd=3, gives={"overrun": True}),
            reads(tokens=(140, 0), budget=(300 * CENT, 0)),
            deny("token_limited", request={"tokens": 0, "cost_usd": 0}, first={"used": 140, "never": False}),
        ],
    ),
    Row(
        "an update makes held the larger of held and total",
        HUNDRED,
        [
            allow(tokens=40),
            update(tokens=30, over=[]),
            reads(tokens=(0, 40)),
            update(tokens=60, over=[]),
            reads(tokens=(0, 60)),
        ],
    ),
    Row(
        "an update says which limits are over",
        HUNDRED,
        [
            allow(tokens=40),
            update(tokens=101, over=[("virtual_key", "tokens")]),
            settle(tokens=90),
            reads(tokens=(90, 0)),
        ],
    ),
    Row(
        "totals of an update never fall",
        HUNDRED,
        [allow(tokens=40), update(tokens=30), update(tokens=29, fault="invalid_request"), update(tokens=30)],
    ),
    Row(
        "a settle below an update's total is final",
        HUNDRED,
        [
            allow(tokens=10),
            update(tokens=60),
            settle(tokens=20, gives={"overrun": False}),
            reads(tokens=(20, 0)),
        ],
    ),
    Row(
        "a release gives back what is held, not the request",
        HOURLY,
        [allow(tokens=40), release(), reads(tokens=(0, 0), requests=(1, 0))],
    ),
    Row(
        "a release may give back the request as well",
        HOURLY,
        [allow(tokens=40), release(request=True), reads(tokens=(0, 0), requests=(0, 0))],
    ),
    Row(
        "a release twice alike is one release",
        HOURLY,
        [allow(), allow("b"), release(request=True), release(request=True), reads(requests=(1, 0))],
    ),
    Row(
        "a second release with the other flag is a conflict",
        HOURLY,
        [allow(), release(), release(request=True, fault="permit_closed"), reads(requests=(1, 0))],
    ),
    Row(
        "after a settle there is no release",
        HOURLY,
        [allow(tokens=40), settle(tokens=9), release(fault="permit_closed"), reads(tokens=(9, 0))],
    ),
    Row(
        "after a settle there is no update",
        HOURLY,
        [allow(tokens=40), settle(tokens=9), update(tokens=50, fault="permit_closed"), reads(tokens=(9, 0))],
    ),
    Row(
        "after a release there is neither update nor settle",
        HOURLY,
        [
            allow(tokens=40),
            release(),
            update(tokens=50, fault="permit_closed"),
            settle(tokens=9, fault="permit_closed"),
            reads(tokens=(0, 0)),
        ],
    ),
]

LATE = [
    Row(
        "settling up to the hold after the roll changes nothing in the new window",
        HUNDRED,
        [allow(tokens=40), at(MINUTE), allow("b", tokens=5), settle(tokens=40), reads(tokens=(0, 5))],
    ),
    Row(
        "what exceeds the hold after the roll is charged to the current window",
        HUNDRED,
        [allow(tokens=40), at(MINUTE), settle(tokens=47, gives={"overrun": True}), reads(tokens=(7, 0))],
    ),
    Row(
        "a release after the roll changes nothing in the new window",
        HOURLY,
        [
            allow(tokens=40),
            at(60 * MINUTE),
            allow("b", tokens=5),
            release(request=True),
            reads(tokens=(0, 5), requests=(1, 0)),
        ],
        {"permit_ttl_seconds": 86_400},
    ),
    Row(
        "growth after the roll is used at once, and final",
        HUNDRED,
        [
            allow(tokens=40),
            at(MINUTE),
            update(tokens=50, over=[]),
            reads(tokens=(10, 0)),
            settle(tokens=20),
            reads(tokens=(10, 0)),
        ],
    ),
    Row(
        "a settle beyond such growth charges only what is beyond",
        HUNDRED,
        [allow(tokens=40), at(MINUTE), update(tokens=50), settle(tokens=53), reads(tokens=(13, 0))],
    ),
    Row(
        "an expired permit is charged as held",
        limited(tokens=(100, "1h"), budget=(1, "1h")),
        [
            allow(tokens=40, cost_usd=0.5),
            at(10 * SECOND - 1),
            sweep(),
            reads(tokens=(0, 40)),
            at(10 * SECOND),
            sweep(),
            reads(tokens=(40, 0), budget=(50 * CENT, 0)),
        ],
        CHARGE,
    ),
    Row(
        "an expired permit is given back where the settings say so",
        HOURLY,
        [
            allow(tokens=40),
            at(10 * SECOND),
            sweep(),
            reads(tokens=(0, 0), requests=(1, 0)),
        ],
        GIVE_BACK,
    ),
    Row(
        "a refusal first gives back what is overdue",
        HOURLY,
        [
            allow(tokens=100),
            deny("token_limited", request={"tokens": 100}),
            at(10 * SECOND),
            allow(tokens=100),
        ],
        GIVE_BACK,
    ),
    Row(
        "a refusal first charges what is overdue, and tells it as used",
        limited(tokens=(100, "1h"), budget=(1, "1h")),
        [
            allow(tokens=60, cost_usd=0.5),
            at(10 * SECOND),
            deny("token_limited", first={"used": 60, "held": 0}, request={"tokens": 60, "cost_usd": 0}),
            reads(tokens=(60, 0), budget=(50 * CENT, 0)),
        ],
        CHARGE,
    ),
    Row(
        "what a permit held on a limit that is gone since is over no limit, whatever edits came between",
        limited(tokens=(100, "1h"), budget=(1, "1d")),
        [
            allow("b", tokens=1, cost_usd=0.4),
            allow(tokens=1, cost_usd=0.4),
            settle(tokens=1, cost_usd=3),
            edit(budget={"reset_duration": "2d"}),
            edit(budget={}),
            update("b", tokens=2, cost_usd=0.5, over=[]),
        ],
    ),
    Row(
        "a permit says when it expires",
        HOURLY,
        [allow(gives={"expires_at_ms": instant(10 * SECOND)})],
        CHARGE,
    ),
    Row(
        "a late settle corrects the charge of the expiry downwards",
        HOURLY,
        [allow(tokens=40), at(11 * SECOND), settle(tokens=4, gives={"expired": True}), reads(tokens=(4, 0))],
        CHARGE,
    ),
    Row(
        "a late settle corrects the charge of the expiry upwards",
        HOURLY,
        [
            allow(tokens=40),
            at(11 * SECOND),
            settle(tokens=50, gives={"expired": True, "overrun": True}),
            reads(tokens=(50, 0)),
        ],
        CHARGE,
    ),
    Row(
        "a late settle of what was given back charges it in its own window",
        HOURLY,
        [allow(tokens=40), at(11 * SECOND), settle(tokens=4, gives={"expired": True}), reads(tokens=(4, 0))],
        GIVE_BACK,
    ),
    Row(
        "a late settle of what was given back charges a later window only what exceeds the hold",
        HUNDRED,
        [allow(tokens=40), at(MINUTE), settle(tokens=43, gives={"expired": True}), reads(tokens=(3, 0))],
        {"on_expiry": "give_back", "permit_ttl_seconds": 40},
    ),
    Row(
        "a late settle may be as held",
        HOURLY,
        [
            allow(tokens=40),
            at(11 * SECOND),
            settle(as_held=True, gives={"tokens": 40}),
            reads(tokens=(40, 0)),
        ],
        GIVE_BACK,
    ),
    Row(
        "a late release corrects the charge to nothing",
        HOURLY,
        [allow(tokens=40), at(11 * SECOND), release(request=True), reads(tokens=(0, 0), requests=(0, 0))],
        CHARGE,
    ),
    Row(
        "a late update is a conflict",
        HOURLY,
        [allow(tokens=40), at(11 * SECOND), update(tokens=50, fault="permit_closed"), reads(tokens=(40, 0))],
        CHARGE,
    ),
    Row(
        "a closed permit is remembered for one time to live",
        HOURLY,
        [
            allow(tokens=40),
            settle(tokens=9),
            at(10 * SECOND - 1),
            settle(tokens=9, gives={"repeated": True}),
            at(10 * SECOND),
            sweep(),
            settle(tokens=9, fault="permit_not_found"),
        ],
        CHARGE,
    ),
    Row(
        "the number of open permits is bounded",
        HOURLY,
        [allow("a"), allow("b"), deny("too_many_permits"), release("a"), allow("c")],
        {"max_open_permits": 2},
    ),
    Row(
        "permits are swept before one more is refused",
        HOURLY,
        [allow("a"), allow("b"), at(10 * SECOND), allow("c")],
        CHARGE | {"max_open_permits": 2},
    ),
]

IDS = [
    Row(
        "the same request with the same id is the same permit, and takes nothing",
        HOURLY,
        [
            allow("a", id="once", tokens=40),
            allow("b", id="once", tokens=40, gives={"tokens": 40}),
            reads(tokens=(0, 40), requests=(1, 0)),
            settle("b", tokens=9),
            settle("a", tokens=9, gives={"repeated": True}),
        ],
    ),
    Row(
        "another request with the id is a conflict",
        HOURLY,
        [
            allow(id="once", tokens=40),
            clash("id_conflict", id="once", tokens=41),
            reads(tokens=(0, 40)),
        ],
    ),
    Row(
        "the id of a closed permit is a conflict while it is remembered, and then free",
        HOURLY,
        [
            allow(id="once", tokens=40),
            settle(tokens=9),
            clash("id_conflict", id="once", tokens=40),
            at(10 * SECOND),
            sweep(),
            allow(id="once", tokens=40),
            reads(tokens=(9, 40)),
        ],
        CHARGE,
    ),
    Row(
        "an id belongs to its virtual key",
        HOURLY,
        [
            allow(id="once"),
            do(lambda scene: scene.house.admit(scene.house.key(tokens=(5, "1m")), id="once", tokens=3)),
        ],
    ),
    Row(
        "a refusal does not use up its id",
        HUNDRED,
        [
            allow(tokens=100),
            deny("token_limited", request={"id": "once", "tokens": 1}),
            at(MINUTE),
            allow(id="once", tokens=1),
        ],
    ),
    Row(
        "the id asked through a handle is the same id",
        HOURLY,
        [
            allow(id="once", tokens=40),
            do(
                lambda scene: scene.house.engine.admit(
                    scene.house.engine.handle(scene.key.value), "m", provider="p", id="once", tokens=40
                )
            ),
            reads(tokens=(0, 40)),
        ],
    ),
]

TEXTS = [
    Row(
        "a permit's text settles it",
        HOURLY,
        [
            allow(tokens=40),
            do(lambda scene: scene.house.engine.settle(scene.permits["a"].token, tokens=9)),
            reads(tokens=(9, 0)),
        ],
    ),
    Row(
        "a permit's text updates and releases it",
        HOURLY,
        [
            allow(tokens=40),
            do(lambda scene: scene.house.engine.update(scene.permits["a"].token, tokens=50)),
            reads(tokens=(0, 50)),
            do(lambda scene: scene.house.engine.release(scene.permits["a"].token)),
            reads(tokens=(0, 0)),
        ],
    ),
    Row(
        "a permit outlives its key's deactivation",
        HOURLY,
        [allow(tokens=40), edit(is_active=False), settle(tokens=9), reads(tokens=(9, 0))],
    ),
]

ROWS = ENDS + LATE + IDS + TEXTS


@pytest.mark.parametrize("row", ROWS, ids=[row.says for row in ROWS])
def test_row(row: Row) -> None:
    row.play()


def test_what_is_overdue_is_charged_in_whatever_the_engine_shows() -> None:
    house = House(**CHARGE)
    key = house.key(tokens=(100, "1h"))
    house.admit(key, tokens=40)
    house.at(10 * SECOND)
    assert "limen_permits_open 0" in house.engine.metrics()
    house.admit(key, tokens=30)
    house.at(20 * SECOND)
    shown = house.engine.virtual_keys.get(key.id).rate_limit
    assert (shown.token_current_usage, shown.token_held) == (70, 0)
