"""From a connection's bytes to heads and bodies: where each ends, and how much of them may be held.

The parser gets one head or body at a time, and nothing more is read while a request is being answered, so that a client can make us
keep one head and one read of the socket at most.
"""

from __future__ import annotations

import asyncio
import re
from enum import Enum, auto

import httptools
from uvicorn.protocols.http.flow_control import HIGH_WATER_LIMIT

from app.http.problems import Refused
from app.server.chunks import BadChunk, Chunks
from app.server.connections import Connections, OpenConnection
from app.server.cycle import Cycle, Flow
from app.server.heads import Head, malformed, size_refusal, start_refusal, without_upgrade

LINGER_BYTES = 32 * 1024 * 1024
"""How much is read and discarded after a response that came before the request's end."""

_EMPTY_LINES = re.compile(rb"[\r\n]+")


class Awaited(Enum):
    """What the client is expected to send next."""

    HEAD = auto()
    BODY = auto()
    NOTHING = auto()
    """Whatever it sends is discarded."""


class Framing(OpenConnection):
    """A connection that finds the ends of heads and bodies; ``begin`` and ``refuse`` decide what becomes of them."""

    flow: Flow

    def __init__(self, pool: Connections) -> None:
        self._pool = pool
        self._limits = pool.limits
        self._loop = asyncio.get_running_loop()
        self._parser = httptools.HttpRequestParser(self)
        self._parser.set_dangerous_leniencies(lenient_data_after_close=True)
        self._cycle: Cycle | None = None
        self._awaited = Awaited.HEAD
        self._held = bytearray()
        self._counted = self._searched = 0
        self._left = self._received = 0
        self._chunks: Chunks | None = None
        self._began = self._seen = self._answered = self._loop.time()

    def begin(self) -> None:
        """Pass the request whose head has been read to the application."""
        raise NotImplementedError

    def refuse(self, refused: Refused) -> None:
        """Answer with an error and read no further."""
        raise NotImplementedError

    def data_received(self, data: bytes) -> None:
        self._seen = self._loop.time()
        if self._awaited is Awaited.NOTHING:
            self._throw_away(len(data))
        elif self._held:
            self._held += data
            self._take(self._held)
        else:
            self._take(data)

    # Callbacks of the parser.

    def on_url(self, url: bytes) -> None:
        self._head.url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self._head.add(name, value)

    def on_headers_complete(self) -> None:
        self._head.complete, self._keep_alive = True, self._parser.should_keep_alive()

    def on_body(self, body: bytes) -> None:
        cycle = self._cycle
        self._received += len(body)
        if cycle is None or cycle.response_complete:
            return
        if self._received > self._limits.max_body:
            cycle.keep_alive = False
        cycle.body += body
        if len(cycle.body) > HIGH_WATER_LIMIT:
            self.flow.pause_reading()
        cycle.message_event.set()

    def on_message_complete(self) -> None:
        self._awaited = Awaited.HEAD

    def _take(self, data: bytes | bytearray) -> None:
        """Consume heads and bodies from ``data`` as far as possible now, and hold the rest."""
        at = 0
        while at < len(data) and self._awaited is not Awaited.NOTHING:
            if self._awaited is Awaited.BODY:
                at = self._take_body(data, at)
            elif data[at] <= 13 and (empty := _EMPTY_LINES.match(data, at)):  # which are allowed before a request
                at = empty.end()
            elif self._busy():
                self.flow.held = True
                self.flow.pause_reading()
                break
            else:
                end = self._head_end(data, at)
                if end < 0:
                    break
                at = self._take_head(data, at, end)
        if self._awaited is Awaited.NOTHING:
            self._held.clear()
        elif data is self._held:
            del self._held[:at]
        elif at < len(data):
            self._held += data[at:]
        if len(self._held) != self._counted:
            self._count()

    def _busy(self) -> bool:
        return self._cycle is not None and not self._cycle.response_complete

    def _count(self) -> None:
        """Report how much is held; close the connection if all together hold too much."""
        fits = self._pool.hold(len(self._held) - self._counted)
        self._counted = len(self._held)
        if not fits:
            self.transport.abort()

    def _head_end(self, data: bytes | bytearray, at: int) -> int:
        """The end of the head that begins at ``at``; -1 if it is not complete, or was refused."""
        begun = data is self._held and at == 0 and self._searched
        end = data.find(b"\r\n\r\n", self._searched if begun else at)
        length = (end + 4 if end >= 0 else len(data)) - at
        if not begun:
            self._began = self._seen
        self._searched = 0 if end >= 0 else max(1, len(data) - at - 3)
        if found := size_refusal(data, at, length) or (start_refusal(data, at) if end < 0 else None):
            self.refuse(found)
            return -1
        return end + 4 if end >= 0 else -1

    def _take_head(self, data: bytes | bytearray, at: int, end: int) -> int:
        self._chunks, self._left, self._received = None, 0, 0
        self._awaited = Awaited.BODY
        self._head = Head()
        head = data if at == 0 and end == len(data) else bytes(data[at:end])
        try:
            try:
                self._parser.feed_data(head)
            except httptools.HttpParserUpgrade:  # an offer that we ignore; the parser would stop here
                self._awaited, self._head = Awaited.BODY, Head()
                self._parser.feed_data(without_upgrade(head))
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            self.refuse(malformed(f"This is not HTTP/1.1: {str(error) or 'it cannot be parsed'}."))
            return end
        if not self._head.complete:
            self.refuse(malformed("This is not HTTP/1.1."))
            return end
        if self._awaited is Awaited.BODY:
            self._left = int(self._head.single.get(b"content-length", b"0"))
            self._chunks = Chunks() if b"transfer-encoding" in self._head.single else None
        self.begin()
        return end

    def _take_body(self, data: bytes | bytearray, at: int) -> int:
        end = len(data)
        try:
            end = min(end, at + self._left) if self._chunks is None else self._chunks.scan(data, at)
            self._parser.feed_data(data if at == 0 and end == len(data) else bytes(data[at:end]))
            ended = self._chunks.ended if self._chunks is not None else self._left == end - at
            if ended is not (self._awaited is Awaited.HEAD):
                raise BadChunk("The body's length is ambiguous.")
        except (httptools.HttpParserError, BadChunk) as error:
            self.refuse(malformed(str(error) or "The body does not match its Content-Length or Transfer-Encoding."))
            return len(data)
        self._left -= end - at
        cycle = self._cycle
        if self._awaited is Awaited.HEAD and cycle is not None:
            cycle.more_body = False
            cycle.message_event.set()
        elif cycle is not None and cycle.response_complete and self._received > LINGER_BYTES:
            self.transport.abort()
        return end

    def _throw_away(self, number: int) -> None:
        self._received += number
        if self._received > LINGER_BYTES and not self.transport.is_closing():
            self.transport.close()
