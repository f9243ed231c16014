"""The process that fans events out to endpoints and sends them, or does one of the two.

The consumer has a thread of its own, the sender the event loop. It does not exit because Kafka or PostgreSQL is unavailable: it
logs that and goes on when they are back.
"""

from __future__ import annotations

import asyncio
import threading
from datetime import timedelta
from typing import Literal

import structlog

from app import logs, migrations
from app.cli.endpoint_disabling import disabling
from app.cli.explanations import describe
from app.process import memory
from app.settings import Settings
from app.writing.committer import Committer
from consumers import kafka, loop
from consumers.loop import Fatal
from consumers.webhooks.fan_out import FanOut
from consumers.webhooks.sender import Sender
from consumers.webhooks.transport import Transport
from projections import clock

log = structlog.get_logger("webhooks")

Part = Literal["consumer", "sender"]


def run(config: Settings, only: Part | None = None) -> None:
    """Work until SIGTERM or SIGINT. Raises ``SettingsError``, ``SchemaError``, ``NoChecksum``, ``psycopg.Error`` if it cannot
    start, ``LogWentBack``."""
    logs.configure(config.log_level, config.log_format)
    migrations.check(config.database_url, writing=True)
    memory.tune_gc()
    stop = loop.stop_on_signals()
    if only == "consumer":
        _consume(consumer(config, stop), stop)
    else:
        asyncio.run(_send(config, stop, consumer(config, stop) if only is None else None))
    log.info("webhooks.stopped")


def consumer(config: Settings, stop: threading.Event) -> FanOut:
    """A consumer that is not connected yet. Raises ``SettingsError``, ``NoChecksum``."""
    kafka.quiet(config.log_level)
    kafka.require_checksum()
    return FanOut(config.database_url, config.kafka(), stop, keep=timedelta(days=config.webhook_keep_days))


def _consume(fan_out: FanOut, stop: threading.Event) -> None:
    try:
        loop.run(fan_out, stop, describe=describe)
    finally:
        fan_out.close()


async def _send(config: Settings, stop: threading.Event, fan_out: FanOut | None) -> None:
    time = clock.Clock()
    transport = Transport(config.webhook_rules(), clock=time)
    committer = Committer(config.database_url, statement_timeout_ms=config.statement_timeout_ms)
    sender = Sender(
        config.database_url,
        transport,
        disabling(committer),
        keep=timedelta(days=config.webhook_keep_days),
        concurrency=config.webhook_concurrency,
        clock=time,
    )
    thread: threading.Thread | None = None
    ended: list[Fatal] = []

    def consume(fan_out: FanOut) -> None:
        try:
            _consume(fan_out, stop)
        except Fatal as error:
            ended.append(error)
            stop.set()

    if fan_out is not None:
        fan_out.wake = sender.wake
        thread = threading.Thread(target=consume, args=(fan_out,), name="consumer")
        thread.start()
    try:
        await sender.run(stop, config.shutdown_timeout_s)
    finally:
        stop.set()
        await transport.close()
        committer.close()
        if thread is not None:
            await asyncio.to_thread(thread.join)
    if ended:
        raise ended[0]
