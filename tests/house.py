"""A furnished engine in few words: on a clock that stands still, with keys that are limited as a test says.

house = House(on_expiry="give_back")        # settings, as a configuration file names them
key = house.key(requests=(5, "1m"))         # may use every model of provider `p`, five times a minute
house.at(60_000)                            # the clock stands one minute after START
house.admit(key, max_output_tokens=100)
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import limen

START = 1_704_067_200_000
"""2024-01-01 at 00:00 UTC, a Monday: every calendar unit has a boundary there."""

SECOND, MINUTE, HOUR, DAY = 1_000, 60_000, 3_600_000, 86_400_000


def make_engine(**options: Any) -> Any:
    """In memory, or in a store, or behind its own HTTP face, as `way` of conftest.py says."""
    engine = limen.Engine(**options) if STORES is None else STORES.open(**options)
    return engine if DOOR is None else DOOR(engine)


class Stores:
    """Engines that are kept in files of a folder, each in its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.engines: list[limen.Engine] = []

    def open(self, **options: Any) -> limen.Engine:
        engine = limen.Engine.open(self.folder / f"{len(self.engines)}.db", **options)
        self.engines.append(engine)
        return engine


STORES: Stores | None = None
DOOR: Callable[[limen.Engine], Any] | None = None


class House:
    """An engine on a manual clock that starts at START. Instants are written as milliseconds since then."""

    def __init__(self, **settings: Any) -> None:
        self.clock = limen.ManualClock(START)
        self.engine = make_engine(settings=settings, clock=self.clock, seed=7)
        self.made = 0

    def at(self, offset_ms: int) -> None:
        """Stand at START + offset: forwards both hands of the clock move, backwards the wall clock alone."""
        step = START + offset_ms - self.clock.now_ms
        if step < 0:
            self.clock.jump(step)
        else:
            self.clock.advance(step)

    def key(
        self,
        *,
        tokens: tuple[int, str] | None = None,
        requests: tuple[int, str] | None = None,
        budget: tuple[float, str] | None = None,
        window: str | None = None,
        aligned: bool = False,
        **body: Any,
    ) -> Any:
        self.made += 1
        whole = {
            "name": f"key {self.made}",
            "provider_configs": [{"provider": "p", "weight": 1.0, "allowed_models": ["*"]}],
            **limits(tokens, requests, budget, window, aligned=aligned),
            **body,
        }
        return self.engine.virtual_keys.create(whole)

    def admit(self, key: Any, *args: Any, model: str = "m", provider: str | None = "p", **rest: Any) -> Any:
        """Ask for model `m` of provider `p`. `key` is the struct of a virtual key."""
        return self.engine.admit(key.value, model, *args, provider=provider, **rest)

    def read(self, limit_id: str, kind: str) -> tuple[int, int]:
        """(used, held) of a limit, now."""
        used, held, _, _ = self.engine.read([(limit_id, kind)])[0]
        return used, held

    def tokens(self, owner: Any) -> tuple[int, int]:
        return self.read(owner.rate_limit.id, "tokens")

    def requests(self, owner: Any) -> tuple[int, int]:
        return self.read(owner.rate_limit.id, "requests")

    def budget(self, owner: Any) -> tuple[int, int]:
        return self.read(owner.budget.id, "budget")


def limits(
    tokens: tuple[int, str] | None = None,
    requests: tuple[int, str] | None = None,
    budget: tuple[float, str] | None = None,
    window: str | None = None,
    *,
    aligned: bool = False,
) -> dict[str, Any]:
    """The part of a body that limits its owner; budgets in dollars."""
    body: dict[str, Any] = {}
    rate_limit: dict[str, Any] = {}
    if tokens:
        rate_limit |= {"token_max_limit": tokens[0], "token_reset_duration": tokens[1]}
    if requests:
        rate_limit |= {"request_max_limit": requests[0], "request_reset_duration": requests[1]}
    if rate_limit:
        body["rate_limit"] = rate_limit | ({"window": window} if window else {})
    if budget:
        body["budget"] = {"max_limit": budget[0], "reset_duration": budget[1], "calendar_aligned": aligned}
    return body


def refused(call: Callable[[], Any], code: str = "invalid_request", param: str | None = None) -> Any:
    """The call must raise the fault `code`; answers it."""
    with pytest.raises(limen.LimenError) as caught:
        call()
    assert (caught.value.code, caught.value.param) == (code, param or caught.value.param)
    return caught.value
