"""If-Match and If-None-Match, as RFC 9110 has them: what an edit expects to find, what a reader has already.

>>> holds("if-match", b'"a", "b"', '"b"'), holds("if-match", b'W/"b"', '"b"'), holds("if-match", b"*", None)
(True, False, False)
"""

import re
from collections.abc import Sequence
from typing import Final

from limen.errors import fault

_MEMBER: Final = re.compile(
    rb'[ \t]*(?:(?P<weak>W/)?(?P<tag>"[\x21\x23-\x7e\x80-\xff]*"))?[ \t]*(?:,|$)'  # a member may be empty
)


def given(headers: Sequence[tuple[bytes, bytes]], name: bytes) -> bytes | None:
    """A condition of a request; lines of one name are one list."""
    lines = [value for word, value in headers if word == name]
    return b",".join(lines) if lines else None


def holds(name: str, condition: bytes, tag: str | None) -> bool:
    """Whether the condition names the entity as it is (`tag`, None where there is none).

    A weak tag says that two texts mean the same, which is enough to read (If-None-Match) and not to edit.
    """
    if condition.strip() == b"*":
        return tag is not None
    is_named, at = False, 0
    while at < len(condition):
        member = _MEMBER.match(condition, at)
        if member is None:
            raise fault("invalid_request", "must be * or a list of entity tags in quotes", name)
        if tag is not None and member["tag"] == tag.encode():
            is_named |= name == "if-none-match" or member["weak"] is None
        at = member.end()
    return is_named
