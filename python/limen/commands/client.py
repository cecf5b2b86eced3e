"""A small HTTP client for the admin routes of a server: an address, a Unix socket, or TLS.

It follows no redirect, asks no proxy, and verifies certificates as the system does (SSL_CERT_FILE names
another set). Numbers with a point come back as Decimal, so that money stays exact.
"""

import http.client
import json
import socket
import ssl
from decimal import Decimal
from typing import Any, Final, Self
from urllib.parse import urlsplit

from limen.errors import Fault, LimenError
from limen.model import to_json

_WAIT: Final = 30
_MOST: Final = 2**30
_NO_LIMEN: Final = "did not answer as a limen server does"


class UnreachableError(Exception):
    """There is no answer, or none of ours."""


class Server:
    """A server by its address: `http://host:port`, `https://host:port`, or `unix:/path`."""

    def __init__(self, url: str, authorization: str | None) -> None:
        self._url = url
        self._headers = {"content-type": "application/json"}
        if authorization:
            self._headers["authorization"] = authorization
        self._connection = _connection(url)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def ask(self, method: str, target: str, body: Any = None) -> Any:
        """The answer of a route; LimenError where it refuses, UnreachableError where nobody answers."""
        content = None if body is None else to_json(body)
        try:
            self._connection.request(method, target, content, self._headers)
            reply = self._connection.getresponse()
            data = reply.read(_MOST)
        except (OSError, http.client.HTTPException) as error:
            reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
            raise UnreachableError(f"{self._url} cannot be asked: {reason}") from None
        try:
            found = json.loads(data, parse_float=Decimal)
            if reply.status < 300:
                return found
            told = [found["error"], *found["extra_fields"].get("faults", ())]
            faults = tuple(Fault(one["type"], one["message"], one.get("param")) for one in told)
        except (ValueError, RecursionError, LookupError, TypeError, AttributeError):
            raise UnreachableError(f"{self._url} {_NO_LIMEN} (status {reply.status})") from None
        refusal = LimenError.of(faults)
        refusal.status = reply.status
        raise refusal


class _Unix(http.client.HTTPConnection):
    def __init__(self, path: str) -> None:
        super().__init__("localhost", timeout=_WAIT)
        self._path = path

    def connect(self) -> None:
        made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            made.settimeout(_WAIT)
            made.connect(self._path)
        except OSError:
            made.close()
            raise
        self.sock = made


def _connection(url: str) -> http.client.HTTPConnection:
    """ValueError where the address is of no kind that there is."""
    if url.startswith("unix:") and len(url) > 5:
        return _Unix(url.removeprefix("unix:"))
    parts = urlsplit(url)
    if parts.hostname is None or parts.path.strip("/") or parts.query or parts.username is not None:
        raise ValueError("must be http://host:port, https://host:port or unix:/path, and nothing more")
    if parts.scheme == "http":
        return http.client.HTTPConnection(parts.hostname, parts.port, timeout=_WAIT)
    if parts.scheme == "https":
        context = ssl.create_default_context()
        return http.client.HTTPSConnection(parts.hostname, parts.port, timeout=_WAIT, context=context)
    raise ValueError("must begin with http://, https:// or unix:")
