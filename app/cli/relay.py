"""``opportunities relay``: the process around ``consumers.relay``, and the check whether one is running.

It does not exit because Kafka or PostgreSQL is unavailable: it logs that and goes on when they are back.
"""

from __future__ import annotations

import click
import structlog

from app import logs, migrations
from app.cli.explanations import describe
from app.cli.options import bootstrap_servers, database_url, load_settings
from app.process import memory
from app.process.failures import Failure
from app.settings import Settings
from consumers import checkpoints, database, kafka, loop, stops
from consumers.relay import HEARTBEAT_SECONDS, Relay
from projections import clock

UNSEEN_SECONDS = HEARTBEAT_SECONDS * 6

log = structlog.get_logger("relay")


def run(config: Settings) -> None:
    """Relay until SIGTERM or SIGINT. Raises ``SettingsError``, ``SchemaError``, ``NoChecksum``, ``psycopg.Error`` if it cannot
    start, ``LogWentBack``."""
    logs.configure(config.log_level, config.log_format)
    kafka.quiet(config.log_level)
    kafka.require_checksum()
    cluster = config.kafka()
    migrations.check(config.database_url, writing=True)
    memory.tune_gc()
    stop = loop.stop_on_signals()
    relay = Relay(config.database_url, cluster, stop)
    try:
        loop.run(relay, stop, describe=describe)
    finally:
        relay.close()
    log.info("relay.stopped")


def check(config: Settings) -> str:
    """A line about the relay that ran last. Raises ``Failure`` if that is too long ago."""
    with (
        database.connect(config.database_url, "check", statement_timeout_ms=migrations.CHECK_MS) as connection,
        connection.cursor() as cursor,
    ):
        lag = checkpoints.lag(cursor, checkpoints.RELAY)
        stopped = stops.reason(cursor, checkpoints.RELAY)
        off = clock.asked(cursor).warning()
    if lag is None:
        raise Failure("No relay has ever run here: start `opportunities relay`.")
    if stopped:
        raise Failure(f"The relay has stopped. {stopped}")
    if lag.unseen > UNSEEN_SECONDS:
        raise Failure(f"No relay has run for {lag.unseen:.0f} s: see the log of `opportunities relay`.")
    return " ".join(filter(None, [f"A relay is running, {lag.events} events behind.", off]))


@click.command()
@database_url
@bootstrap_servers
@click.option(
    "--check", "checking", is_flag=True, help="Only report whether a relay is running, and how far behind; fail if none is."
)
def relay(database_url: str | None, kafka_bootstrap_servers: str | None, checking: bool) -> None:
    """Publish every event of the log to the Kafka topic. Start several: one works, the others stand by."""
    config = load_settings(database_url=database_url, kafka_bootstrap_servers=kafka_bootstrap_servers)
    if checking:
        click.echo(check(config))
    else:
        run(config)
