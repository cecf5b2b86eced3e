"""Rows of the enforcement tests: a sentence, a policy, and steps that say what comes back.

    Row(
        "a refusal lasts until the promised instant",
        limited(requests=(1, "1m")),
        [allow(), at(59_999), deny("request_limited", retry_after=0.001), at(60_000), allow()],
    )

Instants are milliseconds since `house.START`. A step compares only what it names. Permits are called by the
name that `allow` gives them ("a" where left out).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from house import START, House, refused

STATUS = {
    "virtual_key_required": 401,
    "virtual_key_not_found": 401,
    "price_unknown": 402,
    "budget_exceeded": 402,
    "virtual_key_blocked": 403,
    "provider_blocked": 403,
    "model_blocked": 403,
    "mcp_tool_blocked": 403,
    "token_limited": 429,
    "request_limited": 429,
    "rate_limited": 429,
    "too_many_permits": 503,
}


@dataclass
class Scene:
    """A row being played: the engine, the key that asks, the permits by name."""

    house: House
    key: Any
    permits: dict[str, Any] = field(default_factory=dict)


Policy = Callable[[House], Any]
Step = Callable[[Scene], None]


@dataclass
class Row:
    says: str
    policy: Policy
    steps: list[Step]
    settings: dict[str, Any] = field(default_factory=dict)

    def play(self) -> None:
        house = House(**self.settings)
        scene = Scene(house, self.policy(house))
        for number, step in enumerate(self.steps):
            try:
                step(scene)
            except AssertionError as wrong:
                raise AssertionError(f"step {number + 1} of {len(self.steps)}: {wrong}") from wrong


def limited(**limits: Any) -> Policy:
    """A key with these limits (`House.key`)."""
    return lambda house: house.key(**limits)


def at(offset_ms: int) -> Step:
    return lambda scene: scene.house.at(offset_ms)


def ask(scene: Scene, request: dict[str, Any], peek: bool = False) -> Any:
    request = {"key": scene.key and scene.key.value, "model": "m", "provider": "p"} | request
    engine = scene.house.engine
    return (engine.peek if peek else engine.admit)(**request)


def allow(name: str = "a", *, gives: dict[str, Any] | None = None, **request: Any) -> Step:
    """Ask, and be admitted. `gives`: attributes of the permit; `tokens`, `cost_nano_usd` are what is held."""

    def step(scene: Scene) -> None:
        permit = ask(scene, request)
        assert permit, f"refused: {permit.code}"
        scene.permits[name] = permit
        shown = {word: getattr(permit.held if word in HELD else permit, word) for word in gives or {}}
        assert shown == (gives or {})

    return step


HELD = ("requests", "tokens", "cost_nano_usd", "reason")


def deny(
    code: str,
    *,
    first: dict[str, Any] | None = None,
    where: list[tuple[str, str]] | None = None,
    excluded: list[tuple[str, str]] | None = None,
    peek: bool = False,
    request: dict[str, Any] | None = None,
    **told: Any,
) -> Step:
    """Ask, and be refused. `first`: fields of the first limit; `where`: (level, kind) of all in order;
    `excluded`: (provider, reason) in order; the rest are attributes of the denial (`retry_after`, `fits`)."""

    def step(scene: Scene) -> None:
        denial = ask(scene, request or {}, peek)
        assert not denial, "admitted"
        assert (denial.status, denial.code) == (STATUS[code], code)
        if first is not None:
            assert {word: getattr(denial.limits[0], word) for word in first} == first
        if where is not None:
            assert [(limit.level, limit.kind) for limit in denial.limits] == where
        if excluded is not None:
            assert [(one.provider, one.reason) for one in denial.excluded] == excluded
        assert {word: getattr(denial, word) for word in told} == told

    return step


def settle(
    name: str = "a", *, fault: str | None = None, gives: dict[str, Any] | None = None, **usage: Any
) -> Step:
    def step(scene: Scene) -> None:
        permit = scene.permits[name]
        if fault:
            refused(lambda: permit.settle(**usage), fault)
            return
        settled = permit.settle(**usage)
        assert {word: getattr(settled, word) for word in gives or {}} == (gives or {})

    return step


def update(
    name: str = "a", *, fault: str | None = None, over: list[tuple[str, str]] | None = None, **usage: Any
) -> Step:
    """`over`: (level, kind) of the limits that are over now."""

    def step(scene: Scene) -> None:
        permit = scene.permits[name]
        if fault:
            refused(lambda: permit.update(**usage), fault)
            return
        told = [(limit.level, limit.kind) for limit in permit.update(**usage)]
        assert over is None or told == over, f"over: {told}"

    return step


def release(name: str = "a", *, fault: str | None = None, request: bool = False) -> Step:
    def step(scene: Scene) -> None:
        permit = scene.permits[name]
        if fault:
            refused(lambda: permit.release(request=request), fault)
        else:
            permit.release(request=request)

    return step


def clash(code: str, **request: Any) -> Step:
    """Ask, and be told that the call itself is a fault."""

    def step(scene: Scene) -> None:
        refused(lambda: ask(scene, request), code)

    return step


def sweep() -> Step:
    """What is overdue expires now, not at the next call that meets it."""
    return do(lambda scene: scene.house.engine.sweep())


def reads(*, tokens: Any = None, requests: Any = None, budget: Any = None) -> Step:
    """(used, held) of the key's own limits."""

    def step(scene: Scene) -> None:
        house, key = scene.house, scene.key
        for wanted, shown in ((tokens, house.tokens), (requests, house.requests), (budget, house.budget)):
            if wanted is not None:
                assert shown(key) == wanted, f"used and held are {shown(key)}, not {wanted}"

    return step


def edit(**body: Any) -> Step:
    """Update the key, and go on with it as it is now."""

    def step(scene: Scene) -> None:
        value = scene.key.value
        scene.house.engine.virtual_keys.update(scene.key.id, body)
        scene.key = Named(scene.house.engine.virtual_keys.get(scene.key.id), value)

    return step


@dataclass
class Named:
    """A virtual key as a read shows it, with the value that only its creation told."""

    struct: Any
    value: str

    def __getattr__(self, name: str) -> Any:
        return getattr(self.struct, name)


def do(act: Callable[[Scene], Any]) -> Step:
    """Anything else; what `act` answers does not matter."""

    def step(scene: Scene) -> None:
        act(scene)

    return step


def instant(offset_ms: int) -> int:
    return START + offset_ms
