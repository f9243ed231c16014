"""``opportunities stream``: the topic in the terminal, and a part of the log sent to a topic once more.

On a terminal a message is a line to read, elsewhere its JSON. Refuses to belong to a consumer group: it takes nothing from
anybody.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from datetime import datetime

import click
import msgspec

from app.cli.options import bootstrap_servers, database_url, load_settings, progress
from app.cli.relay import quiet
from app.process.failures import Failure
from app.settings import Settings
from consumers import kafka, message, topic
from consumers import republish as again
from consumers.kafka import Fetched
from consumers.republish import Republished

POLL_MS = 200


def tail(config: Settings, name: str | None) -> Iterator[Fetched]:
    """The records that arrive from now on, for ever. Raises ``Failure``, ``SettingsError``, ``KafkaError``."""
    quiet(config.log_level)
    kafka.require_checksum()
    cluster = config.kafka()
    admin = kafka.admin(cluster)
    try:
        found = topic.find(admin, name or cluster.topic)
    finally:
        admin.close()
    if found is None:
        raise Failure(f"There is no topic {name or cluster.topic}: the relay makes it, `opportunities relay`.")
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
    quiet(config.log_level)
    kafka.require_checksum()
    return again.republish(config.database_url, config.kafka(), name, after, report)


def raw(record: Fetched) -> str:
    return (record.value or b"").decode(errors="replace")


def line(record: Fetched) -> str:
    """When, what, of which record, by whom, and what it was before."""
    try:
        told = message.decode(record.value or b"")
    except msgspec.DecodeError:
        return f"?  {raw(record)}"
    shown = msgspec.json.decode(next(iter(told.data.values()), b"null"))
    of = shown.get("name") or shown.get("subject") or shown.get("id") or "" if isinstance(shown, dict) else ""
    by = told.actor.email if told.actor else "the operator"
    changed = bytes(told.previous).decode()
    at = _local(told.recorded_at)
    return f"{at}  {told.position:>8}  {told.type:<26}  {of}  by {by}" + (f"  was {changed}" if changed != "{}" else "")


def _local(instant: datetime) -> str:
    return instant.astimezone().strftime("%H:%M:%S")


@click.command()
@database_url
@bootstrap_servers
@click.option("--from", "after", type=click.IntRange(0), metavar="POSITION", help="Send what lies beyond this position again.")
@click.option("--topic", metavar="NAME", help="Instead of the topic of the settings; with --from, where to send it.")
@click.option("--json", "as_json", is_flag=True, help="Messages as they are, a line each; so it is where no terminal reads.")
def stream(
    database_url: str | None, kafka_bootstrap_servers: str | None, after: int | None, topic: str | None, as_json: bool
) -> None:
    """Follow the events on the topic; or send a part of the log to a topic again, with the same ids."""
    needed = database_url if after is not None else "postgresql://"
    config = load_settings(database_url=needed, kafka_bootstrap_servers=kafka_bootstrap_servers)
    if after is None:
        told = raw if as_json or not sys.stdout.isatty() else line
        for record in tail(config, topic):
            click.echo(told(record))
        return
    if topic is None:
        raise click.UsageError(f"Say with --topic where to send it again; {config.kafka_topic} is the one that all read.")
    with progress("Sending") as report:
        sent = republish(config, topic, after, report)
    click.echo(f"Sent {sent.messages} messages to {topic}, up to position {sent.position}.")
