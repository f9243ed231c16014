"""A closed-loop HTTP/1.1 load client: N connections, each with one request in flight, on one epoll.

It costs some ten microseconds a request, so that on a shared machine the server is what is measured. An unexpected status or a
truncated response stops the run. It understands only what both servers send: responses with a Content-Length, kept alive or closed.
"""

from __future__ import annotations

import select
import socket
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import repeat

import msgspec

CHUNK = 1 << 18


@dataclass(frozen=True)
class Load:
    """What a run saw. ``completed`` counts those still in flight at the end of the window too; the rate does not."""

    seconds: float
    completed: int
    latencies: tuple[float, ...]
    """Of the requests answered within the window, in seconds, sorted."""

    @property
    def rate(self) -> float:
        return len(self.latencies) / self.seconds

    def quantile(self, q: float) -> float:
        if not self.latencies:
            return float("nan")
        return self.latencies[min(len(self.latencies) - 1, int(q * len(self.latencies)))]

    @property
    def p50(self) -> float:
        return self.quantile(0.50)

    @property
    def p99(self) -> float:
        return self.quantile(0.99)


def request(method: str, path: str, headers: Mapping[str, str], body: object = None) -> bytes:
    """One request's bytes. ``body`` is sent as JSON."""
    content = b"" if body is None else msgspec.json.encode(body)
    lines = [f"{method} {path} HTTP/1.1", "host: 127.0.0.1", *(f"{name}: {value}" for name, value in headers.items())]
    if body is not None:
        lines += ["content-type: application/json", f"content-length: {len(content)}"]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + content


class Connection:
    """One client: sends a request, gathers the response, reconnects where the server closes."""

    def __init__(self, port: int, watch: Callable[[int, Connection | None], None]) -> None:
        self.port = port
        self.watch = watch
        self.sent = 0.0
        self.buffer = b""
        self.needed = 0
        self.closes = False
        self.socket: socket.socket | None = None

    def send(self, data: bytes) -> None:
        self.sent = time.perf_counter()
        if self.socket is None:
            self.socket = socket.create_connection(("127.0.0.1", self.port), timeout=60)
            self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.watch(self.socket.fileno(), self)
        self.buffer, self.needed = b"", 0
        self.socket.sendall(data)

    def receive(self) -> bytes | None:
        """The whole response when its last byte has come, else None."""
        assert self.socket is not None
        chunk = self.socket.recv(CHUNK)
        if not chunk:
            raise ConnectionError(f"the server closed a connection after {len(self.buffer)} bytes of a response")
        self.buffer = self.buffer + chunk if self.buffer else chunk
        if not self.needed:
            end = self.buffer.find(b"\r\n\r\n")
            if end < 0:
                return None
            head = self.buffer[:end].lower()
            self.needed = end + 4 + _content_length(head)
            self.closes = b"\r\nconnection: close" in head
        if len(self.buffer) < self.needed:
            return None
        if self.closes:
            self.close()
        return self.buffer

    def close(self) -> None:
        if self.socket is not None:
            self.watch(self.socket.fileno(), None)
            self.socket.close()
            self.socket = None


def _content_length(head: bytes) -> int:
    at = head.find(b"\r\ncontent-length:")
    if at < 0:
        if head[9:12] in (b"204", b"304"):
            return 0
        raise ValueError(f"a response without Content-Length: {head!r}")
    end = head.find(b"\r\n", at + 2)
    return int(head[at + 17 : end if end > 0 else None])


def run(port: int, requests: Iterator[bytes], *, connections: int, seconds: float, expect: bytes = b"200") -> Load:
    """Send ``requests`` over ``connections`` until the time is up or they run out, then await those in flight."""
    clients = _Clients(port, connections)
    latencies: list[float] = []
    completed = 0
    started = time.perf_counter()
    deadline = started + seconds
    try:
        clients.begin(requests)
        while clients.busy:
            for client, response in clients.answered():
                now = time.perf_counter()
                if response[9:12] != expect:
                    raise ValueError(f"expected {expect.decode()}, got {response[:1000].decode(errors='replace')}")
                completed += 1
                if now < deadline:
                    latencies.append(now - client.sent)
                    clients.send(client, requests)
    finally:
        clients.close()
    return Load(min(seconds, time.perf_counter() - started), completed, tuple(sorted(latencies)))


class _Clients:
    """The connections of a run and the epoll that watches them."""

    def __init__(self, port: int, number: int) -> None:
        self._epoll = select.epoll()
        self._by_fd: dict[int, Connection] = {}
        self._all = [Connection(port, self._watch) for _ in range(number)]
        self.busy = 0

    def _watch(self, fd: int, connection: Connection | None) -> None:
        if connection is None:
            self._epoll.unregister(fd)
            del self._by_fd[fd]
        else:
            self._by_fd[fd] = connection
            self._epoll.register(fd, select.EPOLLIN)

    def begin(self, requests: Iterator[bytes]) -> None:
        for client in self._all:
            self.send(client, requests)

    def send(self, client: Connection, requests: Iterator[bytes]) -> None:
        if (data := next(requests, None)) is not None:
            client.send(data)
            self.busy += 1

    def answered(self) -> Iterator[tuple[Connection, bytes]]:
        """Wait for something to come; the clients whose response is whole."""
        ready = self._epoll.poll(60)
        if not ready:
            raise TimeoutError("no response within 60 seconds")
        for fd, _ in ready:
            client = self._by_fd[fd]
            if (response := client.receive()) is not None:
                self.busy -= 1
                yield client, response

    def close(self) -> None:
        for client in self._all:
            client.close()
        self._epoll.close()


def fetch(port: int, data: bytes) -> tuple[int, bytes]:
    """Status and body of a single request."""
    with client(port) as ask:
        response = ask(data)
    return int(response[9:12]), response[response.find(b"\r\n\r\n") + 4 :]


@contextmanager
def client(port: int) -> Iterator[Callable[[bytes], bytes]]:
    """One connection: a function that sends a request and returns the response."""
    connection = Connection(port, lambda fd, connection: None)

    def ask(data: bytes) -> bytes:
        connection.send(data)
        while (response := connection.receive()) is None:
            pass
        return response

    try:
        yield ask
    finally:
        connection.close()


def same(data: bytes) -> Iterator[bytes]:
    return repeat(data)
