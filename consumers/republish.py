"""Publishes part of the log again, on request. Refuses to run ahead of the relay on the relay's own topic."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from consumers import checkpoints, database
from consumers.event_reader import EventReader
from consumers.kafka import Kafka
from consumers.message import REPUBLISHED
from consumers.publisher import Publisher
from domain import event_store

CHUNK = 500
MARK = [(REPUBLISHED, b"true")]


class Republished(NamedTuple):
    messages: int
    position: int
    """Of the last event."""


def republish(
    url: str, config: Kafka, name: str, after: int, report: Callable[[int, int], None] = lambda done, total: None
) -> Republished:
    """Publish the log after a position, up to its present end; on the relay's topic, up to where the relay is.

    ``report`` gets the positions done and the total. Raises ``KafkaError``, ``psycopg.Error``.
    """
    log, position, messages = EventReader(), after, 0
    with database.connect(url, "republish") as connection, connection.cursor() as cursor, Publisher(config, name) as publisher:
        relayed, detail = checkpoints.load(cursor, checkpoints.RELAY)
        ours = name == config.topic
        last = relayed if ours else event_store.head(cursor)
        if ours:
            publisher.partitions = min(detail.get("partitions", publisher.partitions), publisher.partitions)
        while position < last and (chunk := log.read(cursor, position, CHUNK)):
            due = [record for record in chunk.records if record.position <= last]
            ends = publisher.settle(publisher.send(due, MARK))
            if ours and ends:
                checkpoints.note_ends(cursor, checkpoints.RELAY, ends)
            messages += len(due)
            position = min(chunk.position, last)
            report(position - after, last - after)
    return Republished(messages, position)
