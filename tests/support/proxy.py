"""A TCP proxy in front of PostgreSQL that loses connections at the worst moments."""

from __future__ import annotations

import socket
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Literal
from urllib.parse import urlsplit, urlunsplit

import pytest

from projections import connections

# What becomes of a connection that sends COMMIT: it passes; it is cut before the server hears of it, right after it was
# sent, or when the answer comes back; it hangs, unheard and open, or with what went before it heard, or done and unanswered;
# the server is away from then on; or the whole proxy is silent.
AtCommit = Literal[
    "silence", "pass", "cut before", "cut after", "cut the answer", "hang", "hang within", "hang after", "away before", "away after"
]


def ask_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Patient connections doubt a silent server within a second, not half a minute."""
    monkeypatch.setattr(connections, "ASK_SECONDS", 0.3)
    monkeypatch.setattr(connections, "QUESTION_MS", 100)


class Proxy:
    """``at_commit`` holds what happens at the next commits, one each; when it is empty they pass.

    ``point`` is what takes the place of COMMIT; a statement that is prepared has its text only once on each connection.
    """

    def __init__(self, database_url: str, point: bytes = b"COMMIT") -> None:
        self.point = point
        self._parts = urlsplit(database_url)
        self._target = (self._parts.hostname or "127.0.0.1", self._parts.port or 5432)
        self.at_commit: deque[AtCommit] = deque()
        self.hanging = threading.Event()
        self.silent = False
        """While it is set bytes are swallowed, both ways, and whoever connects hears nothing; nothing is closed."""
        self._lock = threading.Lock()
        self._open: set[socket.socket] = set()
        self._listener = self._listen(0)
        self.port: int = self._listener.getsockname()[1]

    @property
    def address(self) -> str:
        """As a Kafka broker's."""
        return f"127.0.0.1:{self.port}"

    @property
    def url(self) -> str:
        """The database's address by way of the proxy."""
        login = self._parts.netloc.rpartition("@")[0]
        place = f"{login}@127.0.0.1:{self.port}" if login else f"127.0.0.1:{self.port}"
        return urlunsplit(self._parts._replace(netloc=place, query="sslmode=disable"))

    def away(self) -> None:
        """Refuse connections and cut those there are."""
        self.refuse()
        self.cut()

    def refuse(self) -> None:
        """Refuse connections; those there are live on."""
        _shut(self._listener)

    def back(self) -> None:
        self._listener = self._listen(self.port)

    def cut(self) -> None:
        """Cut all connections; new ones are welcome."""
        with self._lock:
            cut, self._open = self._open, set()
        for one in cut:
            _shut(one)

    def _listen(self, port: int) -> socket.socket:
        listener = socket.create_server(("127.0.0.1", port))
        threading.Thread(target=self._accept, args=(listener,), daemon=True).start()
        return listener

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            if self.silent:
                with self._lock:
                    self._open.add(client)
                continue
            try:
                server = socket.create_connection(self._target)
            except OSError:
                _shut(client)
                continue
            for one in (client, server):
                one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with self._lock:
                self._open |= {client, server}
            threading.Thread(target=_Pair(self, client, server).run, daemon=True).start()


class _Pair:
    """The two ends of one connection."""

    def __init__(self, proxy: Proxy, client: socket.socket, server: socket.socket) -> None:
        self._proxy = proxy
        self._client = client
        self._server = server
        self._deaf = False
        self._hangs = False

    def run(self) -> None:
        threading.Thread(target=self._answers, daemon=True).start()
        with suppress(OSError):
            while data := self._client.recv(1 << 16):
                if self._proxy.silent:
                    continue
                if self._proxy.point in data and self._proxy.at_commit and not self._commits(data):
                    return
                if not self._proxy.silent:
                    self._server.sendall(data)
        self._end()

    def _commits(self, data: bytes) -> bool:
        """Whether the COMMIT passes; if not, what was to happen to it has happened."""
        match self._proxy.at_commit.popleft():
            case "pass" | "silence" as how:
                self._proxy.silent = how == "silence"
                return True
            case "cut before":
                self._end()
            case "cut after":
                self._deaf = True
                self._server.sendall(data)
                self._end()
            case "cut the answer":
                self._deaf = True
                return True
            case "hang" | "hang within" as how:
                self._hangs = True
                if how == "hang within":
                    self._server.sendall(data[: data.index(self._proxy.point)])
                self._proxy.hanging.set()
            case "hang after":
                self._hangs = self._deaf = True
                self._server.sendall(data)
            case "away before":
                self._proxy.away()
            case "away after":
                self._proxy.refuse()
                self._deaf = True
                self._server.sendall(data)
        return False

    def _answers(self) -> None:
        with suppress(OSError):
            while data := self._server.recv(1 << 16):
                if self._proxy.silent:
                    continue
                if self._deaf:
                    if self._hangs:
                        self._proxy.hanging.set()
                    break
                self._client.sendall(data)
        if not self._hangs:
            self._end()

    def _end(self) -> None:
        _shut(self._client)
        _shut(self._server)


def _shut(one: socket.socket) -> None:
    with suppress(OSError):
        one.shutdown(socket.SHUT_RDWR)
    one.close()


@contextmanager
def proxied(database_url: str, point: bytes = b"COMMIT") -> Iterator[Proxy]:
    proxy = Proxy(database_url, point)
    try:
        yield proxy
    finally:
        proxy.away()
