"""GET /openapi.json and /docs: the document of the routes, for programs and for people."""

from typing import Final

from limen.http.auth import Caller
from limen.http.responses import Answer, written

_HTML: Final = b"text/html; charset=utf-8"


def openapi(_body: bytes, _caller: Caller) -> Answer:
    """The document, made when it is first asked for."""
    from limen.http.openapi import text

    return written(200, text())


def docs(_body: bytes, _caller: Caller) -> Answer:
    """The page, likewise."""
    from limen.http.page import POLICY, page

    content = page()
    size = b"%d" % len(content)
    lines = [(b"content-type", _HTML), (b"content-length", size), (b"content-security-policy", POLICY)]
    return 200, [*lines, (b"x-content-type-options", b"nosniff")], content
