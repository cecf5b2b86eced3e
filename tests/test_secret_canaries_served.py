"""Unique secrets in a server with a store, in every field that takes one; everything that leaves is searched.

Answers and headers, also of every faulty body; metrics, audit, the OpenAPI document; what the process and the
commands print; the store's file and its log while it is open and after; the backup, the export, what doctor
recovers. What may tell a virtual key's value is the answer of create and rotate, in `value`.
"""

from __future__ import annotations

import base64
import http.client
import json
from typing import Any

import pytest
from over_http import written

from bad_values import COUNTS, NAMES
from limen.http import admin
from limen.resources.views import SECRETS
from test_bad_input_bodies import OTHER_CREATES, UPDATES, key_rows
from test_cli import WAIT, policy, run, serving
from test_secret_canaries import shown

FIELDS = ("value", *SECRETS)
IN_FIELDS = {field: f"canary-of-{field}-{number:02}-5c1e7a90b2" for number, field in enumerate(FIELDS)}
CHANGED = {field: f"changed-{field}-{number:02}-f3d86e124c" for number, field in enumerate(FIELDS)}
TOKENS = {
    "an admin": "canary-of-an-admin-e51c09d7a4",
    "a reader": "canary-of-a-reader-77b0ce3f12",
    "a gateway": "canary-of-a-gateway-0d94b6ac85",
    "LIMEN_ADMIN_TOKEN": "canary-of-the-environment-c26f18e9",
    "LIMEN_ADMIN_PASSWORD": "canary-of-a-password-4e7d02b1f6",
    "LIMEN_SECRET_KEY": base64.b64encode(b"canary of 32 bytes, at rest: key").decode(),
    "a variable": "canary-of-a-variable-a9e35d70c1",
    "a key of the file": "sk-bf-canary-of-the-file-31fb6d08e2",
    "a stranger's": "sk-bf-canary-of-a-stranger-6ac20f9d71",
}
ENVIRONMENT = {
    "LIMEN_ADMIN_TOKEN": TOKENS["LIMEN_ADMIN_TOKEN"],
    "LIMEN_ADMIN_USER": "ann",
    "LIMEN_ADMIN_PASSWORD": TOKENS["LIMEN_ADMIN_PASSWORD"],
    "LIMEN_SECRET_KEY": TOKENS["LIMEN_SECRET_KEY"],
    "NAMED_BY_THIS_TEST": TOKENS["a variable"],
}
POLICY: dict[str, Any] = {
    "settings": {
        "secret_env": ["NAMED_BY_THIS_TEST"],
        "admin_tokens": [
            {"name": "boss", "token": TOKENS["an admin"]},
            {"name": "eye", "token": TOKENS["a reader"], "role": "read"},
        ],
        "gateway_tokens": [{"name": "edge", "token": TOKENS["a gateway"]}],
    },
    "provider_keys": [
        {"id": "filed", "provider": "p", "name": "filed", **IN_FIELDS},
        {"provider": "p", "name": "named", "value": "env.NAMED_BY_THIS_TEST"},
    ],
    "virtual_keys": [{"id": "bot", "name": "bot", "value": TOKENS["a key of the file"]}],
}


class Wire:
    """An administrator's connection; every answer goes to what is searched."""

    def __init__(self, address: str) -> None:
        self.client = http.client.HTTPConnection(address.removeprefix("http://"), timeout=WAIT)
        self.seen: list[bytes] = []
        self.values: dict[str, str] = {}

    def ask(self, method: str, path: str, body: Any = None, token: str = "an admin", **headers: str) -> Any:
        given = {"content-type": "application/json", "authorization": f"Bearer {TOKENS[token]}", **headers}
        content = body if isinstance(body, bytes | None) else json.dumps(body).encode()
        self.client.request(method, path, content, given)
        reply = self.client.getresponse()
        answered = reply.read()
        assert reply.status < 500, (method, path, answered)
        told = json.loads(answered) if reply.headers["content-type"] == "application/json" else {}
        if reply.status == 200 and method == "POST" and isinstance(told.get("virtual_key"), dict):
            # The one place where a value is told.
            value = told["virtual_key"]["value"]
            self.values[f"key {len(self.values)}"] = value
            assert answered.count(value.encode()) == 1
            answered = answered.replace(value.encode(), b"")
        self.seen += [answered, str(reply.headers).encode()]
        return told


def leaks(printed: bytes, secrets: dict[str, str]) -> list[str]:
    return [name for name, secret in secrets.items() if any(form in printed for form in shown(secret))]


@pytest.fixture(scope="module", params=["with a key", "without a key"])
def searched(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """All that left a server, by where it went; and the secrets that it had."""
    folder = tmp_path_factory.mktemp("canaries")
    (folder / "store").mkdir()
    db = folder / "store" / "limen.db"
    environment = dict(ENVIRONMENT)
    if request.param == "without a key":
        del environment["LIMEN_SECRET_KEY"]
    found: dict[str, bytes] = {}
    with serving(*("--db", db, "--config", policy(folder, **POLICY), "--port", "0"), **environment) as (
        process,
        address,
    ):
        wire = Wire(address)
        administer(wire)
        misspell(wire)
        decide(wire)
        read(wire)
        wire.client.close()
        found["answers"] = b"\n".join(wire.seen)
        files = {path.name: path.read_bytes() for path in db.parent.iterdir()}
        assert len(files["limen.db-wal"]) > 50_000
        found["store while it is open"] = b"".join(files.values())
        for name, words in {
            "backup": ("backup", db, folder / "backup.db"),
            "export": ("export", db),
            "doctor": ("doctor", db, "--json"),
            "keys": ("keys", "list", "--json", "--url", address),
            "usage": ("usage", "--json", "--url", address),
            "a wrong token": ("keys", "list", "--url", address),
        }.items():
            token = TOKENS["a stranger's" if name == "a wrong token" else "an admin"]
            done = run(*words, **{**environment, "LIMEN_ADMIN_TOKEN": token})
            assert (done.returncode == 0) == (name != "a wrong token"), done.stderr
            found[name] = (done.stdout + done.stderr).encode()
    found["process"] = "".join(process.printed).encode()
    found["store"] = b"".join(path.read_bytes() for path in db.parent.iterdir())
    found["backup"] += (folder / "backup.db").read_bytes()
    recovered = folder / "recovered.db"
    done = run("doctor", folder / "backup.db", "--recover", recovered, **environment)
    assert done.returncode == 0, done.stderr
    found["recovered"] = (done.stdout + done.stderr).encode() + recovered.read_bytes()
    return request.param, found, {**IN_FIELDS, **CHANGED, **TOKENS, **wire.values}


def administer(wire: Wire) -> None:
    """A secret into every field, by create and by update; keys made and rotated."""
    keys, virtual = "/api/providers/p/keys", "/api/governance/virtual-keys"
    made = wire.ask("POST", keys, {"name": "made", **CHANGED})["key"]
    assert all(made[field]["value"].startswith("****") for field in FIELDS)
    id = made["key_id"]
    wire.ask("PUT", f"{keys}/{id}", {field: {"value": IN_FIELDS[field]} for field in FIELDS})
    wire.ask("PUT", f"{keys}/{id}", CHANGED | {"value": "env.NAMED_BY_THIS_TEST"})
    assert wire.ask("PUT", f"{keys}/{id}", made)["key"]["azure_endpoint"] == made["azure_endpoint"]
    wire.ask("PUT", f"{keys}/{id}", dict.fromkeys(SECRETS))
    key = wire.ask("POST", virtual, {"name": "new"})["virtual_key"]
    for path in (key["id"], "bot", key["id"]):
        wire.ask("POST", f"{virtual}/{path}/rotate", {"grace": 60})
    wire.ask("DELETE", f"{virtual}/{key['id']}")
    assert len(wire.values) == 4


def misspell(wire: Wire) -> None:
    """Every faulty body of the rows, with secrets beside the fault; and secrets that are the fault."""
    paths = {row.resource: row for row in admin.ROWS if row.call == "create"}
    secret = TOKENS["a stranger's"]
    rows = [("virtual_keys", row.values[0]) for row in key_rows()]
    rows += [(resource, body) for resource, body, _ in OTHER_CREATES if resource in paths]
    for field in FIELDS:
        for value in (
            *COUNTS,
            *NAMES,
            {"value": secret, "x": 1},
            [secret],
            {"value": [secret]},
            f"env.{secret}",
        ):
            rows.append(("provider_keys.of", {"name": "n", **IN_FIELDS, field: value}))
    for resource, body in rows:
        path = paths[resource].path.format(provider="p")
        try:
            content = written(body).encode()
        except pytest.skip.Exception:
            continue
        wire.ask("POST", path, content)
    updates = {row.resource: row for row in admin.ROWS if row.call == "update"}
    for resource, body, _ in UPDATES:
        row = updates.get(resource, updates["provider_keys.of"])
        wire.ask("PUT", row.path.format(id="bot", name="p", provider="p", key_id="filed"), body)
    whole = json.dumps({"name": "n", **IN_FIELDS}).encode()
    for row in admin.ROWS:
        if row.method in ("POST", "PUT"):
            path = row.path.format(id="bot", name="p", provider="p", key_id="filed")
            for content in (
                whole,
                whole[:-1],
                whole[:-1] + b"," + whole[1:],
                b"[" + whole + b"]",
                whole[:400],
            ):
                wire.ask(row.method, path, content, **{"if-match": f'"{secret}"'})


def decide(wire: Wire) -> None:
    for key in (
        TOKENS["a key of the file"],
        wire.values["key 0"],
        wire.values["key 2"],
        TOKENS["a stranger's"],
    ):
        for body in (
            {"virtual_key": key, "model": "m"},
            {"virtual_key": key, "model": "m", "input_tokens": -1},
            {"virtual_key": [key]},
            {"permit": key},
            {"calls": [{"op": "admit", "virtual_key": key, "model": "m"}, {"op": "settle", "permit": key}]},
        ):
            for path in ("admit", "peek", "settle", "update", "release", "batch"):
                wire.ask("POST", f"/v1/{path}", body)
                wire.ask("POST", f"/v1/{path}", body, "a gateway", **{"x-bf-vk": key})


def read(wire: Wire) -> None:
    """Everything that can be read, by whoever may and by who may not."""
    password = f"ann:{TOKENS['LIMEN_ADMIN_PASSWORD']}".encode()
    basic = {"authorization": f"Basic {base64.b64encode(password).decode()}"}
    paths = [row.path.format(id="bot", name="p", provider="p", key_id="filed") for row in admin.ROWS]
    paths += ["/health", "/api/version", "/openapi.json", "/docs", admin.METRICS, admin.QUOTA]
    for path in dict.fromkeys(paths):
        for token in ("an admin", "a reader", "a gateway", "LIMEN_ADMIN_TOKEN", "a stranger's"):
            wire.ask("GET", path, None, token)
            wire.ask("DELETE", path + TOKENS["a stranger's"], None, token)
        wire.ask("GET", path, **basic)
        wire.ask("GET", path, **{"x-bf-vk": wire.values["key 1"]})
    assert wire.ask("GET", "/api/governance/audit")["total_count"] > 8
    for entry in wire.ask("GET", "/api/governance/audit")["audit"]:
        assert entry["actor"] in ("boss", "file")


def test_nothing_that_leaves_a_server_shows_a_secret(searched: Any) -> None:
    way, found, secrets = searched
    # Without a key what providers are given lies in the store as it is, and the start says so.
    open_ones = {*CHANGED.values(), *IN_FIELDS.values()} if way == "without a key" else set()
    assert ("WARNING" in found["process"].decode()) == (way == "without a key")
    for place, printed in found.items():
        hidden = {
            name: secret
            for name, secret in secrets.items()
            if not (secret in open_ones and place.startswith(("store", "backup", "recovered")))
        }
        assert leaks(printed, hidden) == [], place


def test_the_search_would_find_what_is_there(searched: Any) -> None:
    way, found, _ = searched
    at_rest = found["store"]
    assert bool(leaks(at_rest, IN_FIELDS)) == (way == "without a key")
    for place in found:
        assert found[place], place
    assert b"env.NAMED_BY_THIS_TEST" in at_rest
    assert b'"param"' in found["answers"]
    assert b"value_sha256" in found["export"]
