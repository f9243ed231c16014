"""``opportunities webhooks``: the process of webhooks, and the check whether one is running."""

from __future__ import annotations

from typing import Any, get_args

import click

from app import migrations
from app.cli.options import bootstrap_servers, database_url, load_settings
from app.cli.relay import UNSEEN_SECONDS
from app.cli.webhook_process import Part, run
from app.process.failures import Failure
from app.settings import Settings
from consumers import database, stops
from consumers.webhooks import deliveries
from projections import clock


def check(config: Settings, only: Part | None = None) -> str:
    """A line about the consumer and the sender. Raises ``Failure`` if one has not run recently."""
    with (
        database.connect(config.database_url, "check", statement_timeout_ms=migrations.CHECK_MS) as connection,
        connection.cursor() as cursor,
    ):
        gauges = {(name, label): value for name, label, value in cursor.execute(deliveries.GAUGES).fetchall()}
        stopped = stops.reason(cursor, "webhooks/%")
        off = clock.asked(cursor).warning()
    if stopped and only != "sender":
        raise Failure(f"The consumer of webhooks has stopped. {stopped}")
    for part in [only] if only else get_args(Part):
        unseen = gauges.get(("unseen_seconds", part))
        if unseen is None or unseen > UNSEEN_SECONDS:
            since = "ever" if unseen is None else f"for {unseen:.0f} s"
            raise Failure(f"No webhook {part} has run {since}: start `opportunities webhooks`, or see its log.")
    lag = sum(value for (name, _), value in gauges.items() if name == "lag")
    status = f"Webhooks are running: {lag:.0f} records behind, {gauges['due', '']:.0f} deliveries due."
    return " ".join(filter(None, [status, off]))


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
