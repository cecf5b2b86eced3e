"""Templates of paths, found by their segments: `/teams/{id}/keys`.

A segment is decoded after the path was cut, so an encoded slash never cuts it; nothing here has a slash in
its name, so such a path is of nothing. A text stands before a parameter: `/keys/quota` is no key `quota`.
"""

from collections.abc import Iterator
from typing import Generic, TypeVar
from urllib.parse import unquote_to_bytes

R = TypeVar("R")


class Node(Generic[R]):
    """What may follow a segment, and what is served where the path ends here."""

    def __init__(self) -> None:
        self.texts: dict[str, Node[R]] = {}
        self.parameter = ""
        self.below: Node[R] | None = None
        self.methods: dict[str, R] = {}

    def add(self, template: str, method: str, route: R) -> None:
        """Serve a template; a route of GET is one of HEAD as well."""
        node = self
        for segment in template[1:].split("/"):
            if segment.startswith("{"):
                node.parameter = segment[1:-1]
                node.below = node = node.below or Node()
            else:
                node = node.texts.setdefault(segment, Node())
        node.methods |= dict.fromkeys((method, "HEAD") if method == "GET" else (method,), route)

    def find(self, raw_path: bytes) -> tuple[dict[str, R], dict[str, str]] | None:
        """The routes of a path as it was sent, by method, and its parameters; None where it is of nothing."""
        node: Node[R] | None = self
        given: dict[str, str] = {}
        for text in _segments(raw_path):
            assert node is not None
            child = node.texts.get(text)
            if child is None and text and "/" not in text and "\ufffd" not in text:
                given[node.parameter] = text
                child = node.below
            node = child
            if node is None:
                return None
        assert node is not None
        return (node.methods, given) if node.methods else None


def _segments(raw_path: bytes) -> Iterator[str]:
    for segment in raw_path[1:].split(b"/"):
        yield unquote_to_bytes(segment).decode("utf-8", "replace")
