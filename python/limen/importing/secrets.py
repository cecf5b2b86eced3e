"""Secrets of the file: text, `env.NAME`, a reference into a vault, or the object that answers show."""

from collections.abc import Mapping
from typing import Any, Final

from limen.importing.node import Node

ENV: Final = "env."
_MOST: Final = 250
_VAULT: Final = "lies in a vault, and limen asks none: put it into an environment variable"


def variable(value: str) -> str | None:
    """The variable that a text names, None where it names none that there can be."""
    name = value.removeprefix(ENV)
    return name if name != value and name.isidentifier() and len(name) <= _MOST else None


class Secrets:
    """Reads secrets, and remembers which environment variables they name: `secret_env` must allow those."""

    def __init__(self) -> None:
        self.variables: set[str] = set()

    def take(self, node: Node, word: str) -> Any:
        """The secret in a field as a configuration file has it; None where there is none to be had."""
        value = node.take(word)
        if isinstance(value, Mapping):
            inner = node.node(word)
            value = None if inner is None else _flat(inner)
        if not isinstance(value, str):
            return value
        if value.startswith("vault."):
            node.leave_out(word, _VAULT)
            return None
        named = variable(value)
        if named is not None:
            self.variables.add(named)
        return value or None


def _flat(node: Node) -> Any:
    """The text that an object of a secret stands for."""
    value, env_var, from_env, kind, ref = map(node.take, ("value", "env_var", "from_env", "type", "ref"))
    if kind == "vault":
        return "vault."
    if kind == "env" or (kind is None and (from_env or env_var)):
        name = ref or env_var or value
        return ENV + name.removeprefix(ENV) if isinstance(name, str) else name
    return value
