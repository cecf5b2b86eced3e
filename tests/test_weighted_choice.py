"""Who serves a request that names no provider: draws by weight of those that can, fallbacks, exclusions."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from house import MINUTE, START, House
from rows import Policy, Row, allow, deny

ONCE = {"request_max_limit": 1, "request_reset_duration": "1m"}
NEVER = {"request_max_limit": 0, "request_reset_duration": "1m"}
ANY = {"provider": None}


def choice(*configs: tuple[str, float | None], **limited: dict[str, Any]) -> Policy:
    """Provider configs by (provider, weight), all models; `limited`: rate limits of some of them."""
    bodies = [
        {"provider": provider, "weight": weight, "allowed_models": ["*"]}
        | ({"rate_limit": limited[provider]} if provider in limited else {})
        for provider, weight in configs
    ]
    return lambda house: house.key(provider_configs=bodies)


def keyed(*keys: dict[str, Any], key_ids: list[str] | None = None) -> Policy:
    """Provider `p` with these registered keys, and beside it provider `q` without any."""

    def made(house: House) -> Any:
        for body in keys:
            house.engine.provider_keys.create({"provider": "p", "value": "secret", **body})
        config = {"provider": "p", "weight": 1, "allowed_models": ["*"]}
        if key_ids is not None:
            config["key_ids"] = key_ids
        return house.key(provider_configs=[config])

    return made


ROWS = [
    Row(
        "a weight of null is not drawn",
        choice(("p", None), ("q", 1)),
        [allow(**ANY, gives={"provider": "q", "fallbacks": []}) for _ in range(20)],
    ),
    Row(
        "a weight of null is usable by name",
        choice(("p", None), ("q", 1)),
        [allow(provider="p", gives={"provider": "p"})],
    ),
    Row(
        "a key with nothing but null is blocked, for want of a weight",
        choice(("p", None), ("q", None)),
        [deny("provider_blocked", request=ANY, excluded=[("p", "no_weight"), ("q", "no_weight")])],
    ),
    Row(
        "a weight of 0 is told as left out where the request has fallbacks of its own",
        choice(("p", 0), ("q", 1), q=NEVER),
        [
            deny(
                "request_limited",
                request=ANY | {"fallbacks": fallbacks},
                excluded=[("q", "limits"), ("p", "no_weight"), *tried],
            )
            for fallbacks, tried in (([], []), (["q/n"], [("q", "limits")]))
        ],
    ),
    Row(
        "a weight of 0 is never drawn, and is a fallback",
        choice(("p", 0), ("q", 1)),
        [allow(**ANY, gives={"provider": "q", "fallbacks": ["p/m"]}) for _ in range(20)],
    ),
    Row(
        "a weight of 0 serves when nobody who could be drawn can",
        choice(("p", 0), ("q", 1), q=ONCE),
        [allow(**ANY, gives={"provider": "q"}), allow(**ANY, gives={"provider": "p"})],
    ),
    Row(
        "who cannot serve is not drawn",
        choice(("p", 1), ("q", 1), p=NEVER),
        [allow(**ANY, gives={"provider": "q"}) for _ in range(20)],
    ),
    Row(
        "nobody left because of limits is a refusal with every exclusion and its reason",
        choice(("p", 1), p=ONCE),
        [allow(**ANY), deny("request_limited", request=ANY, excluded=[("p", "limits")], retry_after=60.0)],
    ),
    Row(
        "limits that every target meets are a plain refusal: nobody was left out for them",
        lambda house: house.key(requests=(1, "1m")),
        [allow(**ANY), deny("request_limited", request=ANY, excluded=[], retry_after=60.0)],
    ),
    Row(
        "limits that every target meets are not tried again with the fallbacks",
        lambda house: house.key(requests=(1, "1m")),
        [allow(), deny("request_limited", request={"fallbacks": ["p/n"]}, excluded=[])],
    ),
    Row(
        "where one target passes sooner than another, the wait is the sooner one",
        choice(("p", 1), ("q", 1), p={**ONCE, "request_reset_duration": "1h"}, q=ONCE),
        [allow(provider="p"), allow(provider="q"), deny("request_limited", request=ANY, retry_after=60.0)],
    ),
    Row(
        "where one target waits for its own limit and another for the key's, the wait is the sooner one",
        lambda house: house.key(
            requests=(1, "1m"),
            provider_configs=[
                {
                    "provider": "p",
                    "weight": 1e9,
                    "allowed_models": ["*"],
                    "rate_limit": {**ONCE, "request_reset_duration": "1h"},
                },
                {"provider": "q", "weight": 1e-9, "allowed_models": ["*"]},
            ],
        ),
        [
            allow(provider="p"),
            deny("request_limited", request=ANY, excluded=[("p", "limits")], retry_after=60.0),
        ],
    ),
    Row(
        "who was left out for want of a weight or a model is listed last",
        lambda house: house.key(
            provider_configs=[
                {"provider": "a", "weight": None, "allowed_models": ["*"]},
                {"provider": "b", "weight": 1, "allowed_models": ["n"]},
                {"provider": "c", "weight": 1, "allowed_models": ["*"], "rate_limit": NEVER},
            ]
        ),
        [
            deny(
                "request_limited",
                request=ANY,
                excluded=[("c", "limits"), ("a", "no_weight"), ("b", "model_blocked")],
                retry_after=None,
            )
        ],
    ),
    Row(
        "a config that does not allow the model is no candidate",
        lambda house: house.key(
            provider_configs=[
                {"provider": "p", "weight": 9, "allowed_models": ["n"]},
                {"provider": "q", "weight": 1, "allowed_models": ["m"]},
            ]
        ),
        [allow(**ANY, gives={"provider": "q", "fallbacks": []}) for _ in range(20)],
    ),
    Row(
        "the request's own fallbacks stand in the permit",
        choice(("p", 1), ("q", 1)),
        [allow(provider="p", fallbacks=["q/n", "q/o"], gives={"provider": "p", "fallbacks": ["q/n", "q/o"]})],
    ),
    Row(
        "a stated provider that cannot serve is followed by the request's own fallbacks, in order",
        choice(("p", 1), ("q", 1), ("r", 1), p=NEVER, q=NEVER),
        [allow(provider="p", fallbacks=["q/m", "r/n"], gives={"provider": "r", "model": "n"})],
    ),
    Row(
        "a stated provider without fallbacks is refused by itself",
        choice(("p", 1), ("q", 1), p=NEVER),
        [deny("request_limited", excluded=[])],
    ),
    Row(
        "each fallback that cannot serve is its own exclusion, and the first target gives the code",
        choice(("p", 1), ("q", 1), p=NEVER),
        [
            deny(
                "request_limited",
                request={"fallbacks": ["x/m"]},
                excluded=[("p", "limits"), ("x", "provider_blocked")],
            )
        ],
    ),
    Row(
        "a drawn provider that cannot serve is followed by the request's own fallbacks",
        choice(("p", 1), ("q", None), p=NEVER),
        [allow(provider=None, fallbacks=["q/m"], gives={"provider": "q"})],
    ),
    Row(
        "a provider whose keys cannot serve is excluded as such",
        keyed({"name": "off", "enabled": False}),
        [deny("provider_blocked", request=ANY, excluded=[("p", "no_key")])],
    ),
    Row(
        "and so it is where it was stated, since the code alone says that it is closed",
        keyed({"name": "off", "enabled": False}),
        [deny("provider_blocked", excluded=[("p", "no_key")])],
    ),
    Row(
        "a provider closed by an empty list of keys is excluded as blocked",
        keyed({"name": "on"}, key_ids=[]),
        [deny("provider_blocked", request=ANY, excluded=[("p", "provider_blocked")])],
    ),
    Row(
        "a budget without a stated cost excludes its provider as unpriced",
        lambda house: house.key(
            provider_configs=[
                {
                    "provider": "p",
                    "weight": 1,
                    "allowed_models": ["*"],
                    "budget": {"max_limit": 1, "reset_duration": "1h"},
                }
            ]
        ),
        [deny("price_unknown", request=ANY, excluded=[("p", "price_unknown")])],
    ),
]


@pytest.mark.parametrize("row", ROWS, ids=[row.says for row in ROWS])
def test_row(row: Row) -> None:
    row.play()


def providers_of(house: House, key: Any, count: int, **request: Any) -> list[str]:
    return [house.admit(key, provider=None, **request).provider for _ in range(count)]


def test_providers_are_drawn_in_the_shares_of_their_weights() -> None:
    house = House()
    key = choice(("p", 0.2), ("q", 0.8))(house)
    drawn = Counter(providers_of(house, key, 10_000))
    assert 8_000 - 200 < drawn["q"] < 8_000 + 200


def test_who_is_excluded_leaves_its_share_to_the_others_by_their_weights() -> None:
    house = House()
    key = choice(("p", 1), ("q", 1), ("r", 3), p=NEVER)(house)
    drawn = Counter(providers_of(house, key, 10_000))
    assert drawn["p"] == 0
    assert 7_500 - 250 < drawn["r"] < 7_500 + 250


def test_automatic_fallbacks_leave_out_whoever_was_drawn() -> None:
    house = House()
    key = choice(("a", 1), ("d", 0), ("c", 0.5), ("b", 0.5), ("e", None))(house)
    order = ["a/m", "b/m", "c/m", "d/m"]
    for _ in range(50):
        permit = house.admit(key, provider=None)
        assert permit.fallbacks == [one for one in order if one != f"{permit.provider}/m"]


def test_one_seed_is_one_sequence_of_providers() -> None:
    runs = []
    for _ in range(2):
        house = House()
        runs.append(providers_of(house, choice(("p", 1), ("q", 1))(house), 64))
    assert runs[0] == runs[1]
    assert set(runs[0]) == {"p", "q"}


def test_peek_tells_what_admit_draws_next_and_spends_no_draw() -> None:
    house = House()
    key = choice(("p", 1), ("q", 1), ("r", 1))(house)
    for _ in range(64):
        peeked = {house.engine.peek(key.value, "m").provider for _ in range(3)}
        assert peeked == {house.admit(key, provider=None).provider}


def test_a_sticky_key_stays_with_its_provider() -> None:
    house = House()
    key = choice(("p", 1), ("q", 1), ("r", 2))(house)
    users = [f"user {n}" for n in range(400)]
    first = {user: providers_of(house, key, 1, sticky=user)[0] for user in users}
    assert all(set(providers_of(house, key, 5, sticky=user)) == {first[user]} for user in users)
    shares = Counter(first.values())
    assert 200 - 50 < shares["r"] < 200 + 50


def test_a_change_of_weights_moves_only_the_users_that_must_move() -> None:
    house = House()
    key = choice(("p", 1), ("q", 1), ("r", 1))(house)
    users = [f"user {n}" for n in range(300)]
    before = {user: providers_of(house, key, 1, sticky=user)[0] for user in users}
    configs = [{"id": config.id} for config in key.provider_configs]
    configs[0]["weight"] = 3
    house.engine.virtual_keys.update(key.id, {"provider_configs": configs})
    after = {user: providers_of(house, key, 1, sticky=user)[0] for user in users}
    assert {after[user] for user in users if after[user] != before[user]} == {"p"}


def test_sticky_users_of_a_provider_that_cannot_serve_go_elsewhere_and_come_back() -> None:
    house = House()
    key = choice(("p", 1), ("q", 1), p=ONCE)(house)
    users = [f"user {n}" for n in range(40)]
    peeked = {user: house.engine.peek(key.value, "m", sticky=user).provider for user in users}
    assert set(peeked.values()) == {"p", "q"}
    assert house.admit(key, provider="p")
    assert set(providers_of(house, key, 20, sticky=next(u for u in users if peeked[u] == "p"))) == {"q"}
    house.at(MINUTE)
    assert {user: house.engine.peek(key.value, "m", sticky=user).provider for user in users} == peeked


def ids_of(house: House) -> dict[str, str]:
    return {key.name: key.key_id for key in house.engine.provider_keys.list()}


def test_provider_keys_are_drawn_by_their_own_weights() -> None:
    house = House()
    key = keyed(
        {"name": "light", "weight": 1},
        {"name": "heavy", "weight": 3},
        {"name": "spare", "weight": 0},
        {"name": "off", "weight": 9, "enabled": False},
        {"name": "other", "weight": 9, "models": ["n"]},
    )(house)
    ids = ids_of(house)
    drawn = Counter(house.admit(key).key_id for _ in range(4_000))
    assert set(drawn) == {ids["light"], ids["heavy"]}
    assert 3_000 - 150 < drawn[ids["heavy"]] < 3_000 + 150


def test_only_listed_provider_keys_serve() -> None:
    house = House()
    for name in ("one", "two"):
        house.engine.provider_keys.create({"provider": "p", "name": name, "value": "secret"})
    ids = ids_of(house)
    config = {"provider": "p", "weight": 1, "allowed_models": ["*"]}
    one = house.key(provider_configs=[{**config, "key_ids": [ids["one"]]}])
    star = house.key(provider_configs=[{**config, "key_ids": ["*"]}])
    assert {house.admit(one).key_id for _ in range(20)} == {ids["one"]}
    assert {house.admit(star).key_id for _ in range(40)} == set(ids.values())


def test_a_batch_call_is_served_by_keys_for_batches() -> None:
    house = House()
    key = keyed({"name": "plain"}, {"name": "batch", "use_for_batch_api": True})(house)
    ids = ids_of(house)
    assert {house.admit(key, usage={"batch": True}).key_id for _ in range(20)} == {ids["batch"]}
    assert {house.admit(key).key_id for _ in range(40)} == set(ids.values())


def test_every_exclusion_lists_the_limits_that_were_in_the_way() -> None:
    house = House()
    key = choice(("p", 1), ("q", 1), p=ONCE, q=ONCE)(house)
    assert all(house.admit(key, provider=provider) for provider in ("p", "q"))
    denial = house.admit(key, provider=None)
    assert sorted(one.provider for one in denial.excluded) == ["p", "q"]
    for one in denial.excluded:
        assert (one.reason, one.model, one.key_id) == ("limits", "m", None)
        assert [(limit.level, limit.reset_at_ms) for limit in one.limits] == [
            ("provider_config", START + MINUTE)
        ]
    assert denial.body()["extra_fields"]["excluded"][0]["reason"] == "limits"
