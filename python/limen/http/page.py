"""The OpenAPI document as a page: made here, whole, without a script and without another address."""

import json
from collections.abc import Iterator
from functools import cache
from html import escape
from typing import Any, Final

from limen.http.openapi import document

POLICY: Final = b"default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; frame-ancestors 'none'"
_STYLE: Final = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
@media (prefers-color-scheme: dark) { body { background: #16181d; color: #dde; } a { color: #8bf; } }
summary { cursor: pointer; padding: .2rem 0; }
b { display: inline-block; width: 4.5rem; font-family: ui-monospace, monospace; }
code, pre { font-family: ui-monospace, monospace; font-size: 13px; }
pre { overflow: auto; padding: .6rem; border: 1px solid #8886; border-radius: 4px; }
details { margin-left: 1rem; }
"""


def _pre(value: Any) -> str:
    return f"<pre>{escape(json.dumps(value, indent=2))}</pre>"


def _links(node: Any) -> Iterator[str]:
    """The names of the schemas that a part of the document refers to."""
    if isinstance(node, dict):
        if isinstance(found := node.get("$ref"), str):
            yield found.rpartition("/")[2]
        for item in node.values():
            yield from _links(item)
    elif isinstance(node, list):
        for item in node:
            yield from _links(item)


def _linked(node: Any) -> str:
    return ", ".join(f'<a href="#{name}"><code>{name}</code></a>' for name in dict.fromkeys(_links(node)))


def _operation(method: str, path: str, operation: dict[str, Any]) -> Iterator[str]:
    head = f"<b>{method.upper()}</b><code>{escape(path)}</code> {escape(operation['summary'])}"
    yield f"<details><summary>{head}</summary>"
    for parameter in operation.get("parameters", ()):
        schema = escape(json.dumps(parameter["schema"]))
        words = f"{parameter['in']} <code>{parameter['name']}</code> {escape(parameter['description'])}"
        yield f"<p>{words} <code>{schema}</code></p>"
    if body := operation.get("requestBody"):
        (content,) = body["content"].values()
        yield f"<p>body {_linked(content['schema'])}</p>{_pre(content['example'])}"
    for status, response in operation["responses"].items():
        yield f"<p>{status} {escape(response['description'])} {_linked(response.get('content', {}))}</p>"
    yield "</details>"


def _parts() -> Iterator[str]:
    found = document()
    title = f"{found['info']['title']} {found['info']['version']}"
    yield f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{title}</title>'
    yield f"<style>{_STYLE}</style>"
    yield f"<h1>{title}</h1><p>{escape(found['info']['description'])}</p>"
    yield '<p><a href="/openapi.json">openapi.json</a></p><h2>Routes</h2>'
    for path, methods in found["paths"].items():
        for method, operation in methods.items():
            yield from _operation(method, path, operation)
    yield "<h2>Schemas</h2>"
    for name, schema in found["components"]["schemas"].items():
        yield f'<details id="{name}"><summary><code>{name}</code></summary>'
        yield f"{_linked(schema)}{_pre(schema)}</details>"


@cache
def page() -> bytes:
    """The page as it is served."""
    return "".join(_parts()).encode()
