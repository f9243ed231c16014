"""A client's connection: which bytes are whose request, how many of them there may be, and how long they may take.

uvicorn's own protocol for httptools reads on whatever comes, so that anybody could fill the memory. This one finds the ends of
heads and bodies by itself and gives the parser one head or body at a time. While a request is being answered nothing more is read:
a client can make us keep one head and one read of the socket. A request that cannot be taken goes to the application all the same,
with the refusal in its scope, so that it is logged, counted and answered like any other.

Measured in interleaved rounds on an application that does nothing but answer: 27 µs of CPU a request, 30 with uvicorn's own
protocol, 128 with h11, which does not bound unfinished heads either. Granian closes idle connections after a minute at the latest,
and takes heads without a Host and bodies that never come.
"""

from __future__ import annotations

import asyncio
import logging
import re
from enum import Enum, auto
from typing import Any, cast
from urllib.parse import unquote

import httptools
from uvicorn.config import Config
from uvicorn.protocols.http.flow_control import HIGH_WATER_LIMIT, FlowControl
from uvicorn.protocols.utils import get_local_addr, get_remote_addr
from uvicorn.server import ServerState

from app.http.problems import Refused
from app.server.chunks import BadChunk, Chunks
from app.server.connections import FULL, Connections, OpenConnection
from app.server.cycle import Cycle

MAX_HEAD = 65_536
MAX_LINES = 100
LINGER_BYTES = 32 * 1024 * 1024
LINGER_SECONDS = 5.0
"""How much, and for how long, is read and thrown away after an answer that came before the request's end."""
RESERVED_SECONDS = 2.0
"""How long a connection in the reserve may be silent."""

_ONCE = frozenset({b"host", b"authorization", b"content-length", b"transfer-encoding", b"content-type", b"expect"})
_HOST = re.compile(rb"[A-Za-z0-9._~!$&'()*+,;=%:\[\]-]+")
_START = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,32}( |\Z)")
_UPGRADE = re.compile(rb"\r\nupgrade:", re.IGNORECASE)
_EMPTY_LINES = re.compile(rb"[\r\n]+")
_logger = logging.getLogger("uvicorn.error")


class Awaited(Enum):
    """What the client is expected to send."""

    HEAD = auto()
    BODY = auto()
    NOTHING = auto()
    """What it sends is thrown away."""


class Flow(FlowControl):
    """Of a connection whose reading can also be ``held`` until the request is answered, whatever its handler asks for."""

    held = False

    def resume_reading(self) -> None:
        if not self.held:
            super().resume_reading()


class Connection(OpenConnection):
    """To uvicorn it is one of its protocols, to its cycles a transport whose ``close`` lets the client read the answer first."""

    def __init__(self, pool: Connections, app: Any, server_state: ServerState, app_state: dict[str, Any]) -> None:
        self._pool = pool
        self._limits = pool.limits
        self._app = app
        self._app_state = app_state
        self._server = server_state
        self._loop = asyncio.get_running_loop()
        self._parser = httptools.HttpRequestParser(self)
        self._parser.set_dangerous_leniencies(lenient_data_after_close=True)
        self._cycle: Cycle | None = None
        self._awaited = Awaited.HEAD
        self._held = bytearray()
        self._counted = self._searched = 0
        self._left = self._received = 0
        self._chunks: Chunks | None = None
        self._closing = False
        self._began = self._seen = self._answered = self._loop.time()
        self._asked = False
        self._host: bytes | None = None
        self._unsent, self._unsent_since = 0, 0.0

    # What uvicorn and the event loop call.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        self.write = self.transport.write
        self.flow = Flow(self.transport)
        self._local, self._remote = get_local_addr(self.transport), get_remote_addr(self.transport)
        if self._pool.admit(self):
            self._server.connections.add(self)  # type: ignore[arg-type]
        else:
            self._awaited, self._closing = Awaited.NOTHING, True

    def connection_lost(self, exc: Exception | None) -> None:
        self._server.connections.discard(self)
        self._pool.lost(self)
        self._closing, self._awaited = True, Awaited.NOTHING
        self._held.clear()
        self._count()
        if self._cycle is not None:
            if not self._cycle.response_complete:
                self._cycle.disconnected = True
            self._cycle.message_event.set()
        self.flow.resume_writing()
        del self._parser

    def pause_writing(self) -> None:
        self.flow.pause_writing()

    def resume_writing(self) -> None:
        self.flow.resume_writing()

    def shutdown(self) -> None:
        """The process ends: after the answer that is being made, or at once."""
        if self._cycle is not None and not self._cycle.response_complete:
            self._cycle.keep_alive = False
        elif not self._closing:
            self.transport.close()

    def data_received(self, data: bytes) -> None:
        self._seen = self._loop.time()
        if self._awaited is Awaited.NOTHING:
            self._throw_away(len(data))
        elif self._held:
            self._held += data
            self._take(self._held)
        else:
            self._take(data)

    # What a cycle calls, besides ``write``.

    def is_closing(self) -> bool:
        return self._closing or self.transport.is_closing()

    def close(self) -> None:
        """After what has been written. Who is still sending gets a moment to read it: a socket that is closed with unread bytes is
        reset, and the answer lost."""
        if self._closing:
            return
        self._closing = True
        if self._awaited is Awaited.HEAD and not self._held:
            self.transport.close()
            return
        self._awaited, self._received, self._answered = Awaited.NOTHING, 0, self._loop.time()
        self._held.clear()
        self._count()
        self.flow.held = False
        self.flow.resume_reading()
        if not self.transport.is_closing():
            self.transport.write_eof()

    def _answer_complete(self) -> None:
        self._server.total_requests += 1
        if self.is_closing():
            return
        self._answered = self._seen = self._loop.time()
        self.flow.held = False
        if self._held:
            self._take(self._held)
        if not self.flow.held:
            self.flow.resume_reading()

    # What the parser calls.

    def on_message_begin(self) -> None:
        self._url = b""
        self._headers: list[tuple[bytes, bytes]] = []
        self._single: dict[bytes, bytes] = {}
        self._twice = b""

    def on_url(self, url: bytes) -> None:
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        name = name.lower()
        self._headers.append((name, value))
        if name in _ONCE:
            if name in self._single:
                self._twice = name
            self._single[name] = value

    def on_headers_complete(self) -> None:
        self._complete, self._keep_alive = True, self._parser.should_keep_alive()

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

    # Bytes.

    def _take(self, data: bytes | bytearray) -> None:
        """Take heads and bodies out of ``data`` as far as they may be taken now, and hold the rest."""
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
        """Tell how much is held, for which all connections together have room."""
        fits = self._pool.hold(len(self._held) - self._counted)
        self._counted = len(self._held)
        if not fits:
            self.transport.abort()

    def _head_end(self, data: bytes | bytearray, at: int) -> int:
        """Where the head ends that begins at ``at``; -1 where it goes on, or was refused."""
        begun = data is self._held and at == 0 and self._searched
        end = data.find(b"\r\n\r\n", self._searched if begun else at)
        length = (end + 4 if end >= 0 else len(data)) - at
        if not begun:
            self._began = self._seen
        self._searched = 0 if end >= 0 else max(1, len(data) - at - 3)
        if length > MAX_HEAD or data.count(b"\n", at, at + length) > MAX_LINES + 2:
            self._refuse(Refused(431, "head_too_large", f"A request's head has at most {MAX_HEAD} bytes and {MAX_LINES} lines."))
            return -1
        if end < 0 and (not _START.match(data, at) or data.find(b"\n\n", at) >= 0):
            self._refuse(_malformed("This is not HTTP/1.1: lines end in CRLF, and the first one is METHOD PATH HTTP/1.1."))
        return end + 4 if end >= 0 else -1

    def _take_head(self, data: bytes | bytearray, at: int, end: int) -> int:
        self._chunks, self._left, self._received = None, 0, 0
        self._awaited = Awaited.BODY
        self._complete = False
        head = data if at == 0 and end == len(data) else bytes(data[at:end])
        try:
            try:
                self._parser.feed_data(head)
            except httptools.HttpParserUpgrade:  # an offer that we do not take; the parser would not read on
                self._awaited = Awaited.BODY
                self._parser.feed_data(_UPGRADE.sub(b"\r\nx-upgrade:", head))
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            self._refuse(_malformed(f"This is not HTTP/1.1: {str(error) or 'it cannot be parsed'}."))
            return end
        if not self._complete:
            self._refuse(_malformed("This is not HTTP/1.1."))
            return end
        if self._awaited is Awaited.BODY:
            self._left = int(self._single.get(b"content-length", b"0"))
            self._chunks = Chunks() if b"transfer-encoding" in self._single else None
        self._begin()
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
            self._refuse(_malformed(str(error) or "The body is not framed as its head says."))
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

    # Requests.

    def _begin(self) -> None:
        """Give the application the request whose head has been read."""
        version = self._parser.get_http_version()
        if not self._asked:
            self._asked = True
            self._pool.asked(self)
        try:
            url = httptools.parse_url(self._url)
            raw_path, path = url.path or b"", (url.path or b"").decode("ascii")
            query = url.query or b""
        except (httptools.HttpParserInvalidURLError, UnicodeDecodeError):
            self._refuse(_malformed("The request's target is not a path."))
            return
        scope = self._scope(self._parser.get_method().decode("ascii"), unquote(path) if "%" in path else path, self._headers)
        scope["raw_path"], scope["query_string"], scope["http_version"] = raw_path, query, version
        expect = self._single.get(b"expect", b"").lower() if version != "1.0" else b""
        refusal = self._refusal(version, path, expect)
        if refusal is not None:
            scope["refused"] = refusal
        self._start(
            scope,
            # Without 100 nobody knows whether the body comes; and what is refused is not worth the reading.
            keep_alive=version != "1.0"
            and self._keep_alive
            and not self.reserved
            and not expect
            and refusal is None
            and self._left <= self._limits.max_body,
            more_body=self._awaited is Awaited.BODY,
            expect=bool(expect),
        )

    def _refusal(self, version: str, path: str, expect: bytes) -> Refused | None:
        """Why a request that can be read is not taken."""
        single = self._single
        if version not in ("1.0", "1.1"):
            return _malformed(f"HTTP/{version} is not spoken here: send HTTP/1.1.")
        if self._twice:
            return _malformed(f"There are two {self._twice.decode().title()} headers: send one.")
        if complaint := self._about_host(version, single.get(b"host")):
            return _malformed(complaint)
        if coding := single.get(b"transfer-encoding"):
            if b"content-length" in single or version == "1.0":
                return _malformed("Send Content-Length, or with HTTP/1.1 Transfer-Encoding: not both.")
            if coding.lower().strip() != b"chunked":
                return _malformed("No Transfer-Encoding but chunked is taken.")
        if expect not in (b"", b"100-continue"):
            return Refused(417, "expectation_failed", "No expectation but 100-continue is met here.")
        if self.reserved and not path.startswith("/health/"):
            return Refused(503, "busy", FULL, {"retry-after": "1"})
        return None

    def _about_host(self, version: str, host: bytes | None) -> str:
        """What is wrong with it; one that was seen before on this connection is not looked at again."""
        if host is None:
            return "There is no Host header: send one." if version == "1.1" else ""
        if host != self._host:
            if not _HOST.fullmatch(host):
                return "The Host header is not a host and port."
            self._host = host
        return ""

    def _refuse(self, refusal: Refused) -> None:
        """Answer what is no request, or has become none, and read no further."""
        self._awaited, self._received = Awaited.NOTHING, 0
        cycle = self._cycle
        if self._busy() and cycle is not None:
            cycle.keep_alive, cycle.refusal = False, refusal
            cycle.message_event.set()
            if cycle.response_started:
                self.transport.close()
        elif not self.is_closing():
            scope = self._scope("", "", [])
            scope["refused"] = refusal
            self._start(scope, keep_alive=False, more_body=False, expect=False)

    def _scope(self, method: str, path: str, headers: list[tuple[bytes, bytes]]) -> dict[str, Any]:
        return {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "http_version": "1.1",
            "method": method,
            "path": path,
            "raw_path": b"",
            "query_string": b"",
            "headers": headers,
            "server": self._local,
            "client": self._remote,
            "scheme": "http",
            "root_path": "",
            "state": self._app_state.copy(),
        }

    def _start(self, scope: dict[str, Any], *, keep_alive: bool, more_body: bool, expect: bool) -> None:
        cycle = self._cycle = Cycle(
            scope=scope,  # type: ignore[arg-type]
            transport=self,  # type: ignore[arg-type]
            flow=self.flow,
            logger=_logger,
            access_logger=_logger,
            access_log=False,
            default_headers=self._server.default_headers,
            message_event=asyncio.Event(),
            expect_100_continue=expect,
            keep_alive=keep_alive,
            on_response=self._answer_complete,
        )
        if not more_body:
            cycle.more_body = False
            cycle.message_event.set()
        task = self._loop.create_task(cycle.run_asgi(self._app))
        task.add_done_callback(self._server.tasks.discard)
        self._server.tasks.add(task)

    # Time.

    def check(self, now: float) -> None:
        """Called every now and then: end what takes too long."""
        if self._unread_for_long(now):
            self.transport.abort()
        elif self._closing:
            if not self.transport.is_closing() and now - self._answered > LINGER_SECONDS:
                self.transport.close()
        elif self._awaited is Awaited.BODY:
            self._check_body(now)
        elif self._busy():
            pass
        elif self._held:
            limit = self._limits.head
            if now - self._began > limit or now - self._seen > limit / 3:
                self._refuse(Refused(408, "head_timeout", f"The request's head did not come within {limit:g} seconds."))
        elif now - self._seen > self._idle_limit():
            self.transport.close()

    def _idle_limit(self) -> float:
        if self.reserved:
            return RESERVED_SECONDS
        return self._limits.keep_alive if self._asked else self._limits.head

    def _check_body(self, now: float) -> None:
        limit = self._limits.body
        if not self._busy():  # answered before it came
            if now - self._answered > LINGER_SECONDS:
                self.transport.close()
        elif self.flow.read_paused:  # it is us who are slow
            self._seen = now
        elif now - self._began > limit or now - self._seen > limit / 3:
            self._refuse(Refused(408, "body_timeout", f"The request's body did not come within {limit:g} seconds."))

    def _unread_for_long(self, now: float) -> bool:
        """Whether the client has taken nothing of what was written to it for long."""
        unsent = self.transport.get_write_buffer_size()
        if unsent != self._unsent:
            self._unsent, self._unsent_since = unsent, now
        return unsent > 0 and now - self._unsent_since > self._limits.body / 3


def _malformed(detail: str) -> Refused:
    return Refused(400, "bad_request", detail)


class Protocols:
    """Makes the protocol of each connection, as uvicorn asks for it."""

    def __init__(self, pool: Connections) -> None:
        self._pool = pool

    def __call__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> Connection:
        return Connection(self._pool, config.loaded_app, server_state, app_state)
