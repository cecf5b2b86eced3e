"""Reading a configuration file: bounded JSON in which no key stands twice.

A parser keeps the last of two equal keys and says nothing, so half a policy could vanish unseen. Here every
object is counted as it is closed, and only where one is short are the paths looked for.
"""

import json
import os
from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Any, Final

from limen.errors import Faults

MAX_BYTES: Final = 256 * 2**20


class _Doubled(dict[str, Any]):
    """An object in which keys stood twice."""

    __slots__ = ("twice",)

    twice: list[str]


def read_document(path: str | os.PathLike[str]) -> tuple[Any, Faults]:
    """The JSON of a file, numbers with a point or an exponent as Decimal, and what is wrong with it."""
    faults = Faults()
    try:
        # fspath: an integer would be taken for an open file of this process, read, and closed.
        with open(os.fspath(path), "rb") as file:
            data = file.read(MAX_BYTES + 1)
    except TypeError:
        faults.add("path", "must be a path")
        return None, faults
    except (OSError, ValueError) as error:
        faults.add("path", f"cannot be read: {getattr(error, 'strerror', None) or error}")
        return None, faults
    return parse_document(data, faults), faults


def parse_document(data: bytes, faults: Faults) -> Any:
    """The same of bytes at hand. After a fault the answer says nothing."""
    if len(data) > MAX_BYTES:
        faults.add("", f"the file has more than {MAX_BYTES} bytes", "body_too_large")
        return None
    doubled: list[_Doubled] = []

    def close(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) == len(pairs):
            return found
        names = [name for name, _ in pairs]
        short = _Doubled(found)
        short.twice = sorted({name for name in names if names.count(name) > 1})
        doubled.append(short)
        return short

    try:
        document = json.loads(data.decode(), object_pairs_hook=close, parse_float=Decimal)
    except UnicodeDecodeError:
        faults.add("", "the file is not UTF-8")
    except json.JSONDecodeError as error:
        faults.add("", f"the file is not JSON: {error.msg} in line {error.lineno}, column {error.colno}")
    except RecursionError:
        faults.add("", "the file is nested too deeply")
    except ValueError:
        faults.add("", "the file holds an integer of thousands of digits")
    else:
        if doubled:
            for path, twice in _paths(document, ""):
                for name in twice:
                    faults.add(f"{path}.{name[:64]}" if path else name[:64], "stands twice in one object")
        return document
    return None


def _paths(value: Any, path: str) -> Iterator[tuple[str, list[str]]]:
    """Where the objects are in which keys stood twice; recursion is bounded by that of the parser."""
    if isinstance(value, _Doubled):
        yield path, value.twice
    if isinstance(value, Mapping):
        for name, item in value.items():
            yield from _paths(item, f"{path}.{name[:64]}" if path else name[:64])
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _paths(item, f"{path}[{index}]")
