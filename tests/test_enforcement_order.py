"""The order of the checks: identity, access, price, limits, and what each refusal lists."""

from __future__ import annotations

from typing import Any

import pytest

from house import HOUR, MINUTE, House, limits, refused
from rows import Policy, Row, allow, at, deny, do, edit, instant, limited, reads

OPEN = {"require_virtual_key": False}
STAR = [{"provider": "p", "weight": 1, "allowed_models": ["*"]}]
ONCE = {"request_max_limit": 1, "request_reset_duration": "1m"}
TIGHT = {"tokens": (5, "1m"), "requests": (1, "1m"), "budget": (1, "1h")}
LEVELS = ["provider_config", "virtual_key", "team", "customer", "model_provider", "model", "provider"]


def configured(*configs: dict[str, Any], **body: Any) -> Policy:
    """A key with these provider configs."""
    return lambda house: house.key(provider_configs=[{"weight": 1, **config} for config in configs], **body)


def seven_levels(limited: dict[str, Any]) -> Policy:
    """The same limits at every level."""
    body = limits(**limited)

    def made(house: House) -> Any:
        engine = house.engine
        customer = engine.customers.create({"name": "customer", **body})
        team = engine.teams.create({"name": "team", "customer_id": customer.id, **body})
        engine.model_configs.create({"model_name": "m", "provider": "p", **body})
        engine.model_configs.create({"model_name": "m", **body})
        engine.providers.update("p", body)
        return house.key(team_id=team.id, provider_configs=[{**STAR[0], **body}], **limited)

    return made


def nobody(house: House) -> None:
    """No key asks; model `m` and provider `p` are limited to one request."""
    house.engine.model_configs.create({"model_name": "m", "rate_limit": ONCE})
    house.engine.providers.update("p", {"rate_limit": ONCE})


def with_provider_key(**body: Any) -> Policy:
    """Provider `p` has one registered key, with these fields, and a virtual key that may use any."""

    def made(house: House) -> Any:
        house.engine.provider_keys.create({"provider": "p", "name": "main", "value": "secret", **body})
        return house.key()

    return made


def as_key(value: str | None) -> dict[str, Any]:
    return {"key": value}


IDENTITY = [
    Row(
        "an unknown key is 401",
        nobody,
        [deny("virtual_key_not_found", request=as_key("sk-bf-nobody"), where=[])],
    ),
    Row(
        "a key that is too long is unknown",
        nobody,
        [deny("virtual_key_not_found", request=as_key("x" * 10_000))],
    ),
    Row("no key where one is required is 401", nobody, [deny("virtual_key_required", where=[])]),
    Row("an empty key is no key", nobody, [deny("virtual_key_required", request=as_key(""))]),
    Row(
        "an inactive key is 403, and nothing about its limits is told",
        limited(requests=(0, "1m")),
        [edit(is_active=False), deny("virtual_key_blocked", where=[], retry_after=None)],
    ),
    Row(
        "a key is refused from the instant of its expiry",
        lambda house: house.key(expires_at="2024-01-01T01:00:00Z"),
        [at(HOUR - 1), allow(), at(HOUR), deny("virtual_key_blocked", where=[])],
    ),
    Row(
        "without a key only the levels model and provider apply",
        nobody,
        [allow(), deny("request_limited", where=[("model", "requests"), ("provider", "requests")])],
        OPEN,
    ),
    Row(
        "where no key is required, one that is given must still be known",
        nobody,
        [deny("virtual_key_not_found", request=as_key("sk-bf-nobody"))],
        OPEN,
    ),
]

ACCESS = [
    Row(
        "a provider that is not configured is 403",
        configured(*STAR),
        [deny("provider_blocked", request={"provider": "q"})],
    ),
    Row("a key without configs may use no provider", configured(), [deny("provider_blocked")]),
    Row(
        "a model that is not listed is 403",
        configured({"provider": "p", "allowed_models": ["n"]}),
        [deny("model_blocked"), allow(model="n")],
    ),
    Row(
        "no allowed models are none",
        configured({"provider": "p", "allowed_models": []}),
        [deny("model_blocked")],
    ),
    Row("models left out are none", configured({"provider": "p"}), [deny("model_blocked")]),
    Row("a star is every model", configured(*STAR), [allow(model="anything")]),
    Row(
        "no provider given and no config allows the model",
        configured({"provider": "p", "allowed_models": ["n"]}),
        [deny("model_blocked", request={"provider": None})],
    ),
    Row(
        "no provider given and no config at all",
        configured(),
        [deny("provider_blocked", request={"provider": None})],
    ),
    Row(
        "of several configs for one provider one is enough to allow the model",
        configured({"provider": "p", "allowed_models": ["n"]}, {"provider": "p", "allowed_models": ["m"]}),
        [allow(), allow(model="n"), deny("model_blocked", request={"model": "o"})],
    ),
    Row(
        "of several configs for one provider all limits apply",
        configured(
            {"provider": "p", "allowed_models": ["n"], "rate_limit": ONCE},
            {"provider": "p", "allowed_models": ["m"], "rate_limit": ONCE},
        ),
        [allow(), deny("request_limited", where=[("provider_config", "requests")] * 2)],
    ),
    Row(
        "an empty list of provider keys closes the provider",
        configured({"provider": "p", "allowed_models": ["*"], "key_ids": []}),
        [deny("provider_blocked")],
    ),
    Row(
        "without registered provider keys the key is the gateway's own",
        configured(*STAR),
        [allow(gives={"key_id": None})],
    ),
    Row(
        "a provider of which no key can serve is blocked",
        with_provider_key(enabled=False),
        [deny("provider_blocked")],
    ),
    Row(
        "a provider key without the model cannot serve",
        with_provider_key(models=["n"]),
        [deny("provider_blocked"), allow(model="n")],
    ),
    Row(
        "a provider key without models cannot serve", with_provider_key(models=[]), [deny("provider_blocked")]
    ),
    Row("a provider key whose models are left out serves all", with_provider_key(), [allow()]),
    Row(
        "a batch call needs a provider key for batches",
        with_provider_key(),
        [deny("provider_blocked", request={"usage": {"batch": True}}), allow()],
    ),
    Row(
        "a batch call takes a provider key for batches",
        with_provider_key(use_for_batch_api=True),
        [allow(usage={"batch": True})],
    ),
    Row(
        "a known provider before a slash is the provider",
        configured(*STAR),
        [allow(model="p/m", provider=None, gives={"provider": "p", "model": "m"})],
    ),
    Row(
        "an unknown provider before a slash belongs to the model's name",
        configured(*STAR),
        [allow(model="meta/m", provider=None, gives={"provider": "p", "model": "meta/m"})],
    ),
    Row(
        "beside a stated provider only its own prefix is cut",
        configured({"provider": "p", "allowed_models": ["*"]}, {"provider": "q", "allowed_models": ["*"]}),
        [
            allow(model="p/m", gives={"provider": "p", "model": "m"}),
            allow(model="q/m", gives={"provider": "p", "model": "q/m"}),
        ],
    ),
    Row(
        "a provider that only a model config names is known",
        lambda house: (
            house.engine.model_configs.create({"model_name": "m", "provider": "q", "rate_limit": ONCE}),
            house.key(),
        )[1],
        [deny("provider_blocked", request={"model": "q/m", "provider": None})],
    ),
]

TOOL = {"model": None, "provider": None}
TOOLS = [
    Row(
        "a tool that is not listed is 403",
        lambda house: house.key(mcp_configs=[{"mcp_client_name": "files", "tools_to_execute": ["read"]}]),
        [
            deny("mcp_tool_blocked", request={"mcp_tool": "files/write"}),
            deny("mcp_tool_blocked", request={"mcp_tool": "web/read"}),
            allow(mcp_tool="files/read"),
        ],
    ),
    Row(
        "a star is every tool of that client",
        lambda house: house.key(mcp_configs=[{"mcp_client_name": "files", "tools_to_execute": ["*"]}]),
        [allow(mcp_tool="files/write"), deny("mcp_tool_blocked", request={"mcp_tool": "web/read"})],
    ),
    Row(
        "an empty list of tools allows none",
        lambda house: house.key(mcp_configs=[{"mcp_client_name": "files", "tools_to_execute": []}]),
        [deny("mcp_tool_blocked", request={"mcp_tool": "files/read"})],
    ),
    Row(
        "a key without tool configs may call none",
        limited(),
        [deny("mcp_tool_blocked", request={"mcp_tool": "a/b"})],
    ),
    Row(
        "a call of a tool without a model skips provider and model",
        configured(requests=(1, "1m"), mcp_configs=[{"mcp_client_name": "files", "tools_to_execute": ["*"]}]),
        [
            allow(mcp_tool="files/read", **TOOL),
            deny(
                "request_limited",
                request={"mcp_tool": "files/read", **TOOL},
                where=[("virtual_key", "requests")],
            ),
        ],
    ),
]

PRICE = [
    Row(
        "a request under a budget that states no cost is refused",
        limited(budget=(1, "1h")),
        [deny("price_unknown")],
    ),
    Row("without a budget no cost is needed", limited(requests=(1, "1h")), [allow()]),
    Row(
        "an unknown price counts zero where the settings say so",
        limited(budget=(1, "1h")),
        [allow(gives={"cost_nano_usd": 0})],
        {"unknown_price": "count_zero"},
    ),
    Row(
        "an unknown price is refused everywhere where the settings say so",
        limited(),
        [deny("price_unknown"), allow(cost_usd=0)],
        {"unknown_price": "deny"},
    ),
    Row(
        "the price is asked before any limit is read",
        limited(requests=(0, "1m"), budget=(1, "1h")),
        [deny("price_unknown", where=[])],
    ),
    Row(
        "access is asked before the price",
        configured({"provider": "p", "allowed_models": []}, budget=(1, "1h")),
        [deny("model_blocked")],
    ),
]

ALL_KINDS = [(level, kind) for level in LEVELS for kind in ("tokens", "requests", "budget")]
LIMITS = [
    Row(
        "a refusal lists every violated limit of every level in rank order",
        seven_levels(TIGHT),
        [
            allow(tokens=5, cost_usd=1),
            deny("rate_limited", request={"tokens": 1, "cost_usd": 1}, where=ALL_KINDS, retry_after=3600.0),
        ],
    ),
    Row(
        "a refusal at the last level takes nothing at the first",
        lambda house: (
            house.engine.providers.update("p", {"rate_limit": ONCE}),
            house.key(requests=(5, "1m")),
        )[1],
        [
            allow(),
            deny("request_limited", where=[("provider", "requests")]),
            reads(requests=(1, 0)),
        ],
    ),
    Row(
        "a rate limit that is violated in tokens and requests is rate_limited",
        limited(tokens=(5, "1m"), requests=(1, "1m")),
        [allow(tokens=5), deny("rate_limited", request={"tokens": 1})],
    ),
    Row(
        "tokens of one rate limit and requests of another are the first one's code",
        configured(
            {"provider": "p", "allowed_models": ["*"], **limits(tokens=(5, "1m"))}, requests=(1, "1m")
        ),
        [allow(tokens=5), deny("token_limited", request={"tokens": 1})],
    ),
    Row(
        "a budget that is first in rank makes it 402",
        configured(
            {"provider": "p", "allowed_models": ["*"], **limits(budget=(1, "1h"))}, requests=(1, "1m")
        ),
        [
            allow(cost_usd=1),
            deny(
                "budget_exceeded",
                request={"cost_usd": 1},
                where=[("provider_config", "budget"), ("virtual_key", "requests")],
            ),
        ],
    ),
    Row(
        "an owner's rate limit comes before its budget",
        limited(requests=(1, "1m"), budget=(1, "1h")),
        [
            allow(cost_usd=1),
            deny(
                "request_limited",
                request={"cost_usd": 1},
                where=[("virtual_key", "requests"), ("virtual_key", "budget")],
            ),
        ],
    ),
    Row(
        "of several budgets of one owner each counts",
        lambda house: house.key(
            budgets=[
                {"max_limit": 1, "reset_duration": "1h"},
                {"max_limit": 3, "reset_duration": "1d"},
            ]
        ),
        [
            allow(cost_usd=1),
            deny("budget_exceeded", request={"cost_usd": 1}, where=[("virtual_key", "budget")]),
            at(HOUR),
            allow(cost_usd=1),
            at(2 * HOUR),
            allow(cost_usd=1),
            deny("budget_exceeded", request={"cost_usd": 1}, where=[("virtual_key", "budget")] * 2),
        ],
    ),
    Row(
        "a key of its own customer meets the customer's limits",
        lambda house: house.key(
            customer_id=house.engine.customers.create({"name": "c", "rate_limit": ONCE}).id
        ),
        [allow(), deny("request_limited", where=[("customer", "requests")])],
    ),
    Row(
        "a listed limit shows its numbers and the instant of its reset",
        limited(tokens=(100, "1m")),
        [
            allow(tokens=60),
            at(15_000),
            deny(
                "token_limited",
                request={"tokens": 50},
                first={
                    "limit": 100,
                    "used": 0,
                    "held": 60,
                    "asked": 50,
                    "never": False,
                    "reset_at_ms": instant(MINUTE),
                    "retry_after": 45.0,
                },
            ),
        ],
    ),
    Row(
        "where one violated limit never passes, waiting does not help",
        limited(tokens=(5, "1m"), requests=(1, "1m")),
        [
            allow(tokens=5),
            deny(
                "rate_limited",
                request={"tokens": 6},
                first={"never": True, "retry_after": None},
                retry_after=None,
            ),
        ],
    ),
    Row(
        "peek answers what admit would, and takes nothing",
        limited(requests=(1, "1m")),
        [
            do(lambda scene: [scene.house.engine.peek(scene.key.value, "m", provider="p") for _ in range(5)]),
            allow(),
            deny("request_limited", peek=True, retry_after=60.0),
        ],
    ),
]

ROWS = IDENTITY + ACCESS + TOOLS + PRICE + LIMITS


@pytest.mark.parametrize("row", ROWS, ids=[row.says for row in ROWS])
def test_row(row: Row) -> None:
    row.play()


def test_a_denial_tells_http_when_to_come_again_and_where_waiting_does_not_help() -> None:
    house = House()
    once, none = house.key(requests=(1, "90s")), house.key(requests=(0, "1m"))
    house.admit(once)
    house.at(500)
    headers = house.admit(once).headers()
    assert {name.lower(): value for name, value in headers.items()}.items() >= {
        "retry-after": "90",
        "retry-after-ms": "89500",
    }.items()
    names = {name.lower(): value for name, value in house.admit(none).headers().items()}
    assert "retry-after" not in names
    assert names["x-should-retry"] == "false"


def test_a_permit_of_a_deleted_key_charges_the_parents_that_exist() -> None:
    house = House()
    customer = house.engine.customers.create({"name": "c", **limits(tokens=(100, "1h"))})
    team = house.engine.teams.create({"name": "t", "customer_id": customer.id, **limits(tokens=(100, "1h"))})
    key = house.key(team_id=team.id, tokens=(100, "1h"))
    permit = house.admit(key, tokens=40)
    house.engine.virtual_keys.delete(key.id)
    house.engine.teams.delete(team.id)
    assert permit.settle(tokens=10).tokens == 10
    assert house.tokens(customer) == (10, 0)
    assert house.admit(key).code == "virtual_key_not_found"


def test_an_owner_that_was_deleted_and_made_again_starts_empty() -> None:
    house = House()
    customer = house.engine.customers.create({"name": "c", "rate_limit": ONCE})
    key = house.key(customer_id=customer.id)
    assert house.admit(key)
    house.engine.customers.delete(customer.id)
    assert house.admit(key)
    again = house.engine.customers.create({"name": "c", "rate_limit": ONCE})
    house.engine.virtual_keys.update(key.id, {"customer_id": again.id})
    assert house.admit(key)
    assert not house.admit(key)


def test_a_handle_follows_later_edits_of_its_key() -> None:
    house = House()
    key = house.key(requests=(1, "1m"))
    handle = house.engine.handle(id=key.id)
    assert house.engine.admit(handle, "m", provider="p")
    house.engine.virtual_keys.update(key.id, {"rate_limit": {"request_max_limit": 2}})
    assert house.engine.admit(handle, "m", provider="p")
    house.engine.virtual_keys.update(key.id, {"is_active": False})
    assert house.engine.admit(handle, "m", provider="p").code == "virtual_key_blocked"
    house.engine.virtual_keys.delete(key.id)
    assert house.engine.admit(handle, "m", provider="p").code == "virtual_key_not_found"


def test_an_admission_after_an_edit_sees_it() -> None:
    house = House()
    key = house.key(provider_configs=[])
    assert house.admit(key).code == "provider_blocked"
    house.engine.virtual_keys.update(key.id, {"provider_configs": STAR})
    assert house.admit(key)


def test_a_permit_text_that_is_none_is_not_found() -> None:
    house = House()
    for text in ("", "x", "x" * 10_000, "\N{SNOWMAN}"):
        refused(lambda text=text: house.engine.settle(text, tokens=1), "permit_not_found")
