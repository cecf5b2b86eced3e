"""What was answered is there after a restart, and is enforced the same: entities, ids, values, settings."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import limen
from furnished import BUDGET, RATE, Furnished, picture
from house import START, House, refused
from limen import model
from limen.resources.shape import LIVE, plain


class Kept(Furnished):
    """A furnished engine in a file, that can be restarted."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, folder: Path, **settings: Any) -> None:
        self.path = folder / "limen.db"
        monkeypatch.setattr("house.make_engine", lambda **options: limen.Engine.open(self.path, **options))
        super().__init__(**settings)

    def restart(self, **settings: Any) -> None:
        self.engine.close()
        self.engine = limen.Engine.open(
            self.path, clock=self.clock, settings={"secret_env": ["ALLOWED"], **settings}
        )

    def still(self) -> list[Any]:
        """Everything that reads show, but for usage: that is not kept."""
        single = [getattr(self.engine, word).get(id) for word, id in self.everything()]
        return [without(plain(answer)) for answer in (*map(model_of, picture(self.engine)), *single)]

    def everything(self) -> list[tuple[str, str]]:
        found = []
        for word in (
            "customers",
            "teams",
            "virtual_keys",
            "model_configs",
            "routing_rules",
            "pricing_overrides",
        ):
            found += [(word, item.id) for item in getattr(self.engine, word).list()]
        return found + [("provider_keys", item.key_id) for item in self.engine.provider_keys.list()]


def model_of(data: bytes) -> Any:
    return json.loads(data)


STANDS = {"created_at", "updated_at", "last_reset", "token_last_reset", "request_last_reset"}


def without(value: Any) -> Any:
    if isinstance(value, dict):
        return {word: without(item) for word, item in value.items() if word not in LIVE - STANDS}
    return [without(item) for item in value] if isinstance(value, list) else value


@pytest.fixture
def kept(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Kept:
    return Kept(monkeypatch, tmp_path)


def attach_an_older_key(kept: Kept) -> None:
    """Beside one that was made later: members are listed in the order of making."""
    older = kept.engine.virtual_keys.create({"name": "older"})
    kept.engine.virtual_keys.create({"name": "newer", "team_id": kept.team.id})
    kept.engine.virtual_keys.update(older.id, {"team_id": kept.team.id})


STEPS: dict[str, Callable[[Kept], Any]] = {
    "create": lambda k: None,
    "update a customer": lambda k: k.engine.customers.update(k.customer.id, {"name": "n", "budget": {}}),
    "update a team": lambda k: k.engine.teams.update(k.team.id, {"customer_id": None, "claims": {"a": [1]}}),
    "update a key": lambda k: k.engine.virtual_keys.update(k.virtual_key.id, {"rate_limit": RATE}),
    "update a model config": lambda k: k.engine.model_configs.update(k.model_config.id, {"provider": "q"}),
    "update a provider": lambda k: k.engine.providers.update("p", {"rate_limit": RATE}),
    "update a provider key": lambda k: k.engine.provider_keys.update(
        k.provider_key.key_id, {"value": "env.ALLOWED", "weight": None}
    ),
    "update a rule": lambda k: k.engine.routing_rules.update(k.routing_rule.id, {"priority": 9}),
    "update an override": lambda k: k.engine.pricing_overrides.update(
        k.pricing_override.id, {"free": True, "patch": {}}
    ),
    "delete a rule": lambda k: k.engine.routing_rules.delete(k.routing_rule.id),
    "delete an override": lambda k: k.engine.pricing_overrides.delete(k.pricing_override.id),
    "delete a customer": lambda k: k.engine.customers.delete(k.customer.id),
    "delete a team": lambda k: k.engine.teams.delete(k.team.id),
    "delete a key": lambda k: k.engine.virtual_keys.delete(k.virtual_key.id),
    "delete a model config": lambda k: k.engine.model_configs.delete(k.model_config.id),
    "delete a provider": lambda k: k.engine.providers.known.delete("p"),
    "delete a provider's limits": lambda k: k.engine.providers.delete("p"),
    "delete a provider key": lambda k: k.engine.provider_keys.delete(k.provider_key.key_id),
    "attach an older key": attach_an_older_key,
    "detach": lambda k: k.engine.virtual_keys.update(k.virtual_key.id, {"team_id": None}),
}


@pytest.mark.parametrize("step", STEPS.values(), ids=STEPS.keys())
def test_what_a_restart_shows_is_what_was_answered(kept: Kept, step: Callable[[Kept], Any]) -> None:
    kept.at(1000)
    step(kept)
    before = kept.still()
    kept.restart()
    assert kept.still() == before
    kept.restart()
    assert kept.still() == before, "an opening changes nothing"


def test_a_key_is_known_by_its_value_after_a_restart_and_a_deleted_one_is_not(kept: Kept) -> None:
    value, other = kept.virtual_key.value, kept.key()
    kept.engine.virtual_keys.delete(other.id)
    kept.restart()
    assert kept.engine.admit(value, "m", 1, cost_usd=0.1, provider="p")
    assert kept.engine.admit(other.value, "m").code == "virtual_key_not_found"


def test_limits_are_enforced_after_a_restart(kept: Kept) -> None:
    key = kept.key(requests=(2, "1h"))
    kept.restart()
    answers = [
        kept.engine.admit(key.value, "n", provider="q" if n == 9 else "p", cost_usd=0) for n in range(3)
    ]
    assert [bool(answer) for answer in answers] == [True, True, False]


def test_a_rotated_value_is_good_for_its_grace_across_a_restart(kept: Kept) -> None:
    old, id = kept.virtual_key.value, kept.virtual_key.id
    new = kept.engine.virtual_keys.rotate(id, grace=60).value
    kept.restart()
    assert [kept.engine.handle(value).id for value in (old, new)] == [id, id]
    kept.at(60_000)
    assert kept.engine.handle(new).id == id
    refused(lambda: kept.engine.handle(old), "virtual_key_not_found")


def test_integer_ids_rise_across_restarts_and_deletions(kept: Kept) -> None:
    def config() -> int:
        return kept.key().provider_configs[0].id

    def provider_key(name: str) -> int:
        body = {"provider": "p", "name": name, "value": "v"}
        return kept.engine.provider_keys.create(body).id

    first = [config(), config()], [provider_key("a"), provider_key("b")]
    for key in list(kept.engine.virtual_keys.list()):
        kept.engine.virtual_keys.delete(key.id)
    for key in list(kept.engine.provider_keys.list()):
        kept.engine.provider_keys.delete(key.key_id)
    kept.restart()
    assert config() > max(first[0])
    assert provider_key("c") > max(first[1])


POLICY: dict[str, Any] = {
    "settings": {
        "require_virtual_key": False,
        "estimate": {"output_tokens": 7},
        "secret_env": ["ALLOWED"],
        "gateway_tokens": [{"name": "g", "token": "a-token-that-is-not-kept"}],
    },
    "virtual_keys": [{"name": "filed", "value": "sk-bf-filed"}],
}


def load(kept: Kept, document: Any, **options: Any) -> model.LoadReport:
    file = kept.path.with_name("policy.json")
    file.write_text(json.dumps(document))
    return kept.engine.load(file, **options)


def test_what_a_file_set_stays_in_force_without_the_file_and_its_tokens_are_not_kept(kept: Kept) -> None:
    load(kept, POLICY)
    load(kept, {"settings": {"estimate": {"share": 0.5}}})
    kept.restart()
    settings = kept.engine.settings
    assert (settings.require_virtual_key, settings.secret_env) == (False, ("ALLOWED",))
    assert (settings.estimate.output_tokens, settings.estimate.share) == (7, 0.5)
    assert settings.gateway_tokens == ()
    assert kept.engine.admit(None, "m", provider="q"), "none is needed"
    assert b"a-token-that" not in kept.path.read_bytes() + kept.path.with_name("limen.db-wal").read_bytes()


def test_pruning_takes_back_what_a_file_had_set(kept: Kept) -> None:
    load(kept, POLICY)
    load(kept, {}, prune=True)
    assert kept.engine.settings.require_virtual_key is True
    kept.restart()
    assert kept.engine.settings.require_virtual_key is True
    assert "filed" not in [key.name for key in kept.engine.virtual_keys.list()]


def test_a_file_knows_its_entries_after_a_restart(kept: Kept) -> None:
    load(kept, POLICY)
    kept.restart()
    assert load(kept, POLICY).unchanged == 1
    key = next(key for key in kept.engine.virtual_keys.list() if key.name == "filed")
    kept.engine.virtual_keys.update(key.id, {"description": "by hand"})
    kept.restart()
    assert load(kept, POLICY).restored == ["virtual_keys/filed"]
    assert load(kept, {"virtual_keys": []}, prune=True).removed == ["virtual_keys/filed"]


def test_a_store_in_memory_keeps_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with limen.Engine.open(":memory:") as engine:
        engine.customers.create({"name": "c"})
        engine.flush()
    assert list(tmp_path.iterdir()) == []


def test_a_store_opens_through_a_link_and_a_name_with_odd_characters(tmp_path: Path) -> None:
    real = tmp_path / "odd %3f name?#.db"
    with limen.Engine.open(real) as engine:
        engine.customers.create({"name": "c", "budget": BUDGET})
    link = tmp_path / "link.db"
    link.symlink_to(real)
    with limen.Engine.open(link) as engine:
        assert [customer.name for customer in engine.customers.list()] == ["c"]
        refused(lambda: limen.Engine.open(real), "store_locked")


def test_an_engine_that_is_forgotten_lets_go_of_its_store(tmp_path: Path) -> None:
    import gc

    engine = limen.Engine.open(tmp_path / "a.db", clock=limen.ManualClock(START))
    del engine
    gc.collect()
    limen.Engine.open(tmp_path / "a.db").close()


def test_an_engine_in_memory_and_one_in_a_file_are_one_code() -> None:
    assert type(House().engine) is limen.Engine
