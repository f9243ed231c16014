"""``opportunities stream``: the topic in the terminal, and a part of the log sent to a topic once more.

On a terminal a message is a line to read, elsewhere its JSON. Refuses to belong to a consumer group: it takes nothing from
anybody.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime

import msgspec

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
