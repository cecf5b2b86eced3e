"""Administration: one table of routes, and one way through it: parse, call the engine's resource, respond.

Every rule of an entity is its resource's; what is added here is what only HTTP has: the words around an
answer, the entity tag and its conditions. A route may wait for the disk, so threads of their own call them.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple, TypeAlias

from msgspec import Struct

from limen import bodies
from limen.errors import NotFoundError, fault
from limen.http import calls, conditions
from limen.http.paths import Node
from limen.http.reading import body_of, filters_of, no_filters, words_of
from limen.http.responses import Answer, entity_answer
from limen.model import fields_of

if TYPE_CHECKING:
    from limen import Engine, Handle

Call: TypeAlias = Literal["list", "bare", "get", "create", "update", "delete", "rotate", "reset", "credit"]
ACTIONS: Final[dict[Call, type[Struct]]] = {
    "rotate": bodies.RotateRequest,
    "reset": bodies.ResetRequest,
    "credit": bodies.CreditRequest,
}
DONE: Final[dict[Call, str]] = {
    "create": "created",
    "update": "updated",
    "delete": "deleted",
    "rotate": "rotated",
    "reset": "reset",
    "credit": "credited",
}


class Row(NamedTuple):
    """A route: what of the engine it calls, and the word for the entity in its answer ("": flat)."""

    method: str
    path: str
    resource: str
    call: Call
    word: str = ""
    status: int = 200


def _entity(path: str, id: str, resource: str, word: str, created: int = 200) -> Iterator[Row]:
    yield Row("GET", path, resource, "list")
    yield Row("POST", path, resource, "create", word, created)
    yield Row("GET", f"{path}/{{{id}}}", resource, "get", word)
    yield Row("PUT", f"{path}/{{{id}}}", resource, "update", word)
    yield Row("DELETE", f"{path}/{{{id}}}", resource, "delete")


_GOVERNANCE: Final = "/api/governance"
ROWS: Final = (
    *_entity(f"{_GOVERNANCE}/virtual-keys", "id", "virtual_keys", "virtual_key"),
    Row("POST", f"{_GOVERNANCE}/virtual-keys/{{id}}/rotate", "virtual_keys", "rotate", "virtual_key"),
    *_entity(f"{_GOVERNANCE}/teams", "id", "teams", "team"),
    *_entity(f"{_GOVERNANCE}/customers", "id", "customers", "customer"),
    *_entity(f"{_GOVERNANCE}/model-configs", "id", "model_configs", "model_config"),
    *_entity(f"{_GOVERNANCE}/routing-rules", "id", "routing_rules", "rule"),
    *_entity(f"{_GOVERNANCE}/pricing-overrides", "id", "pricing_overrides", "pricing_override", 201),
    Row("GET", f"{_GOVERNANCE}/budgets", "budgets", "list"),
    Row("POST", f"{_GOVERNANCE}/budgets/{{id}}/reset", "budgets", "reset", "budget"),
    Row("POST", f"{_GOVERNANCE}/budgets/{{id}}/credit", "budgets", "credit", "budget"),
    Row("GET", f"{_GOVERNANCE}/rate-limits", "rate_limits", "list"),
    Row("POST", f"{_GOVERNANCE}/rate-limits/{{id}}/reset", "rate_limits", "reset", "rate_limit"),
    Row("GET", f"{_GOVERNANCE}/usage", "history", "list"),
    Row("GET", f"{_GOVERNANCE}/audit", "audit", "list"),
    Row("GET", f"{_GOVERNANCE}/providers", "providers", "list"),
    Row("GET", f"{_GOVERNANCE}/providers/{{name}}", "providers", "get"),
    Row("PUT", f"{_GOVERNANCE}/providers/{{name}}", "providers", "update"),
    Row("DELETE", f"{_GOVERNANCE}/providers/{{name}}", "providers", "delete"),
    *_entity("/api/providers", "provider", "providers.known", "provider"),
    *_entity("/api/providers/{provider}/keys", "key_id", "provider_keys.of", "key"),
    Row("GET", "/api/keys", "provider_keys", "bare"),
)
_ASKS: Final = calls.decoder(calls.Ask)
_EXPLAINS: Final = calls.decoder(calls.Explain)
QUOTA: Final = f"{_GOVERNANCE}/virtual-keys/quota"
EVALUATE: Final = f"{_GOVERNANCE}/routing-rules/evaluate"
EXPLAIN: Final = f"{_GOVERNANCE}/pricing/explain"
METRICS: Final = "/metrics"
METRICS_TYPE: Final = b"text/plain; version=0.0.4; charset=utf-8"


class Asked(NamedTuple):
    """A request, as a route gets it: `at` are the parameters of the path, `key` a virtual key's value."""

    headers: Sequence[tuple[bytes, bytes]]
    query: bytes
    body: bytes
    at: Mapping[str, str]
    key: str | None


class Route(NamedTuple):
    """What answers, and who may ask: an administrator, the holder of a virtual key, anyone."""

    call: Callable[[Asked], Answer]
    who: Literal["admin", "holder", "anyone"] = "admin"


def routes(engine: "Engine") -> Node[Route]:
    """The table over one engine, and what of it is no entity."""
    tree: Node[Route] = Node()
    for row in ROWS:
        tree.add(row.path, row.method, Route(_route(engine, row)))
    tree.add(EVALUATE, "POST", Route(partial(_evaluate, engine)))
    tree.add(EXPLAIN, "POST", Route(partial(_explain, engine)))
    tree.add(QUOTA, "GET", Route(partial(_quota, engine), "holder"))
    tree.add(
        METRICS,
        "GET",
        Route(partial(_metrics, engine), "anyone" if engine.settings.metrics_open else "admin"),
    )
    return tree


def _route(engine: "Engine", row: Row) -> Callable[[Asked], Answer]:
    find, way = attrgetter(row.resource), _WAYS.get(row.call, _change)

    def route(asked: Asked) -> Answer:
        resource = find(engine)
        if callable(resource):
            resource = resource(asked.at["provider"])
        return way(row, resource, asked)

    return route


def _list(row: Row, resource: Any, asked: Asked) -> Answer:
    page = resource.list(**filters_of(asked.query))
    return entity_answer(row.status, page.items if row.call == "bare" else page)


def _get(row: Row, resource: Any, asked: Asked) -> Answer:
    id = _only_id(asked)
    with resource.book.reading():
        tag = resource.tag(id)
        _expect(asked, tag)
        if _names(asked, "if-none-match", tag):
            return 304, [(b"etag", tag.encode())], b""
        answer = resource.get(id)
    return _told(row, resource, answer, tag)


def _create(row: Row, resource: Any, asked: Asked) -> Answer:
    no_filters(asked.query)
    with resource.book.turn():
        answer = resource.create(body_of(asked.body))
        tag = resource.tag(getattr(answer, resource.id_word))
    return _told(row, resource, answer, tag)


def _change(row: Row, resource: Any, asked: Asked) -> Answer:
    """Looked at and changed in one turn, so that what the conditions saw is what is changed."""
    id, call = _only_id(asked), getattr(resource, row.call)
    words = _words(row, asked)
    with resource.book.turn():
        _expect(asked, _tag(resource, id))
        answer = call(id, **words)
        tag = _tag(resource, getattr(answer, resource.id_word, ""))
    return _told(row, resource, answer, tag)


def _correct(row: Row, resource: Any, asked: Asked) -> Answer:
    """Usage, not configuration: so it has no tag."""
    id = _only_id(asked)
    return _told(row, resource, getattr(resource, row.call)(id, **_words(row, asked)), None)


_WAYS: Final[dict[str, Callable[[Row, Any, Asked], Answer]]] = {
    "list": _list,
    "bare": _list,
    "get": _get,
    "create": _create,
    "reset": _correct,
    "credit": _correct,
}


def _words(row: Row, asked: Asked) -> dict[str, Any]:
    """The arguments of a call beside the id."""
    if row.call == "delete":
        return {}
    body = body_of(asked.body)
    return words_of(body, ACTIONS[row.call]) if row.call in ACTIONS else {"body": body}


def _only_id(asked: Asked) -> str:
    """The last parameter of the path; a query has nothing to say beside it."""
    no_filters(asked.query)
    *_, id = asked.at.values()
    return id


def _tag(resource: Any, id: str) -> str | None:
    """The entity tag; None where there is none, yet or any more."""
    try:
        return str(resource.tag(id))
    except NotFoundError:
        return None


def _names(asked: Asked, name: str, tag: str | None) -> bool | None:
    """Whether a condition names the entity as it is; None where the request has no such condition."""
    condition = conditions.given(asked.headers, name.encode())
    return None if condition is None else conditions.holds(name, condition, tag)


def _expect(asked: Asked, tag: str | None) -> None:
    if _names(asked, "if-match", tag) is False:
        raise fault("precondition_failed", "it was changed since, or is not there", "if-match")


def _told(row: Row, resource: Any, answer: Any, tag: str | None) -> Answer:
    """The answer in its words: what was done, the entity under its name or flat, and the warnings."""
    fields = {} if answer is None else fields_of(answer)
    warnings = fields.pop("warnings", None)
    told: dict[str, Any] = {}
    if row.call in DONE:
        told["message"] = f"{resource.noun} {DONE[row.call]}"
    told |= {row.word: fields} if row.word else fields
    if warnings is not None:
        told["warnings"] = warnings
    return entity_answer(row.status, told, [] if tag is None else [(b"etag", tag.encode())])


def _evaluate(engine: "Engine", asked: Asked) -> Answer:
    no_filters(asked.query)
    ask = calls.read(_ASKS, asked.body)
    request = {"model": None, **calls.given(ask)}
    return entity_answer(200, engine.evaluate(_asking(engine, ask), **request))


def _explain(engine: "Engine", asked: Asked) -> Answer:
    no_filters(asked.query)
    ask = calls.read(_EXPLAINS, asked.body)
    key = _asking(engine, ask)
    if ask.model is None:
        raise fault("invalid_request", "is missing", "model")
    request, words = calls.explained(ask)
    return entity_answer(200, engine.explain(key, **request, **words).whole_price())


def _asking(engine: "Engine", ask: calls.Ask) -> "str | Handle | None":
    """The virtual key that a sample request is of."""
    if ask.virtual_key_id is None:
        return ask.virtual_key or None
    if ask.virtual_key is not None:
        raise fault("invalid_request", "excludes virtual_key", "virtual_key_id")
    try:
        return engine.handle(id=ask.virtual_key_id)
    except NotFoundError:
        raise fault("not_found", "there is no virtual key with this id", "virtual_key_id") from None


def _quota(engine: "Engine", asked: Asked) -> Answer:
    no_filters(asked.query)
    if asked.key is None:
        raise fault("virtual_key_required")
    return entity_answer(200, engine.quota(asked.key))


def _metrics(engine: "Engine", asked: Asked) -> Answer:
    content = engine.metrics().encode()
    return 200, [(b"content-type", METRICS_TYPE), (b"content-length", b"%d" % len(content))], content
