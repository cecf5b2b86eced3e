"""The OpenAPI document: every route of the tables, and the structs that type their bodies and answers.

Nothing is listed twice: a route that is in a table is in the document, and a field of a struct is in its
schema. What msgspec cannot say of a struct (dollars are numbers, counts are not below zero) is said here.
"""

from collections.abc import Iterator
from functools import cache
from typing import Any, Final, get_args

import msgspec
import orjson
from msgspec import Struct

from limen import __version__, model
from limen.bodies import OverrideScope, RuleScope
from limen.errors import TABLE
from limen.evaluation import RuleEvaluation
from limen.explanation import PriceExplanation
from limen.http import admin, calls, described
from limen.http.examples import EXAMPLES
from limen.http.typed import DECISIONS, RESOURCES, Typed
from limen.resources.base import MAX_PAGE
from limen.resources.history import LEVELS

Schema = dict[str, Any]


_WORDS: Final = {
    "sort_by": ["name", "budget_spent", "created_at", "status"],
    "order": ["asc", "desc"],
    "scope": list(get_args(RuleScope)),
    "scope_kind": list(get_args(OverrideScope)),
    "level": list(LEVELS),
}
_INSTANTS: Final = ("from", "to")
_REF: Final = "#/components/schemas/{name}"
_ADMIN: Final[list[dict[str, list[str]]]] = [{"adminToken": []}, {"adminPassword": []}]
_HOLDER: Final[list[dict[str, list[str]]]] = [{"virtualKey": []}, {"bearerKey": []}]
_ALWAYS: Final = (400, 421)
_ADMINS: Final = (401, 429, 503)
_BODY: Final = (413, 415)
_FRACTIONS: Final = frozenset(("cost_usd", "reported_cost_usd", "input_seconds", "output_seconds"))


def _ref(kind: type[Struct]) -> Schema:
    return {"$ref": _REF.format(name=kind.__name__)}


def _tidy(node: Any) -> Any:
    """Dollars as the numbers that they are in JSON, and no field beside those that are named."""
    if isinstance(node, list):
        return [_tidy(item) for item in node]
    if not isinstance(node, dict):
        return node
    found = {word: _tidy(item) for word, item in node.items()}
    if found.get("format") == "decimal":
        return {"type": "number"}
    options = found.get("anyOf", [])
    if {"type": "number"} in options:
        kept = [option for option in options if option.get("type") not in ("integer", "number")]
        found["anyOf"] = [{"type": "number"}, *kept]
        return found if kept else {"type": "number"}
    if "properties" in found:
        found["additionalProperties"] = False
        # Amounts that the engine judges: typed Any, so that what is wrong with one is said by its path.
        found["properties"] |= {
            word: {"type": ["number" if word in _FRACTIONS else "integer", "null"], "minimum": 0}
            for word, item in found["properties"].items()
            if not item or set(item) == {"default"}
        }
    return found


def _components() -> Schema:
    structs = {described.Error, described.HealthState, described.Version, model.VirtualKeyQuotaResponse}
    structs |= {RuleEvaluation, PriceExplanation, calls.Explain}
    structs |= set(admin.ACTIONS.values())
    for body, answer, _ in DECISIONS.values():
        structs |= {body, answer}
    for typed in RESOURCES.values():
        structs |= {kind for kind in typed[1:5] if kind is not None}
    ordered = sorted(structs, key=lambda kind: kind.__name__)
    _, found = msgspec.json.schema_components(ordered, ref_template=_REF)
    schemas: Schema = _tidy(found)
    for row in admin.ROWS:
        if row.call in admin.DONE and row.call != "delete":
            typed = RESOURCES[row.resource]
            schemas[_envelope(row)] = _enveloped(row, schemas[typed.one.__name__])
    schemas["Message"] = _object({"message": {"type": "string"}})
    # The provider is that of the path.
    schemas["CreateProviderKeyRequest"]["required"].remove("provider")
    return dict(sorted(schemas.items()))


def _object(properties: Schema) -> Schema:
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


def _envelope(row: admin.Row) -> str:
    """`CustomerResponse`: a message, and what was made or changed."""
    words = "Corrected" if row.call in ("reset", "credit") else ""
    return f"{RESOURCES[row.resource].one.__name__}{words}Response"


def _enveloped(row: admin.Row, one: Schema) -> Schema:
    around: Schema = {"message": {"type": "string"}}
    if row.word:
        around[row.word] = _ref(RESOURCES[row.resource].one)
    else:
        around |= one["properties"]
    if "warnings" in one["properties"]:
        around["warnings"] = {"type": "array", "items": {"type": "string"}}
    return _object(around)


def _json(schema: Schema, description: str, **more: Any) -> Schema:
    return {"description": description, "content": {"application/json": {"schema": schema}}, **more}


def _errors(*statuses: int) -> Schema:
    words: dict[int, list[str]] = {}
    for code, row in TABLE.items():
        words.setdefault(row.status, []).append(code)
    return {
        str(status): _json(_ref(described.Error), ", ".join(words[status])) for status in sorted(statuses)
    }


def _parameter(where: str, name: str, schema: Schema, description: str) -> Schema:
    return {
        "name": name,
        "in": where,
        "required": where == "path",
        "schema": schema,
        "description": description,
    }


_ETAG: Final = {"headers": {"ETag": {"schema": {"type": "string"}, "description": "Of its configuration."}}}
_CONDITIONS: Final = {
    "If-Match": "Entity tags, one of which it must have: else 412.",
    "If-None-Match": "Entity tags that the client has: 304 where it is one of them.",
}


def _query(typed: Typed) -> Iterator[Schema]:
    yield _parameter(
        "query", "limit", {"type": "integer", "minimum": 0, "maximum": MAX_PAGE}, "Left out: all."
    )
    yield _parameter("query", "offset", {"type": "integer", "minimum": 0}, "How many are passed over.")
    for word in typed.filters:
        schema: Schema = {"type": "string", "maxLength": 256 if word == "search" else 128}
        if word in _WORDS:
            schema = {"enum": _WORDS[word]}
        elif word in _INSTANTS:
            schema = {"type": "string", "format": "date-time"}
        yield _parameter("query", word, schema, "Only those; left out: all.")


def _operation(row: admin.Row) -> Schema:
    """One row of the table of admin routes."""
    typed = RESOURCES[row.resource]
    is_single = row.call in ("get", "update", "delete", "rotate")
    changes = row.method != "GET"
    statuses = {*_ALWAYS, *_ADMINS}
    found: Schema = {
        "operationId": f"{row.call}_{row.resource.replace('.', '_')}",
        "summary": f"{row.call} {typed.noun}",
        "tags": [row.path.split("/")[3 if row.path.startswith("/api/governance") else 2]],
        "security": _ADMIN,
        "parameters": [
            _parameter("path", word, {"type": "string", "minLength": 1, "maxLength": 256}, "Which one.")
            for word in _path_words(row.path)
        ],
    }
    if row.call in ("list", "bare"):
        found["parameters"] += _query(typed)
    memory = _parameter("query", "from_memory", {"enum": ["true", "false"]}, "Changes nothing.")
    found["parameters"].append(memory)
    if is_single:
        words = _CONDITIONS if row.call == "get" else ["If-Match"]
        found["parameters"] += [
            _parameter("header", word, {"type": "string"}, _CONDITIONS[word]) for word in words
        ]
        statuses.add(412)
    if changes:
        statuses |= {403, 404, 409}
    if _path_words(row.path):
        statuses.add(404)
    body = {"create": typed.create, "update": typed.update}.get(row.call) or admin.ACTIONS.get(row.call)
    if body is not None:
        statuses |= {*_BODY}
        found["requestBody"] = _request(body)
    answer: Schema = {"list": _ref(typed.page), "bare": {"type": "array", "items": _ref(typed.one)}}.get(
        row.call, {"$ref": _REF.format(name="Message" if row.call == "delete" else _envelope(row))}
    )
    if row.call == "get":
        answer = _object({row.word: _ref(typed.one)}) if row.word else _ref(typed.one)
    has_tag = (is_single and row.call != "delete") or row.call == "create"
    found["responses"] = {str(row.status): _json(answer, "Done.", **(_ETAG if has_tag else {}))}
    if row.call == "get":
        found["responses"]["304"] = {"description": "The client has it as it is.", **_ETAG}
    found["responses"] |= _errors(*statuses)
    return found


def _path_words(path: str) -> list[str]:
    return [part[1:-1] for part in path.split("/") if part.startswith("{")]


def _request(body: type[Struct]) -> Schema:
    content = {"schema": _ref(body), "example": EXAMPLES[body.__name__]}
    return {"required": True, "content": {"application/json": content}}


def _open(name: str, answer: Schema, description: str, **more: Any) -> Schema:
    return {
        "operationId": name,
        "summary": description,
        "tags": ["server"],
        "security": [],
        "responses": {"200": answer, **_errors(*_ALWAYS)},
        **more,
    }


def _others() -> Iterator[tuple[str, str, Schema]]:
    """What is no entity: decisions, the quota of a holder, and what is open."""
    for path, (body, answer, description) in DECISIONS.items():
        statuses = (*_ALWAYS, *_BODY, 401, 402, 403, 404, 409, 429, 503)
        yield (
            path,
            "post",
            {
                "operationId": path.rpartition("/")[2],
                "summary": description,
                "tags": ["decisions"],
                "security": [{}, *_HOLDER, {"gatewayToken": []}],
                "requestBody": _request(body),
                "responses": {"200": _json(_ref(answer), description), **_errors(*statuses)},
            },
        )
    quota = _json(_ref(model.VirtualKeyQuotaResponse), "What its holder may see.")
    memory = _parameter("query", "from_memory", {"enum": ["true", "false"]}, "Changes nothing.")
    yield (
        admin.QUOTA,
        "get",
        {
            "operationId": "quota",
            "summary": "The limits of the virtual key that asks",
            "tags": ["virtual-keys"],
            "security": _HOLDER,
            "parameters": [memory],
            "responses": {"200": quota, **_errors(*_ALWAYS, 401, 503)},
        },
    )
    yield (
        admin.EVALUATE,
        "post",
        {
            "operationId": "evaluate_routing_rules",
            "summary": "Which rule would bind a request, and why others would not; takes nothing",
            "tags": ["routing-rules"],
            "security": _ADMIN,
            "parameters": [memory],
            "requestBody": _request(calls.Ask),
            "responses": {
                "200": _json(_ref(RuleEvaluation), "The rules that were looked at."),
                **_errors(*_ALWAYS, *_ADMINS, *_BODY, 403, 404),
            },
        },
    )
    yield (
        admin.EXPLAIN,
        "post",
        {
            "operationId": "explain_price",
            "summary": "What a request would cost, line by line, and why; takes nothing",
            "tags": ["pricing-overrides"],
            "security": _ADMIN,
            "parameters": [memory],
            "requestBody": _request(calls.Explain),
            "responses": {
                "200": _json(_ref(PriceExplanation), "The price, and what it is made of."),
                **_errors(*_ALWAYS, *_ADMINS, *_BODY, 403, 404),
            },
        },
    )
    health = _json(_ref(described.HealthState), "All is well.")
    degraded = _json(_ref(described.HealthState), "It decides, and something is degraded.")
    yield (
        "/health",
        "get",
        _open("health", health, "What a load balancer asks")
        | {"responses": {"200": health, "503": degraded, **_errors(*_ALWAYS)}},
    )
    yield "/api/version", "get", _open("version", _json(_ref(described.Version), "It."), "The version")
    text = {"schema": {"type": "string"}}
    metrics = {"description": "For Prometheus.", "content": {admin.METRICS_TYPE.decode(): text}}
    yield (
        admin.METRICS,
        "get",
        _open("metrics", metrics, "Counts of decisions")
        | {
            "security": _ADMIN,
            "responses": {"200": metrics, **_errors(*_ALWAYS, *_ADMINS)},
        },
    )
    itself = _json({"type": "object"}, "This document.")
    yield "/openapi.json", "get", _open("openapi", itself, "This document")
    page = {"description": "A page.", "content": {"text/html; charset=utf-8": text}}
    yield "/docs", "get", _open("docs", page, "This document, to be read")


@cache
def document() -> Schema:
    """The whole of it."""
    paths: Schema = {}
    for path, method, operation in _others():
        paths.setdefault(path, {})[method] = operation
    for row in admin.ROWS:
        paths.setdefault(row.path, {})[row.method.lower()] = _operation(row)
    bearer = {"type": "http", "scheme": "bearer"}
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "limen",
            "version": __version__,
            "description": "Exact limits and budgets for gateways of language models, decided before the"
            " call. What GET answers can be sent back by PUT: fields that only answers have are taken where"
            " they are equal to what is stored.",
        },
        "servers": [{"url": "/"}],
        "paths": dict(sorted(paths.items())),
        "components": {
            "schemas": _components(),
            "securitySchemes": {
                "adminToken": bearer,
                "adminPassword": {"type": "http", "scheme": "basic"},
                "gatewayToken": bearer,
                "virtualKey": {"type": "apiKey", "in": "header", "name": "x-bf-vk"},
                "bearerKey": bearer,
            },
        },
    }


@cache
def text() -> bytes:
    """The document as it is served."""
    return orjson.dumps(document())
