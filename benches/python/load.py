"""A load generator: a few connections on loopback, each with one request under way.

A request is bytes that were made before. Of an answer it looks at the status and at the length, which is all
that it costs: it must be quicker than the servers that it measures.
"""

from __future__ import annotations

import selectors
import socket
import time
from pathlib import Path

STATUS = b"HTTP/1.1 200"
LENGTH = b"content-length: "


def request(path: str, body: bytes) -> bytes:
    head = f"POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
    return f"{head}content-length: {len(body)}\r\n\r\n".encode() + body


class Load:
    """Connections to one server."""

    def __init__(self, port: int, process: int, connections: int = 16) -> None:
        self.process = process
        self.sockets = [socket.create_connection(("127.0.0.1", port), timeout=30) for _ in range(connections)]
        for one in self.sockets:
            one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def server_seconds(self) -> float:
        """For how long the server's thread has been running since it was started."""
        return int(Path(f"/proc/{self.process}/schedstat").read_text().split()[0]) / 1e9

    def one(self, request: bytes) -> bytes:
        """The body of the answer to one request."""
        self.sockets[0].sendall(request)
        _, body = self._answer(self.sockets[0]).split(b"\r\n\r\n", 1)
        return body

    def many(self, request: bytes, count: int) -> tuple[float, list[float]]:
        """Seconds for so many requests, and how long each took."""
        clock = time.perf_counter
        latencies: list[float] = []
        selector = selectors.EpollSelector()
        started: dict[int, float] = {}
        begun, sent = clock(), 0
        for one in self.sockets[:count]:
            selector.register(one, selectors.EVENT_READ)
            started[one.fileno()] = clock()
            one.sendall(request)
            sent += 1
        while len(latencies) < count:
            for key, _ in selector.select():
                one = key.fileobj
                assert isinstance(one, socket.socket)
                self._answer(one)
                now = clock()
                latencies.append(now - started[key.fd])
                if sent < count:
                    started[key.fd] = now
                    one.sendall(request)
                    sent += 1
        elapsed = clock() - begun
        selector.close()
        return elapsed, latencies

    def _answer(self, one: socket.socket) -> bytes:
        data = one.recv(262_144)
        assert data.startswith(STATUS), data[:500]
        end = data.index(b"\r\n\r\n") + 4
        place = data.index(LENGTH) + len(LENGTH)
        length = end + int(data[place : data.index(b"\r", place)])
        while len(data) < length:
            part = one.recv(262_144)
            assert part, "the server went away"
            data += part
        assert len(data) == length
        return data

    def close(self) -> None:
        for one in self.sockets:
            one.close()
