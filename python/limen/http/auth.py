"""Who asks: the Host that is answered for, gateway tokens, and the virtual key in a request's headers.

A Bearer text is compared with the gateway tokens first, in constant time, and taken as a virtual key only
where it is none of them. A gateway token lets its holder name a key by id, or ask without a key; it never
stands for a key.
"""

import re
from collections.abc import Iterable, Sequence
from hmac import compare_digest
from ipaddress import ip_address
from typing import Final, NamedTuple

from limen.errors import fault
from limen.http.admins import Admins

KEY_HEADERS: Final = (b"x-bf-vk", b"x-api-key", b"x-goog-api-key")
_CREDENTIALS: Final = frozenset((b"authorization", *KEY_HEADERS))
_SINGLE: Final = _CREDENTIALS | {b"host", b"content-type", b"content-length"}
_HOSTS_MET: Final = 64
_HOST: Final = re.compile(r"(?:\[(?P<bracketed>[0-9a-f:.]+)\]|(?P<name>[^\[\]:/?#@,\s]+))(?::[0-9]{0,5})?")


class Caller(NamedTuple):
    """What the headers say: the virtual key, if any, and whether a gateway token came along."""

    key: str | None
    trusted: bool


NOBODY: Final = Caller(None, False)


class Access:
    """The rules of one server. Hosts are checked on loopback, without credentials, and if listed."""

    def __init__(
        self,
        gateway_tokens: Iterable[str] = (),
        allowed_hosts: Iterable[str] = (),
        *,
        check_host: bool = True,
        admins: Admins | None = None,
    ) -> None:
        self.admins = admins or Admins()
        self._tokens = [token.encode() for token in gateway_tokens]
        self._hosts = frozenset(host.lower() for host in allowed_hosts)
        self._check_host = check_host or bool(self._hosts)
        self._met: set[bytes | None] = set()

    def refuse_foreign_host(self, host: bytes | None) -> None:
        """421 for a name that is not ours: any web page may have its own name resolve to this address."""
        if host in self._met:
            return
        if self._check_host and not (host and self._knows(host.decode("latin-1").lower())):
            raise fault("foreign_host")
        if len(self._met) < _HOSTS_MET:  # ports and spellings come from strangers
            self._met.add(host)

    def caller(self, headers: dict[bytes, bytes]) -> Caller:
        """The credentials in the headers; InvalidError where two of them name different keys."""
        if _CREDENTIALS.isdisjoint(headers):
            return NOBODY
        authorization = headers.get(b"authorization")
        keys = [headers[name] for name in KEY_HEADERS if name in headers]
        trusted = False
        if authorization is not None:
            scheme, _, text = authorization.partition(b" ")
            text = text.strip()
            if scheme.lower() == b"bearer":
                trusted = self._is_token(text)
                if not trusted:
                    keys.append(text)
        given = {key for key in keys if key}
        if len(given) > 1:
            raise fault("invalid_request", "the headers name different virtual keys")
        return Caller(given.pop().decode("latin-1") if given else None, trusted)

    def _is_token(self, text: bytes) -> bool:
        known = False
        for token in self._tokens:
            # No early end: how long this takes must not tell which token came close.
            known |= compare_digest(token, text)
        return known

    def _knows(self, host: str) -> bool:
        name = host_name(host)
        return bool(name) and (host in self._hosts or name in self._hosts or is_loopback(name))


def single(headers: Sequence[tuple[bytes, bytes]]) -> dict[bytes, bytes]:
    """The headers by name; InvalidError where one that decides anything stands twice."""
    by_name = dict(headers)
    if len(by_name) != len(headers):
        seen: set[bytes] = set()
        for name, _ in headers:
            if name in seen and name in _SINGLE:
                raise fault("invalid_request", f"the header {name.decode('latin-1')} stands twice")
            seen.add(name)
    return by_name


def host_name(host: str) -> str:
    """A Host header without its port: `[::1]:8080` is `::1`. "" where it is not formed as one."""
    found = _HOST.fullmatch(host)
    return (found["bracketed"] or found["name"]) if found else ""


def is_loopback(name: str) -> bool:
    """True for localhost and the loopback addresses; a name that only resolves to one is not."""
    if name == "localhost" or name == "127.0.0.1":
        return True
    try:
        return ip_address(name).is_loopback
    except ValueError:
        return False
