"""Who administers: tokens with names and roles, or a user with a password.

A wrong credential counts against the peer that sent it: after ten in a minute the peer's next ones are not
looked at for a minute. A right one is let in all the same, so nobody can lock an administrator out.
"""

import binascii
import time
from base64 import b64decode
from collections.abc import Callable, Iterable
from hmac import compare_digest
from typing import Final, Literal, NamedTuple

from limen.errors import fault

FAILURES_MOST: Final = 10
WAIT_SECONDS: Final = 60
PEERS_MOST: Final = 4096


class Admin(NamedTuple):
    """Somebody who may administer: `name` for the audit, and what proves it: a token, or `user:password`."""

    name: str
    role: Literal["admin", "read"]
    scheme: Literal[b"bearer", b"basic"]
    proof: bytes


LOCAL: Final = Admin("local", "admin", b"bearer", b"")
"""Whoever asks where no credentials are configured: only loopback is served then."""


class Admins:
    """Everybody who may. Nobody, where none is named; everybody, where `is_open` says so."""

    def __init__(
        self,
        known: Iterable[Admin] = (),
        *,
        is_open: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._known = tuple(known)
        self._is_open = is_open and not self._known
        self._clock = clock
        # peer -> failures, and since when: the first of them, or the last one that was looked at.
        self._failures: dict[str, tuple[int, float]] = {}

    def admit(self, authorization: bytes | None, peer: str) -> Admin:
        """Who this is; `admin_required` where it is nobody, `too_many_logins` where that was so too often."""
        if self._is_open:
            return LOCAL
        if authorization is None:
            raise fault("admin_required")
        scheme, _, text = authorization.partition(b" ")
        scheme, text = scheme.lower(), text.strip()
        if scheme == b"basic":
            try:
                text = b64decode(text, validate=True)
            except binascii.Error:
                text = b""
        found = None
        for admin in self._known:
            # No early end: how long this takes must not tell which one came close.
            if compare_digest(admin.proof, text) and admin.scheme == scheme:
                found = admin
        if found is None:
            self._fail(peer)
            raise fault("admin_required")
        return found

    def wait(self, peer: str) -> int:
        """The seconds after which a failure of the peer is looked at again."""
        _, since = self._failures.get(peer, (0, 0.0))
        return max(1, WAIT_SECONDS - int(self._clock() - since))

    def _fail(self, peer: str) -> None:
        now = self._clock()
        count, since = self._failures.pop(peer, (0, now))
        if now - since >= WAIT_SECONDS:
            count, since = 0, now
        is_over = count == FAILURES_MOST
        if not is_over:
            count += 1
            since = now if count == FAILURES_MOST else since  # its minute begins with the tenth
        # Peers come from strangers: the one that failed longest ago is forgotten first.
        if len(self._failures) >= PEERS_MOST:
            del self._failures[next(iter(self._failures))]
        self._failures[peer] = (count, since)
        if is_over:
            raise fault("too_many_logins")
