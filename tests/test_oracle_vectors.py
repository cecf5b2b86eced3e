"""The shared vectors at the oracle: figures worked out by hand that neither it nor the engine provided."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from model import Allowed, Config, Key, MisuseError, Oracle, Request, Settings, Violation

FILE = json.loads((Path(__file__).parent / "vectors" / "admission.json").read_text())
START, DEFAULTS, VECTORS = FILE["start_ms"], FILE["defaults"], FILE["vectors"]


class Player:
    """One vector at the oracle; each operation answers everything that an `expect` may name."""

    def __init__(self, vector: dict[str, Any]) -> None:
        words = DEFAULTS["settings"] | vector["settings"]
        self.oracle = Oracle(
            Settings(
                words["require_virtual_key"],
                words["estimate_output_tokens"],
                str(words["estimate_share"]),
                words["fit"],
                words["unknown_price"],
                words["permit_ttl_ms"],
                words["on_expiry"],
                words["max_open_permits"],
            )
        )
        self.values: dict[str, str] = {}
        self.permits: dict[str | None, Allowed] = {}
        self.now = START
        self.apply(vector["edits"])

    def apply(self, edits: list[dict[str, Any]]) -> None:
        for given in edits:
            edit = DEFAULTS.get(given["op"], {}) | given
            level, owner = edit["op"], edit.get("id") or edit["name"]
            if level == "delete":
                self.oracle.retire(edit["kind"], owner)
                self.oracle.keys.pop(owner)
                continue
            if level == "virtual_key":
                self.values |= {one["value"]: owner for one in edit["credentials"] or []}
                self.oracle.keys[owner] = Key(
                    owner, edit["active"], edit["expires_at_ms"], edit["team_id"], edit["customer_id"]
                )
                for one in edit["provider_configs"]:
                    config = Config(
                        str(one["id"]), one["provider"], one["weight"], one["allowed_models"], one["key_ids"]
                    )
                    self.oracle.keys[owner].configs.append(config)
                    self.enter("provider_config", config.id, one["limits"])
            elif level == "team":
                self.oracle.team_customer[owner] = edit["customer_id"]
            elif level == "model_config":
                self.oracle.model_configs[owner] = (edit["model"], edit["provider"])
                level = "model_provider" if edit["provider"] else "model"
            elif level == "provider":
                self.oracle.provider_names.add(owner)
            self.enter(level, owner, edit["limits"])

    def enter(self, level: str, owner: str, limits: list[dict[str, Any]]) -> None:
        for one in limits:
            shape = (one["limit"], one["per"], one["window"])
            self.oracle.limit(level, owner, one["id"], one["kind"], *shape, now=self.now)

    def admit(self, given: dict[str, Any]) -> dict[str, Any]:
        words = DEFAULTS["admit"] | given
        name, value, cost = words.pop("as", None), words.pop("key"), words.pop("cost_nano_usd", None)
        key = None if value is None else self.values.get(value, "nobody")
        answer = self.oracle.admit(self.now, Request(key, words.pop("model"), cost=cost, **words))
        if isinstance(answer, Allowed):
            self.permits[name] = answer
            return {
                "allowed": True,
                "tokens": answer.tokens,
                "cost_nano_usd": answer.cost,
                "max_output_tokens": answer.max_output_tokens,
                "expires_at": answer.expires_at - START,
            }
        return {
            "allowed": False,
            "code": answer.code,
            "fits": answer.fits,
            "retry_after_ms": answer.retry_ms,
            "limits": [as_row(limit) for limit in answer.limits],
        }

    def settle(self, given: dict[str, Any]) -> dict[str, Any]:
        permit, cost = self.permits[given.pop("permit")], given.pop("cost_nano_usd", None)
        settled = self.oracle.settle(self.now, permit, cost=cost, **given)
        return vars(settled) | {"cost_nano_usd": settled.cost}

    def update(self, given: dict[str, Any]) -> dict[str, Any]:
        over = self.oracle.update(self.now, self.permits[given.pop("permit")], **given)
        return {"over": [[limit.level, limit.kind] for limit in over]}

    def release(self, given: dict[str, Any]) -> dict[str, Any]:
        self.oracle.release(self.now, self.permits[given.pop("permit")], **given)
        return {}

    def sweep(self, given: dict[str, Any]) -> dict[str, Any]:
        return {"expired": self.oracle.sweep(self.now)}

    def read(self, given: dict[str, Any]) -> dict[str, Any]:
        wanted = (given["limit"], given["kind"])
        counter = next(one for one in self.oracle.counters() if (one.limit_id, one.kind) == wanted)
        return {"used": counter.used(self.now), "held": counter.held(self.now)}


def as_row(limit: Violation) -> list[Any]:
    numbers = [limit.limit, limit.used, limit.held, limit.asked]
    return [limit.level, limit.kind, *numbers, limit.reset_at - START, limit.retry_ms]


@pytest.mark.parametrize("vector", VECTORS, ids=[vector["name"] for vector in VECTORS])
def test_vector(vector: dict[str, Any]) -> None:
    player = Player(vector)
    for number, call in enumerate(vector["calls"]):
        given = dict(call)
        player.now, op, expect = START + given.pop("at_ms"), given.pop("op"), given.pop("expect", {})
        if op == "apply":
            player.apply(given["edits"])
            continue
        try:
            shown = getattr(player, op)(given)
        except MisuseError as fault:
            shown = {"fault": str(fault)}
        assert {word: shown.get(word) for word in expect} == expect, f"call {number + 1}, {op}"
