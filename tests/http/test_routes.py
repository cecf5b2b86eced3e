"""One table of routes: each is answered, knows no other method, and stands in the README."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from door import Door

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
}


def served() -> dict[str, set[str]]:
    return {path: set(methods) for path, methods in routes(Door().engine, key_required=True).items()}


def test_the_rows_are_the_routes() -> None:
    assert {(method, path) for path, methods in served().items() for method in methods} == set(ROWS)


def test_the_readme_lists_the_routes() -> None:
    assert set(re.findall(r"^\| ([A-Z]+) (/\S+) \|", README, re.MULTILINE)) == set(ROWS)


@pytest.mark.parametrize(("method", "path"), ROWS)
def test_a_route_answers(method: str, path: str) -> None:
    door = Door()
    key = door.key().value
    permit = door.engine.admit(key, "p/m", tokens=5).token
    body = json.dumps(ROWS[method, path]).replace("KEY", key).replace("PERMIT", permit)
    assert door.call(method, path, [body.encode()]).status == 200


@pytest.mark.parametrize("path", sorted({path for _, path in ROWS}))
def test_a_route_names_the_methods_that_it_knows(path: str) -> None:
    door, known = Door(), served()[path]
    for method in METHODS - known:
        reply = door.call(method, path)
        assert (reply.status, reply.code) == (405, "method_not_allowed")
        assert set(reply.headers["allow"].split(", ")) == known
