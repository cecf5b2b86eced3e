"""The served document against the server: whatever it says may be sent, and much that it says may not.

Each operation gets an engine of its own with one entity of every kind, and half of its cases are about that
one. What comes back has a documented status, and the form that the document gives it.
"""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import hypothesis
import requests
import schemathesis
from door import drive
from schemathesis import checks
from schemathesis.core.transport import Response
from test_routes import Bench

from limen.http import admin
from limen.http.openapi import document

CASES = 3_000
OPERATIONS = [(path, method) for path, methods in document()["paths"].items() for method in methods]
EACH = CASES // len(OPERATIONS) // 3
"""Random ones; beside them come those that cover each constraint of the document."""
checks.load_all_checks()
CHECKS = [
    checks.not_a_server_error,
    *checks.CHECKS.get_by_names(
        [
            "status_code_conformance",
            "content_type_conformance",
            "response_headers_conformance",
            "response_schema_conformance",
        ]
    ),
]
BENCHES: dict[str, Bench] = {}
SEEN: dict[str, set[int]] = {}
COUNT = {"cases": 0}
SCHEMA = schemathesis.openapi.from_dict(deepcopy(document()))  # it writes into what it is given


def about_one_that_is_there(bench: Bench, case: Any) -> None:
    """A case about the entity of its kind, a key that is known, a permit that is open."""
    template = case.operation.path
    for word, given in zip(template.split("/"), bench.path(template).split("/"), strict=True):
        if word.startswith("{") and case.path_parameters:
            case.path_parameters[word[1:-1]] = given
    if template == admin.QUOTA:
        case.headers["x-bf-vk"] = bench.virtual_key.value
    if isinstance(case.body, dict) and "virtual_key" in case.body:
        case.body |= {"virtual_key": bench.virtual_key.value, "model": "m", "provider": "p", "cost_usd": 0}
    if isinstance(case.body, dict) and "permit" in case.body:
        case.body["permit"] = bench.admit(bench.key(), tokens=1, cost_usd=0).token


def answered(bench: Bench, case: Any) -> Response:
    given = case.as_transport_kwargs(base_url="http://localhost")
    request = requests.Request(
        **{word: given.get(word) for word in ("method", "url", "headers", "params", "data", "json")}
    )
    prepared = request.prepare()
    lines = [(b"host", b"localhost")]
    for name, value in prepared.headers.items():
        text = value if isinstance(value, bytes) else value.encode("latin-1", "replace")
        if name.lower() not in ("host", "user-agent"):
            lines.append((name.lower().encode(), text))
    body = prepared.body or b""
    content = body if isinstance(body, bytes) else body.encode()
    reply = drive(bench.app, prepared.method, prepared.path_url, [content], lines)
    headers = {name: [value] for name, value in reply.headers.items()}
    return Response(reply.status, headers, reply.content, prepared, 0.0, verify=False)


@SCHEMA.parametrize()
@hypothesis.settings(max_examples=EACH, suppress_health_check=list(hypothesis.HealthCheck), deadline=None)
def test_an_answer_is_as_the_document_says(case: Any) -> None:
    name = f"{case.method} {case.operation.path}"
    bench = BENCHES.setdefault(name, Bench())
    COUNT["cases"] += 1
    if COUNT["cases"] % 2:
        about_one_that_is_there(bench, case)
    response = answered(bench, case)
    SEEN.setdefault(name, set()).add(response.status_code)
    case.validate_response(response, checks=CHECKS)


def test_there_were_three_thousand_cases_and_every_operation_was_met_on_its_good_side() -> None:
    assert COUNT["cases"] >= CASES
    missed = [
        f"{method.upper()} {path}"
        for path, method in OPERATIONS
        if not SEEN.get(f"{method.upper()} {path}", set()) & {200, 201}
    ]
    assert missed == [], COUNT
