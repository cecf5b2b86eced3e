"""One request by either door: to the engine itself, or to its HTTP face. Answers are in the words of HTTP."""

from __future__ import annotations

import json
from typing import Any

from house import House
from limen.model import to_json


def over_http(engine: Any) -> Any:
    """The way to send what is no resource; None where the engine is asked itself."""
    return getattr(engine, "send", None)


def call(engine: Any, path: str, key: Any, request: dict[str, Any]) -> Any:
    body = {**({} if key is None else {"virtual_key": key.value}), **request}
    return over_http(engine)("POST", path, json.dumps(body).encode())


def admit(engine: Any, key: Any, **request: Any) -> dict[str, Any]:
    """The answer of admit in the words of HTTP, whichever way it came."""
    if over_http(engine):
        reply = call(engine, "/v1/admit", key, request)
        if reply.status == 200:
            return dict(reply.body)
        fields = reply.body["extra_fields"]
        left_out = [(one["provider"], one["model"], one["reason"]) for one in fields.get("excluded", [])]
        return {"allowed": False, "status": reply.status, "code": reply.code, "excluded": left_out}
    answer = engine.admit(key and key.value, request.pop("model"), **request)
    if answer:
        return dict(json.loads(answer.json()))
    left_out = [(one.provider, one.model, one.reason) for one in answer.excluded]
    return {"allowed": False, "status": answer.status, "code": answer.code, "excluded": left_out}


def evaluate(engine: Any, key: Any, **request: Any) -> dict[str, Any]:
    if over_http(engine):
        reply = call(engine, "/api/governance/routing-rules/evaluate", key, request)
        assert reply.status == 200, reply.content
        return dict(reply.body)
    found = engine.evaluate(key and key.value, request.pop("model"), **request)
    return dict(json.loads(to_json(found)))


def bind(house: House, expression: str = "", **body: Any) -> Any:
    """A rule of all, that sends to provider `q`."""
    house.made += 1
    return house.engine.routing_rules.create(
        {
            "name": f"rule {house.made}",
            "cel_expression": expression,
            "scope": "global",
            "priority": house.made,
            "targets": [{"provider": "q", "weight": 1}],
            **body,
        }
    )
