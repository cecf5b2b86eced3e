"""What Bifrost's own black-box suite tries of governance, as rows in our words, by every door.

Where the two differ, the row says what limen does: Bifrost lets the request pass that goes over a budget and
refuses the next; here what does not fit is refused, and no budget is ever overspent by what was stated.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from decimal import Decimal
from threading import Thread
from typing import Any

import pytest
from over_http import OverHttp

from house import HOUR, House

KINDS = {"customer": "customers", "team": "teams", "key": "virtual_keys", "model": "model_configs"}
OPEN = [{"provider": "openai", "weight": 1, "allowed_models": ["*"]}]


def budget(dollars: float, per: str = "1h") -> dict[str, Any]:
    return {"budget": {"max_limit": dollars, "reset_duration": per}}


def tokens(most: int, per: str = "1h") -> dict[str, Any]:
    return {"rate_limit": {"token_max_limit": most, "token_reset_duration": per}}


def requests(most: int, per: str = "1h") -> dict[str, Any]:
    return {"rate_limit": {"request_max_limit": most, "request_reset_duration": per}}


def provider(name: str = "openai", *models: str, **more: Any) -> dict[str, Any]:
    return {"provider": name, "weight": 1, "allowed_models": list(models) or ["*"], **more}


class World:
    """Entities by their names, and steps over them; each step of a row is `(verb, ...)`."""

    def __init__(self, house: House) -> None:
        self.house, self.engine = house, house.engine
        self.ids: dict[str, str] = {}
        self.values: dict[str, str] = {}

    def run(self, steps: list[tuple[Any, ...]]) -> None:
        for number, (verb, *words) in enumerate(steps):
            done: Callable[..., Any] = getattr(self, f"do_{verb}")
            named = words.pop() if isinstance(words[-1], dict) else {}
            try:
                done(*words, **named)
            except AssertionError as error:
                raise AssertionError(f"step {number}, {verb} {words}: {error}") from error

    def body(self, given: dict[str, Any]) -> dict[str, Any]:
        """A body in which team and customer are said by name."""
        found = dict(given)
        for word in ("team", "customer"):
            if word in found:
                name = found.pop(word)
                found[f"{word}_id"] = None if name is None else self.ids[f"{word} {name}"]
        return found

    def do_make(self, what: str, **given: Any) -> None:
        kind, _, name = what.partition(" ")
        if kind == "provider":
            self.engine.providers.update(name, given)
            self.ids[what] = name
            return
        body = {"model_name" if kind == "model" else "name": name, **self.body(given)}
        if kind == "key":
            body.setdefault("provider_configs", OPEN)
        made = getattr(self.engine, KINDS[kind]).create(body)
        self.ids[what] = made.id
        if kind == "key":
            self.values[name] = made.value

    def resource(self, what: str) -> tuple[Any, str]:
        kind = what.partition(" ")[0]
        return getattr(self.engine, "providers" if kind == "provider" else KINDS[kind]), self.ids[what]

    def do_change(self, what: str, **given: Any) -> None:
        resource, id = self.resource(what)
        resource.update(id, self.body(given))

    def do_delete(self, what: str) -> None:
        resource, id = self.resource(what)
        resource.delete(id)

    def do_wait(self, ms: int) -> None:
        self.house.clock.advance(ms)

    def do_spend(self, key: str, dollars: float, outcome: str = "ok", **more: Any) -> None:
        """A call whose cost is known before it: taken, and settled as it was; or refused, and by whom."""
        assert self.call(key, {"cost_usd": dollars, **more}) == outcome

    def do_use(self, key: str, count: int, outcome: str = "ok", **more: Any) -> None:
        """The same of tokens; it costs nothing."""
        assert self.call(key, {"tokens": count, "cost_usd": 0, **more}) == outcome

    def do_fail(self, key: str, dollars: float) -> None:
        """A call that the provider refuses: what was held goes back."""
        permit = self.admit(key, {"cost_usd": dollars})[1]
        self.end("release", {"permit": permit})

    def do_used(self, what: str, dollars: float) -> None:
        assert self.read(what).budget.current_usage == Decimal(str(dollars))

    def do_counted(self, what: str, count: int) -> None:
        assert self.read(what).rate_limit.token_current_usage == count

    def do_is(self, what: str, **fields: Any) -> None:
        found = self.read(what)
        wanted = self.body(fields)
        assert {word: getattr(found, word) for word in wanted} == wanted

    def do_limits(self, budgets: int, rate_limits: int) -> None:
        """How many there are of each: nothing is left behind by what is gone."""
        counts = self.engine.budgets.list().total_count, self.engine.rate_limits.list().total_count
        assert counts == (budgets, rate_limits)

    def do_burst(self, keys: list[str], threads: int, dollars: float, passed: int) -> None:
        """Everybody at once; exactly so many pass."""
        outcomes: list[str] = []

        def one(key: str) -> None:
            outcomes.append(self.call(key, {"cost_usd": dollars}).partition(" ")[0])

        started = [Thread(target=one, args=(keys[index % len(keys)],)) for index in range(threads)]
        for thread in started:
            thread.start()
        for thread in started:
            thread.join()
        assert (outcomes.count("ok"), outcomes.count("budget_exceeded")) == (passed, threads - passed)

    def read(self, what: str) -> Any:
        resource, id = self.resource(what)
        return resource.get(id)

    # The two doors of a call

    def call(self, key: str, words: dict[str, Any]) -> str:
        outcome, permit = self.admit(key, words)
        if permit is not None:
            usage = {word: words[word] for word in ("cost_usd", "tokens") if word in words}
            self.end("settle", {"permit": permit, **usage})
        return outcome

    def admit(self, key: str, words: dict[str, Any]) -> tuple[str, Any]:
        """ok (and its provider, where the call names none), or the code and the levels that refuse."""
        asked = {"model": "gpt-4o", "provider": "openai", **words}
        said = "provider" in words and words["provider"] is None
        if not isinstance(self.engine, OverHttp):
            model = asked.pop("model")
            found = self.engine.admit(self.values[key], model, **asked)
            if found:
                return f"ok {found.provider}" if said else "ok", found
            return " ".join([found.code, *(limit.level for limit in found.limits)]), None
        reply = self.engine.send("POST", "/v1/admit", written({"virtual_key": self.values[key], **asked}))
        if reply.status == 200:
            return f"ok {reply.body['provider']}" if said else "ok", reply.body["permit"]
        levels = [limit["level"] for limit in reply.body["extra_fields"].get("limits", ())]
        return " ".join([reply.code, *levels]), None

    def end(self, how: str, words: dict[str, Any]) -> None:
        if isinstance(self.engine, OverHttp):
            assert self.engine.send("POST", f"/v1/{how}", written(words)).status == 200
        else:
            permit = words.pop("permit")
            getattr(self.engine, how)(permit, **words)


def written(words: dict[str, Any]) -> bytes:
    return json.dumps({word: value for word, value in words.items() if value is not None}).encode()


def tightest(level: str, refuser: str) -> list[tuple[Any, ...]]:
    """Limits of a hundred dollars everywhere, and of one dollar at one level: that one refuses."""
    amounts = dict.fromkeys(("customer", "team", "key", "config", "model", "provider"), 100.0) | {level: 1.0}
    return [
        ("make", "customer acme", budget(amounts["customer"])),
        ("make", "team growth", {"customer": "acme", **budget(amounts["team"])}),
        ("make", "model gpt-4o", budget(amounts["model"])),
        ("make", "provider openai", budget(amounts["provider"])),
        (
            "make",
            "key bot",
            {
                "team": "growth",
                **budget(amounts["key"]),
                "provider_configs": [provider(**budget(amounts["config"]))],
            },
        ),
        ("spend", "bot", 0.6),
        ("spend", "bot", 0.6, f"budget_exceeded {refuser}"),
        ("spend", "bot", 0.4),
        *[
            ("used", f"{kind}", 1.0)
            for kind in ("customer acme", "team growth", "key bot", "provider openai")
        ],
    ]


def lowered(what: str, made: list[tuple[Any, ...]], level: str) -> list[tuple[Any, ...]]:
    """A budget that is changed while it is in use: usage stays, whatever the new maximum is."""
    return [
        *made,
        ("spend", "bot", 0.5),
        ("change", what, budget(0.2)),
        ("used", what, 0.5),
        ("spend", "bot", 0.1, f"budget_exceeded {level}"),
        ("change", what, budget(10)),
        ("used", what, 0.5),
        ("spend", "bot", 9.5),
        ("spend", "bot", 0.1, f"budget_exceeded {level}"),
        ("change", what, {"budget": {}}),
        ("spend", "bot", 1000),
    ]


OWNED = {
    "key bot": ([("make", "key bot", budget(1))], "virtual_key"),
    "team growth": ([("make", "team growth", budget(1)), ("make", "key bot", {"team": "growth"})], "team"),
    "customer acme": (
        [("make", "customer acme", budget(1)), ("make", "key bot", {"customer": "acme"})],
        "customer",
    ),
    "provider openai": ([("make", "provider openai", budget(1)), ("make", "key bot", {})], "provider"),
    "model gpt-4o": ([("make", "model gpt-4o", budget(1)), ("make", "key bot", {})], "model"),
}
SCENES: dict[str, list[tuple[Any, ...]]] = {
    "a key's budget": [
        ("make", "key bot", budget(1)),
        ("spend", "bot", 1),
        ("spend", "bot", 0.01, "budget_exceeded virtual_key"),
        ("used", "key bot", 1),
    ],
    "budgets of a key's providers are apart": [
        (
            "make",
            "key bot",
            {"provider_configs": [provider("openai", **budget(1)), provider("azure", **budget(2))]},
        ),
        ("spend", "bot", 1),
        ("spend", "bot", 1, "budget_exceeded provider_config"),
        ("spend", "bot", 2, "ok", {"provider": "azure"}),
        ("spend", "bot", 0.1, "budget_exceeded provider_config", {"provider": "azure"}),
    ],
    "a team's budget is shared by its keys": [
        ("make", "team growth", budget(1)),
        ("make", "key one", {"team": "growth"}),
        ("make", "key two", {"team": "growth"}),
        ("spend", "one", 1),
        ("spend", "two", 0.01, "budget_exceeded team"),
        ("used", "team growth", 1),
    ],
    "a customer's budget is shared by its keys and its teams'": [
        ("make", "customer acme", budget(1)),
        ("make", "team growth", {"customer": "acme"}),
        ("make", "team research", {"customer": "acme"}),
        ("make", "key direct", {"customer": "acme"}),
        ("make", "key one", {"team": "growth"}),
        ("make", "key two", {"team": "research"}),
        ("spend", "direct", 0.5),
        ("spend", "one", 0.5),
        *[("spend", name, 0.01, "budget_exceeded customer") for name in ("direct", "one", "two")],
        ("used", "customer acme", 1),
    ],
    "a provider's budget is shared by all": [
        ("make", "provider openai", budget(1)),
        ("make", "key one", {}),
        ("make", "key two", {"provider_configs": [provider("openai"), provider("azure")]}),
        ("spend", "one", 1),
        ("spend", "two", 0.01, "budget_exceeded provider"),
        ("spend", "two", 5, "ok", {"provider": "azure"}),
    ],
    "the customer is the tightest": tightest("customer", "customer"),
    "the team is the tightest": tightest("team", "team"),
    "the key is the tightest": tightest("key", "virtual_key"),
    "the provider config is the tightest": tightest("config", "provider_config"),
    "the model is the tightest": tightest("model", "model"),
    "the provider is the tightest": tightest("provider", "provider"),
    "all levels that refuse are named": [
        ("make", "customer acme", budget(0.15)),
        ("make", "team growth", {"customer": "acme", **budget(0.12)}),
        (
            "make",
            "key bot",
            {"team": "growth", **budget(0.1), "provider_configs": [provider(**budget(0.08))]},
        ),
        ("spend", "bot", 0.05),
        ("spend", "bot", 0.04, "budget_exceeded provider_config"),
        ("spend", "bot", 0.2, "budget_exceeded provider_config virtual_key team customer"),
        ("used", "customer acme", 0.05),
    ],
    "a call that fails costs nothing": [
        ("make", "key bot", budget(1) | requests(2)),
        ("fail", "bot", 0.9),
        ("used", "key bot", 0),
        ("spend", "bot", 1),
        ("used", "key bot", 1),
    ],
    "a key that is switched off, and on again": [
        ("make", "key bot", {}),
        ("spend", "bot", 1),
        ("change", "key bot", {"is_active": False}),
        ("spend", "bot", 1, "virtual_key_blocked"),
        ("change", "key bot", {"is_active": True}),
        ("spend", "bot", 1),
    ],
    "tokens, until the window ends": [
        ("make", "key bot", tokens(100, "1h")),
        ("use", "bot", 100),
        ("wait", HOUR - 1),
        ("use", "bot", 1, "token_limited virtual_key"),
        ("wait", 1),
        ("use", "bot", 100),
        ("counted", "key bot", 100),
    ],
    "requests, until the window ends": [
        ("make", "key bot", requests(2, "1h")),
        ("use", "bot", 1),
        ("use", "bot", 1),
        ("use", "bot", 1, "request_limited virtual_key"),
        ("wait", HOUR),
        ("use", "bot", 1),
    ],
    "a budget after its period": [
        ("make", "key bot", budget(1, "1h")),
        ("spend", "bot", 1),
        ("wait", HOUR),
        ("used", "key bot", 0),
        ("spend", "bot", 1),
        ("spend", "bot", 0.1, "budget_exceeded virtual_key"),
    ],
    "tokens and requests and a budget, whichever is first": [
        (
            "make",
            "key bot",
            {
                **budget(10),
                "rate_limit": {**tokens(100)["rate_limit"], **requests(3)["rate_limit"]},
            },
        ),
        ("spend", "bot", 1, "ok", {"tokens": 99}),
        ("spend", "bot", 1, "token_limited virtual_key", {"tokens": 2}),
        ("spend", "bot", 9.5, "budget_exceeded virtual_key", {"tokens": 1}),
        ("spend", "bot", 1, "ok", {"tokens": 0}),
        ("spend", "bot", 1, "ok", {"tokens": 0}),
        ("spend", "bot", 1, "request_limited virtual_key", {"tokens": 0}),
    ],
    "a key moves to another team": [
        ("make", "team small", budget(0.01)),
        ("make", "team large", budget(10)),
        ("make", "key bot", {"team": "small"}),
        ("spend", "bot", 0.01),
        ("spend", "bot", 0.01, "budget_exceeded team"),
        ("change", "key bot", {"team": "large"}),
        ("spend", "bot", 1),
        ("used", "team small", 0.01),
        ("used", "team large", 1),
    ],
    "a key moves to another customer": [
        ("make", "customer small", budget(0.01)),
        ("make", "customer large", budget(10)),
        ("make", "key bot", {"customer": "small"}),
        ("spend", "bot", 0.01),
        ("spend", "bot", 0.01, "budget_exceeded customer"),
        ("change", "key bot", {"customer": "large"}),
        ("spend", "bot", 1),
        ("used", "customer small", 0.01),
    ],
    "a key moves from a team to a customer": [
        ("make", "team growth", budget(1)),
        ("make", "customer acme", budget(2)),
        ("make", "key bot", {"team": "growth"}),
        ("change", "key bot", {"customer": "acme"}),
        ("is", "key bot", {"customer": "acme", "team": None}),
        ("spend", "bot", 2),
        ("used", "team growth", 0),
    ],
    "a key moves to a team of another customer": [
        ("make", "customer small", budget(0.01)),
        ("make", "customer large", budget(100)),
        ("make", "team one", {"customer": "small", **budget(100)}),
        ("make", "team two", {"customer": "large", **budget(100)}),
        ("make", "key bot", {"team": "one"}),
        ("spend", "bot", 0.01),
        ("spend", "bot", 0.01, "budget_exceeded customer"),
        ("change", "key bot", {"team": "two"}),
        ("spend", "bot", 1),
        ("used", "customer large", 1),
        ("used", "team one", 0.01),
    ],
    "a team moves to another customer": [
        ("make", "customer small", budget(0.01)),
        ("make", "customer large", budget(1)),
        ("make", "team growth", {"customer": "small"}),
        ("make", "key bot", {"team": "growth"}),
        ("spend", "bot", 0.1, "budget_exceeded customer"),
        ("change", "team growth", {"customer": "large"}),
        ("spend", "bot", 1),
        ("spend", "bot", 0.1, "budget_exceeded customer"),
        ("change", "team growth", {"customer": None}),
        ("spend", "bot", 100),
        ("used", "customer large", 1),
    ],
    **{f"the budget of {what} is changed while in use": lowered(what, *row) for what, row in OWNED.items()},
    "a rate limit is changed while in use": [
        ("make", "key bot", tokens(100)),
        ("use", "bot", 80),
        ("change", "key bot", tokens(40)),
        ("counted", "key bot", 80),
        ("use", "bot", 1, "token_limited virtual_key"),
        ("change", "key bot", tokens(90)),
        ("use", "bot", 10),
        ("counted", "key bot", 90),
    ],
    "a provider config is changed while in use": [
        ("make", "key bot", {"provider_configs": [provider(**budget(1))]}),
        ("spend", "bot", 0.8),
        ("change", "key bot", {"provider_configs": [provider(**budget(2))]}),
        ("spend", "bot", 1.2),
        ("spend", "bot", 0.1, "budget_exceeded provider_config"),
        ("change", "key bot", {"provider_configs": []}),
        ("spend", "bot", 0.1, "provider_blocked"),
    ],
    "a team is deleted: its keys go on without it": [
        ("make", "team growth", budget(1) | requests(5)),
        ("make", "key bot", {"team": "growth"}),
        ("spend", "bot", 1),
        ("spend", "bot", 1, "budget_exceeded team"),
        ("delete", "team growth"),
        ("is", "key bot", {"team": None}),
        ("limits", 0, 0),
        ("spend", "bot", 1),
    ],
    "a customer is deleted: its teams and keys go on without it": [
        ("make", "customer acme", budget(1)),
        ("make", "team growth", {"customer": "acme", **budget(3)}),
        ("make", "key bot", {"team": "growth"}),
        ("make", "key direct", {"customer": "acme"}),
        ("spend", "bot", 1),
        ("delete", "customer acme"),
        ("is", "team growth", {"customer": None}),
        ("is", "key direct", {"customer": None}),
        ("limits", 1, 0),
        ("spend", "bot", 2),
        ("spend", "direct", 100),
    ],
    "a key is deleted with all that limits it": [
        (
            "make",
            "key bot",
            {**budget(1), **tokens(9), "provider_configs": [provider(**budget(1), **tokens(9))]},
        ),
        ("limits", 2, 2),
        ("delete", "key bot"),
        ("limits", 0, 0),
        ("spend", "bot", 0, "virtual_key_not_found"),
    ],
    "the draw leaves out who does not serve the model": [
        (
            "make",
            "key bot",
            {"provider_configs": [provider("anthropic", "claude"), provider("openai", "gpt-4o")]},
        ),
        *[("spend", "bot", 0, "ok openai", {"provider": None})] * 5,
    ],
    "the draw goes on where a provider's budget is spent": [
        (
            "make",
            "key bot",
            {"provider_configs": [provider("openai", **budget(1)), provider("azure", **budget(1))]},
        ),
        ("spend", "bot", 1, "ok", {"provider": "openai"}),
        ("spend", "bot", 1, "ok azure", {"provider": None}),
    ],
    "a burst on a key": [
        ("make", "key bot", budget(1)),
        ("burst", ["bot"], 16, 0.125, 8),
        ("used", "key bot", 1),
    ],
    "a burst on a team's keys": [
        ("make", "team growth", budget(1)),
        *[("make", f"key {name}", {"team": "growth"}) for name in "abcd"],
        ("burst", list("abcd"), 16, 0.125, 8),
        ("used", "team growth", 1),
    ],
}


@pytest.mark.parametrize("scene", SCENES)
def test_scene(scene: str) -> None:
    World(House()).run(SCENES[scene])
