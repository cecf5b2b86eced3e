"""Counters out and in, as Python sees it: what comes back, and that no damaged image changes anything."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import limen
from house import MINUTE, House, limits, refused

VALUE = "sk-bf-of-the-snapshot-test"
KEY = {
    "id": "bot",
    "name": "bot",
    "value": VALUE,
    "provider_configs": [{"provider": "p", "weight": 1, "allowed_models": ["*"]}],
    **limits(tokens=(1_000, "1h"), requests=(5, "1m"), budget=(5, "1d"), window="sliding"),
}


class Filed(House):
    """An engine with the key of a file, as it is before and after a restart."""

    def __init__(self, folder: Path, **key: Any) -> None:
        super().__init__()
        file = folder / "policy.json"
        file.write_text(json.dumps({"virtual_keys": [KEY | key]}))
        self.engine.load(file)
        self.subject = self.engine.virtual_keys.get("bot")

    def ask(self, tokens: int) -> Any:
        return self.engine.admit(VALUE, "m", provider="p", tokens=tokens, cost_usd=1)

    def counted(self) -> list[tuple[int, int]]:
        return [self.tokens(self.subject), self.requests(self.subject), self.budget(self.subject)]


@pytest.fixture
def filed(tmp_path: Path) -> Filed:
    found = Filed(tmp_path)
    found.ask(10).settle(tokens=7, cost_usd=0.5)
    return found


def test_what_was_used_comes_back_in_an_engine_of_the_same_file(filed: Filed, tmp_path: Path) -> None:
    again = Filed(tmp_path)
    again.at(MINUTE // 2)
    assert again.engine.restore(filed.engine.snapshot()) == {"restored": 3, "unknown": 0}
    assert again.counted() == filed.counted() == [(7, 0), (1, 0), (500_000_000, 0)]
    again.at(2 * MINUTE)
    assert again.counted() == [(7, 0), (0, 0), (500_000_000, 0)]


def test_counters_of_limits_that_are_gone_are_counted_and_reported(filed: Filed) -> None:
    assert House().engine.restore(filed.engine.snapshot()) == {"restored": 0, "unknown": 3}


def test_no_damaged_image_is_taken_for_a_whole_one(filed: Filed, tmp_path: Path) -> None:
    image = filed.engine.snapshot()
    fresh = Filed(tmp_path)
    fresh.ask(20)
    before = fresh.counted()
    damaged = [image[:length] for length in range(len(image))]
    damaged += [image[:at] + bytes([image[at] ^ 1 << at % 8]) + image[at + 1 :] for at in range(len(image))]
    damaged += [image + b"\0", image * 2, b"\0" * 1_000]
    for data in damaged:
        fault = refused(lambda data=data: fresh.engine.restore(data), "invalid_request", "data")
        assert isinstance(fault, limen.InvalidError)
    assert fresh.counted() == before
