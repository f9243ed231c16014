"""Wakes readers that wait for an org's events, or for its imports, with one LISTEN connection per process.

The connection is open while somebody waits. A woken reader queries for itself, so a false alarm costs one query, and a lost
notification delays it by no more than its own timeout.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from uuid import UUID

import psycopg
import structlog
from psycopg import AsyncConnection

from consumers.kafka_settings import reason
from domain.event_store import CHANNEL
from projections import connections, feed
from projections.imports import jobs

RETRY_SECONDS = 1.0
LISTEN_SECONDS = 5.0
"""How often it queries without a notification, which also detects a silent database."""

log = structlog.get_logger("arrivals")


class Notifications:
    """Must be used on one event loop. Everybody is woken when ``draining`` is set."""

    def __init__(self, url: str, draining: asyncio.Event, *, statement_timeout_ms: int = 15_000) -> None:
        self._url = url
        self._timeout = statement_timeout_ms
        self._draining = draining
        self._waiting: dict[UUID, set[asyncio.Event]] = {}
        self._tasks: list[asyncio.Task[None]] = []

    @contextmanager
    def subscribe(self, org_id: UUID) -> Iterator[asyncio.Event]:
        """An event that is set when there may be something new; clear it before querying."""
        mine = asyncio.Event()
        self._waiting.setdefault(org_id, set()).add(mine)
        if not self._tasks:
            self._tasks = [asyncio.create_task(self._listen()), asyncio.create_task(self._end_when_draining())]
        try:
            yield mine
        finally:
            self._waiting[org_id].discard(mine)
            if not self._waiting[org_id]:
                del self._waiting[org_id]
            if not self._waiting:
                self._stop()

    async def close(self) -> None:
        tasks = self._stop()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _stop(self) -> list[asyncio.Task[None]]:
        tasks, self._tasks = self._tasks, []
        for task in tasks:
            task.cancel()
        return tasks

    def _wake(self, org_ids: set[UUID]) -> None:
        for org_id in org_ids & self._waiting.keys():
            for one in self._waiting[org_id]:
                one.set()

    async def _end_when_draining(self) -> None:
        await self._draining.wait()
        self._wake(set(self._waiting))

    async def _listen(self) -> None:
        while True:
            try:
                await self._follow()
            except psycopg.Error as error:  # the database is unavailable, or silent
                log.warning("arrivals.failed", error=type(error).__name__, reason=reason(error), again_in=RETRY_SECONDS)
            await asyncio.sleep(RETRY_SECONDS)

    async def _follow(self) -> None:
        connection = await connections.connect_async(self._url, "arrivals", statement_timeout_ms=self._timeout, role="writer")
        async with connection:
            await connection.execute(f"LISTEN {CHANNEL}")
            await connection.execute(f"LISTEN {jobs.STATES}")
            position = await self._next_orgs(connection, None)
            self._wake(set(self._waiting))  # for events that came while nobody listened
            while True:
                async for told in connection.notifies(timeout=LISTEN_SECONDS, stop_after=1):
                    if told.channel == jobs.STATES:
                        self._wake({UUID(told.payload)})
                position = await self._next_orgs(connection, position)

    async def _next_orgs(self, connection: AsyncConnection[Any], position: int | None) -> int:
        """Wake the orgs with events after a position; returns the position of the last event."""
        if position is None:
            cursor = await connection.execute(feed.HEAD)
        else:
            cursor = await connection.execute(feed.BEYOND, {"position": position})
        found = await cursor.fetchall()
        self._wake({org_id for org_id, _ in found if org_id is not None})
        return max((last for _, last in found), default=position or 0)
