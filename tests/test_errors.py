"""One table of codes: each is met here as a caller meets it, with its exception, its status and its words.

A row answers what the call answered or raised: a denial, a fault, or a reply of the HTTP face.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from door import Door, Reply

import limen
from furnished import Furnished
from house import House
from limen import _core
from limen.errors import TABLE, Fault, LimenError
from limen.http import app

ROOT = Path(__file__).parent.parent
ELSEWHERE = {
    # Needs sockets.
    "overloaded": "tests/http/test_overload.py",
    # Needs the same request twice at once: a world that asks again while it is being decided.
    "id_in_progress": "rust/core/tests/ids.rs",
    # Needs a process of its own.
    "engine_forked": "tests/test_entities_edits.py",
    # Needs a disk that refuses.
    "storage_unavailable": "tests/test_store_faults.py",
    # Need files to be in use, damaged, or another's.
    "store_locked": "tests/test_store_refused.py",
    "store_damaged": "tests/test_store_refused.py",
    "store_refused": "tests/test_store_refused.py",
}


def raised(call: Callable[[], Any]) -> limen.LimenError:
    with pytest.raises(limen.LimenError) as caught:
        call()
    return caught.value


def limited(**limits: Any) -> Any:
    """The denial of a key's second request."""
    house = House()
    key = house.key(**limits)
    request = {"tokens": 6, "cost_usd": 6 if "budget" in limits else None}
    assert house.admit(key, **request)
    return house.admit(key, **request)


def settled() -> tuple[House, Any]:
    house = House()
    permit = house.admit(house.key(), tokens=5, id="i")
    permit.settle(tokens=5)
    return house, permit


def id_conflict() -> limen.LimenError:
    house = House()
    key = house.key()
    assert house.admit(key, tokens=5, id="i")
    return raised(lambda: house.admit(key, tokens=6, id="i"))


def too_many_permits() -> Any:
    house = House(max_open_permits=1)
    key = house.key()
    assert house.admit(key)
    return house.admit(key)


def too_many_entities() -> limen.LimenError:
    house = House()
    house.engine._book.most = 1
    house.key()
    return raised(house.key)


def engine_closed() -> limen.LimenError:
    engine = limen.Engine()
    engine.close()
    return raised(lambda: engine.admit(None, "m"))


def internal_error() -> Reply:
    door = Door()

    def broken(body: bytes, caller: Any) -> Any:
        raise RuntimeError("a secret of the server")

    door.app._routes["/v1/admit"]["POST"] = broken
    reply = door.post("/v1/admit", {})
    assert b"secret" not in reply.content
    assert b"Traceback" not in reply.content
    return reply


def test_an_admin_route_that_fails_tells_nothing_of_it() -> None:
    door = Door()
    door.engine.customers.list = lambda **_: {}["a secret of the server"]
    reply = door.call("GET", CUSTOMERS)
    assert (reply.status, reply.code) == (500, "internal_error")
    assert b"secret" not in reply.content


def conflict() -> limen.LimenError:
    furnished = Furnished()
    return raised(lambda: furnished.engine.model_configs.create({"model_name": "m", "provider": "p"}))


TOKENS = (10, "1d")
ADMINS = [
    {"name": "a", "token": "an-admin-token"},
    {"name": "r", "token": "a-reader-s-token", "role": "read"},
]
CUSTOMERS = "/api/governance/customers"


def administers(method: str, token: str, times: int = 1) -> Reply:
    door = Door(admin_tokens=ADMINS)
    replies = [
        door.call(method, CUSTOMERS, [b"{}"], {"authorization": f"Bearer {token}"}) for _ in range(times)
    ]
    return replies[-1]


ROWS: dict[str, Callable[[], Any]] = {
    "invalid_request": lambda: raised(lambda: House().engine.customers.create({"name": ""})),
    "virtual_key_required": lambda: House().engine.admit(None, "m"),
    "virtual_key_not_found": lambda: House().engine.admit("sk-bf-nobody", "m"),
    "gateway_token_required": lambda: Door().post("/v1/admit", {"virtual_key_id": "bot", "model": "m"}),
    "admin_required": lambda: administers("GET", "wrong"),
    "price_unknown": lambda: (house := House()).admit(house.key(budget=(1, "1d"))),
    "budget_exceeded": lambda: limited(budget=(10, "1d")),
    "virtual_key_blocked": lambda: (house := House()).admit(house.key(is_active=False)),
    "provider_blocked": lambda: (house := House()).admit(house.key(), provider="other"),
    "model_blocked": lambda: (house := House()).admit(house.key(provider_configs=[{"provider": "p"}])),
    "mcp_tool_blocked": lambda: (house := House()).admit(house.key(), mcp_tool="files/read"),
    "read_only": lambda: administers("POST", "a-reader-s-token"),
    "not_found": lambda: raised(lambda: House().engine.teams.get("nobody")),
    "permit_not_found": lambda: raised(lambda: House().engine.settle("pmt_forged", tokens=1)),
    "method_not_allowed": lambda: Door().call("GET", "/v1/admit"),
    "conflict": conflict,
    "permit_closed": lambda: raised(settled()[1].release),
    "settle_conflict": lambda: raised(lambda: settled()[1].settle(tokens=6)),
    "id_conflict": id_conflict,
    "precondition_failed": lambda: Door().call("DELETE", f"{CUSTOMERS}/nobody", headers={"if-match": "*"}),
    "body_too_large": lambda: Door().post("/v1/admit", b" " * (app.BODY_MOST + 1)),
    "unsupported_media_type": lambda: Door().post("/v1/admit", {}, {"content-type": "text/plain"}),
    "foreign_host": lambda: Door().post("/v1/admit", {}, {"host": "evil.example"}),
    "token_limited": lambda: limited(tokens=TOKENS),
    "request_limited": lambda: limited(requests=(1, "1d")),
    "rate_limited": lambda: limited(tokens=TOKENS, requests=(1, "1d")),
    "too_many_logins": lambda: administers("GET", "wrong", times=11),
    "internal_error": internal_error,
    "engine_closed": engine_closed,
    "too_many_permits": too_many_permits,
    "too_many_entities": too_many_entities,
}


def test_every_code_is_met_here_or_where_it_says() -> None:
    assert set(ROWS) | set(ELSEWHERE) == set(TABLE)
    assert set(ROWS) & set(ELSEWHERE) == set()
    for code, place in ELSEWHERE.items():
        word = code.title().replace("_", "") if place.endswith(".rs") else code
        assert word in (ROOT / place).read_text()


@pytest.mark.parametrize("code", ROWS)
def test_a_caller_meets_the_code_with_its_status_and_words(code: str) -> None:
    met, row = ROWS[code](), TABLE[code]
    if isinstance(met, Reply):
        assert (met.status, met.code, met.body["status_code"]) == (row.status, code, row.status)
        assert met.body["is_bifrost_error"] is False
        assert met.body["error"]["message"]
        return
    assert (met.code, met.status) == (code, row.status)
    assert met.message
    if isinstance(met, limen.Denial):
        assert not met
    else:
        assert type(met) is row.error


@pytest.mark.parametrize("code", TABLE)
def test_every_code_has_one_exception_a_status_and_words(code: str) -> None:
    fault = limen.errors.fault(code, "", "field")
    assert type(fault) is TABLE[code].error
    assert (fault.code, fault.param, fault.status) == (code, "field", TABLE[code].status)
    assert fault.message
    assert str(fault) == f"field: {fault.message}"
    copy = pickle.loads(pickle.dumps(fault))
    assert (type(copy), copy.code, copy.param, copy.faults) == (type(fault), code, "field", fault.faults)


def test_an_error_speaks_of_its_first_fault_and_lists_all() -> None:
    faults = (Fault("not_found", "no such team", "team_id"), Fault("invalid_request", "is wrong", "name"))
    error = LimenError.of(faults)
    assert isinstance(error, limen.NotFoundError)
    assert (error.status, error.param, error.faults) == (404, "team_id", faults)


def test_the_core_raises_codes_of_the_table_only() -> None:
    assert set(_core.error_codes()) <= set(TABLE)
