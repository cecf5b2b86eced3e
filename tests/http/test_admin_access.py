"""Who may administer: credentials and roles, what a failure costs, and who is never locked out."""

from __future__ import annotations

from base64 import b64encode
from typing import Any

import pytest
from door import Clock, Door, drive

from limen.http import admin, start
from limen.http.admins import PEERS_MOST, Admin, Admins
from limen.http.app import Application
from limen.http.auth import Access
from limen.settings import Settings, read_settings

ADMIN, READER, GATEWAY = "an-admin-s-token-0123", "a-reader-s-token-4567", "a-gateway-s-token-89"
SETTINGS: dict[str, Any] = {
    "admin_tokens": [
        {"name": "boss", "token": ADMIN, "role": "admin"},
        {"name": "eye", "token": READER, "role": "read"},
    ],
    "gateway_tokens": [{"name": "edge", "token": GATEWAY}],
}
LIST, ONE = "/api/governance/customers", "/api/governance/customers/nobody"


def bearer(token: str) -> dict[str, str]:
    return {"authorization": f"Bearer {token}"}


def basic(text: str) -> dict[str, str]:
    return {"authorization": f"Basic {b64encode(text.encode()).decode()}"}


@pytest.fixture
def door() -> Door:
    return Door(**SETTINGS)


ROWS: list[tuple[str, dict[str, str | None], str, str, int, str]] = [
    ("nothing", {}, "GET", LIST, 401, "admin_required"),
    ("an admin", bearer(ADMIN), "GET", LIST, 200, ""),
    ("any case of the scheme, and spaces", {"authorization": f"bEARER   {ADMIN} "}, "GET", LIST, 200, ""),
    ("an admin changes", bearer(ADMIN), "DELETE", ONE, 404, "not_found"),
    ("a reader reads", bearer(READER), "GET", LIST, 200, ""),
    ("a reader looks", bearer(READER), "HEAD", LIST, 200, ""),
    ("a reader sees metrics", bearer(READER), "GET", "/metrics", 200, ""),
    ("a reader creates", bearer(READER), "POST", LIST, 403, "read_only"),
    ("a reader updates", bearer(READER), "PUT", ONE, 403, "read_only"),
    ("a reader deletes", bearer(READER), "DELETE", ONE, 403, "read_only"),
    ("a gateway", bearer(GATEWAY), "GET", LIST, 401, "admin_required"),
    ("a wrong token", bearer("wrong"), "GET", LIST, 401, "admin_required"),
    ("half a token", bearer(ADMIN[:-1]), "GET", LIST, 401, "admin_required"),
    ("more than a token", bearer(ADMIN + "x"), "GET", LIST, 401, "admin_required"),
    ("no token", {"authorization": "Bearer"}, "GET", LIST, 401, "admin_required"),
    ("no header value", {"authorization": ""}, "GET", LIST, 401, "admin_required"),
    ("the token without a scheme", {"authorization": ADMIN}, "GET", LIST, 401, "admin_required"),
    ("the token as Basic", basic(ADMIN), "GET", LIST, 401, "admin_required"),
    ("Basic that is none", {"authorization": "Basic ***"}, "GET", LIST, 401, "admin_required"),
    ("another scheme", {"authorization": f"Digest {ADMIN}"}, "GET", LIST, 401, "admin_required"),
    ("the token as a key", {"x-api-key": ADMIN}, "GET", LIST, 401, "admin_required"),
    ("the token in a cookie", {"cookie": f"token={ADMIN}"}, "GET", LIST, 401, "admin_required"),
    ("no text", {"authorization": "Bearer \u00ff\u00fe"}, "GET", LIST, 401, "admin_required"),
    ("credentials before the body", {"content-type": "text/plain"}, "POST", LIST, 401, "admin_required"),
    ("metrics without", {}, "GET", "/metrics", 401, "admin_required"),
    ("an unknown path", {}, "GET", "/api/nothing", 404, "not_found"),
    ("an open one", {}, "GET", "/api/version", 200, ""),
]


@pytest.mark.parametrize(
    ("headers", "method", "path", "status", "code"), [row[1:] for row in ROWS], ids=[row[0] for row in ROWS]
)
def test_a_credential_opens_what_its_row_says(
    door: Door, headers: dict[str, str], method: str, path: str, status: int, code: str
) -> None:
    reply = door.call(method, path, [b'{"name": "n"}'], headers)
    assert reply.status == status
    if code:
        assert reply.code == code
    assert ("www-authenticate" in reply.headers) == (code == "admin_required")
    assert "set-cookie" not in reply.headers
    assert not [name for name in reply.headers if name.startswith("access-control")]
    assert door.engine.customers.list().count == 0


@pytest.mark.parametrize("row", [row for row in admin.ROWS if row.path != admin.QUOTA], ids=str)
def test_no_admin_route_is_open(door: Door, row: admin.Row) -> None:
    path = row.path.format(id="i", name="n", provider="p", key_id="k")
    for headers in ({}, bearer(GATEWAY), bearer("wrong")):
        assert door.call(row.method, path, [b"{}"], headers).status in (401, 429)
    if row.method != "GET":
        assert door.call(row.method, path, [b"{}"], bearer(READER)).code == "read_only"


def test_a_change_is_noted_under_the_name_of_who_asked_for_it(door: Door) -> None:
    assert door.call("POST", LIST, [b'{"name": "n"}'], bearer(ADMIN)).status == 200
    door.engine.customers.create({"name": "m"})
    assert Door().call("POST", LIST, [b'{"name": "n"}']).status == 200
    entries = door.call("GET", "/api/governance/audit?entity=customer", headers=bearer(READER)).body["audit"]
    assert [(entry["actor"], entry["action"]) for entry in entries] == [
        ("embedded", "create"),
        ("boss", "create"),
    ]


def test_two_credentials_are_refused(door: Door) -> None:
    lines = [(b"host", b"localhost"), *([(b"authorization", f"Bearer {ADMIN}".encode())] * 2)]
    assert drive(door.app, "GET", LIST, [b""], lines).status == 400


def test_an_admin_token_is_no_gateway_token_and_no_key(door: Door) -> None:
    ask = {"virtual_key_id": door.key().id, "model": "m", "provider": "p"}
    assert door.post("/v1/admit", ask, bearer(ADMIN)).code == "gateway_token_required"
    assert door.call("GET", admin.QUOTA, headers=bearer(ADMIN)).code == "virtual_key_not_found"
    assert door.call("GET", admin.QUOTA, headers=bearer(GATEWAY)).code == "virtual_key_required"


def test_metrics_are_open_where_the_settings_say_so() -> None:
    door = Door(metrics_open=True, **SETTINGS)
    reply = door.call("GET", "/metrics")
    assert (reply.status, reply.headers["content-type"]) == (200, "text/plain; version=0.0.4; charset=utf-8")
    assert reply.content == door.engine.metrics().encode()


@pytest.mark.parametrize("headers", [{}, bearer("anything"), basic("any:thing")])
def test_without_credentials_whoever_reaches_loopback_administers(headers: dict[str, str]) -> None:
    assert Door().call("GET", LIST, headers=headers).status == 200


def test_an_application_that_names_nobody_lets_nobody_in() -> None:
    door = Door()
    app = Application(door.engine, Access(), key_required=True)
    lines = [(b"host", b"localhost")]
    assert drive(app, "GET", LIST, [b""], lines).code == "admin_required"


def test_a_page_of_another_origin_gets_nothing_done() -> None:
    door = Door()
    for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data", None):
        for method, path in (("POST", LIST), ("PUT", "/api/governance/providers/p")):
            reply = door.call(
                method, path, [b'{"name": "n"}'], {"content-type": kind, "origin": "https://evil"}
            )
            assert reply.status == 415
    assert door.call("OPTIONS", LIST, headers={"origin": "https://evil"}).status == 405
    assert door.call("GET", LIST, headers={"host": "evil.example"}).status == 421


# Failures


class Scene:
    """An application with one admin, and the seconds since it began."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.admins = Admins([Admin("boss", "admin", b"bearer", ADMIN.encode())], clock=self.clock)
        self.app = Application(Door().engine, Access(admins=self.admins), key_required=True)

    def ask(self, token: str | None, peer: str = "192.0.2.1") -> Any:
        lines = [(b"host", b"localhost")]
        if token is not None:
            lines.append((b"authorization", f"Bearer {token}".encode()))
        return drive(self.app, "GET", LIST, [b""], lines, peer)

    def fail(self, times: int, peer: str = "192.0.2.1") -> list[int]:
        return [self.ask("wrong", peer).status for _ in range(times)]


def test_ten_failures_in_a_minute_and_the_next_are_refused_for_a_minute() -> None:
    scene = Scene()
    assert scene.fail(10) == [401] * 10
    scene.clock.seconds = 20
    reply = scene.ask("wrong")
    assert (reply.status, reply.code, reply.headers["retry-after"]) == (429, "too_many_logins", "40")
    scene.clock.seconds = 59.9
    assert scene.ask("wrong").headers["retry-after"] == "1"
    scene.clock.seconds = 60
    assert scene.fail(11) == [401] * 10 + [429]


def test_the_minute_of_the_refusals_begins_with_the_tenth() -> None:
    scene = Scene()
    scene.fail(9)
    scene.clock.seconds = 50
    scene.fail(1)
    scene.clock.seconds = 109
    assert scene.fail(1) == [429]
    scene.clock.seconds = 110
    assert scene.fail(1) == [401]


def test_failures_of_another_minute_do_not_count() -> None:
    scene = Scene()
    scene.fail(9)
    scene.clock.seconds = 60
    assert scene.fail(10) == [401] * 10


def test_a_valid_credential_is_never_locked_out() -> None:
    scene = Scene()
    scene.fail(30)
    assert scene.ask(ADMIN).status == 200
    assert scene.fail(1) == [429], "and it does not reset what others did from there"


def test_peers_are_counted_by_themselves_and_those_who_show_nothing_are_not() -> None:
    scene = Scene()
    scene.fail(11)
    assert scene.fail(1, "198.51.100.7") == [401]
    assert [scene.ask(None, "203.0.113.5").status for _ in range(20)] == [401] * 20
    assert scene.fail(1, "203.0.113.5") == [401]


def test_the_memory_for_peers_is_bounded() -> None:
    admins = Scene().admins
    for number in range(PEERS_MOST + 100):
        with pytest.raises(Exception, match="needs credentials"):
            admins.admit(b"Bearer wrong", f"peer {number}")
    assert len(admins._failures) == PEERS_MOST
    assert "peer 0" not in admins._failures


def test_every_credential_is_compared_whichever_fits() -> None:
    """How long it takes must not tell which one came close."""
    compared = []

    class Proof(bytes):
        pass

    import limen.http.admins as module

    known = [Admin(str(n), "admin", b"bearer", Proof(b"token %d" % n)) for n in range(5)]
    admins = Admins(known)
    real = module.compare_digest
    module.compare_digest = lambda a, b: compared.append(a) or real(a, b)
    try:
        assert admins.admit(b"Bearer token 0", "").name == "0"
    finally:
        module.compare_digest = real
    assert len(compared) == 5


# From the environment


def test_administrators_come_from_the_settings_and_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("LIMEN_ADMIN_TOKEN", "LIMEN_ADMIN_USER", "LIMEN_ADMIN_PASSWORD"):
        monkeypatch.delenv(name, raising=False)
    assert start.administrators(Settings()) == []
    monkeypatch.setenv("LIMEN_ADMIN_USER", "ann")
    assert start.administrators(Settings()) == [], "a user without a password is nobody"
    monkeypatch.setenv("LIMEN_ADMIN_PASSWORD", "p:w \u00fc")
    monkeypatch.setenv("LIMEN_ADMIN_TOKEN", " env-token\n")
    known = start.administrators(read_settings({"admin_tokens": SETTINGS["admin_tokens"]}))
    assert [(one.name, one.role) for one in known] == [
        ("boss", "admin"),
        ("eye", "read"),
        ("LIMEN_ADMIN_TOKEN", "admin"),
        ("ann", "admin"),
    ]
    admins = Admins(known)
    assert admins.admit(basic("ann:p:w \u00fc")["authorization"].encode(), "").name == "ann"
    assert admins.admit(b"Bearer env-token", "").name == "LIMEN_ADMIN_TOKEN"
    for wrong in (basic("ann:p"), basic("ann"), basic("ANN:p:w \u00fc"), bearer("ann:p:w \u00fc")):
        with pytest.raises(Exception, match="needs credentials"):
            admins.admit(wrong["authorization"].encode(), "")
