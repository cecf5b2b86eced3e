"""Secrets in bodies: literal text, or the name of an environment variable that the settings allow.

A secret goes in as text (`env.NAME`, or itself) or as the object that answers show. The mask that answers
show, sent back, means unchanged.
"""

from typing import Any, Final

from msgspec import Struct

from limen.errors import Faults
from limen.model import fields_of
from limen.resources.reading import BAD, Bad, line
from limen.resources.records import SecretRow
from limen.resources.shape import Field, Null, Shape
from limen.secret import Secret

ENV: Final = "env."
MAX_SECRET: Final = 16_384
_name = line(256)


def _any(value: object, at: str, faults: Faults) -> Any:
    """Read where it is known what the other fields say."""
    return value


_SHAPE: Final = Shape(
    {
        "value": Field(_any, Null.UNCHANGED),
        "env_var": Field(_any, Null.UNCHANGED),
        "from_env": Field(_any, Null.UNCHANGED),
    },
    live=False,
)


def secret(value: object, at: str, faults: Faults) -> SecretRow | Bad:
    """A secret as a body gives it; whether its variable is allowed is asked at the merge."""
    if isinstance(value, Struct):
        value = fields_of(value)
    if isinstance(value, str):
        return _text(value, at, faults)
    body = _SHAPE.read(value, at, faults)
    if not body.clean:
        return BAD
    from_env, variable, text = body.get("from_env"), body.get("env_var"), body.get("value")
    if from_env is not None and not isinstance(from_env, bool):
        faults.add(f"{at}.from_env", "must be true or false")
    elif variable is not None and not isinstance(variable, str):
        # Also where it is not used: what is misspelt there was meant.
        faults.add(f"{at}.env_var", "must be text")
    elif from_env or (from_env is None and variable):
        return _variable(variable, f"{at}.env_var", faults)
    elif not isinstance(text, str):
        faults.add(f"{at}.value", "is required")
    else:
        return _text(text, f"{at}.value", faults)
    return BAD


def _text(value: str, at: str, faults: Faults) -> SecretRow | Bad:
    if value.startswith(ENV):
        return _variable(value, at, faults)
    if not value or len(value) > MAX_SECRET:
        faults.add(at, f"must have 1 to {MAX_SECRET} characters")
    elif not value.isascii() and any(0xD800 <= ord(c) <= 0xDFFF for c in value):
        faults.add(at, "must be valid Unicode")
    else:
        return SecretRow(Secret(value), from_env=False)
    return BAD


def _variable(value: object, at: str, faults: Faults) -> SecretRow | Bad:
    text = _name(value, at, faults)
    if not isinstance(text, str):
        return BAD
    if not text.startswith(ENV) or not text.removeprefix(ENV).isidentifier():
        faults.add(at, "must be env. and the name of a variable")
        return BAD
    return SecretRow(Secret(text), from_env=True)


def kept(given: SecretRow, old: SecretRow | None) -> SecretRow:
    """What is kept after a body: the old secret where its mask came back."""
    if old is None or given.from_env != old.from_env:
        return given
    echoed = not given.from_env and given.text.reveal() == str(old.text)
    return old if echoed or given == old else given


def check_allowed(given: SecretRow, allowed: frozenset[str], at: str, faults: Faults) -> None:
    """A variable may be named only where the settings say so: a body must not read the environment."""
    if given.from_env and given.text.reveal().removeprefix(ENV) not in allowed:
        faults.add(at, "names an environment variable that the setting secret_env does not allow")
