"""``opportunities stream``: shows the topic in the terminal, or publishes part of the log again.

On a terminal each message is a readable line, elsewhere JSON. It joins no consumer group, so it takes nothing from other readers.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator

import click

from app.cli import message_lines
from app.cli.options import bootstrap_servers, database_url, load_settings, progress
from app.process.failures import Failure
from app.settings import Settings
from consumers import kafka, topic
from consumers import republish as again
from consumers.kafka import Fetched
from consumers.republish import Republished

POLL_MS = 200


def tail(config: Settings, name: str | None) -> Iterator[Fetched]:
    """The records that arrive from now on, without end. Raises ``Failure``, ``SettingsError``, ``KafkaError``."""
    kafka.quiet(config.log_level)
    kafka.require_checksum()
    cluster = config.kafka()
    admin = kafka.admin(cluster)
    try:
        found = topic.find(admin, name or cluster.topic)
    finally:
        admin.close()
    if found is None:
        raise Failure(f"There is no topic {name or cluster.topic}: the relay creates it, `opportunities relay`.")
    reader = kafka.consumer(cluster)
    try:
        topic.ends(reader, found)
        while True:
            for records in reader.poll(timeout_ms=POLL_MS).values():
                yield from records
    finally:
        reader.close()


def republish(config: Settings, name: str, after: int, report: Callable[[int, int], None]) -> Republished:
    """Raises ``SettingsError``, ``KafkaError``, ``psycopg.Error``."""
    kafka.quiet(config.log_level)
    kafka.require_checksum()
    return again.republish(config.database_url, config.kafka(), name, after, report)


@click.command()
@database_url
@bootstrap_servers
@click.option("--from", "after", type=click.IntRange(0), metavar="POSITION", help="Publish the events after this position again.")
@click.option("--topic", metavar="NAME", help="Instead of the topic in the settings; with --from, where to publish.")
@click.option(
    "--json", "as_json", is_flag=True, help="Print messages as JSON, one per line; the default if the output is not a terminal."
)
def stream(
    database_url: str | None, kafka_bootstrap_servers: str | None, after: int | None, topic: str | None, as_json: bool
) -> None:
    """Follow the events on the topic; or publish part of the log again, with the same ids."""
    needed = database_url if after is not None else "postgresql://"
    config = load_settings(database_url=needed, kafka_bootstrap_servers=kafka_bootstrap_servers)
    if after is None:
        render = message_lines.raw if as_json or not sys.stdout.isatty() else message_lines.line
        for record in tail(config, topic):
            click.echo(render(record))
        return
    if topic is None:
        raise click.UsageError(f"Name the topic to publish to with --topic; {config.kafka_topic} is the one that everybody reads.")
    with progress("Sending") as report:
        sent = republish(config, topic, after, report)
    click.echo(f"Published {sent.messages} messages to {topic}, up to position {sent.position}.")
