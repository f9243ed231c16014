"""Publishes records to one topic, in order for each key.

A publisher is not used again after an error, because nobody knows what has arrived: it is closed, and the next one checks the topic
first.
"""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from types import TracebackType
from typing import Self

from consumers import kafka, topic
from consumers.kafka import Kafka, KafkaError, Producer, errors
from consumers.message import Headers, Record

CHECK_SECONDS = 2
STOP_SECONDS = 5
"""How long a process that was told to stop still waits for what it has sent."""


class TopicLost(Exception):
    """The topic is gone, or was replaced by another one of the same name."""


class Publisher:
    """Connects when created, and creates the topic if it does not exist. All methods raise ``KafkaError``, and it ``BadTopic``."""

    def __init__(self, config: Kafka, name: str) -> None:
        self._admin = kafka.admin(config)
        self._producer: Producer | None = None
        self._checked = time.monotonic()
        self._patience = config.request_timeout_ms / 1000 * 3
        """Seconds to wait for records: longer than the producer's own timeout."""
        try:
            self.topic = topic.ensure(self._admin, config, name)
            topic.check(self._admin, self.topic)
            self._producer = kafka.producer(config)
        except BaseException:
            self.close()
            raise
        self.partitions = self.topic.partitions

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def partition(self, record: Record) -> int:
        return kafka.partition_of(record.key, self.partitions)

    def send(self, records: Iterable[Record], more: Headers | None = None) -> list[kafka.Sent]:
        """Start sending, with ``more`` headers."""
        by_partition = defaultdict[int, list[Record]](list)
        for record in records:
            by_partition[self.partition(record)].append(record._replace(headers=record.headers + more) if more else record)
        return self._send(by_partition)

    def send_to_all(self, records: Sequence[Record]) -> list[kafka.Sent]:
        """Start sending each to every partition."""
        return self._send(dict.fromkeys(range(self.topic.partitions), records))

    def _send(self, records: Mapping[int, Sequence[Record]]) -> list[kafka.Sent]:
        assert self._producer is not None
        return self._producer.send_all(self.topic.name, records) if records else []

    def settle(self, sent: Sequence[kafka.Sent], stop: threading.Event | None = None) -> dict[int, int]:
        """Wait until all have arrived. The offset after the last of them, for each partition that got some. Raises ``TopicLost`` as
        soon as that is seen, while the producer would go on retrying.

        Brokers that once leave a question unanswered are asked no more: each further one would take some ten seconds. Those that
        refuse are asked again, as while a topic is being deleted.
        """
        deadline, answering = time.monotonic() + self._patience, True
        ends: dict[int, int] = {}
        for one in sent:
            while True:
                try:
                    ends[one.partition] = max(one.get(timeout=0.2), ends.get(one.partition, 0))
                    break
                except errors.KafkaTimeoutError:
                    now = time.monotonic()
                    if stop is not None and stop.is_set():
                        deadline, stop = min(deadline, now + STOP_SECONDS), None
                    if one.is_done or now > deadline:
                        if answering:
                            topic.check_replicas(self._admin, self.topic)
                        raise
                    if answering:
                        answering = self._is_answered()
        return ends

    def check(self) -> None:
        """Check now and then that the topic is still the same. Raises ``TopicLost``."""
        if time.monotonic() - self._checked > CHECK_SECONDS:
            if not topic.is_there(self._admin, self.topic):
                raise TopicLost(self.topic.name)
            self._checked = time.monotonic()

    def _is_answered(self) -> bool:
        """As ``check``; False if no broker answered, which is known by the time it took: the errors are the same."""
        began = time.monotonic()
        try:
            self.check()
        except KafkaError:
            return time.monotonic() - began < CHECK_SECONDS
        return True

    def close(self) -> None:
        """Close it without trying again to deliver what has not arrived."""
        if self._producer is not None:
            kafka.abandon(self._producer)
        with suppress(KafkaError):
            self._admin.close()
