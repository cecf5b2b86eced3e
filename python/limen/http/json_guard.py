"""Refuses what a JSON parser would let pass: a key that stands twice in one object, and nesting without end.

Parsers keep the last of two equal keys and say nothing, so a body could show one amount to whoever logs it
and another to the engine. Nothing here parses: in valid JSON a quotation mark only ever opens or closes a
string, and that is enough to find the keys. So the caller decodes first, and asks the guard about text that
is known to be valid.

Most bodies pass on a count. What was decoded is encoded again (to write is cheap, to scan is not): a key
that was dropped took its colon with it, so where both texts have the same number of colons, nothing was
dropped.
"""

import json
import re
from collections.abc import Iterator
from typing import TypeAlias

from limen.errors import LimenError, fault

MAX_DEPTH = 64

Path: TypeAlias = tuple[str | int, ...]

_TOKEN = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"|[{}\[\],]', re.DOTALL)
_BACKSLASH = 0x5C  # as a number: six times as fast to look for as a text of one byte
_OPEN_OBJECT, _COMMA = b"{", b","
_OPENING = (b"{", b"[")
_CLOSING = (b"}", b"]")


def refuse_duplicates(body: bytes) -> None:
    """Raise InvalidError where valid JSON nests deeper than 64 or names a key twice in one object."""
    for path in duplicates(body):
        raise duplicate(path)


def lost_nothing(body: bytes, encoded: bytes) -> bool:
    """True where counting shows that valid JSON repeats no key; `encoded` is what it decoded to, written
    again.

    Every member has one colon outside of its texts, and without a backslash the texts that both hold have the
    same colons. A repeated key is missing in `encoded` with its colon, so the counts differ; fields that are
    left out because they hold their default make them differ as well. False means that the text must be
    looked at, not that it is faulty.
    """
    return (
        _BACKSLASH not in body
        and body.count(b":") == encoded.count(b":")
        and (len(body) < 2 * MAX_DEPTH or body.count(b"{") + body.count(b"[") <= MAX_DEPTH)
    )


def duplicates(body: bytes) -> Iterator[Path]:
    """The path of every key that valid JSON repeats within one object, in the order of the text."""
    seen: list[set[bytes] | None] = []  # the keys of each open object, None for an open array
    where: list[str | int] = []  # beside it: the key or the index that stands open there
    expects_key = False
    for match in _TOKEN.finditer(body):
        token = match[0]
        if token == _COMMA:
            if seen and seen[-1] is None:
                where[-1] = int(where[-1]) + 1
            else:
                expects_key = True
        elif token in _OPENING:
            if len(seen) == MAX_DEPTH:
                raise fault("invalid_request", f"JSON may be nested {MAX_DEPTH} deep at most", None)
            expects_key = token == _OPEN_OBJECT
            seen.append(set() if expects_key else None)
            where.append("" if expects_key else 0)
        elif token in _CLOSING:
            if seen:
                seen.pop()
                where.pop()
            expects_key = False
        elif expects_key and seen and (keys := seen[-1]) is not None:
            expects_key = False
            key = (
                token
                if b"\\" not in token
                else json.dumps(json.loads(token), ensure_ascii=False).encode("utf-8", "surrogatepass")
            )
            where[-1] = json.loads(key)
            if key in keys:
                yield tuple(where)
            keys.add(key)


def duplicate(path: Path) -> LimenError:
    """The fault for a key that stands twice."""
    text = path_text(path)
    return fault("invalid_request", f"the key {text} stands twice", text)


def path_text(path: Path) -> str:
    """`("limits", 0, "kind")` as `limits[0].kind`."""
    return "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path).lstrip(".")
