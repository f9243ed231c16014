"""The sender: claims due deliveries, makes many requests at once, and records the results.

Attempts that end during one round of claiming and settling are settled in the next one, so rounds size themselves. With nothing due
it sleeps until something is, or until PostgreSQL notifies it of something new. When a sender dies, others take over once its leases
end. What a response means is decided in ``schedule``.
"""

from __future__ import annotations

import asyncio
import random
import threading
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import datetime, timedelta
from time import monotonic, perf_counter
from typing import Any
from uuid import UUID

import psycopg
import structlog
from psycopg import AsyncConnection

from consumers.kafka_settings import reason
from consumers.webhooks import deliveries, endpoints, schedule, signing, sweep
from consumers.webhooks.concurrency import Allowance, ConcurrencyLimits
from consumers.webhooks.deliveries import Claimed, Settled
from consumers.webhooks.transport import SECONDS, Response, Transport
from domain.webhook_endpoint import Reason
from projections import connections
from projections.clock import NOW, Clock

log = structlog.get_logger("webhooks")

CONCURRENCY = 256
POLL_SECONDS = 0.1
IDLE_SECONDS = 5.0
"""The longest sleep: a notification may have been lost with its connection."""
LEASE_SPARE_SECONDS = 10.0
SWEEP_SECONDS = 600.0
HEARTBEAT_SECONDS = 5.0
STOP_SECONDS = 0.5
"""How often a sleeping sender checks whether it should stop."""
MAX_BACKOFF_SECONDS = 5.0
TIMEOUT_MS = 30_000

LISTEN = f"LISTEN {deliveries.CHANNEL}"
Disable = Callable[[UUID, UUID, Reason, str], Awaitable[None]]
"""Disables the endpoint of an org, for a reason, if it still has this URL."""


class Sender:
    """``run`` works until ``stop`` is set; ``wake`` tells it, from any thread, that there is something to send."""

    def __init__(
        self,
        database_url: str,
        transport: Transport,
        disable: Disable,
        *,
        keep: timedelta,
        concurrency: int = CONCURRENCY,
        seconds: float = SECONDS,
        statement_timeout_ms: int = TIMEOUT_MS,
        clock: Clock | None = None,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._url = database_url
        self._transport = transport
        self._disable = disable
        self._keep = keep
        self._timeout = statement_timeout_ms
        self._lease = seconds + LEASE_SPARE_SECONDS
        self._clock = clock or Clock()
        self._chance = chance
        self._limits = ConcurrencyLimits(concurrency)
        self._attempts: dict[UUID, asyncio.Task[None]] = {}
        self._done: list[tuple[Settled, str]] = []
        self._unsure = False
        """Whether some of ``_done`` may have been recorded by a commit whose result is unknown."""
        self._disabling: dict[UUID, asyncio.Task[None]] = {}
        self._loop = asyncio.get_running_loop()
        self._woken = asyncio.Event()
        self._connection: AsyncConnection[Any] | None = None
        self._key = b""
        self._swept_at = self._shown_at = -SWEEP_SECONDS

    def wake(self) -> None:
        with suppress(RuntimeError):  # the loop is closed: nobody waits any more
            self._loop.call_soon_threadsafe(self._woken.set)

    async def run(self, stop: threading.Event, grace: float = 10.0) -> None:
        """Work until told to stop; then attempts in flight have ``grace`` seconds to end, and the rest is left to others."""
        errors = 0
        while not stop.is_set():
            try:
                pause = await self.step()
                errors = 0
            except Exception as error:  # noqa: BLE001  whatever it was, the queue is still there and so is the work
                errors += 1
                pause = min(POLL_SECONDS * 2 ** min(errors, 10), MAX_BACKOFF_SECONDS)
                await self._disconnect()
                log.warning("sender.failed", error=type(error).__name__, reason=reason(error), again_in=pause)
            await self._pause(pause, stop)
        await self._end(grace)

    async def step(self) -> float:
        """Settle what has ended, then claim and start what is due. Returns for how many seconds there is nothing more to do, unless
        woken."""
        self._woken.clear()
        connection = await self._connected()
        if self._clock.due():
            await self._set_clock(connection)
        await self._settle(connection)
        async with connection.cursor() as cursor:  # which costs little beside a claim
            left = await deliveries.seconds_until_due(cursor)
        if left <= 0:  # What is due but not claimed has no room yet, or its endpoint is being disabled.
            left = 0.0 if await self._begin(connection) else POLL_SECONDS
        if monotonic() - self._shown_at > HEARTBEAT_SECONDS:
            self._shown_at = monotonic()
            await connection.execute(deliveries.SHOW_LIFE)
        if monotonic() - self._swept_at > SWEEP_SECONDS:
            self._swept_at = monotonic()
            async with connection.transaction(), connection.cursor() as cursor:
                await sweep.sweep(cursor, self._keep)
        return min(left, IDLE_SECONDS)

    async def _pause(self, seconds: float, stop: threading.Event) -> None:
        """Wait until woken, also by a notification, or told to stop; at most so many seconds."""
        descriptor = None
        if self._connection is not None:
            descriptor = self._connection.fileno()
            if self._connection.pgconn.notifies() is not None:  # one that was read together with the last result
                self._woken.set()
        if descriptor is not None:
            self._loop.add_reader(descriptor, self._woken.set)
        try:
            until = monotonic() + seconds
            while (left := until - monotonic()) > 0 and not self._woken.is_set() and not stop.is_set():
                with suppress(TimeoutError):
                    async with asyncio.timeout(min(left, STOP_SECONDS)):
                        await self._woken.wait()
        finally:
            if descriptor is not None:
                self._loop.remove_reader(descriptor)

    async def _settle(self, connection: AsyncConnection[Any]) -> None:
        done, self._done = self._done, []
        if not done:
            return
        try:
            async with connection.transaction(), connection.cursor() as cursor:
                settled = [settled for settled, _ in done]
                failing = await deliveries.settle(cursor, await deliveries.unsettled(cursor, settled) if self._unsure else settled)
        except BaseException:
            self._done, self._unsure = done + self._done, True
            raise
        self._unsure = False
        urls = {each.endpoint_id: url for each, url in done}
        for each, url in done:
            if each.outcome == "gone":
                self._begin_disabling(each.org_id, each.endpoint_id, "gone", url)
        for endpoint_id, org_id, since, now in failing:
            if now - since >= schedule.FAILING:
                self._begin_disabling(org_id, endpoint_id, "failing", urls[endpoint_id])

    def _begin_disabling(self, org_id: UUID, endpoint_id: UUID, why: Reason, url: str) -> None:
        """Disable an endpoint in the background; it gets no more attempts until that is done. If it fails, the next attempt tries
        it again."""

        async def disable() -> None:
            try:
                await self._disable(org_id, endpoint_id, why, url)
            except Exception as error:  # noqa: BLE001  nobody else's deliveries depend on it
                log.warning("endpoint.not_disabled", endpoint_id=str(endpoint_id), error=type(error).__name__, reason=reason(error))
            finally:
                del self._disabling[endpoint_id]
                self._woken.set()

        if endpoint_id not in self._disabling:
            self._disabling[endpoint_id] = asyncio.create_task(disable())

    def _rooms(self) -> list[Allowance]:
        rooms = [room for room in self._limits.rooms() if room.endpoint_id not in self._disabling]
        return rooms + [Allowance(endpoint_id, 0, fast=False) for endpoint_id in self._disabling]

    async def _begin(self, connection: AsyncConnection[Any]) -> bool:
        fast_free, slow_free = self._limits.free(fast=True), self._limits.free(fast=False)
        if fast_free <= 0 and slow_free <= 0:
            return False
        async with connection.cursor() as cursor:
            claimed = await deliveries.claim(
                cursor,
                self._rooms(),
                fast_free=max(0, fast_free),
                slow_free=max(0, slow_free),
                lease=self._lease,
            )
        for delivery in claimed:
            self._limits.start(delivery.endpoint_id, fast=delivery.fast)
            self._attempts[delivery.id] = asyncio.create_task(self._attempt(delivery))
        return bool(claimed)

    async def _attempt(self, delivery: Claimed) -> None:
        began, at = perf_counter(), self._clock.now()
        delivered = False
        try:
            endpoint = endpoints.document(delivery.endpoint)
            answer = await self._send(delivery, endpoint, at)
            delivered = answer.outcome == "delivered"
            self._done.append((self._settled(delivery, at, answer), endpoint.url))
            del self._attempts[delivery.id]
        finally:
            seconds = perf_counter() - began
            self._limits.finish(delivery.endpoint_id, fast=delivery.fast, delivered=delivered, seconds=seconds)
            self._woken.set()

    async def _send(self, delivery: Claimed, endpoint: endpoints.Document, at: datetime) -> Response:
        secrets = signing.in_force(self._key, delivery.endpoint_id, endpoint.secret_generation, endpoint.secret_rotated_at, at)
        body = delivery.body.encode()
        try:
            answer = await self._transport.post(endpoint.url, signing.headers(secrets, delivery.event_id, body, at), body)
        except Exception as error:
            log.exception("delivery.fault", delivery_id=str(delivery.id))
            answer = Response("broken", 0, error=f"Internal error: {type(error).__name__}.")
        log.info(
            "delivery.attempted",
            delivery_id=str(delivery.id),
            endpoint_id=str(delivery.endpoint_id),
            event_id=delivery.event_id,
            outcome=answer.outcome,
            status=answer.status,
            ms=answer.ms,
            tries=delivery.tries + 1,
        )
        return answer

    def _settled(self, delivery: Claimed, at: datetime, answer: Response) -> Settled:
        status, delay = schedule.following(delivery.tries + 1, answer.outcome, answer.retry_after, self._chance())
        return Settled(
            id=delivery.id,
            org_id=delivery.org_id,
            endpoint_id=delivery.endpoint_id,
            status=status,
            delay=delay,
            at=at,
            ms=answer.ms,
            outcome=answer.outcome,
            answered=answer.status,
            answer=answer.body,
            error=answer.error,
        )

    async def _end(self, grace: float) -> None:
        """Let attempts in flight end, settle them, and give back the rest."""
        if under_way := [*self._attempts.values(), *self._disabling.values()]:
            await asyncio.wait(under_way, timeout=grace)
        left = list(self._attempts.items())
        for _, task in left:
            task.cancel()
        await asyncio.gather(*(task for _, task in left), return_exceptions=True)
        with suppress(psycopg.Error):
            connection = await self._connected()
            await self._settle(connection)
            if self._disabling:
                await asyncio.wait(list(self._disabling.values()), timeout=grace)
            if left:
                async with connection.transaction(), connection.cursor() as cursor:
                    await deliveries.release(cursor, [id_ for id_, _ in left])
        await self._disconnect()

    async def _connected(self) -> AsyncConnection[Any]:
        if self._connection is None:
            # Always plan by the index: the queue is empty one moment and long the next, so statistics mislead.
            connection = await connections.connect_async(
                self._url, "sender", {"enable_seqscan": "off"}, statement_timeout_ms=self._timeout, role="writer"
            )
            try:
                await self._prepare(connection)
            except BaseException:
                await connection.close()
                raise
            self._connection = connection
        return self._connection

    async def _prepare(self, connection: AsyncConnection[Any]) -> None:
        connection.prepare_threshold = 0
        # A lease lost in a crash of the database only repeats a delivery; results are recorded durably.
        await connection.execute("SET synchronous_commit = off")
        connection.add_notify_handler(lambda _: self._woken.set())
        await connection.execute(LISTEN)
        row = await (await connection.execute(deliveries.KEY)).fetchone()
        assert row is not None
        self._key = bytes(row[0])

    async def _set_clock(self, connection: AsyncConnection[Any]) -> None:
        asked = monotonic()
        row = await (await connection.execute(NOW)).fetchone()
        assert row is not None
        self._clock.tell(row[0], asked)

    async def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(psycopg.Error):
                await connection.close()
