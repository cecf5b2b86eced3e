"""Where the server listens: the socket, whether only this machine reaches it, and how its address is written.

The socket is bound before the server starts: a taken address is known at once, and the first line that is
printed has the number that port 0 became.
"""

import os
import socket
import stat
from ipaddress import ip_address
from typing import NamedTuple

BACKLOG = 2048


class Bound(NamedTuple):
    """A socket that is bound, and its address: `http://127.0.0.1:8080`, or `unix:/run/limen.sock`."""

    socket: socket.socket
    address: str


def resolve(host: str, port: int) -> tuple[socket.AddressFamily, tuple[str, int]]:
    """The first address that a host name stands for; OSError where there is none."""
    family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    return family, (str(address[0]), port)


def is_private(address: tuple[str, int]) -> bool:
    """True where only this machine reaches it."""
    return ip_address(address[0].partition("%")[0]).is_loopback


def bind_tcp(family: socket.AddressFamily, address: tuple[str, int], scheme: str) -> Bound:
    """Bind; port 0 takes a free one. OSError where the address is taken or not ours."""
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        # Connections of an earlier run may still be closing; a second listener is refused all the same.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(BACKLOG)
    except OSError:
        listener.close()
        raise
    host, port = listener.getsockname()[:2]
    return Bound(listener, f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}")


def bind_unix(path: str) -> Bound:
    """Bind a Unix socket; a file that nobody serves is replaced. OSError where it is served."""
    if os.path.exists(path):
        _remove_stale(path)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        listener.bind(path)
        listener.listen(BACKLOG)
    except OSError:
        listener.close()
        raise
    return Bound(listener, f"unix:{path}")


def _remove_stale(path: str) -> None:
    if not stat.S_ISSOCK(os.stat(path).st_mode):
        raise FileExistsError(f"{path} exists and is no socket")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(path)
        except ConnectionRefusedError:
            os.unlink(path)
            return
    raise OSError(f"{path} is served by another process")
