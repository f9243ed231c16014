"""A real HTTP server for webhooks, on loopback, that behaves as the path says: well, badly, or not at all.

It remembers every request exactly. The paths are below, by name.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, NamedTuple

import msgspec
from standardwebhooks import Webhook

Writer = asyncio.StreamWriter


class Received(NamedTuple):
    """A request; ``at`` is when its last byte came, in Unix time."""

    path: str
    headers: dict[str, str]
    body: bytes
    at: float

    @property
    def id(self) -> str:
        return self.headers["webhook-id"]

    def json(self) -> Any:
        return msgspec.json.decode(self.body)

    def verify(self, secret: str) -> Any:
        """The body, if the oracle takes the signature for one by this secret. Raises ``WebhookVerificationError``."""
        return Webhook(secret).verify(self.body, self.headers)


def reply(status: int, *headers: str, body: bytes = b"") -> bytes:
    lines = [f"HTTP/1.1 {status} Whatever", f"Content-Length: {len(body)}", *headers]
    return "\r\n".join([*lines, "", ""]).encode() + body


async def slow(writer: Writer, seconds: str) -> None:
    await asyncio.sleep(float(seconds))
    writer.write(reply(200))


async def never(writer: Writer, _: str) -> None:
    await asyncio.sleep(3600)


async def status(writer: Writer, code: str) -> None:
    writer.write(reply(int(code), body=b"" if code in ("204", "304") else b"as you wished\0"))


async def later(writer: Writer, seconds: str) -> None:
    writer.write(reply(429, f"Retry-After: {seconds}"))


async def redirect(writer: Writer, to: str) -> None:
    writer.write(reply(302, f"Location: {to or 'http://169.254.169.254/latest/meta-data/'}"))


async def huge(writer: Writer, _: str) -> None:
    """A body of 100 MB."""
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 104857600\r\n\r\n")
    for _number in range(1600):
        writer.write(b"x" * 65_536)
        await writer.drain()


async def stalled(writer: Writer, _: str) -> None:
    """A body that never comes to its end."""
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nfirst")
    await asyncio.sleep(3600)


async def half(writer: Writer, _: str) -> None:
    """Half a header, then silence."""
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Le")
    await asyncio.sleep(3600)


async def endless(writer: Writer, _: str) -> None:
    """Headers without end."""
    writer.write(b"HTTP/1.1 200 OK\r\n")
    while True:
        writer.write(b"X-More: " + b"x" * 8_000 + b"\r\n")
        await writer.drain()


async def garbage(writer: Writer, _: str) -> None:
    writer.write(b"\x16\x03\x01 this is no HTTP\r\n\r\n")


async def drop(writer: Writer, _: str) -> None:
    """The connection is reset."""
    writer.transport.abort()


Behaviour = Callable[[Writer, str], Awaitable[None]]
BEHAVIOURS: dict[str, Behaviour] = {
    each.__name__: each for each in (slow, never, status, later, redirect, huge, stalled, half, endless, garbage, drop)
}


class Receiver:
    """Answers 200 to any path but ``/<behaviour>`` and ``/<behaviour>/<argument>``."""

    def __init__(self) -> None:
        self.received: list[Received] = []
        self.behaviours = dict(BEHAVIOURS)
        self.port = 0
        self._news = threading.Condition()
        self._started = threading.Event()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        assert self._started.wait(10)

    def url(self, path: str = "/", host: str = "127.0.0.1") -> str:
        return f"http://{host}:{self.port}{path}"

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)

    def wait(self, number: int, path: str | None = None, seconds: float = 30) -> list[Received]:
        """Until so many requests have come (to a path); those there are then."""
        deadline = time.monotonic() + seconds
        with self._news:
            while len(found := self.at(path)) < number:
                left = deadline - time.monotonic()
                assert left > 0, f"{len(found)} of {number} requests to {path or 'any path'} in {seconds} s"
                self._news.wait(left)
        return found

    def at(self, path: str | None = None) -> list[Received]:
        return [one for one in self.received if path is None or one.path == path]

    def clear(self) -> None:
        with self._news:
            self.received.clear()

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        server = self._loop.run_until_complete(asyncio.start_server(self._serve, "127.0.0.1", 0, backlog=2048))
        self.port = server.sockets[0].getsockname()[1]
        self._started.set()
        self._loop.run_forever()
        server.close()
        self._loop.run_until_complete(asyncio.sleep(0.05))  # what was accepted becomes a task, which can be ended
        ending = asyncio.all_tasks(self._loop)
        for task in ending:
            task.cancel()
        self._loop.run_until_complete(asyncio.gather(*ending, return_exceptions=True))
        self._loop.run_until_complete(asyncio.sleep(0.05))
        self._loop.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: Writer) -> None:
        try:
            with suppress(OSError, asyncio.IncompleteReadError):
                while await self._answer(reader, writer):
                    await writer.drain()
        except asyncio.CancelledError:
            writer.transport.abort()
        writer.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: Writer) -> bool:
        """Whether the connection stays open."""
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        path = head[0].split()[1]
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:] if line)}
        body = await reader.readexactly(int(headers.get("content-length", 0)))
        with self._news:
            self.received.append(Received(path, headers, body, time.time()))
            self._news.notify_all()
        name, _, argument = path.removeprefix("/").partition("/")
        behaviour = self.behaviours.get(name)
        if behaviour is None:
            writer.write(reply(200, body=b"thanks"))
            return True
        await behaviour(writer, argument)
        await writer.drain()
        return False


@contextmanager
def receiving() -> Iterator[Receiver]:
    receiver = Receiver()
    try:
        yield receiver
    finally:
        receiver.close()
