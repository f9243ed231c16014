"""A client's connection: it passes requests to the application, and closes what takes too long.

uvicorn's own protocol for httptools keeps reading whatever comes, so that any client could fill the memory. A request that is
refused here still goes to the application, with the refusal in its scope, so that it is logged, counted and answered like any
other.

Measured in interleaved rounds on an application that does nothing but answer: 27 µs of CPU a request, 30 with uvicorn's own
protocol, 128 with h11, which does not bound unfinished heads either. Granian closes idle connections after a minute at the latest,
and accepts heads without a Host and bodies that never come.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Any, cast
from urllib.parse import unquote

import httptools
from uvicorn.config import Config
from uvicorn.protocols.utils import get_local_addr, get_remote_addr
from uvicorn.server import ServerState

from app.http.problems import Refused
from app.server.connections import FULL, Connections
from app.server.cycle import Cycle, Flow, scope_of
from app.server.framing import Awaited, Framing
from app.server.heads import malformed, refusal

LINGER_SECONDS = 5.0
"""How long incoming bytes are discarded after a response that came before the request's end."""
RESERVED_SECONDS = 2.0
"""How long a connection in the reserve may be silent."""

_logger = logging.getLogger("uvicorn.error")
SLOWEST = 65_536
"""Bytes a second at which a long body may come."""


class Connection(Framing):
    """For uvicorn one of its protocols; for its cycles a transport whose ``close`` lets the client read the response first."""

    def __init__(self, pool: Connections, app: Any, server_state: ServerState, app_state: dict[str, Any]) -> None:
        super().__init__(pool)
        self._app = app
        self._app_state = app_state
        self._server = server_state
        self._closing = False
        self._asked = False
        self._host: bytes | None = None
        self._unsent, self._unsent_since = 0, 0.0

    # Called by uvicorn and the event loop.

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
                self._cycle.hang_up()
            self._cycle.message_event.set()
        self.flow.resume_writing()
        del self._parser

    def pause_writing(self) -> None:
        self.flow.pause_writing()

    def resume_writing(self) -> None:
        self.flow.resume_writing()

    def shutdown(self) -> None:
        """The process stops: close at once, or after the response in progress."""
        if self._cycle is not None and not self._cycle.response_complete:
            self._cycle.keep_alive = False
        elif not self._closing:
            self.transport.close()

    # Called by a cycle, besides ``write``.

    def is_closing(self) -> bool:
        return self._closing or self.transport.is_closing()

    def close(self) -> None:
        """Close once everything is written. A client that is still sending gets a moment to read the response: closing a socket
        with unread bytes resets it, and the response is lost."""
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

    def begin(self) -> None:
        """Give the application the request whose head has been read."""
        version = self._parser.get_http_version()
        if not self._asked:
            self._asked = True
            self._pool.asked(self)
        try:
            url = httptools.parse_url(self._head.url)
            raw_path, path = url.path or b"", (url.path or b"").decode("ascii")
            query = url.query or b""
        except (httptools.HttpParserInvalidURLError, UnicodeDecodeError):
            self.refuse(malformed("The request's target is not a path."))
            return
        scope = self._scope(self._parser.get_method().decode("ascii"), unquote(path) if "%" in path else path, self._head.headers)
        scope["raw_path"], scope["query_string"], scope["http_version"] = raw_path, query, version
        expect = self._head.single.get(b"expect", b"").lower() if version != "1.0" else b""
        refused = refusal(self._head, version, expect, self._host)
        if refused is None:
            self._host = self._head.single.get(b"host")
            if self.reserved and not path.startswith("/health/"):
                refused = Refused(503, "busy", FULL, {"retry-after": "1"})
        if refused is not None:
            scope["refused"] = refused
        self._start(
            scope,
            # Without 100 Continue the body may never come; and the body of a refused request is not worth reading.
            keep_alive=version != "1.0"
            and self._keep_alive
            and not self.reserved
            and not expect
            and refused is None
            and self._left <= self._limits.max_body,
            more_body=self._awaited is Awaited.BODY,
            expect=bool(expect),
        )

    def refuse(self, refused: Refused) -> None:
        """Answer with an error and read no further."""
        self._awaited, self._received = Awaited.NOTHING, 0
        cycle = self._cycle
        if self._busy() and cycle is not None:
            cycle.keep_alive, cycle.refusal = False, refused
            cycle.message_event.set()
            if cycle.response_started:
                self.transport.close()
        elif not self.is_closing():
            scope = self._scope("", "", [])
            scope["refused"] = refused
            self._start(scope, keep_alive=False, more_body=False, expect=False)

    def _scope(self, method: str, path: str, headers: list[tuple[bytes, bytes]]) -> dict[str, Any]:
        return scope_of(method, path, headers, self._local, self._remote, self._app_state)

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
        task = cycle.task = self._loop.create_task(cycle.run_asgi(self._app))
        task.add_done_callback(self._server.tasks.discard)
        self._server.tasks.add(task)

    def check(self, now: float) -> None:
        """Called regularly: end what takes too long."""
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
                self.refuse(Refused(408, "head_timeout", f"The request's head did not come within {limit:g} seconds."))
        elif now - self._seen > self._idle_limit():
            self.transport.close()

    def _idle_limit(self) -> float:
        if self.reserved:
            return RESERVED_SECONDS
        return self._limits.keep_alive if self._asked else self._limits.head

    def _check_body(self, now: float) -> None:
        limit = self._limits.body
        if not self._busy():  # answered before the body came
            if now - self._answered > LINGER_SECONDS:
                self.transport.close()
        elif self.flow.read_paused:  # the delay is on our side
            self._seen = now
        elif now - self._began > limit + self._received / SLOWEST or now - self._seen > limit / 3:
            self.refuse(Refused(408, "body_timeout", f"The request's body did not come within {limit:g} seconds."))

    def _unread_for_long(self, now: float) -> bool:
        """Whether the client has read nothing of the response for too long."""
        unsent = self.transport.get_write_buffer_size()
        if unsent != self._unsent:
            self._unsent, self._unsent_since = unsent, now
        return unsent > 0 and now - self._unsent_since > self._limits.body / 3


class Protocols:
    """The factory of protocols that uvicorn calls for each connection."""

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
