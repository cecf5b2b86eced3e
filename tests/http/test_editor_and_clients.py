"""One editor and eight clients over HTTP, for LIMEN_SECONDS (else ten): every answer is of one generation.

Each edit is one PUT that writes its number into everything that an answer shows: the provider, its key, the
team, the limits of the key and of its config. So an answer whose parts have different numbers was judged by
two configurations; and its number must be one that was in force between the request and its answer. The
RateLimit fields of an allowed answer are read after the decision: they are of one generation too, of the same
or of a later one. In the end everything that was settled stands in every counter once, whichever team or
provider it was used with.
"""

from __future__ import annotations

import http.client
import json
import os
import re
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from itertools import cycle
from pathlib import Path
from typing import Any

import pytest

from test_cli import WAIT, serving

SECONDS = float(os.environ.get("LIMEN_SECONDS", "10"))
CLIENTS, TEAMS, PROVIDERS, KEYS_OF_ONE = 8, 2, 3, 4
MUCH = 10**6
KEYS = "/api/governance/virtual-keys"
PER = "1w"


def limits(most: int) -> dict[str, Any]:
    """Of tokens and dollars; the requests are only counted."""
    counted = {"request_max_limit": 10**9, "request_reset_duration": PER}
    return {
        "budget": {"max_limit": most, "reset_duration": PER},
        "rate_limit": {"token_max_limit": most, "token_reset_duration": PER, **counted},
    }


class World:
    """A server's entities, and which generations of the one key may be in force."""

    def __init__(self, address: str) -> None:
        self.host = address.removeprefix("http://")
        self.asked = self.answered = 0
        self.connections: list[http.client.HTTPConnection] = []
        ask = self.client()
        fixed = limits(1000 * MUCH)  # never the ones that bind
        customer = ask("POST", "/api/governance/customers", {"name": "acme", **fixed})["customer"]["id"]
        self.teams = [
            ask("POST", "/api/governance/teams", {"name": f"t{n}", "customer_id": customer, **fixed})["team"][
                "id"
            ]
            for n in range(TEAMS)
        ]
        for number in range(PROVIDERS):
            ask("PUT", f"/api/governance/providers/p{number}", fixed)
        self.keys = [
            [
                ask("POST", f"/api/providers/p{number}/keys", {"name": f"k{n}", "value": "s"})["key"][
                    "key_id"
                ]
                for n in range(KEYS_OF_ONE)
            ]
            for number in range(PROVIDERS)
        ]
        key = ask("POST", KEYS, {"name": "bot", **self.generation(0)})["virtual_key"]
        self.value, self.path, self.config = (
            key["value"],
            f"{KEYS}/{key['id']}",
            key["provider_configs"][0]["id"],
        )

    def client(self) -> Callable[..., Any]:
        """A connection of its own: `ask(method, path, body)` is the body of the answer, of any status."""
        connection = http.client.HTTPConnection(self.host, timeout=WAIT)
        self.connections.append(connection)

        def ask(method: str, path: str, body: Any = None, headers: dict[str, str] | None = None) -> Any:
            sent = {"content-type": "application/json", **(headers or {})}
            connection.request(method, path, None if body is None else json.dumps(body), sent)
            reply = connection.getresponse()
            found = json.loads(reply.read(), parse_float=Decimal)
            assert reply.status < 500, found
            return found | {"policy": reply.headers["ratelimit-policy"]}

        return ask

    def generation(self, number: int, **config: Any) -> dict[str, Any]:
        provider, key_id = self.target(number)
        config |= {"provider": provider, "weight": 1, "allowed_models": ["m"], "key_ids": [key_id]}
        return {
            "description": str(number),
            "team_id": self.teams[number % TEAMS],
            **limits(MUCH + number),
            "provider_configs": [config | limits(MUCH + number)],
        }

    def target(self, number: int) -> tuple[str, str]:
        """The provider and its key that a generation allows."""
        place = number % PROVIDERS
        return f"p{place}", self.keys[place][number % KEYS_OF_ONE]

    def edit(self, until: float) -> int:
        ask = self.client()
        while time.monotonic() < until:
            self.asked += 1
            told = ask("PUT", self.path, self.generation(self.asked, id=self.config))["virtual_key"]
            assert told["description"] == str(self.asked)
            self.answered = self.asked
        return self.answered

    def told(self, oldest: int, amounts: list[Any]) -> int:
        """The one generation that the limits are of; it was in force meanwhile."""
        newest = self.asked
        numbers = {int(amount) - MUCH for amount in amounts}
        assert len(numbers) == 1, f"judged by several: {numbers}"
        (number,) = numbers
        assert oldest <= number <= newest
        return number


class Client:
    """One of the eight, and what it has used."""

    def __init__(self, world: World, number: int) -> None:
        self.world, self.ask, self.number = world, world.client(), number
        self.tokens, self.requests, self.cost = 0, 0, Decimal(0)

    def run(self, until: float) -> Client:
        calls = cycle((self.use, self.refused, self.use, self.give_back, self.read, self.many))
        for _ in range(self.number):
            next(calls)
        while time.monotonic() < until:
            next(calls)()
        return self

    def admitted(self, answer: Any, oldest: int) -> str:
        found = re.findall(r'"(?:virtual_key|provider_config)-(tokens|budget)-1w";q=(\d+)', answer["policy"])
        assert {kind for kind, _ in found} == {"tokens", "budget"}, answer
        # Money stands there in millionths of a dollar.
        amounts = [int(most) // (1 if kind == "tokens" else 10**6) for kind, most in found]
        latest = self.world.told(oldest, amounts)
        target = answer["provider"], answer["key_id"]
        assert target in [self.world.target(number) for number in range(oldest, latest + 1)]
        self.requests += 1
        return str(answer["permit"])

    def use(self) -> None:
        oldest = self.world.answered
        answer = self.ask("POST", "/v1/admit", self.body(tokens=7, cost_usd=0.01))
        permit = self.admitted(answer, oldest)
        assert self.ask("POST", "/v1/settle", {"permit": permit, "tokens": 5, "cost_usd": 0.004})["settled"]
        self.tokens += 5
        self.cost += Decimal("0.004")

    def give_back(self) -> None:
        oldest = self.world.answered
        permit = self.admitted(self.ask("POST", "/v1/admit", self.body(tokens=9, cost_usd=1)), oldest)
        assert self.ask("POST", "/v1/release", {"permit": permit})["released"]

    def refused(self) -> None:
        oldest = self.world.answered
        told = self.ask("POST", "/v1/admit", self.body(tokens=10**12, cost_usd=10**9))["extra_fields"]
        (target,) = told["excluded"]
        own = ("virtual_key", "provider_config")
        (team,) = {limit["owner_id"] for limit in told["limits"] if limit["level"] == "team"}
        amounts = [limit["limit"] for limit in told["limits"] if limit["level"] in own]
        assert len(amounts) == 4, told
        number = self.world.told(oldest, amounts)
        assert (target["provider"], team) == (self.world.target(number)[0], self.world.teams[number % TEAMS])

    def many(self) -> None:
        """A batch: each of its calls is judged by itself."""
        call = {"op": "admit", **self.body(tokens=3, cost_usd=0)}
        permits = [one["permit"] for one in self.ask("POST", "/v1/batch", {"calls": [call] * 4})["results"]]
        settle = [{"op": "settle", "permit": permit, "tokens": 2, "cost_usd": 0} for permit in permits]
        results = self.ask("POST", "/v1/batch", {"calls": settle})["results"]
        assert [result["status"] for result in results] == [200] * 4
        self.tokens += 8
        self.requests += 4

    def read(self) -> None:
        oldest = self.world.answered
        key = self.ask("GET", self.world.path)["virtual_key"]
        (config,) = key["provider_configs"]
        owners = (key, config)
        amounts = [MUCH + int(key["description"])]
        amounts += [one["budget"]["max_limit"] for one in owners]
        amounts += [one["rate_limit"]["token_max_limit"] for one in owners]
        number = self.world.told(oldest, amounts)
        assert (config["provider"], config["keys"][0]["key_id"]) == self.world.target(number)
        assert key["team"]["id"] == self.world.teams[number % TEAMS]

    def body(self, **asked: Any) -> dict[str, Any]:
        return {"virtual_key": self.world.value, "model": "m", **asked}


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with serving("--db", tmp_path / "limen.db", "--port", "0") as (_, address):
        world = World(address)
        yield world
        for connection in world.connections:
            connection.close()


def test_every_answer_is_of_one_generation_and_usage_is_conserved(world: World) -> None:
    clients = [Client(world, number) for number in range(CLIENTS)]
    until = time.monotonic() + SECONDS
    with ThreadPoolExecutor(CLIENTS + 1) as threads:
        editing = threads.submit(world.edit, until)
        done = [one.result() for one in [threads.submit(client.run, until) for client in clients]]
    assert editing.result() > SECONDS
    assert all(client.requests > SECONDS for client in done)
    used = [
        sum(client.tokens for client in done),
        sum(client.requests for client in done),
        sum(client.cost for client in done),
    ]
    ask = world.client()
    key = ask("GET", world.path)["virtual_key"]
    customers = ask("GET", "/api/governance/customers")["customers"]
    for owners in (
        [key],
        key["provider_configs"],
        ask("GET", "/api/governance/teams")["teams"],
        customers,
        ask("GET", "/api/governance/providers")["providers"],
    ):
        rates = [owner["rate_limit"] for owner in owners]
        assert [
            sum(rate["token_current_usage"] for rate in rates),
            sum(rate["request_current_usage"] for rate in rates),
            sum(owner["budget"]["current_usage"] for owner in owners),
        ] == used
        assert {rate["token_held"] for rate in rates} == {owner["budget"]["held"] for owner in owners} == {0}
    assert ask("GET", "/health")["open_permits"] == 0
