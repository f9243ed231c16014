"""``opportunities webhooks``: the process that fans events out to endpoints and sends them, or does one of the two.

The consumer has a thread of its own, the sender the event loop. It does not exit because Kafka or PostgreSQL is unavailable: it
logs that and goes on when they are back.
"""

from __future__ import annotations

import asyncio
import threading
from datetime import timedelta
from typing import Any, Literal, get_args
from uuid import UUID

import click
import structlog

from app import logs, migrations
from app.cli.options import bootstrap_servers, database_url, load_settings
from app.cli.relay import UNSEEN_SECONDS, describe, quiet
from app.process.failures import Failure
from app.settings import Settings
from app.writing.committer import Committer
from app.writing.envelope import Envelope
from consumers import database, kafka, loop
from consumers.webhooks import deliveries
from consumers.webhooks.fan_out import FanOut
from consumers.webhooks.sender import Disable as DisableEndpoint
from consumers.webhooks.sender import Sender
from consumers.webhooks.transport import Transport
from domain.errors import NotFound
from domain.permissions import OPERATOR
from domain.webhook_endpoint import Disable, Reason
from projections import clock

Part = Literal["consumer", "sender"]

log = structlog.get_logger("webhooks")


def run(config: Settings, only: Part | None = None) -> None:
    """Work until SIGTERM or SIGINT. Raises ``SettingsError``, ``SchemaError``, ``NoChecksum``, ``psycopg.Error`` if it cannot
    start."""
    logs.configure(config.log_level, config.log_format)
    migrations.check(config.database_url)
    stop = loop.stop_on_signals()
    if only == "consumer":
        _consume(consumer(config, stop), stop)
    else:
        asyncio.run(_send(config, stop, consumer(config, stop) if only is None else None))
    log.info("webhooks.stopped")


def check(config: Settings, only: Part | None = None) -> str:
    """A line about the consumer and the sender. Raises ``Failure`` if one has not run recently."""
    with (
        database.connect(config.database_url, "check", statement_timeout_ms=migrations.CHECK_MS) as connection,
        connection.cursor() as cursor,
    ):
        gauges = {(name, label): value for name, label, value in cursor.execute(deliveries.GAUGES).fetchall()}
        off = clock.asked(cursor).warning()
    for part in [only] if only else get_args(Part):
        unseen = gauges.get(("unseen_seconds", part))
        if unseen is None or unseen > UNSEEN_SECONDS:
            since = "ever" if unseen is None else f"for {unseen:.0f} s"
            raise Failure(f"No webhook {part} has run {since}: start `opportunities webhooks`, or see its log.")
    lag = sum(value for (name, _), value in gauges.items() if name == "lag")
    status = f"Webhooks are running: {lag:.0f} records behind, {gauges['due', '']:.0f} deliveries due."
    return " ".join(filter(None, [status, off]))


def consumer(config: Settings, stop: threading.Event) -> FanOut:
    """A consumer that is not connected yet. Raises ``SettingsError``, ``NoChecksum``."""
    quiet(config.log_level)
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
    if fan_out is not None:
        fan_out.wake = sender.wake
        thread = threading.Thread(target=_consume, args=(fan_out, stop), name="consumer")
        thread.start()
    try:
        await sender.run(stop, config.shutdown_timeout_s)
    finally:
        stop.set()
        await transport.close()
        committer.close()
        if thread is not None:
            await asyncio.to_thread(thread.join)


def disabling(committer: Committer) -> DisableEndpoint:
    """The function by which a sender disables an endpoint: by a command, like everybody else."""

    async def disable(org_id: UUID, endpoint_id: UUID, reason: Reason, url: str) -> None:
        command = Disable(reason=reason, url=url)
        await asyncio.to_thread(_execute, committer, Envelope("webhook_endpoint", endpoint_id, command, org_id, OPERATOR))
        log.warning("endpoint.disabled", endpoint_id=str(endpoint_id), reason=reason)

    return disable


def _execute(committer: Committer, envelope: Envelope) -> None:
    """Raises ``Unavailable``. A record that no longer exists needs no disabling."""
    (result,) = committer.run([envelope])
    if isinstance(result, Exception) and not isinstance(result, NotFound):
        raise result


@click.command()
@database_url
@bootstrap_servers
@click.option("--only", type=click.Choice(["consumer", "sender"]), help="Run one of the two only.")
@click.option(
    "--check", "checking", is_flag=True, help="Only report whether they are running, and how far behind; fail if they are not."
)
def webhooks(database_url: str | None, kafka_bootstrap_servers: str | None, only: Any, checking: bool) -> None:
    """Fan events of the topic out to webhook endpoints, and send them. Start several: they share the work."""
    config = load_settings(database_url=database_url, kafka_bootstrap_servers=kafka_bootstrap_servers)
    if checking:
        click.echo(check(config, only))
    else:
        run(config, only)
