"""From the topic to the queue: one delivery for each event and each endpoint that wants it.

A batch of records is one transaction, and the offset is committed after it; so after a crash some records come again and change
nothing. A record that cannot be processed becomes a dead letter, and the partition moves on. Nothing here waits for a receiver.

The offset is also kept with the deliveries: where the group's is beyond it, the database went back, and reads again what it lacks.
Records of a history that the log has left behind are passed over; those that only a lost history explains end the process.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from hashlib import sha256
from threading import Event
from typing import Any

import msgspec
import psycopg
import structlog
from psycopg import Connection, Cursor

from consumers import database, kafka, lost_history, stops, topic
from consumers.kafka import Admin, Consumer, Fetched, Kafka, KafkaError, errors
from consumers.kafka_settings import reason
from consumers.lost_history import LogWentBack
from consumers.publisher import TopicLost
from consumers.topic import Topic
from consumers.webhooks import deal_event, deliveries, progress
from consumers.webhooks.progress import CHECKPOINT, Progress
from domain import event_store
from domain.epoch import Epochs
from projections import clock

log = structlog.get_logger("webhooks")

GROUP = "webhooks"
MAX_RECORDS = 500
POLL_MS = 500
QUIET_POLL_MS = 50
QUIET_SECONDS = 2.0
"""After so long without a record, polls become rare, unless a notification says that the log has grown."""
HEARTBEAT_SECONDS = 5.0
CHECK_SECONDS = 2.0
UNREAD_SECONDS = 30.0
"""After so long without a sign of anybody who reads a partition, a consumer at work joins the group again; later if the group has
assigned it none, for that may take a while."""
SAFETY = timedelta(days=1)
_MOVED = (errors.CommitFailedError, errors.RebalanceInProgressError, errors.IllegalGenerationError, errors.UnknownMemberIdError)
"""What a commit raises when partitions have moved to another member, which will see these records again."""


class Unread(Exception):
    """Partitions that no member of the group reads: its brokers still count on one that is gone."""

    def __init__(self, partitions: Sequence[int]) -> None:
        super().__init__(f"Nobody reads partition {', '.join(map(str, partitions))}: joining the group again.")


def group(found: Topic) -> str:
    """The topic's consumer group. It includes the topic's id, because offsets mean nothing in another topic of the same name."""
    return ".".join([found.name, GROUP, *([found.id] if found.id else [])])


class FanOut:
    """A ``loop.Worker``; a step processes what one poll brings. ``wake`` is called when there are new deliveries.

    Events recorded longer ago than ``keep`` are not fanned out: their deliveries may have been swept, so that nobody could tell
    whether they were sent.
    """

    def __init__(
        self,
        database_url: str,
        config: Kafka,
        stop: Event,
        *,
        keep: timedelta,
        statement_timeout_ms: int = database.TIMEOUT_MS,
        now: Callable[[Cursor[Any]], datetime] | None = None,
    ) -> None:
        self._url = database_url
        self._config = config
        self._stop = stop
        self._timeout = statement_timeout_ms
        self._oldest = keep - SAFETY if keep > SAFETY else keep
        self.wake: Callable[[], None] = lambda: None
        self._now = now or clock.Clock().read
        self._connection: Connection[Any] | None = None
        self._admin: Admin | None = None
        self._topic: Topic | None = None
        self._consumer: Consumer | None = None
        self._untaken: list[Fetched] = []
        self._epochs: Epochs | None = None
        self._progress: Progress | None = None
        self._assigned: list[int] = []
        self._moved_at = self._seen_at = self._checked_at = self._answered_at = self._active_at = 0.0
        self._listening = False

    def step(self) -> bool:
        try:
            return self._step()
        except psycopg.Error:
            if self._connection is None:  # there is no database to be reached: others may have the partitions
                self._leave()
            self._disconnect()
            raise
        except (KafkaError, TopicLost, Unread):
            self._leave()
            raise
        except LogWentBack as error:
            if self._connection is not None:
                with suppress(psycopg.Error), self._connection.cursor() as cursor:
                    stops.note(cursor, f"{CHECKPOINT}/{error.partition}", str(error))
            self.close()
            raise

    def wait(self, seconds: float) -> None:
        """Wait until something is appended: that notification is enough, and polls that wait cost more."""
        assert self._connection is not None
        try:
            for _ in self._connection.notifies(timeout=seconds, stop_after=1):
                self._active_at = time.monotonic()
        except psycopg.Error:
            self._disconnect()
            raise

    def close(self) -> None:
        self._leave()
        self._disconnect()

    def _step(self) -> bool:
        if self._connection is None:
            self._connection = database.connect(self._url, "webhooks", statement_timeout_ms=self._timeout)
            self._connection.execute(deliveries.TELLS_LATER)
        consumer = self._consumer or self._join(self._connection)
        assert self._topic is not None
        if self._progress is None or self._epochs is None:
            with self._connection.cursor() as cursor:
                self._epochs = event_store.epochs(cursor)
            self._progress = Progress(self._topic, restored=not self._epochs.current.is_first)
        self._check(self._connection)
        quiet = self._quiet(consumer)
        self._listen(self._connection, quiet)
        if not self._untaken:
            polled = consumer.poll(timeout_ms=QUIET_POLL_MS if quiet else POLL_MS, max_records=MAX_RECORDS)
            self._untaken = [record for records in polled.values() for record in records]
        self._follow_moves(self._connection, consumer)
        if self._untaken:
            quiet, self._active_at = False, time.monotonic()
            queued = self._take(self._connection, consumer, self._untaken)
            self._untaken = []
            if queued:
                self.wake()
                self._connection.execute(deliveries.TELL)
            try:
                consumer.commit()
            except _MOVED as error:
                log.info("consumer.moved", reason=reason(error))
        elif time.monotonic() - self._seen_at > HEARTBEAT_SECONDS:
            with self._connection.cursor() as cursor:
                self._save(cursor, consumer)
        return not quiet

    def _follow_moves(self, connection: Connection[Any], consumer: Consumer) -> None:
        assert self._progress is not None
        assigned = sorted(partition.partition for partition in consumer.assignment())
        if assigned != self._assigned:
            log.info("consumer.assigned", partitions=assigned)
            self._assigned = assigned
            self._moved_at = time.monotonic()
        with connection.cursor() as cursor:
            set_back = self._progress.follow(cursor, consumer)
        if set_back:
            self._untaken = [record for record in self._untaken if record.partition not in set_back]

    def _quiet(self, consumer: Consumer) -> bool:
        """Whether to poll rarely; never before the group has assigned partitions."""
        return bool(consumer.assignment()) and time.monotonic() - self._active_at > QUIET_SECONDS

    def _listen(self, connection: Connection[Any], quiet: bool) -> None:
        """Listen only while quiet: notifications would pile up while nobody reads them."""
        if quiet != self._listening:
            connection.execute(f"{'LISTEN' if quiet else 'UNLISTEN'} {event_store.CHANNEL}")
            self._listening = quiet

    def _join(self, connection: Connection[Any]) -> Consumer:
        """Become a member of the topic's group."""
        self._admin = kafka.admin(self._config)
        self._topic = found = topic.ensure(self._admin, self._config, self._config.topic)
        self._consumer = consumer = kafka.consumer(self._config, group(found))
        consumer.subscribe([found.name])
        connection.execute("DELETE FROM checkpoints WHERE name LIKE 'webhooks/%%' AND name <> ALL(%s)", (progress.names(found),))
        self._moved_at = self._checked_at = self._answered_at = time.monotonic()
        log.info("consumer.started", topic=found.name, group=group(found))
        return consumer

    def _check(self, connection: Connection[Any]) -> None:
        """Check now and then that the topic is still the same and read by somebody. Raises ``TopicLost``, ``Unread``, and
        ``KafkaError`` if no broker has answered for as long as a request may take: polls would go on and find nothing."""
        if time.monotonic() - self._checked_at < CHECK_SECONDS:
            return
        assert self._admin is not None
        assert self._topic is not None
        try:
            if not topic.is_there(self._admin, self._topic):
                raise TopicLost(self._topic.name)
            self._answered_at = time.monotonic()
        except KafkaError:  # a broker that does not answer for a moment may still have it
            if time.monotonic() - self._answered_at > self._config.request_timeout_ms / 1000:
                raise
        if unread := self._unread(connection, self._topic.partitions):
            raise Unread(unread)
        self._checked_at = time.monotonic()

    def _unread(self, connection: Connection[Any], partitions: int) -> list[int]:
        """Partitions of which nobody has shown for long that they are read, although this consumer has been at work."""
        now = time.monotonic()
        if now - self._moved_at < UNREAD_SECONDS * (1 if self._assigned else 4) or now - self._seen_at > UNREAD_SECONDS / 2:
            return []
        found = connection.execute(
            """
            SELECT number FROM generate_series(0, %s) number WHERE NOT EXISTS (
                SELECT FROM checkpoints
                WHERE name = %s || '/' || number AND updated_at > clock_timestamp() - make_interval(secs => %s)
            )
            """,
            (partitions - 1, CHECKPOINT, UNREAD_SECONDS),
        )
        return [number for (number,) in found]

    def _leave(self) -> None:
        if self._consumer is not None:
            kafka.leave(self._consumer)
        if self._admin is not None:
            with suppress(KafkaError):
                self._admin.close()
        self._consumer, self._admin, self._topic, self._untaken, self._assigned = None, None, None, [], []
        self._progress = None

    def _disconnect(self) -> None:
        if self._connection is not None:
            with suppress(psycopg.Error):
                self._connection.close()
        self._connection, self._listening = None, False
        self._progress, self._epochs = None, None  # the next one may lead to a database that went back

    def _take(self, connection: Connection[Any], consumer: Consumer, records: list[Fetched]) -> int:
        """Queue the deliveries of records; returns how many."""
        try:
            with connection.transaction(), connection.cursor() as cursor:
                queued = self._fan_out(cursor, records)
                self._save(cursor, consumer, records)
                return queued
        except (psycopg.DataError, psycopg.IntegrityError) as error:
            if len(records) == 1:
                with connection.transaction(), connection.cursor() as cursor:
                    _dead_letter(cursor, records[0], error)
                return 0
        return sum(self._take(connection, consumer, [record]) for record in records)

    def _fan_out(self, cursor: Cursor[Any], records: list[Fetched]) -> int:
        assert self._progress is not None
        oldest = self._now(cursor) - self._oldest
        events = []
        for record in self._of_this_log(cursor, records):
            try:
                event = deal_event.parse(record.value)
            except (msgspec.DecodeError, UnicodeDecodeError) as error:
                _dead_letter(cursor, record, error)
                continue
            if event is not None:
                self._progress.reached(record.partition, event.message.position)
                if event.message.recorded_at >= oldest:
                    events.append(event)
        return deliveries.queue(cursor, deal_event.rows(cursor, events))

    def _of_this_log(self, cursor: Cursor[Any], records: list[Fetched]) -> list[Fetched]:
        """Without those of histories that the log has left behind. Raises ``LogWentBack``."""
        seen = [(record, lost_history.seen(record)) for record in records]
        assert self._epochs is not None
        if any(one and lost_history.out_of_epoch(self._epochs, one) for _, one in seen):
            self._epochs = event_store.epochs(cursor)
        epochs = self._epochs
        kept = [record for record, one in seen if one is None or lost_history.out_of_epoch(epochs, one) != "lost"]
        # In a partition positions only grow, so that its last record answers for those before.
        lost_history.require_ours(cursor, epochs, kept)
        if len(kept) < len(records):
            log.warning("records.lost", records=len(records) - len(kept))
        return kept

    def _save(self, cursor: Cursor[Any], consumer: Consumer, processed: Sequence[Fetched] = ()) -> None:
        assert self._progress is not None
        self._progress.save(cursor, consumer, processed)
        self._seen_at = time.monotonic()


def _dead_letter(cursor: Cursor[Any], record: Fetched, error: Exception) -> None:
    """Keep a record that cannot be processed, with the reason."""
    headers = {name: value.decode(errors="replace").replace("\0", "") for name, value in record.headers}
    cursor.execute(
        """
        INSERT INTO dead_letters (topic, partition, "offset", digest, key, value, headers, error)
        VALUES (%s, %s, %s, %s, %s, %s, %s::jsonb, %s) ON CONFLICT DO NOTHING
        """,
        (
            record.topic,
            record.partition,
            record.offset,
            sha256(record.value or b"").digest(),
            record.key,
            record.value,
            msgspec.json.encode(headers).decode(),
            reason(error),
        ),
    )
    log.warning("record.buried", topic=record.topic, partition=record.partition, offset=record.offset, reason=reason(error))
