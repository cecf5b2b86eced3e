"""Every field of every body with every kind of wrong value: 400 that names it, and nothing taken."""

from __future__ import annotations

import json
from typing import Any

import pytest
from door import Door, Reply

from limen.http import calls

WRONG: dict[str, list[str]] = {
    # kind of field -> JSON that it does not take
    "text": ["true", "5", "1.5", "[]", "{}", '["a"]'],
    "count": ["true", '"5"', '""', "1.5", "-1", "-0.5", "2e-1", "[]", "{}"],
    "dollars": ["true", '"5"', '""', "-1", "-1e-12", "[]", "{}", "9223372037"],
    "seconds": ["true", '"5"', '""', "-1", "-1e-12", "[]", "{}"],
    "flag": ["5", "1", "0", '"true"', '""', "1.5", "[]", "{}"],
    "mapping": ["true", "5", '"5"', '""', "1.5", "[]"],
    "texts": ["true", "5", '"a/b"', "1.5", "{}"],
}
HUGE = ["9223372036854775808", "18446744073709551616", "-9223372036854775809", "1e400", "-1e400", "1" * 400]
CONTROL = [json.dumps(text) for text in ("", "\x00", "a\nb", "a\x7fb", "x" * 4097)]
NAMES = {"model", "provider", "mcp_tool", "id"}
ONE_OF = {"request_type", "image_quality", "search_context", "service_tier", "format"}

ASK = {
    **dict.fromkeys(("virtual_key", "virtual_key_id", "model", "provider", "request_type"), "text"),
    **dict.fromkeys(("mcp_tool", "sticky", "id"), "text"),
    **dict.fromkeys(("input_tokens", "max_output_tokens", "tokens"), "count"),
    "cost_usd": "dollars",
    "usage": "mapping",
    "headers": "mapping",
    "params": "mapping",
    "fallbacks": "texts",
}
WORDS = {
    **dict.fromkeys(calls.UsageWords.__struct_fields__, "count"),
    **dict.fromkeys(("image_quality", "search_context", "service_tier"), "text"),
    **dict.fromkeys(("input_seconds", "output_seconds"), "seconds"),
    **dict.fromkeys(("reported_cost_usd", "cost_usd"), "dollars"),
    "batch": "flag",
}
ROUTES: dict[str, dict[str, str]] = {
    "/v1/admit": ASK,
    "/v1/peek": ASK,
    "/v1/settle": {**WORDS, "permit": "text", "as_held": "flag", "usage": "mapping", "format": "text"},
    "/v1/update": {**WORDS, "permit": "text"},
    "/v1/release": {"permit": "text", "reason": "text", "request": "flag"},
}


def wrong_values(field: str, kind: str) -> list[str]:
    values = list(WRONG[kind])
    if kind in ("count", "dollars"):
        values += HUGE
    if kind == "seconds":
        values += [HUGE[1], *HUGE[3:]]
    if kind == "text":
        values += HUGE
    if field in NAMES:
        values += [text for text in CONTROL if (field, text) != ("provider", '""')]
    if field == "id":
        values.append(json.dumps("x" * 129))
    if field in ONE_OF:
        values += ['""', '"nothing"', '"\\u0000"']
    return values


ROWS = [
    pytest.param(path, field, value, id=f"{path[4:]} {field} {value[:24]}")
    for path, fields in ROUTES.items()
    for field, kind in fields.items()
    for value in wrong_values(field, kind)
]


class Scene(Door):
    """A key with a request limit, and an open permit of it."""

    def __init__(self) -> None:
        super().__init__(gateway_tokens=[{"name": "g", "token": "a-gateway-token"}])
        self.owner = self.key(requests=(1_000_000, "1d"), tokens=(1_000_000, "1d"))
        self.permit = self.ask({}).body["permit"]

    def ask(self, more: dict[str, Any]) -> Reply:
        return self.post(
            "/v1/admit", {"virtual_key": self.owner.value, "model": "m", "provider": "p", **more}
        )

    def with_field(self, path: str, field: str, value: str) -> bytes:
        """A body that is right but for one field."""
        if path in ("/v1/admit", "/v1/peek"):
            fields = {"virtual_key": json.dumps(self.owner.value), "model": '"m"', "provider": '"p"'}
            if field == "virtual_key_id":
                del fields["virtual_key"]
        else:
            fields = {"permit": json.dumps(self.permit)}
            if field == "usage":
                fields["format"] = '"openai"'
            elif field == "format":
                fields["usage"] = '{"prompt_tokens": 1, "completion_tokens": 1}'
        fields[field] = value
        return ("{" + ", ".join(f'"{name}": {text}' for name, text in fields.items()) + "}").encode()

    def picture(self) -> Any:
        return self.requests(self.owner), self.tokens(self.owner), self.engine.open_permits()


@pytest.fixture(scope="module")
def scene() -> Scene:
    return Scene()


GATEWAY = {"authorization": "Bearer a-gateway-token"}


@pytest.mark.parametrize(("path", "field", "value"), ROWS)
def test_a_wrong_value_is_refused_by_the_name_of_its_field(
    scene: Scene, path: str, field: str, value: str
) -> None:
    before = scene.picture()
    reply = scene.post(path, scene.with_field(path, field, value), GATEWAY)
    assert (reply.status, reply.code) == (400, "invalid_request")
    assert (reply.param or "").partition("[")[0].partition(".")[0] == field
    assert "dollar" not in reply.body["error"]["message"] or "usd" in field
    assert scene.picture() == before


@pytest.mark.parametrize("path", ROUTES)
@pytest.mark.parametrize("value", ["NaN", "Infinity", "-Infinity", "1e", ".5", "0x1", "nul", "'a'", "1_000"])
def test_what_json_does_not_know_is_no_value(scene: Scene, path: str, value: str) -> None:
    before = scene.picture()
    for field in ROUTES[path]:
        reply = scene.post(path, scene.with_field(path, field, value), GATEWAY)
        assert (reply.status, reply.code) == (400, "invalid_request")
    assert scene.picture() == before


@pytest.mark.parametrize("path", ROUTES)
def test_a_field_that_stands_twice_is_refused_whatever_it_is(scene: Scene, path: str) -> None:
    before = scene.picture()
    for field in ROUTES[path]:
        body = f'{{"{field}": null, "{field}": null}}'
        reply = scene.post(path, body.encode(), GATEWAY)
        assert (reply.status, reply.code) == (400, "invalid_request")
    assert scene.picture() == before


@pytest.mark.parametrize("path", ROUTES)
def test_a_field_that_is_null_is_as_one_that_is_left_out(scene: Scene, path: str) -> None:
    for field, kind in ROUTES[path].items():
        if field in ("permit", "virtual_key", "model") or (kind == "flag" and field != "batch"):
            continue
        fields = json.loads(scene.with_field(path, field, "null"))
        if path in ("/v1/settle", "/v1/update"):
            fields = {"prompt_tokens": 1, **{k: v for k, v in fields.items() if v is None or k == "permit"}}
            fields["permit"] = scene.ask({}).body["permit"]
        elif path == "/v1/release":
            fields["permit"] = scene.ask({}).body["permit"]
        fields.setdefault("virtual_key", scene.owner.value) if "model" in fields else None
        if field == "prompt_tokens":
            fields["completion_tokens"] = 1
        assert scene.post(path, fields).status == 200, (path, field)


@pytest.mark.parametrize(
    "missing", [("/v1/settle", "permit"), ("/v1/update", "permit"), ("/v1/release", "permit")]
)
@pytest.mark.parametrize("given", ["left out", "null"])
def test_a_field_that_is_required_is_named(scene: Scene, missing: tuple[str, str], given: str) -> None:
    path, field = missing
    reply = scene.post(path, {} if given == "left out" else {field: None})
    assert (reply.status, reply.param) == (400, field)


@pytest.mark.parametrize("path", [*ROUTES, "/v1/batch"])
def test_an_unknown_field_is_refused_by_its_name(scene: Scene, path: str) -> None:
    for name in ("nope", "Model", "permit ", "__class__", "\u00e9", "x" * 300):
        reply = scene.post(path, {name: 1, **({"calls": []} if path == "/v1/batch" else {})})
        assert (reply.status, reply.param) == (400, name[:256])


def test_a_deep_value_is_refused_wherever_it_stands(scene: Scene) -> None:
    for path, fields in ROUTES.items():
        for field in fields:
            for deep in ("[" * 70 + "]" * 70, '{"a":' * 70 + "1" + "}" * 70, "[" * 100_000):
                reply = scene.post(path, scene.with_field(path, field, deep), GATEWAY)
                assert (reply.status, reply.code) == (400, "invalid_request")


def test_a_batch_with_too_many_calls_is_refused_whole(scene: Scene) -> None:
    before = scene.picture()
    call = {"op": "admit", "virtual_key": scene.owner.value, "model": "m", "provider": "p"}
    reply = scene.post("/v1/batch", {"calls": [call] * 1025})
    assert (reply.status, reply.param) == (400, "calls")
    assert scene.picture() == before
