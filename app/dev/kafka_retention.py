"""Keeps the embedded broker's memory within bounds. By itself it keeps every record forever, 3 KB each.

When it has grown large, the relay pauses; the webhooks process what there is, readers get a second more, and all records are
deleted. Offsets, groups and connections stay as they are, so readers that keep up notice nothing. Refuses to empty the topic before
the webhooks have processed everything on it.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress

import structlog

from app.dev.kafka import Broker
from consumers import kafka, topic
from consumers.kafka import Admin, KafkaError, TopicPartition, errors
from consumers.kafka_settings import Kafka, reason
from consumers.topic import Topic
from consumers.webhooks import fan_out

LOOK_SECONDS = 1.0
"""How often to check, and how long readers have after the relay has paused."""
LIMIT = 160 * 1024 * 1024
"""The memory from which on the broker is emptied. It keeps growing until the relay has paused, by at most a second's worth, 30 MB.
"""

log = structlog.get_logger("broker")


class Retention:
    """Watches a broker's memory. ``pause`` stops the relay, ``resume`` starts it again."""

    def __init__(
        self, broker: Broker, config: Kafka, pause: Callable[[], object], resume: Callable[[], object], *, limit: int = LIMIT
    ) -> None:
        self._broker = broker
        self._config = config
        self._pause = pause
        self._resume = resume
        self._limit = limit
        self._emptied_from = limit
        self._looked_at = 0.0
        self.paused = False

    def look(self) -> None:
        """Take one step towards emptying the broker, if it is too large. Call it often."""
        if time.monotonic() - self._looked_at < LOOK_SECONDS:
            return
        if not self.paused:
            if (held := self._broker.memory()) >= self._emptied_from:
                self.paused = True
                self._pause()
                log.info("broker.full", bytes=held)
        elif self._emptied():
            # What is left is not ours to delete: topics that somebody else created.
            self._emptied_from = max(self._limit, self._broker.memory() + self._limit // 4)
            log.info("broker.emptied", bytes=self._broker.memory())
            self._resume()
            self.paused = False
        self._looked_at = time.monotonic()

    def _emptied(self) -> bool:
        """Whether the topic could be emptied; not while the webhooks still have to process something, or nobody answers."""
        try:
            admin = kafka.admin(self._config)
            try:
                found = topic.find(admin, self._config.topic)
                if found is not None:
                    if not taken(self._config, found):
                        return False
                    empty(admin, found)
            finally:
                admin.close()
        except KafkaError as error:
            log.warning("broker.not_emptied", reason=reason(error))
            return False
        return True


def taken(config: Kafka, found: Topic) -> bool:
    """Whether the webhooks have processed everything on the topic. Raises ``KafkaError``."""
    reader = kafka.consumer(config, fan_out.group(found))
    try:
        for number, end in topic.ends(reader, found).items():
            if (reader.committed(TopicPartition(found.name, number)) or 0) < end.highwater:
                return False
    finally:
        kafka.leave(reader)
    return True


def empty(admin: Admin, found: Topic) -> None:
    """Delete all records of a topic of the embedded broker, and nothing else. Raises ``KafkaError``.

    It has no retention, and closes the connection of a client that asks it to delete records. But it keeps records in a tree of
    paths, and deleting a topic deletes whatever is below its path. So we create a topic whose path is that of a partition's
    records, without partitions of its own, and delete it.
    """
    for number in range(found.partitions):
        name = f"{found.name}/partitions/{number:010}/records"
        with suppress(errors.TopicAlreadyExistsError):
            admin.create_topics({name: {"num_partitions": 0, "replication_factor": 1}})
        admin.delete_topics([name])
