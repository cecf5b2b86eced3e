"""One table of routes: each is answered, knows no other method, and stands in the README."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from door import Door

from furnished import BUDGET, Furnished
from limen.http import admin
from limen.http.app import routes

README = (Path(__file__).parent.parent.parent / "README.md").read_text()
METHODS = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}
ASK = {"virtual_key": "KEY", "model": "p/m", "tokens": 1}
ROWS: dict[tuple[str, str], dict[str, Any] | None] = {
    ("POST", "/v1/admit"): ASK,
    ("POST", "/v1/settle"): {"permit": "PERMIT", "tokens": 1},
    ("POST", "/v1/update"): {"permit": "PERMIT", "tokens": 1},
    ("POST", "/v1/release"): {"permit": "PERMIT"},
    ("POST", "/v1/peek"): ASK,
    ("POST", "/v1/batch"): {"calls": [{"op": "peek", **ASK}]},
    ("GET", "/health"): None,
    ("HEAD", "/health"): None,
    ("GET", "/api/version"): None,
    ("HEAD", "/api/version"): None,
    ("GET", "/openapi.json"): None,
    ("HEAD", "/openapi.json"): None,
    ("GET", "/docs"): None,
    ("HEAD", "/docs"): None,
}
GOVERNANCE = "/api/governance"
RULE = {"name": "new", "cel_expression": "", "scope": "global", "priority": 1, "targets": [{"weight": 1}]}
OVERRIDE = {
    "name": "new",
    "scope_kind": "global",
    "match_type": "exact",
    "pattern": "m",
    "request_types": ["chat_completion"],
    "patch": {"input_cost_per_token": 0.25},
}
ADMIN: dict[tuple[str, str], Any] = {
    ("GET", f"{GOVERNANCE}/virtual-keys"): None,
    ("POST", f"{GOVERNANCE}/virtual-keys"): {"name": "new"},
    ("GET", f"{GOVERNANCE}/virtual-keys/quota"): None,
    ("GET", f"{GOVERNANCE}/virtual-keys/{{id}}"): None,
    ("PUT", f"{GOVERNANCE}/virtual-keys/{{id}}"): {"description": "d"},
    ("DELETE", f"{GOVERNANCE}/virtual-keys/{{id}}"): None,
    ("POST", f"{GOVERNANCE}/virtual-keys/{{id}}/rotate"): {"grace": 5},
    ("GET", f"{GOVERNANCE}/teams"): None,
    ("POST", f"{GOVERNANCE}/teams"): {"name": "new"},
    ("GET", f"{GOVERNANCE}/teams/{{id}}"): None,
    ("PUT", f"{GOVERNANCE}/teams/{{id}}"): {"name": "other"},
    ("DELETE", f"{GOVERNANCE}/teams/{{id}}"): None,
    ("GET", f"{GOVERNANCE}/customers"): None,
    ("POST", f"{GOVERNANCE}/customers"): {"name": "new"},
    ("GET", f"{GOVERNANCE}/customers/{{id}}"): None,
    ("PUT", f"{GOVERNANCE}/customers/{{id}}"): {"name": "other"},
    ("DELETE", f"{GOVERNANCE}/customers/{{id}}"): None,
    ("GET", f"{GOVERNANCE}/model-configs"): None,
    ("POST", f"{GOVERNANCE}/model-configs"): {"model_name": "new"},
    ("GET", f"{GOVERNANCE}/model-configs/{{id}}"): None,
    ("PUT", f"{GOVERNANCE}/model-configs/{{id}}"): {"model_name": "other"},
    ("DELETE", f"{GOVERNANCE}/model-configs/{{id}}"): None,
    ("GET", f"{GOVERNANCE}/routing-rules"): None,
    ("POST", f"{GOVERNANCE}/routing-rules"): RULE,
    ("POST", f"{GOVERNANCE}/routing-rules/evaluate"): ASK,
    ("POST", f"{GOVERNANCE}/pricing/explain"): ASK,
    ("GET", f"{GOVERNANCE}/routing-rules/{{id}}"): None,
    ("PUT", f"{GOVERNANCE}/routing-rules/{{id}}"): {"priority": 7},
    ("DELETE", f"{GOVERNANCE}/routing-rules/{{id}}"): None,
    ("GET", f"{GOVERNANCE}/pricing-overrides"): None,
    ("POST", f"{GOVERNANCE}/pricing-overrides"): OVERRIDE,
    ("GET", f"{GOVERNANCE}/pricing-overrides/{{id}}"): None,
    ("PUT", f"{GOVERNANCE}/pricing-overrides/{{id}}"): {"pattern": "n*"},
    ("DELETE", f"{GOVERNANCE}/pricing-overrides/{{id}}"): None,
    ("GET", f"{GOVERNANCE}/budgets"): None,
    ("POST", f"{GOVERNANCE}/budgets/{{id}}/reset"): {"reason": "r"},
    ("POST", f"{GOVERNANCE}/budgets/{{id}}/credit"): {"reason": "r", "amount": -0.5},
    ("GET", f"{GOVERNANCE}/rate-limits"): None,
    ("POST", f"{GOVERNANCE}/rate-limits/{{id}}/reset"): {"reason": "r"},
    ("GET", f"{GOVERNANCE}/usage"): None,
    ("GET", f"{GOVERNANCE}/audit"): None,
    ("GET", f"{GOVERNANCE}/providers"): None,
    ("GET", f"{GOVERNANCE}/providers/{{name}}"): None,
    ("PUT", f"{GOVERNANCE}/providers/{{name}}"): {"budget": BUDGET},
    ("DELETE", f"{GOVERNANCE}/providers/{{name}}"): None,
    ("GET", "/api/providers"): None,
    ("POST", "/api/providers"): {"name": "new"},
    ("GET", "/api/providers/{provider}"): None,
    ("PUT", "/api/providers/{provider}"): {},
    ("DELETE", "/api/providers/{provider}"): None,
    ("GET", "/api/providers/{provider}/keys"): None,
    ("POST", "/api/providers/{provider}/keys"): {"name": "new", "value": "s"},
    ("GET", "/api/providers/{provider}/keys/{key_id}"): None,
    ("PUT", "/api/providers/{provider}/keys/{key_id}"): {"weight": 2},
    ("DELETE", "/api/providers/{provider}/keys/{key_id}"): None,
    ("GET", "/api/keys"): None,
    ("GET", "/metrics"): None,
}


class Bench(Door, Furnished):
    """The application over an engine with one entity of every kind."""

    def path(self, template: str) -> str:
        """A template with the id of an entity that is there."""
        word = template.removeprefix(f"{GOVERNANCE}/").partition("/")[0]
        ids = {
            **{kind.replace("_", "-"): id for kind, id in self.ids()},
            "budgets": self.virtual_key.budget.id,
            "rate-limits": self.virtual_key.rate_limit.id,
        }
        return template.format(id=ids.get(word), name="p", provider="p", key_id=self.provider_key.key_id)

    def ask(self, method: str, path: str, body: Any = None, **headers: str | None) -> Any:
        content = b"" if body is None else json.dumps(body).replace("KEY", self.virtual_key.value).encode()
        return self.call(
            method, path, [content], {word.replace("_", "-"): text for word, text in headers.items()}
        )


@pytest.fixture
def bench() -> Bench:
    return Bench()


def served() -> dict[str, set[str]]:
    return {path: set(methods) for path, methods in routes(Door().engine, key_required=True).items()}


def known(template: str) -> set[str]:
    methods = {method for method, path in ADMIN if path == template}
    return methods | ({"HEAD"} if "GET" in methods else set())


def test_the_rows_are_the_routes() -> None:
    assert {(method, path) for path, methods in served().items() for method in methods} == set(ROWS)
    others = {("GET", admin.QUOTA), ("GET", admin.METRICS)}
    others |= {("POST", admin.EVALUATE), ("POST", admin.EXPLAIN)}
    assert {(row.method, row.path) for row in admin.ROWS} | others == set(ADMIN)


def test_the_readme_lists_the_routes() -> None:
    assert set(re.findall(r"^\| ([A-Z]+) (/\S+) \|", README, re.MULTILINE)) == set(ROWS)
    listed = re.findall(r"^\| `(/\S+)` \| ([A-Z, ]+) \|", README, re.MULTILINE)
    assert {(method, path) for path, methods in listed for method in methods.split(", ")} == set(ADMIN)


@pytest.mark.parametrize(("method", "path"), ROWS)
def test_a_route_answers(method: str, path: str) -> None:
    door = Door()
    key = door.key().value
    permit = door.engine.admit(key, "p/m", tokens=5).token
    body = json.dumps(ROWS[method, path]).replace("KEY", key).replace("PERMIT", permit)
    assert door.call(method, path, [body.encode()]).status == 200


@pytest.mark.parametrize(("method", "path"), ADMIN)
def test_an_admin_route_answers(bench: Bench, method: str, path: str) -> None:
    headers = {"x_bf_vk": bench.virtual_key.value} if path == admin.QUOTA else {}
    reply = bench.ask(method, bench.path(path), ADMIN[method, path], **headers)
    assert reply.status == (201 if ADMIN[method, path] is OVERRIDE else 200), reply.content
    if method in ("POST", "PUT", "DELETE"):
        word = {admin.EVALUATE: "matched", admin.EXPLAIN: "cost_usd"}.get(path, "message")
        assert reply.body[word] is not None
    if method == "GET":
        head = bench.ask("HEAD", bench.path(path), **headers)
        assert (head.status, head.headers) == (200, reply.headers)


@pytest.mark.parametrize("path", sorted({path for _, path in ROWS} | {path for _, path in ADMIN}))
def test_a_route_names_the_methods_that_it_knows(bench: Bench, path: str) -> None:
    own = served().get(path) or known(path)
    for method in METHODS - own:
        reply = bench.call(method, bench.path(path))
        assert (reply.status, reply.code) == (405, "method_not_allowed")
        assert set(reply.headers["allow"].split(", ")) == own


@pytest.mark.parametrize(
    "path",
    [
        *(
            "/",
            "",
            "//",
            "/api",
            "/api/",
            "/api/governance",
            "/api/governance/",
            "/api/version/",
            "/v1",
            "/v1/admit/",
        ),
        *(
            "/api//governance/teams",
            "//api/governance/teams",
            "/api/governance/teams/",
            "/api/governance/teams//",
        ),
        *("/api/governance/teams/a/b", "/api/governance/teams/a%2Fb", "/api/governance%2Fteams", "/metrics/"),
        *("/api/governance/providers/a%2fb", "/api/governance/providers/%ff", "/api/providers/p/keys/", "*"),
        *(
            "/api/governance/virtual-keys/quota/rotate",
            "/api/governance/virtual-keys/x/rotate/",
            "/API/version",
        ),
        *(
            "/api/governance/teams/../teams",
            "/api/governance/./teams",
            "/api/providers/%2e%2e%2fp",
            "/health/",
        ),
    ],
)
@pytest.mark.parametrize("method", ["GET", "PUT", "POST", "DELETE"])
def test_an_odd_path_is_of_nothing(bench: Bench, method: str, path: str) -> None:
    before = bench.picture()
    reply = bench.ask(method, path, {})
    assert (reply.status, reply.code) == (404, "not_found")
    assert bench.picture() == before


def test_a_parameter_of_a_path_is_decoded(bench: Bench) -> None:
    reply = bench.ask("PUT", "/api/governance/providers/a%20%C3%BC%3F", {"budget": BUDGET})
    assert reply.body["provider"] == "a ü?"
    assert bench.ask("GET", "/api/governance/%70roviders/a%20ü%3f").status == 200


@pytest.mark.parametrize(
    ("query", "param"),
    [
        *(
            ("limit=x", "limit"),
            ("limit=1.5", "limit"),
            ("limit=", "limit"),
            ("limit=+1", "limit"),
            ("limit=-1", "limit"),
        ),
        *(("limit=1001", "limit"), ("limit=9223372036854775808", "limit"), (f"limit={'9' * 5000}", "limit")),
        *(
            ("limit=%D9%A3", "limit"),
            ("limit=1&limit=1", "limit"),
            ("offset=-1", "offset"),
            ("nope=1", "nope"),
        ),
        *(
            ("sort_by=value", "sort_by"),
            ("order=up", "order"),
            ("search=%00", "search"),
            ("from_memory=1", "from_memory"),
        ),
        *(("limit", None), ("%ff=1", None), ("search=%ff", None), ("=1", ""), ("a=1;b=2", "a")),
    ],
)
def test_a_faulty_query_is_refused_by_its_word(bench: Bench, query: str, param: str | None) -> None:
    reply = bench.ask("GET", f"{GOVERNANCE}/virtual-keys?{query}")
    assert (reply.status, reply.code, reply.param or None) == (400, "invalid_request", param or None)


@pytest.mark.parametrize(
    ("method", "path"), [row for row in ADMIN if row[1] not in (admin.QUOTA, admin.METRICS)]
)
def test_from_memory_is_taken_and_nothing_else_is(bench: Bench, method: str, path: str) -> None:
    before = bench.picture()
    reply = bench.ask(method, bench.path(path) + "?nope=1", ADMIN[method, path])
    assert (reply.status, reply.param) == (400, "nope")
    assert bench.picture() == before
    assert bench.ask(method, bench.path(path) + "?from_memory=true", ADMIN[method, path]).status < 300


def test_the_words_of_the_answers_are_the_schema_s(bench: Bench) -> None:
    shown = {
        "virtual-keys": {"virtual_key"},
        "teams": {"team"},
        "customers": {"customer"},
        "model-configs": {"model_config"},
        "pricing-overrides": {"pricing_override"},
        "providers": {"provider", "budget", "budgets", "rate_limit"},
    }
    for word, one in shown.items():
        path = f"{GOVERNANCE}/{word}"
        page = bench.ask("GET", path + "?limit=0").body
        assert set(page) == {word.replace("-", "_"), "count", "total_count", "limit", "offset"}
        single = bench.path(f"{path}/{{name}}" if word == "providers" else f"{path}/{{id}}")
        assert set(bench.ask("GET", single).body) == one
        assert set(bench.ask("PUT", single, {}).body) == one | {"message", "warnings"}
    assert "rules" in bench.ask("GET", f"{GOVERNANCE}/routing-rules").body
    assert isinstance(bench.ask("GET", "/api/keys").body, list)
    assert set(bench.ask("GET", "/api/providers/p").body["provider"]) == {"name", "keys"}
    assert set(bench.ask("GET", "/api/providers/p/keys").body) == {
        "keys",
        "count",
        "total_count",
        "limit",
        "offset",
    }


def test_the_keys_of_a_provider_are_there_and_nowhere_else(bench: Bench) -> None:
    bench.engine.providers.known.create({"name": "q"})
    of_q = bench.path("/api/providers/q/keys/{key_id}")
    for method, body in (("GET", None), ("PUT", {"weight": 2}), ("DELETE", None)):
        assert bench.ask(method, of_q, body).status == 404
        assert bench.ask(method, of_q, body, if_match="*").status in (404, 412)
    assert bench.ask("GET", "/api/providers/q/keys").body["keys"] == []
    assert bench.ask("GET", "/api/providers/nobody/keys").status == 404
    made = {"name": "n", "value": "s"}
    assert (
        bench.ask("POST", "/api/providers/q/keys", {**made, "provider": "q"}).body["key"]["provider"] == "q"
    )
    for provider in ("p", "", 5, [], {}):
        reply = bench.ask("POST", "/api/providers/q/keys", {"name": "m", "value": "s", "provider": provider})
        assert (reply.status, reply.param) == (400, "provider")


def test_a_provider_that_is_known_is_not_made_again(bench: Bench) -> None:
    reply = bench.ask("POST", "/api/providers", {"name": " p "})
    assert (reply.status, reply.code, reply.param) == (409, "conflict", "name")
    assert bench.ask("PUT", "/api/providers/p", {"name": "other"}).param == "name"
    assert bench.ask("PUT", "/api/providers/nobody", {}).status == 404


def test_a_quota_is_the_holder_s(bench: Bench) -> None:
    value, other = bench.virtual_key.value, bench.key().value
    for headers in (
        {"x_bf_vk": value},
        {"authorization": f"Bearer {value}"},
        {"x_api_key": value},
        {"x_goog_api_key": value},
    ):
        reply = bench.ask("GET", admin.QUOTA, **headers)
        assert (reply.status, reply.body["virtual_key_name"]) == (200, "bot")
        assert "etag" not in reply.headers
    assert bench.ask("GET", admin.QUOTA).code == "virtual_key_required"
    assert bench.ask("GET", admin.QUOTA, x_bf_vk="nobody").code == "virtual_key_not_found"
    assert bench.ask("GET", admin.QUOTA, x_bf_vk=value, x_api_key=other).status == 400
    bench.engine.virtual_keys.update(bench.virtual_key.id, {"is_active": False})
    assert bench.ask("GET", admin.QUOTA, x_bf_vk=value).body["is_active"] is False


def test_money_leaves_exactly_above_what_a_float_can_hold(bench: Bench) -> None:
    body = {"name": "rich", "budget": {"max_limit": 9007199254.740993, "reset_duration": "1d"}}
    text = json.dumps(body).replace("9007199254.740993", "9007199254.740992999")
    reply = bench.call("POST", f"{GOVERNANCE}/customers", [text.encode()])
    assert b'"max_limit":9007199254.740992999,' in reply.content


def test_an_admin_answer_is_kept_by_nobody_on_the_way(bench: Bench) -> None:
    for path in (f"{GOVERNANCE}/virtual-keys", "/api/keys", "/api/providers/p"):
        assert bench.ask("GET", path).headers["cache-control"] == "no-store"
