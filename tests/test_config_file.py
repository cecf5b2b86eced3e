"""The configuration file: strict, every fault in one run, all or nothing; the second time without effect."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

import limen
from furnished import BUDGET, RATE, picture
from house import DAY, House, refused

POLICY: dict[str, Any] = {
    "settings": {"permit_ttl_seconds": 60, "secret_env": ["LIMEN_TEST_SECRET"]},
    "providers": [{"name": "openai", "rate_limit": RATE}],
    "provider_keys": [{"id": "main", "provider": "openai", "name": "main", "value": "env.LIMEN_TEST_SECRET"}],
    "customers": [{"id": "acme", "name": "Acme", "budget": BUDGET}, {"name": "alone"}],
    "teams": [{"id": "growth", "name": "growth", "customer_id": "acme", "profile": {"floor": 2.5}}],
    "virtual_keys": [
        {
            "name": "bot",
            "value": "sk-bf-for-a-test-0123456789",
            "team_id": "growth",
            "budgets": [BUDGET, {"max_limit": 0.3, "reset_duration": "1M", "calendar_aligned": True}],
            "provider_configs": [
                {
                    "provider": "openai",
                    "weight": 1,
                    "allowed_models": ["*"],
                    "key_ids": ["main"],
                    "budget": BUDGET,
                },
                {"provider": "later", "allowed_models": ["m"], "rate_limit": RATE},
            ],
            "mcp_configs": [{"mcp_client_name": "files", "tools_to_execute": ["*"]}],
        }
    ],
    "model_configs": [{"model_name": "m", "budget": BUDGET}],
    "routing_rules": [
        {
            "name": "cheap first",
            "cel_expression": "budget_used > 80",
            "scope": "customer",
            "scope_id": "acme",
            "priority": 1,
            "targets": [{"provider": "openai", "key_id": "main", "weight": 0.25}, {"weight": 0.75}],
            "fallbacks": ["openai/m"],
            "query": {"rules": [0.1]},
        }
    ],
    "pricing_overrides": [
        {
            "name": "contract",
            "scope_kind": "provider_key",
            "provider_key_id": "main",
            "match_type": "wildcard",
            "pattern": "gpt-*",
            "request_types": ["chat_completion"],
            "patch": {"input_cost_per_token": 0.0000025, "output_cost_per_token": None},
        }
    ],
}


class Filed(House):
    """An engine and the file that it loads."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.file = folder / "policy.json"
        self.policy = json.loads(json.dumps(POLICY))

    def load(self, **options: bool) -> Any:
        self.file.write_text(json.dumps(self.policy), encoding="utf-8")
        return self.engine.load(self.file, **options)


@pytest.fixture
def filed(tmp_path: Path) -> Filed:
    return Filed(tmp_path)


def test_a_file_becomes_entities_and_settings(filed: Filed) -> None:
    report = filed.load()
    engine = filed.engine
    assert len(report.created) == 9
    (key,) = engine.virtual_keys.list()
    assert (key.name, key.team.name, engine.customers.get("acme").teams[0].id) == ("bot", "growth", "growth")
    assert [c.provider for c in key.provider_configs] == ["openai", "later"]
    assert [k.key_id for k in key.provider_configs[0].keys] == ["main"]
    assert key.value == "********6789"
    assert engine.quota("sk-bf-for-a-test-0123456789").virtual_key_name == "bot"
    assert engine.settings.permit_ttl_seconds == 60
    assert engine.settings.max_open_permits == 1_000_000
    assert key.config_hash
    assert engine.customers.get("acme").config_hash


def test_loading_again_changes_nothing(filed: Filed) -> None:
    filed.load()
    before = picture(filed.engine)
    filed.at(2 * DAY)
    again = filed.load()
    filed.at(0)
    assert (again.created, again.updated, again.removed, again.unchanged) == ([], [], [], 9)
    assert picture(filed.engine) == before


def test_loading_again_keeps_usage_and_changes_what_differs(filed: Filed) -> None:
    filed.load()
    engine = filed.engine
    (key,) = engine.virtual_keys.list()
    engine.budgets.credit(key.budget.id, -2, "spent elsewhere")
    entry = filed.policy["virtual_keys"][0]
    entry["budgets"].reverse()
    entry["budgets"][1]["max_limit"] = 7
    entry["provider_configs"].reverse()
    entry["provider_configs"][1]["budget"] = {"max_limit": 6, "reset_duration": "1w"}
    assert filed.load().updated == ["virtual_keys/bot"]
    changed = engine.virtual_keys.get(key.id)
    assert [(b.id, b.max_limit) for b in changed.budgets][1] == (key.budget.id, 7)
    assert changed.budgets[1].current_usage == 2
    assert [(c.id, c.provider) for c in changed.provider_configs] == [(1, "openai"), (2, "later")]
    assert changed.provider_configs[0].budget.id == key.provider_configs[0].budget.id
    assert changed.provider_configs[1].rate_limit.id == key.provider_configs[1].rate_limit.id
    assert (changed.id, changed.created_at) == (key.id, key.created_at)


@pytest.mark.parametrize("grace", [0, 60])
def test_what_was_changed_by_hand_is_set_back_and_reported(filed: Filed, grace: int) -> None:
    filed.load()
    engine = filed.engine
    (key,) = engine.virtual_keys.list()
    engine.virtual_keys.update(key.id, {"description": "by hand", "budget": {"max_limit": 99}})
    engine.virtual_keys.rotate(key.id, grace)
    engine.customers.update("acme", {"budget": {}})
    report = filed.load()
    assert report.restored == report.updated == ["customers/Acme", "virtual_keys/bot"]
    assert engine.virtual_keys.get(key.id).description == ""
    assert engine.virtual_keys.get(key.id).budget.max_limit == 5
    filed.at(2 * DAY)
    assert engine.quota("sk-bf-for-a-test-0123456789").virtual_key_name == "bot"
    filed.policy["customers"][0]["name"] = "Acme Ltd"
    changed_in_the_file = filed.load()
    assert (changed_in_the_file.updated, changed_in_the_file.restored) == (["customers/Acme Ltd"], [])


def test_an_entity_made_by_hand_is_taken_over_by_its_name(filed: Filed) -> None:
    made = filed.engine.customers.create({"name": "alone", "budget": BUDGET})
    assert made.config_hash == ""
    report = filed.load()
    assert report.updated == ["customers/alone"]
    assert report.restored == []
    taken = filed.engine.customers.get(made.id)
    assert (taken.budgets, bool(taken.config_hash)) == ([], True)


def test_what_left_the_file_is_left_alone_unless_pruned(filed: Filed) -> None:
    filed.load()
    by_hand = filed.engine.virtual_keys.create({"name": "by hand"})
    filed.policy["virtual_keys"], filed.policy["teams"] = [], []
    before = picture(filed.engine)
    assert filed.load().removed == []
    assert picture(filed.engine) == before
    assert filed.load(prune=True).removed == ["virtual_keys/bot", "teams/growth"]
    assert [key.id for key in filed.engine.virtual_keys.list()] == [by_hand.id]
    assert filed.engine.customers.list().count == 2


def test_a_pruned_owner_leaves_what_was_made_by_hand(filed: Filed) -> None:
    filed.load()
    key = filed.engine.virtual_keys.create({"name": "by hand", "team_id": "growth"})
    del filed.policy["teams"], filed.policy["virtual_keys"]
    filed.load(prune=True)
    assert filed.engine.virtual_keys.get(key.id).team_id is None


def test_a_pruned_provider_stays_with_the_keys_that_the_file_still_has(filed: Filed) -> None:
    filed.load()
    number = filed.engine.provider_keys.get("main").id
    del filed.policy["providers"]
    assert filed.load(prune=True).removed == ["providers/openai"]
    assert filed.engine.providers.get("openai").rate_limit is None
    assert filed.engine.provider_keys.get("main").id == number


def test_what_a_pruned_entity_was_named_by_is_a_fault(filed: Filed) -> None:
    filed.load()
    filed.policy["teams"] = []
    before = picture(filed.engine)
    assert refused(lambda: filed.load(prune=True), "not_found").param == "virtual_keys[0].team_id"
    assert picture(filed.engine) == before


def test_a_load_is_all_or_nothing(filed: Filed) -> None:
    filed.load()
    before = picture(filed.engine)
    settings = filed.engine.settings
    filed.policy["settings"]["permit_ttl_seconds"] = 5
    filed.policy["customers"][0]["name"] = "changed"
    filed.policy["model_configs"].append({"model_name": "m"})
    assert refused(filed.load, "conflict").param == "model_configs[1].model_name"
    assert picture(filed.engine) == before
    assert filed.engine.settings == settings


def test_settings_that_the_file_leaves_out_stay(filed: Filed) -> None:
    filed.load()
    filed.policy["settings"] = {"estimate": {"fit": "deny"}}
    filed.load()
    assert filed.engine.settings.permit_ttl_seconds == 60
    assert (filed.engine.settings.estimate.fit, filed.engine.settings.estimate.output_tokens) == (
        "deny",
        1024,
    )


def test_a_value_comes_as_text_from_the_environment_or_as_its_hash(
    filed: Filed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LIMEN_TEST_SECRET", "sk-bf-from-the-environment")
    hashed = hashlib.sha256(b"sk-bf-known-by-hash").hexdigest()
    filed.policy["virtual_keys"] = [
        {"name": "text", "value": "sk-bf-as-text"},
        {"name": "environment", "value": "env.LIMEN_TEST_SECRET"},
        {"name": "hash", "value_sha256": hashed},
        {"name": "none"},
    ]
    report = filed.load()
    for value, name in (
        ("sk-bf-as-text", "text"),
        ("sk-bf-from-the-environment", "environment"),
        ("sk-bf-known-by-hash", "hash"),
    ):
        assert filed.engine.quota(value).virtual_key_name == name
    nameless = "virtual_keys/none: value is left out: nobody knows it until the key is rotated"
    assert [words for words in report.warnings if "value" in words] == [nameless]
    (key,) = filed.engine.virtual_keys.list(search="none")
    told = filed.engine.virtual_keys.rotate(key.id).value
    assert filed.load().restored == []
    assert filed.engine.quota(told).virtual_key_name == "none"


@pytest.mark.parametrize("word", ["value", "value_sha256"])
@pytest.mark.parametrize("rotated", [False, True])
def test_a_value_that_is_another_keys_is_refused(filed: Filed, word: str, rotated: bool) -> None:
    made = filed.engine.virtual_keys.create({"name": "by hand"})
    if rotated:
        filed.engine.virtual_keys.rotate(made.id, grace=60)
    del filed.policy["virtual_keys"][0]["value"]
    hashed = hashlib.sha256(made.value.encode()).hexdigest()
    filed.policy["virtual_keys"][0][word] = made.value if word == "value" else hashed
    before = picture(filed.engine)
    assert refused(filed.load, "conflict").param == f"virtual_keys[0].{word}"
    assert picture(filed.engine) == before
    assert filed.engine.quota(made.value).virtual_key_name == "by hand"


FAULTY: list[tuple[dict[str, Any], list[tuple[str, str]]]] = [
    ({"price_catalog": 1}, [("invalid_request", "price_catalog")]),
    ({"price_catalog": " "}, [("invalid_request", "price_catalog")]),
    ({"price_catalog": "nowhere.json"}, [("invalid_request", "price_catalog")]),
    ({"price_catalog": "bad\0name"}, [("invalid_request", "price_catalog")]),
    ({"settings": {"unknown_price": "default_price"}}, [("invalid_request", "settings.default_price")]),
    ({"settings": {"unknown_price": "guess"}}, [("invalid_request", "settings.unknown_price")]),
    (
        {"settings": {"default_price": {}}},
        [
            ("invalid_request", "settings.default_price.input_cost_per_token"),
            ("invalid_request", "settings.default_price.output_cost_per_token"),
        ],
    ),
    (
        {"settings": {"default_price": {"input_cost_per_token": -1, "output_cost_per_token": 9224}}},
        [
            ("invalid_request", "settings.default_price.input_cost_per_token"),
            ("invalid_request", "settings.default_price.output_cost_per_token"),
        ],
    ),
    ({"settings": {"usage_flush_ms": 5}}, [("invalid_request", "settings.usage_flush_ms")]),
    ({"settings": {"history_days": 0}}, [("invalid_request", "settings.history_days")]),
    ({"settings": {"estimate": {"share": 1.5}}}, [("invalid_request", "settings.estimate.share")]),
    ({"settings": {"estimate": {"fit": "cut"}}}, [("invalid_request", "settings.estimate.fit")]),
    ({"settings": {"permit_ttl_seconds": 0}}, [("invalid_request", "settings.permit_ttl_seconds")]),
    (
        {"settings": {"gateway_tokens": [{"name": "g"}]}},
        [("invalid_request", "settings.gateway_tokens[0].token")],
    ),
    (
        {"settings": {"gateway_tokens": [{"name": "g", "token": "t", "role": "admin"}]}},
        [("invalid_request", "settings.gateway_tokens[0].role")],
    ),
    (
        {"settings": {"admin_tokens": [{"name": "a", "token": "env.LIMEN_TEST_NOT_SET"}]}},
        [("invalid_request", "settings.admin_tokens[0].token")],
    ),
    (
        {"settings": {"admin_tokens": [{"name": "a", "token": "t"}, {"name": "b", "token": " t"}]}},
        [("invalid_request", "settings.admin_tokens[1].token")],
    ),
    (
        {"settings": {"gateway_tokens": [{"name": "g", "token": "t"}, {"name": "g", "token": "t"}]}},
        [
            ("invalid_request", "settings.gateway_tokens[1].name"),
            ("invalid_request", "settings.gateway_tokens[1].token"),
        ],
    ),
    (
        {
            "settings": {
                "gateway_tokens": [{"name": "x", "token": "s"}, {"name": "g", "token": "t"}],
                "admin_tokens": [{"name": "g", "token": "t", "role": "read"}],
            }
        },
        [("invalid_request", "settings.gateway_tokens[1].token")],
    ),
    ({"customer": []}, [("invalid_request", "customer")]),
    ({"customers": {}}, [("invalid_request", "customers")]),
    ({"customers": ["acme"]}, [("invalid_request", "customers[0]")]),
    (
        {"customers": [{"name": "a"}, {"name": " a"}]},
        [("invalid_request", "customers[0].name"), ("invalid_request", "customers[1].name")],
    ),
    ({"customers": [{"name": "a"}, {"id": "x", "name": "a"}]}, [("invalid_request", "customers[0].name")]),
    ({"customers": [{"id": "x", "name": "a"}, {"id": "x", "name": "b"}]}, [("conflict", "customers[1].id")]),
    ({"customers": [{"id": "x" * 129, "name": "a"}]}, [("invalid_request", "customers[0].id")]),
    (
        {"customers": [{"name": "a", "budget": {**BUDGET, "id": "b"}}]},
        [("invalid_request", "customers[0].budget.id")],
    ),
    ({"teams": [{"name": "t", "customer_id": "nobody"}]}, [("not_found", "teams[0].customer_id")]),
    ({"virtual_keys": [{"name": "k"}, {"name": "k"}]}, [("conflict", "virtual_keys[1].name")]),
    ({"virtual_keys": [{"name": "k", "value": "env.HOME"}]}, [("invalid_request", "virtual_keys[0].value")]),
    ({"virtual_keys": [{"name": "k", "value": "a b"}]}, [("invalid_request", "virtual_keys[0].value")]),
    ({"virtual_keys": [{"name": "k", "value": "x" * 257}]}, [("invalid_request", "virtual_keys[0].value")]),
    (
        {"virtual_keys": [{"name": "k", "value_sha256": "ff"}]},
        [("invalid_request", "virtual_keys[0].value_sha256")],
    ),
    (
        {"virtual_keys": [{"name": "k", "value": "v", "value_sha256": "f" * 64}]},
        [("invalid_request", "virtual_keys[0].value_sha256")],
    ),
    (
        {"virtual_keys": [{"name": "k", "value": "v"}, {"name": "l", "value": "v"}]},
        [("conflict", "virtual_keys[1].value")],
    ),
    ({"provider_keys": [{"name": "k", "value": "v"}]}, [("invalid_request", "provider_keys[0].provider")]),
    ({"providers": [{"name": "p"}, {"name": "p"}]}, [("conflict", "providers[1].name")]),
    (
        {
            "customers": [{"id": "bad", "name": ""}],
            "teams": [{"name": "t", "customer_id": "bad"}, {"id": "t2"}],
            "virtual_keys": [
                {"name": "k", "team_id": "t2", "budget": {"max_limit": "5", "reset_duration": "0s"}}
            ],
        },
        [
            ("invalid_request", "customers[0].name"),
            ("invalid_request", "virtual_keys[0].budget.max_limit"),
            ("invalid_request", "virtual_keys[0].budget.reset_duration"),
            ("invalid_request", "teams[1].name"),
        ],
    ),
]


@pytest.mark.parametrize(
    ("document", "wanted"), FAULTY, ids=[str(list(row[0].values()))[:60] for row in FAULTY]
)
def test_every_fault_is_named_with_its_path(
    tmp_path: Path, document: dict[str, Any], wanted: list[tuple[str, str]]
) -> None:
    filed = Filed(tmp_path)
    filed.policy = document
    fault = refused(filed.load, wanted[0][0])
    assert [(found.code, found.param) for found in fault.faults] == wanted


TEXTS: list[tuple[bytes, str | None, str]] = [
    (b"", None, "not JSON"),
    (b"[]", None, "must be an object"),
    (b"[", None, "line 1, column 2"),
    (b'{"customers": []} x', None, "line 1, column 19"),
    (b"\xff\xfe", None, "not UTF-8"),
    (b"\xef\xbb\xbf{}", None, "not JSON"),
    (b'{"customers": [], "customers": []}', "customers", "stands twice"),
    (b'{"customers": [{"name": "a", "name": "b"}]}', "customers[0].name", "stands twice"),
    (b'{"teams": [{"name": "a", "profile": {"x": 1, "x": 1}}]}', "teams[0].profile.x", "stands twice"),
    (b"[" * 100_000, None, "nested too deeply"),
    (b'{"teams": [{"name": "a", "profile": ' + b'{"a":' * 70 + b"1" + b"}" * 70 + b"}]}", None, "64 deep"),
    (b'{"customers": ' + b"1" * 5000 + b"}", None, "thousands of digits"),
    (
        b'{"customers": [{"name": "a", "budget": {"max_limit": NaN, "reset_duration": "1d"}}]}',
        "customers[0].budget.max_limit",
        "finite",
    ),
    (
        b'{"customers": [{"name": "a", "budget": {"max_limit": 1e400, "reset_duration": "1d"}}]}',
        "customers[0].budget.max_limit",
        "from 0",
    ),
    (b'{"customers": [{"name": "\\ud800"}]}', "customers[0].name", "Unicode"),
]


@pytest.mark.parametrize(
    ("text", "path", "words"), TEXTS, ids=[row[2] + str(n) for n, row in enumerate(TEXTS)]
)
def test_a_text_that_is_no_strict_json_is_refused(
    tmp_path: Path, text: bytes, path: str | None, words: str
) -> None:
    file = tmp_path / "policy.json"
    file.write_bytes(text)
    fault = refused(lambda: House().engine.load(file))
    assert words in fault.message
    assert path is None or fault.param == path


def test_dollars_of_a_file_are_read_from_their_text(tmp_path: Path) -> None:
    file = tmp_path / "policy.json"
    budget = '{"max_limit": 0.1234567890, "reset_duration": "1d"}'
    file.write_text(f'{{"customers": [{{"id": "c", "name": "c", "budget": {budget}}}]}}', encoding="utf-8")
    engine = House().engine
    engine.load(file)
    assert str(engine.customers.get("c").budget.max_limit) == "0.123456789"


def test_a_file_that_cannot_be_read_is_a_fault(tmp_path: Path) -> None:
    for path in (tmp_path / "missing.json", tmp_path):
        assert refused(lambda path=path: House().engine.load(path)).param == "path"


def test_a_file_that_is_too_large_is_refused_before_it_is_parsed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("limen.resources.document.MAX_BYTES", 10)
    file = tmp_path / "policy.json"
    file.write_bytes(b'{"customers": []}')
    assert refused(lambda: House().engine.load(file), "body_too_large").status == 413


def test_no_token_of_the_settings_is_printed(filed: Filed) -> None:
    filed.policy["settings"]["gateway_tokens"] = [{"name": "gateway", "token": "canary-gateway-token-0001"}]
    filed.load()
    assert filed.engine.settings.gateway_tokens[0].token.reveal() == "canary-gateway-token-0001"
    assert "canary" not in repr(filed.engine.settings)


def test_a_token_of_the_file_is_none_that_the_engine_was_given_for_something_else(filed: Filed) -> None:
    token = [{"name": "g", "token": "one-text"}]
    filed.engine = limen.Engine(settings={"gateway_tokens": token})
    before = filed.engine.settings
    filed.policy["settings"] = {"admin_tokens": [{**token[0], "role": "admin"}]}
    assert refused(filed.load).param == "settings.admin_tokens[0].token"
    assert filed.engine.settings is before
    refused(
        lambda: limen.Engine(settings={"gateway_tokens": token, "admin_tokens": token}),
        param="gateway_tokens[0].token",
    )


def test_nothing_that_stays_lies_among_what_was_read() -> None:
    house = House()
    text = "the id and the name of a key"
    document = {
        "teams": [{"id": "team", "name": "t"}],
        "virtual_keys": [{"id": text, "name": text, "team_id": "team"}],
    }
    house.engine._take(document, "file")
    book = house.engine._book
    kept = [*book.records["virtual_key"], *book.uniques["virtual_key"], *book.uniques["virtual_key"].values()]
    kept += book.linked("team", "team", "virtual_key")
    assert kept == [text] * 4
    assert all(one is not text for one in kept)
