"""The client connections of a process: how many there may be, which give way, and one timer for all of them.

With ``max_connections`` open, a new connection replaces the oldest one that has not sent a request. If all have sent one, it goes
into a reserve, in which only ``/health/`` is answered, so that a full process still passes its health checks. Beyond the reserve it
gets a 503 and is closed.
"""

from __future__ import annotations

import asyncio
from itertools import islice

import structlog

from app.http.problems import MEDIA_TYPE, Problem
from app.server.connection_limits import RESERVE, Limits

FRESH_SECONDS = 1.0
"""How long a new connection that has sent nothing keeps its place."""
MAX_HELD = 32 * 1024 * 1024
"""Bytes of unfinished heads and of pipelined requests, in all connections together."""

FULL = "All connections of this process are in use. Try again."
BUSY = Problem(503, "busy", FULL, headers={"retry-after": "1"})
_AWAY = (
    f"HTTP/1.1 503 Service Unavailable\r\ncontent-type: {MEDIA_TYPE}\r\nretry-after: 1\r\nconnection: close\r\n"
    f"content-length: {len(BUSY.body(''))}\r\n\r\n"
).encode() + BUSY.body("")

log = structlog.get_logger("connections")


class OpenConnection(asyncio.Protocol):
    """The part of a connection that ``Connections`` uses. A ``reserved`` one answers ``/health/`` only."""

    transport: asyncio.Transport
    reserved = False

    def check(self, now: float) -> None:
        """Close the connection if something has taken too long; ``now`` is the event loop's time."""
        raise NotImplementedError


class Connections:
    """All connections of this process."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.held = 0
        self._open: set[OpenConnection] = set()
        self._fresh: dict[OpenConnection, float] = {}
        self._turned_away = 0
        self._sweeping = False

    def admit(self, connection: OpenConnection) -> bool:
        """Admit a new connection; False if it was turned away."""
        limits = self.limits
        loop = asyncio.get_running_loop()
        if len(self._open) >= limits.connections:
            self._make_room(loop.time())
            if len(self._open) >= limits.connections + RESERVE:
                self._turned_away += 1
                connection.transport.write(_AWAY)
                connection.transport.close()
                return False
            connection.reserved = len(self._open) >= limits.connections
        self._open.add(connection)
        self._fresh[connection] = loop.time()  # oldest first
        if not self._sweeping:
            self._sweeping = True
            self._sweep_later(loop)
        return True

    def asked(self, connection: OpenConnection) -> None:
        """Called when the connection has sent its first whole head."""
        self._fresh.pop(connection, None)

    def lost(self, connection: OpenConnection) -> None:
        self._open.discard(connection)
        self._fresh.pop(connection, None)

    def hold(self, difference: int) -> bool:
        """Account for bytes held in memory; False if there are now more than ``MAX_HELD``."""
        self.held += difference
        return self.held <= MAX_HELD

    def _make_room(self, now: float) -> None:
        """Drop the oldest connections that have sent no request, until there is room for one."""
        for connection, since in list(islice(self._fresh.items(), RESERVE + 1)):
            if now - since < FRESH_SECONDS or len(self._open) < self.limits.connections:
                return
            self.lost(connection)
            self._turned_away += 1
            connection.transport.abort()

    def _sweep_later(self, loop: asyncio.AbstractEventLoop) -> None:
        limits = self.limits
        loop.call_later(min(1.0, limits.keep_alive / 4, limits.head / 12, limits.body / 12), self._sweep, loop)

    def _sweep(self, loop: asyncio.AbstractEventLoop) -> None:
        """Check every connection; runs again as long as there are any."""
        now = loop.time()
        for connection in list(self._open):
            connection.check(now)
        if self._turned_away:
            log.warning("connections.turned_away", number=self._turned_away, open=len(self._open))
            self._turned_away = 0
        if self._open:
            self._sweep_later(loop)
        else:
            self._sweeping = False
