"""From a configured engine to a process that serves: what is refused, where it listens, how it ends.

An address that other machines reach is refused without admin credentials, before anything is bound. The Host
header is checked on loopback, where a web page could otherwise reach the server through a name of its own.
"""

import errno
import gc
import os
import ssl
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from limen.http import listen
from limen.http.admins import Admin, Admins
from limen.http.app import Application
from limen.http.auth import Access
from limen.http.overload import room
from limen.http.server import make_server
from limen.settings import Settings

if TYPE_CHECKING:
    from limen import Engine

WRONG: Final = 2
CANNOT_START: Final = 3


class Refusal(Exception):  # noqa: N818 - it is one, not an error of the program
    """Why it does not start: 2 for a wrong command line or configuration, 3 where the machine says no."""

    def __init__(self, exit_code: int, reason: str) -> None:
        super().__init__(reason)
        self.exit_code = exit_code


class Place(NamedTuple):
    """Where to listen: a host and a port (0: a free one), or a Unix socket; with or without TLS."""

    host: str
    port: int
    uds: str | None = None
    tls_cert: Path | None = None
    tls_key: Path | None = None


def run(engine: "Engine", place: Place, ready: Callable[[str], None]) -> None:
    """Serve until SIGTERM or SIGINT; `ready` gets the address when requests are answered. Raises Refusal."""
    settings = engine.settings
    known = administrators(settings)
    _check_tokens(settings)
    _check_tls(place)
    try:
        bound, private = _bind(place, bool(known))
    except OSError as error:
        where = place.uds or f"{place.host}:{place.port}"
        reason = f"cannot listen on {where}: {error.strerror or error}"
        if error.errno == errno.EADDRINUSE:
            reason += " (stop the other process, or choose with --port; 0 takes a free one)"
        raise Refusal(CANNOT_START, reason) from None
    access = Access(
        [token.token.reveal() for token in settings.gateway_tokens],
        settings.allowed_hosts,
        check_host=private or not known,
        admins=Admins(known, is_open=True),  # nobody else is served where nobody is named: `_bind` saw to it
    )
    server = make_server(
        Application(engine, access, key_required=settings.require_virtual_key),
        lambda: ready(bound.address),
        connections=room(),
        tls_cert=place.tls_cert,
        tls_key=place.tls_key,
    )
    # What is loaded stays: kept out of the collections, it does not lengthen their pauses.
    gc.collect()
    gc.freeze()
    try:
        server.run([bound.socket])
    finally:
        bound.socket.close()
        if place.uds:
            with suppress(FileNotFoundError):
                os.unlink(place.uds)


def administrators(settings: Settings) -> list[Admin]:
    """Who may administer: the tokens of the settings, and whom the environment names."""
    environment = os.environ.get
    known = [
        Admin(one.name, one.role, b"bearer", one.token.reveal().encode()) for one in settings.admin_tokens
    ]
    if token := environment("LIMEN_ADMIN_TOKEN", "").strip():
        known.append(Admin("LIMEN_ADMIN_TOKEN", "admin", b"bearer", token.encode()))
    user, password = environment("LIMEN_ADMIN_USER"), environment("LIMEN_ADMIN_PASSWORD")
    if user and password:
        known.append(Admin(user, "admin", b"basic", f"{user}:{password}".encode()))
    return known


def _check_tokens(settings: Settings) -> None:
    """The token of the environment is one more; whoever had it under another name would be two people."""
    token = os.environ.get("LIMEN_ADMIN_TOKEN", "").strip()
    for word in ("admin_tokens", "gateway_tokens"):
        for index, one in enumerate(getattr(settings, word)):
            if one.token.reveal() == token:
                raise Refusal(
                    WRONG, f"settings.{word}[{index}].token is that of LIMEN_ADMIN_TOKEN: each needs its own"
                )


def _bind(place: Place, has_credentials: bool) -> tuple[listen.Bound, bool]:
    if place.uds:
        return listen.bind_unix(place.uds), False
    family, address = listen.resolve(place.host, place.port)
    private = listen.is_private(address)
    if not private and not has_credentials:
        raise Refusal(
            WRONG,
            f"{place.host} can be reached from other machines, and there are no admin credentials:"
            " set LIMEN_ADMIN_TOKEN, or LIMEN_ADMIN_USER and LIMEN_ADMIN_PASSWORD, or settings.admin_tokens",
        )
    return listen.bind_tcp(family, address, "https" if place.tls_cert else "http"), private


def _check_tls(place: Place) -> None:
    if place.tls_cert:
        try:
            ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(place.tls_cert, place.tls_key)
        except OSError as error:
            raise Refusal(WRONG, f"the certificate and its key do not serve: {error}") from None
