"""Unique secrets are planted wherever one may stand, everything that prints is done, and nothing shows one.

What may tell a value is the answer of create and rotate, in its field `value` and nowhere else of it.
"""

from __future__ import annotations

import base64
import contextlib
import http.client
import json
import logging
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from door import Door

import limen
from furnished import picture
from limen.http import admin
from limen.http.app import routes
from test_cli import policy, run, serving

PLANTED = {
    "virtual_key": "sk-bf-canary-virtual-key-5d1e90",
    "provider_key": "canary-provider-key-c47a02",
    "azure": "canary-azure-secret-8be631",
    "gateway": "canary-gateway-token-f0297d",
    "admin": "canary-admin-token-63a8be",
    "started": "canary-token-of-the-start-b70d31",
    "environment": "canary-of-the-environment-17dd4c",
}
PROVIDER_KEY = {"provider": "p", "name": "n"}
STRANGER = "sk-bf-canary-of-a-stranger-92c3fa"
POLICY: dict[str, Any] = {
    "settings": {
        "secret_env": ["CANARY_OF_THIS_TEST"],
        "gateway_tokens": [{"name": "g", "token": PLANTED["gateway"]}],
        "admin_tokens": [{"name": "a", "token": PLANTED["admin"]}],
    },
    "providers": [{"name": "p"}],
    "provider_keys": [
        {
            "provider": "p",
            "name": "literal",
            "value": PLANTED["provider_key"],
            "azure_client_secret": {"value": PLANTED["azure"]},
        },
        {"provider": "p", "name": "named", "value": "env.CANARY_OF_THIS_TEST"},
    ],
    "virtual_keys": [
        {
            "id": "bot",
            "name": "bot",
            "value": PLANTED["virtual_key"],
            "provider_configs": [{"provider": "p", "weight": 1, "allowed_models": ["*"]}],
            "rate_limit": {"request_max_limit": 2, "request_reset_duration": "1h"},
        }
    ],
}


def shown(secret: str) -> list[bytes]:
    """The forms in which a secret could get out. Its last four characters are part of the mask."""
    text = secret[:-4].encode()
    return [text, base64.b64encode(secret.encode())[:-8], text.hex().encode(), secret[:-4][::-1].encode()]


def leaks(printed: bytes, *more: str) -> list[str]:
    secrets = (*PLANTED.values(), STRANGER, *more)
    return [secret for secret in secrets if any(form in printed for form in shown(secret))]


class Log:
    """Everything that was printed, raised, answered or logged."""

    def __init__(self) -> None:
        self.lines: list[bytes] = []

    def keep(self, *things: Any) -> None:
        for thing in things:
            self.lines += [thing] if isinstance(thing, bytes) else [repr(thing).encode(), str(thing).encode()]

    def call(self, call: Callable[[], Any]) -> Any:
        """Keep the answer, or the fault with its trace."""
        try:
            answer = call()
        except limen.LimenError as fault:
            self.keep(fault, fault.faults, fault.args, "".join(traceback.format_exception(fault, limit=0)))
            return None
        self.keep(answer)
        return answer

    def printed(self) -> bytes:
        return b"\n".join(self.lines)


@pytest.fixture
def door(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Door:
    monkeypatch.setenv("CANARY_OF_THIS_TEST", PLANTED["environment"])
    door = Door(**POLICY["settings"])
    door.engine.load(policy(tmp_path, **POLICY))
    return door


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> Iterator[Log]:
    caplog.set_level(logging.DEBUG)
    log = Log()
    yield log
    log.keep(caplog.text)
    assert leaks(log.printed()) == []


def test_a_leak_would_be_seen() -> None:
    for secret in PLANTED.values():
        assert leaks(f"an answer with {secret} in it".encode()) == [secret]
        assert leaks(f"********{secret[-4:]}".encode()) == []


def test_no_answer_fault_or_metric_of_the_engine_shows_a_secret(door: Door, log: Log) -> None:
    engine = door.engine
    value = PLANTED["virtual_key"]
    for key in (value, value, value, STRANGER, engine.handle(value)):
        answer = log.call(lambda key=key: engine.admit(key, "m", 5))
        log.call(lambda answer=answer: answer.headers())
        with contextlib.suppress(AttributeError):
            log.keep(answer.limits, answer.message, answer.body(), answer.excluded)
    for call in (
        lambda: engine.handle(STRANGER),
        lambda: engine.quota(STRANGER),
        lambda: engine.quota(value),
        lambda: engine.check_credential("pmt_x", value),
        lambda: engine.settle(value, tokens=1),
        lambda: engine.admit(value, "m", sticky=5),
        lambda: engine.admit_many([(STRANGER, "m"), {"key": value, "nope": 1}, (value,)]),
        lambda: engine.virtual_keys.create({"name": "n", "value": value}),
        lambda: engine.virtual_keys.update("bot", {"value": value}),
        lambda: engine.virtual_keys.list(search=STRANGER),
        lambda: engine.provider_keys.create(PROVIDER_KEY | {"value": STRANGER, "weight": -1}),
        lambda: engine.provider_keys.create(PROVIDER_KEY | {"value": {"value": STRANGER, "x": 1}}),
        lambda: limen.Engine(settings={"gateway_tokens": [{"name": "g", "token": STRANGER, "nope": 1}]}),
        lambda: limen.Engine(settings={"gateway_tokens": [{"name": "g", "token": [STRANGER]}]}),
    ):
        log.call(call)
    log.keep(engine, engine.settings, engine.metrics().encode(), engine.snapshot(), *picture(engine))


def test_what_create_and_rotate_tell_stands_in_one_field(door: Door, log: Log) -> None:
    keys = door.engine.virtual_keys
    for told in (keys.create({"name": "new"}), keys.rotate("bot")):
        value = told.value
        log.keep(told, [told], {"key": told}, f"{told}")
        told.value = "hidden"
        log.keep(limen.model.to_json(told))
        log.keep(*picture(door.engine), *door.engine._book.records["virtual_key"].values())
        assert leaks(log.printed(), value) == []


def test_no_reply_of_the_server_shows_a_secret(door: Door, log: Log) -> None:
    value = PLANTED["virtual_key"]
    credentials = [
        {},
        {"x-bf-vk": value},
        {"x-api-key": STRANGER},
        {"authorization": f"Bearer {PLANTED['gateway']}"},
        {"authorization": f"Bearer {PLANTED['admin']}"},
        {"authorization": f"Basic {STRANGER}"},
        {"host": f"{STRANGER}.example"},
    ]
    bodies: list[Any] = [
        {"virtual_key": value, "model": "m"},
        {"virtual_key": STRANGER, "model": "m", "input_tokens": -1},
        {"virtual_key_id": "bot", "model": "m"},
        {"permit": value, "tokens": 1},
        {"calls": [{"op": "admit", "virtual_key": STRANGER}, {"op": "settle", "permit": STRANGER}]},
        {"virtual_key": [value], "model": "m"},
        f'{{"virtual_key": "{value}", "virtual_key": "{STRANGER}"}}'.encode(),
        f'{{"virtual_key": "{value}'.encode(),
        f'"{STRANGER}"'.encode(),
    ]
    for path, methods in routes(door.engine, key_required=True).items():
        for method in methods:
            for headers in credentials:
                for body in bodies if method == "POST" else [b""]:
                    parts = [body if isinstance(body, bytes) else json.dumps(body).encode()]
                    reply = door.call(method, path, parts, headers)
                    assert reply.status < 500
                    log.keep(reply.content, reply.headers)


def test_no_reply_to_an_administrator_shows_a_secret(door: Door, log: Log) -> None:
    """The bodies carry secrets where one may stand and where none may; every route gets each of them."""
    (literal, _) = door.engine.provider_keys.list()
    secret = {"value": STRANGER, "azure_client_secret": {"value": PLANTED["azure"]}}
    bodies: list[Any] = [
        {},
        {"name": "n", **secret},
        {"name": "m", "value": {"value": STRANGER}, "weight": -1},
        {"value": PLANTED["virtual_key"]},
        {"name": "o", "value": PLANTED["virtual_key"], "provider_configs": [{"provider": STRANGER, "x": 1}]},
        {"grace": STRANGER},
        {"reason": 5, "amount": STRANGER},
        {"bedrock_arn": f"env.{STRANGER}"},
        {STRANGER: 1},
        f'{{"value": "{STRANGER}", "value": "{STRANGER}"}}'.encode(),
        f'{{"value": "{STRANGER}'.encode(),
    ]
    credentials = [
        {"authorization": f"Bearer {PLANTED['admin']}"},
        {"authorization": f"Bearer {STRANGER}"},
        {"authorization": f"Bearer {PLANTED['gateway']}"},
        {"authorization": f"Bearer {PLANTED['admin']}", "if-match": f'"{STRANGER}"'},
    ]
    for row in admin.ROWS:
        path = row.path.format(id="bot", name="p", provider="p", key_id=literal.key_id)
        if row.call == "delete":
            path += STRANGER  # what is there stays, for the other routes
        for headers in credentials:
            for body in bodies if row.method in ("POST", "PUT") else [b""]:
                parts = [body if isinstance(body, bytes) else json.dumps(body).encode()]
                reply = door.call(row.method, path, parts, headers)
                assert reply.status < 500
                # What a caller misspelt comes back as the name of a field; that is no secret of ours.
                log.keep(reply.content.replace(f'"param":"{STRANGER}"'.encode(), b""), reply.headers)
    for path in ("/openapi.json", "/docs", admin.METRICS):
        log.keep(door.call("GET", path, headers=credentials[0]).content)
    assert door.call("GET", "/api/keys", headers=credentials[0]).body[0]["value"]["value"].startswith("****")


def test_the_command_prints_no_secret(tmp_path: Path, log: Log) -> None:
    environment = {"CANARY_OF_THIS_TEST": PLANTED["environment"], "LIMEN_ADMIN_TOKEN": PLANTED["started"]}
    file = policy(tmp_path, **POLICY)
    with serving("--config", file, "--port", "0", **environment) as (process, address):
        client = http.client.HTTPConnection(address.removeprefix("http://"), timeout=20)
        client.request("POST", f"/{STRANGER}", STRANGER, {"authorization": f"Bearer {STRANGER}"})
        log.keep(client.getresponse().read())
        client.close()
    log.keep(process.printed)
    twice = [*POLICY["virtual_keys"], {"name": "bot", "value": STRANGER, "x": 1}]
    for done in (
        run("check", file, **environment),
        run("check", file),
        run("check", policy(tmp_path, **{**POLICY, "virtual_keys": twice}), **environment),
        run("serve", "--config", file, "--port", "0", **environment),
    ):
        log.keep(done.stdout, done.stderr)
    assert done.returncode == 2, "the file has faults by now"
