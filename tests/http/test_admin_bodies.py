"""Every field of every admin body with every kind of wrong value, made from the structs that type the bodies.

A row is a body that is right but for one place. It gets 400 with the path of that place, and what the engine
holds is byte for byte what it was. Here values are JSON text, so that 1e400, NaN and a key that stands twice
are themselves.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from msgspec import inspect
from test_routes import ADMIN, GOVERNANCE, OVERRIDE, RULE, Bench

from furnished import BUDGET, RATE, dump
from limen import bodies
from limen.http import admin
from limen.resources.customers import Customers
from limen.resources.model_configs import ModelConfigs
from limen.resources.pricing_overrides import PricingOverrides
from limen.resources.provider_keys import ProviderKeys
from limen.resources.routing_rules import RoutingRules
from limen.resources.shape import Null
from limen.resources.teams import Teams
from limen.resources.virtual_keys import VirtualKeys

ROUTES: dict[tuple[str, str], tuple[type[msgspec.Struct], dict[str, Any]]] = {
    # route -> the struct of its body, and a body that is right (and never taken, for it gets one fault)
    ("POST", f"{GOVERNANCE}/virtual-keys"): (bodies.CreateVirtualKeyRequest, {"name": "n"}),
    ("PUT", f"{GOVERNANCE}/virtual-keys/{{id}}"): (bodies.UpdateVirtualKeyRequest, {}),
    ("POST", f"{GOVERNANCE}/virtual-keys/{{id}}/rotate"): (bodies.RotateRequest, {}),
    ("POST", f"{GOVERNANCE}/teams"): (bodies.CreateTeamRequest, {"name": "n"}),
    ("PUT", f"{GOVERNANCE}/teams/{{id}}"): (bodies.UpdateTeamRequest, {}),
    ("POST", f"{GOVERNANCE}/customers"): (bodies.CreateCustomerRequest, {"name": "n"}),
    ("PUT", f"{GOVERNANCE}/customers/{{id}}"): (bodies.UpdateCustomerRequest, {}),
    ("POST", f"{GOVERNANCE}/model-configs"): (bodies.CreateModelConfigRequest, {"model_name": "n"}),
    ("PUT", f"{GOVERNANCE}/model-configs/{{id}}"): (bodies.UpdateModelConfigRequest, {}),
    ("POST", f"{GOVERNANCE}/routing-rules"): (bodies.CreateRoutingRuleRequest, RULE),
    ("PUT", f"{GOVERNANCE}/routing-rules/{{id}}"): (bodies.UpdateRoutingRuleRequest, {}),
    ("POST", f"{GOVERNANCE}/pricing-overrides"): (bodies.CreatePricingOverrideRequest, OVERRIDE),
    ("PUT", f"{GOVERNANCE}/pricing-overrides/{{id}}"): (bodies.UpdatePricingOverrideRequest, {}),
    ("POST", f"{GOVERNANCE}/budgets/{{id}}/reset"): (bodies.ResetRequest, {"reason": "r"}),
    ("POST", f"{GOVERNANCE}/budgets/{{id}}/credit"): (bodies.CreditRequest, {"reason": "r", "amount": 1}),
    ("POST", f"{GOVERNANCE}/rate-limits/{{id}}/reset"): (bodies.ResetRequest, {"reason": "r"}),
    ("PUT", f"{GOVERNANCE}/providers/{{name}}"): (bodies.UpdateProviderGovernanceRequest, {}),
    ("POST", "/api/providers"): (bodies.CreateProviderRequest, {"name": "n"}),
    ("PUT", "/api/providers/{provider}"): (bodies.UpdateKnownProviderRequest, {}),
    ("POST", "/api/providers/{provider}/keys"): (
        bodies.CreateProviderKeyRequest,
        {"name": "n", "value": "s", "provider": "p"},
    ),
    ("PUT", "/api/providers/{provider}/keys/{key_id}"): (bodies.UpdateProviderKeyRequest, {}),
}
INNER: dict[str, dict[str, Any]] = {
    # what stands in a body that is right, by the struct that types it
    **{f"{word}BudgetRequest": BUDGET for word in ("Create", "Update")},
    **{f"{word}RateLimitRequest": RATE for word in ("Create", "Update")},
    **{f"{word}ProviderConfigRequest": {"provider": "p"} for word in ("Create", "Update")},
    **{f"{word}MCPConfigRequest": {"mcp_client_name": "c"} for word in ("Create", "Update")},
    "EnvVarRequest": {"value": "s"},
    "RoutingTarget": {"weight": 1},
    "PricingPatch": {},
}
LONG = json.dumps("x" * 17_000)
CONTROL = json.dumps("a\x00b")
HUGE = [
    "1e400",
    "-1e400",
    "1e999999999999999999999",
    "9223372036854775808",
    "18446744073709551616",
    "9" * 300,
]
OTHERS = ["true", "false", "[]", "{}", "5", "1.5", '"5"']


def wrong(kind: Any) -> list[str]:
    """JSON that no field of this type takes."""
    options = kind.types if isinstance(kind, inspect.UnionType) else (kind,)
    takes = {type(option).__name__.removesuffix("Type") for option in options}
    values = list(OTHERS)
    if takes & {"Bool"}:
        values = [text for text in values if text not in ("true", "false")]
    if takes & {"Int", "Float", "Decimal"}:
        values = [
            text for text in values if text != "5" and (text != "1.5" or not takes & {"Float", "Decimal"})
        ]
        values += [*HUGE, "-1"]
    if takes & {"List", "Dict"}:
        values = [text for text in values if text != ("[]" if "List" in takes else "{}")]
    if takes & {"Struct"}:
        values = [text for text in values if text != "{}"]
    if takes & {"Str", "DateTime"}:
        values = [text for text in values if text != '"5"' or "DateTime" in takes]
        values += [LONG] + ([] if "Struct" in takes else [CONTROL])
    if takes & {"Literal"}:
        values += [LONG, CONTROL, '""']
    return values


TAKEN = {("amount", "-1"), ("priority", "-1"), ("value", CONTROL)}
"""What a field takes all the same: a correction and a priority may be negative, a secret is any text."""


def places(
    struct: type, body: dict[str, Any], at: str = ""
) -> Iterator[tuple[str, str, Any, dict[str, Any]]]:
    """(path of an object, its field, the field's type, the object) for all fields at every depth."""
    for field in inspect.type_info(struct).fields:
        yield at, field.name, field.type, body
        options = field.type.types if isinstance(field.type, inspect.UnionType) else (field.type,)
        for option in options:
            in_list = isinstance(option, inspect.ListType)
            inner = option.item_type if in_list else option
            if isinstance(inner, inspect.StructType):
                path = f"{at}{field.name}{'[0]' if in_list else ''}."
                yield from places(inner.cls, INNER[inner.cls.__name__], path)


def text(value: Any, at: str, field: str, wanted: str, body: dict[str, Any]) -> str:
    """`value` as JSON where the object at `at` is `body` with `field` set to the text `wanted`."""
    inner = {name: json.dumps(item) for name, item in body.items() if name != field}
    if field:
        inner[field] = wanted
    found = "{" + ",".join(f'"{name}":{item}' for name, item in inner.items()) + "}"
    steps = at.rstrip(".").split(".") if at else []
    for depth, step in enumerate(reversed(steps)):
        word, _, index = step.partition("[")
        parents = value if depth == len(steps) - 1 else INNER_OF[word]
        around = {name: json.dumps(item) for name, item in parents.items() if name != word}
        around[word] = f"[{found}]" if index else found
        found = "{" + ",".join(f'"{name}":{item}' for name, item in around.items()) + "}"
    return found


INNER_OF = {"budget": {"provider": "p"}, "budgets": {"provider": "p"}, "rate_limit": {"provider": "p"}}
"""What surrounds a limit that is not the entity's own: a provider config."""


def field_rows() -> Iterator[Any]:
    for (method, path), (struct, body) in ROUTES.items():
        for at, field, kind, inner in places(struct, body):
            for value in wrong(kind):
                if (field, value) in TAKEN:
                    continue
                yield pytest.param(
                    method,
                    path,
                    text(body, at, field, value, inner),
                    f"{at}{field}",
                    id=f"{method} {path} {at}{field} {value[:24]}",
                )


def object_rows() -> Iterator[Any]:
    """A field too many, a field twice, at every depth."""
    for (method, path), (struct, body) in ROUTES.items():
        for at, inner in {at: inner for at, _, _, inner in places(struct, body)}.items():
            rows = [("nonsense", "1", "nonsense"), ("\\u0000" + "x" * 99, "1", "?" + "x" * 63)]
            for field, value, shown in rows:
                yield pytest.param(
                    method,
                    path,
                    text(body, at, field, value, inner),
                    f"{at}{shown}",
                    id=f"{method} {path} {at}{shown}",
                )
            yield pytest.param(
                method,
                path,
                text(body, at, "twice", '1,"twice":1', inner),
                f"{at}twice",
                id=f"{method} {path} {at}twice",
            )


def required_rows() -> Iterator[Any]:
    for (method, path), (struct, body) in ROUTES.items():
        if method == "POST":
            for field in inspect.type_info(struct).fields:
                if field.required and field.name != "provider":
                    for value in ("null", None):
                        rest = {name: item for name, item in body.items() if name != field.name}
                        whole = text(rest, "", field.name if value else "", value or "", rest)
                        yield pytest.param(method, path, whole, field.name, id=f"{path} {field.name} {value}")


def null_rows() -> Iterator[Any]:
    """What the field table says may not be null in an update."""
    for resource, path in (
        (VirtualKeys, "virtual-keys"),
        (Teams, "teams"),
        (Customers, "customers"),
        (ModelConfigs, "model-configs"),
        (RoutingRules, "routing-rules"),
        (PricingOverrides, "pricing-overrides"),
    ):
        for field, row in resource.update_shape.fields.items():
            if row.null is Null.REFUSED:
                yield pytest.param("PUT", f"{GOVERNANCE}/{path}/{{id}}", f'{{"{field}":null}}', field)
    for field, row in ProviderKeys.update_shape.fields.items():
        if row.null is Null.REFUSED:
            path = "/api/providers/{provider}/keys/{key_id}"
            yield pytest.param("PUT", path, f'{{"{field}":null}}', field, id=f"key {field} null")


def many_rows() -> Iterator[Any]:
    keys, one = f"{GOVERNANCE}/virtual-keys", f"{GOVERNANCE}/virtual-keys/{{id}}"
    lists = {
        "budgets": [{"max_limit": 1, "reset_duration": f"{n}d"} for n in range(1, 10)],
        "provider_configs": [{"provider": "p"}] * 1001,
        "mcp_configs": [{"mcp_client_name": "c"}] * 1001,
    }
    for field, items in lists.items():
        yield pytest.param("POST", keys, json.dumps({"name": "n", field: items}), field, id=f"create {field}")
        yield pytest.param("PUT", one, json.dumps({field: items}), field, id=f"update {field}")
    for field in ("allowed_models", "key_ids"):
        body = {"provider_configs": [{"provider": "p", field: ["m"] * 1001}]}
        yield pytest.param("PUT", one, json.dumps(body), f"provider_configs[0].{field}", id=field)
    for at, value in (("a", "1e400"), ("a", LONG), ("a", "[" * 70 + "]" * 70), ("a", "9223372036854775808")):
        team = f'{{"profile":{{"{at}":{value}}}}}'
        param = None if value.startswith("[") else "profile.a"
        yield pytest.param("PUT", f"{GOVERNANCE}/teams/{{id}}", team, param, id=f"profile {value[:9]}")


@pytest.fixture(scope="module")
def bench() -> Bench:
    return Bench()


@pytest.fixture(scope="module")
def before(bench: Bench) -> Any:
    return dump(bench.engine)


def assert_nothing_happened(bench: Bench, before: Any) -> None:
    is_the_same = (
        dump(bench.engine) == before
    )  # apart, for to write out how they differ takes longer than all rows
    assert is_the_same


def nothing_happens(bench: Bench, before: Any, method: str, path: str, body: str | bytes) -> Any:
    content = body.encode() if isinstance(body, str) else body
    reply = bench.call(method, bench.path(path), [content])
    assert_nothing_happened(bench, before)
    return reply


@pytest.mark.parametrize(
    ("method", "path", "body", "param"),
    [*field_rows(), *object_rows(), *required_rows(), *null_rows(), *many_rows()],
)
def test_a_faulty_field_is_named_by_its_path_and_changes_nothing(
    bench: Bench, before: Any, method: str, path: str, body: str, param: str
) -> None:
    reply = nothing_happens(bench, before, method, path, body)
    assert (reply.status, reply.code, reply.param) == (400, "invalid_request", param)


def test_every_route_with_a_body_is_tried() -> None:
    assert set(ROUTES) == {(row.method, row.path) for row in admin.ROWS if row.method in ("POST", "PUT")}
    assert len(list(field_rows())) > 1500


def test_a_body_that_is_right_is_taken() -> None:
    """What the rows change one thing of."""
    for (method, path), (struct, body) in ROUTES.items():
        for at, inner in {at: inner for at, _, _, inner in places(struct, body)}.items():
            bench = Bench()
            reply = bench.call(method, bench.path(path), [text(body, at, "", "", inner).encode()])
            assert reply.status in (200, 201), (method, path, at, reply.content)


RAW = [
    b"",
    b"null",
    b"[]",
    b"5",
    b'"name"',
    b"{",
    b'{"name": "n"} {}',
    b'{"name": "n",}',
    b"{'name': 'n'}",
    b'{"name": NaN}',
    b'{"name": Infinity}',
    b'{"name": 01}',
    b'\xef\xbb\xbf{"name": "n"}',
    b'{"name": "\xff"}',
    b'{"name": "\\ud800"}',
    b'{"name": "a\x00b"}',
    b'{"name": ' + b"9" * 5000 + b"}",
    b"[" * 100_000,
    b'{"budget":' * 100_000,
    b'{"profile": ' + b'{"a":' * 64 + b"1" + b"}" * 64 + b"}",
    b'{"a": 1, "\\u0061": 1}',
    b'{"' + b"a" * 100_000 + b'": 1}',
    b"{" + b",".join(b'"%d":1' % n for n in range(50_000)) + b"}",
]


@pytest.mark.parametrize("raw", RAW, ids=lambda raw: repr(raw[:30]))
@pytest.mark.parametrize(("method", "path"), ROUTES)
def test_what_is_no_body_of_ours_is_refused_in_the_one_body(
    bench: Bench, before: Any, method: str, path: str, raw: bytes
) -> None:
    reply = nothing_happens(bench, before, method, path, raw)
    assert (reply.status, reply.code) == (400, "invalid_request")
    assert set(reply.body) == {"is_bifrost_error", "status_code", "type", "error", "extra_fields"}
    assert len(reply.content) < 50_000


@pytest.mark.parametrize(
    "headers",
    [
        {"content-type": None},
        {"content-type": "text/plain"},
        {"content-type": "application/json; charset=latin-1"},
        {"content-type": "application/merge-patch+json"},
        {"content-encoding": "gzip"},
    ],
    ids=str,
)
@pytest.mark.parametrize(("method", "path"), ROUTES)
def test_a_body_that_does_not_say_that_it_is_json_is_refused(
    bench: Bench, before: Any, method: str, path: str, headers: dict[str, str | None]
) -> None:
    reply = bench.call(method, bench.path(path), [json.dumps(ADMIN[method, path]).encode()], headers)
    assert (reply.status, reply.code) == (415, "unsupported_media_type")
    assert_nothing_happened(bench, before)


@pytest.mark.parametrize(
    "headers",
    [{}, {"content-length": "9" * 30}, {"content-length": "1048577"}, {"content-length": "5"}],
    ids=str,
)
@pytest.mark.parametrize(("method", "path"), ROUTES)
def test_a_body_of_more_than_a_mebibyte_is_refused_however_long_it_claims_to_be(
    bench: Bench, before: Any, method: str, path: str, headers: dict[str, str]
) -> None:
    parts = [b'{"name": "', *[b"x" * 65_536] * 16, b'"}']
    reply = bench.call(method, bench.path(path), parts, headers)
    assert (reply.status, reply.code) == (413, "body_too_large")
    assert_nothing_happened(bench, before)


def test_a_client_that_leaves_in_the_middle_of_its_body_changes_nothing(bench: Bench, before: Any) -> None:
    from door import waited

    sent: list[Any] = []
    messages = [{"type": "http.request", "body": b'{"name":', "more_body": True}, {"type": "http.disconnect"}]

    async def receive() -> Any:
        return messages.pop(0)

    async def send(message: Any) -> None:
        sent.append(message)

    path = f"{GOVERNANCE}/customers"
    lines = [(b"host", b"localhost"), (b"content-type", b"application/json")]
    scope = {"type": "http", "method": "POST", "path": path, "raw_path": path.encode(), "headers": lines}
    waited(bench.app(scope, receive, send))
    assert sent == []
    assert_nothing_happened(bench, before)
