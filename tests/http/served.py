"""A real server on loopback, for tests over real sockets.

running = Running()          # serves the application of a Door on a free port, in a thread
running.send(raw)            # (status, body) of one request
running.talk(raw)            # the statuses of all that was answered before the connection ended
running.stop()
"""

from __future__ import annotations

import http.client
import json
import re
import socket
import threading
from typing import Any

from door import Door

from limen.http import listen
from limen.http.overload import CONNECTIONS_MOST
from limen.http.server import make_server

WAIT = 20
"""Seconds after which a test gives up; nothing waits that long where the server is right."""


class Running:
    """The application of a furnished engine, served on a free port by a thread."""

    def __init__(self, connections: int = CONNECTIONS_MOST) -> None:
        self.door = Door()
        family, address = listen.resolve("127.0.0.1", 0)
        self.bound = listen.bind_tcp(family, address, "http")
        self.port = self.bound.socket.getsockname()[1]
        is_ready = threading.Event()
        self.server = make_server(self.door.app, is_ready.set, connections=connections)
        self.thread = threading.Thread(target=self.server.run, args=([self.bound.socket],))
        self.thread.start()
        assert is_ready.wait(WAIT)

    def stop(self) -> None:
        self.server.should_exit = True
        self.thread.join(WAIT)
        assert not self.thread.is_alive()

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), WAIT)

    def send(self, raw: bytes) -> tuple[int, Any]:
        """Raw bytes on a connection of their own: the status and the body that come back."""
        with self.connect() as connection:
            connection.sendall(raw)
            reply = http.client.HTTPResponse(connection)
            reply.begin()
            return reply.status, json.loads(reply.read())

    def talk(self, raw: bytes, *, is_all: bool = False) -> list[int]:
        """Raw bytes: the status of every answer until the connection ends. `is_all`: more will not come."""
        received = b""
        with self.connect() as connection:
            try:
                connection.sendall(raw)
                if is_all:
                    connection.shutdown(socket.SHUT_WR)
                while part := connection.recv(1 << 16):
                    received += part
            except OSError:
                pass  # it was cut off while it was still sending
        return [int(status) for status in re.findall(rb"HTTP/1\.1 ([0-9]{3}) ", received)]
