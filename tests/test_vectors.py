"""The rows of `vectors/admission.json` through the engine: the same file that the core's own tests read.

Its policies are resolved rows, so they go in through `apply`, beneath the bodies and their rules.
"""

from __future__ import annotations

import itertools
import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

import limen

FILE = json.loads((Path(__file__).parent / "vectors" / "admission.json").read_text())
NUMBERS = itertools.count(1)
START, DEFAULTS, VECTORS = FILE["start_ms"], FILE["defaults"], FILE["vectors"]


class Player:
    """One vector at the engine; `at` moves the clock, the rest are the operations of the file."""

    def __init__(self, vector: dict[str, Any]) -> None:
        settings = DEFAULTS["settings"] | vector["settings"]
        self.clock = limen.ManualClock(START)
        self.engine = limen.Engine(settings=in_words_of_a_file(settings), clock=self.clock)
        self.permits: dict[str, Any] = {}
        self.apply(vector["edits"])

    def at(self, at_ms: int) -> None:
        step = START + at_ms - self.clock.now_ms
        (self.clock.jump if step < 0 else self.clock.advance)(step)

    def apply(self, edits: list[dict[str, Any]]) -> None:
        self.engine.apply([self.numbered(DEFAULTS.get(edit["op"], {}) | edit) for edit in edits])

    def numbered(self, edit: dict[str, Any]) -> dict[str, Any]:
        """With the numbers and anchors that the entities give: the same as the core's own tests give."""
        lists = [edit.get("limits", []), *(one["limits"] for one in edit.get("provider_configs", []))]
        for limit in (limit for limits in lists for limit in limits):
            limit |= {"number": next(NUMBERS), "anchor_ms": self.start(limit), "since_ms": 0}
        return edit | {"number": next(NUMBERS)}

    def start(self, limit: dict[str, Any]) -> int:
        try:
            ((_, _, start, _),) = self.engine.read([(limit["id"], limit["kind"])])
        except limen.NotFoundError:
            return self.clock.now_ms
        return start

    def admit(self, expect: dict[str, Any], given: dict[str, Any]) -> None:
        words = DEFAULTS["admit"] | in_dollars(given)
        name = words.pop("as", None)
        answer = self.engine.admit(**words)
        self.permits[name] = answer
        assert bool(answer) == expect["allowed"], answer
        assert as_shown(answer, expect) == expect

    def settle(self, expect: dict[str, Any], given: dict[str, Any]) -> None:
        settled = self.permits[given.pop("permit")].settle(**in_dollars(given))
        assert {word: getattr(settled, word) for word in expect} == expect

    def update(self, expect: dict[str, Any], given: dict[str, Any]) -> None:
        over = self.permits[given.pop("permit")].update(**in_dollars(given))
        assert [[limit.level, limit.kind] for limit in over] == expect["over"]

    def release(self, expect: dict[str, Any], given: dict[str, Any]) -> None:
        assert expect == {}
        self.permits[given.pop("permit")].release(**given)

    def sweep(self, expect: dict[str, Any], given: dict[str, Any]) -> None:
        assert self.engine.sweep() == expect["expired"]

    def read(self, expect: dict[str, Any], given: dict[str, Any]) -> None:
        used, held, _, _ = self.engine.read([(given["limit"], given["kind"])])[0]
        assert {"used": used, "held": held} == expect

    def play(self, call: dict[str, Any]) -> None:
        call = dict(call)
        self.at(call.pop("at_ms"))
        op = call.pop("op")
        if op == "apply":
            self.apply(call["edits"])
            return
        expect = call.pop("expect")
        if "fault" in expect:
            with pytest.raises(limen.LimenError) as caught:
                getattr(self, op)({}, call)
            assert caught.value.code == expect["fault"]
        else:
            getattr(self, op)(expect, call)


def in_words_of_a_file(settings: dict[str, Any]) -> dict[str, Any]:
    """Resolved settings as `limen.Engine` takes them."""
    words = dict(settings)
    words["estimate"] = {
        "output_tokens": words.pop("estimate_output_tokens"),
        "share": words.pop("estimate_share"),
        "fit": words.pop("fit"),
    }
    words["permit_ttl_seconds"] = words.pop("permit_ttl_ms") // 1_000
    return {word: value for word, value in words.items() if value is not None}


def in_dollars(given: dict[str, Any]) -> dict[str, Any]:
    words = dict(given)
    if "cost_nano_usd" in words:
        words["cost_usd"] = Decimal(words.pop("cost_nano_usd")) / 10**9
    return words


def as_shown(answer: Any, expect: dict[str, Any]) -> dict[str, Any]:
    """What the answer says of everything that is expected, as the file writes it."""
    shown: dict[str, Any] = {"allowed": bool(answer)}
    if answer:
        shown |= {
            "tokens": answer.held.tokens,
            "cost_nano_usd": answer.held.cost_nano_usd,
            "max_output_tokens": answer.max_output_tokens,
            "expires_at": answer.expires_at_ms - START,
        }
    else:
        shown |= {
            "code": answer.code,
            "fits": answer.fits,
            "retry_after_ms": in_ms(answer.retry_after),
            "limits": [
                [
                    *(limit.level, limit.kind, limit.limit, limit.used, limit.held, limit.asked),
                    limit.reset_at_ms - START,
                    None if limit.never else in_ms(limit.retry_after),
                ]
                for limit in answer.limits
            ],
        }
    return {word: shown[word] for word in expect}


def in_ms(seconds: float | None) -> int | None:
    return None if seconds is None else round(seconds * 1_000)


@pytest.mark.parametrize("vector", VECTORS, ids=[vector["name"] for vector in VECTORS])
def test_vector(vector: dict[str, Any]) -> None:
    player = Player(vector)
    for number, call in enumerate(vector["calls"]):
        try:
            player.play(call)
        except AssertionError as wrong:
            raise AssertionError(f"call {number + 1}, {call['op']} at {call['at_ms']}: {wrong}") from wrong
