"""A packaged policy to try the server with, and two calls of it.

Its virtual keys are examples that everyone can read, so they are no secrets and must protect nothing.
"""

import json
import shlex
from collections.abc import Iterator
from typing import Any, Final

ALLOWED: Final[dict[str, Any]] = {
    "virtual_key": "sk-bf-demo-research-notebook",
    "model": "gpt-4o",
    "input_tokens": 812,
    "max_output_tokens": 400,
}
# More than the key's limit holds when it is quite unused: refused at any time, however often it is tried.
DENIED: Final[dict[str, Any]] = {
    "virtual_key": "sk-bf-demo-support-chat",
    "model": "claude-sonnet-4-5",
    "input_tokens": 25_000,
}


def curl_lines(address: str, ca_file: str | None = None) -> Iterator[str]:
    """A comment and a curl line each, which work in a shell as they stand."""
    yield "# allowed:"
    yield _curl(address, ca_file, ALLOWED)
    yield "# denied, as it asks for more tokens than the key may use in a minute:"
    yield _curl(address, ca_file, DENIED)


def _curl(address: str, ca_file: str | None, body: dict[str, Any]) -> str:
    words = ["curl", "-sS"]
    if ca_file:
        words += ["--cacert", ca_file]
    if address.startswith("unix:"):
        words += ["--unix-socket", address.removeprefix("unix:")]
        address = "http://localhost"
    words += [f"{address}/v1/admit", "-H", "content-type: application/json", "-d", json.dumps(body)]
    return shlex.join(words)
