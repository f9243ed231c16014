"""The relay: publishes the log, in its order, to the topic. One works at a time, however many are started.

It saves its checkpoint when all of a chunk has arrived. When it starts, or restarts after an error, it goes on from there and skips
what the end of each partition shows to have arrived already, so that a crash loses nothing and repeats hardly anything. If the
topic is gone, it publishes again what the topic's retention would hold. If Kafka is unavailable it waits, and the product goes on.

If the topic has what the log has not, or had it before it was emptied, the log went back, and the relay stops. When the log has
begun an epoch, it first tells that on every partition, and goes on after the last position that the log and the topic have in
common.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from itertools import takewhile
from typing import Any, NamedTuple
from uuid import UUID

import psycopg
import structlog
from psycopg import Connection, Cursor

from consumers import checkpoints, database, kafka, lost_history, stops, topic
from consumers.event_reader import Chunk, EventReader, position_before
from consumers.kafka import Kafka
from consumers.lost_history import LogWentBack
from consumers.message import REPUBLISHED
from consumers.publisher import Publisher
from domain import event_store
from domain.epoch import Epoch, Epochs
from domain.log import Restored
from projections import clock

log = structlog.get_logger("relay")

CHUNK = 500
HEARTBEAT_SECONDS = 5
SENDING = timedelta(minutes=2)
"""What is sent was in the log that long after the checkpoint was last saved, at most: reading a chunk may take a minute."""
LOCK = 7_240_511_808
"""The advisory lock that the relays of a database compete for."""


class Overtaken(Exception):
    """Somebody else has moved the checkpoint."""


class EpochBegan(Exception):
    """The log has begun another epoch, which must be told first."""


class Start(NamedTuple):
    """Where to go on from, and per partition the position up to which everything has arrived already."""

    position: int
    arrived: dict[int, int]


class Relay:
    """A ``loop.Worker``; a step relays a chunk."""

    def __init__(
        self,
        database_url: str,
        config: Kafka,
        stop: threading.Event,
        *,
        chunk: int = CHUNK,
        statement_timeout_ms: int = database.TIMEOUT_MS,
        now: Callable[[Cursor[Any]], datetime] = clock.ask,
    ) -> None:
        self._url = database_url
        self._config = config
        self._stop = stop
        self._chunk = chunk
        self._timeout = statement_timeout_ms
        self._now = now
        self._log = EventReader()
        self._connection: Connection[Any] | None = None
        self._leading: bool | None = None
        self._publisher: Publisher | None = None
        self._start = Start(0, {})
        self._ahead: Chunk | None = None
        self._saved_at = 0.0
        self._told: set[UUID] = set()

    def step(self) -> bool:
        try:
            return self._step()
        except LogWentBack as error:
            self._note(error)
            self.close()
            raise
        except BaseException:
            self.close()
            raise

    def wait(self, seconds: float) -> None:
        """Wait until something is appended; a standby just waits."""
        if self._connection is None or not self._leading:
            self._stop.wait(seconds)
            return
        try:
            for _ in self._connection.notifies(timeout=seconds, stop_after=1):
                pass
        except psycopg.Error:
            self.close()
            raise

    def close(self) -> None:
        if self._publisher is not None:
            self._publisher.close()
        if self._connection is not None:
            with suppress(psycopg.Error):
                self._connection.close()
        self._publisher, self._connection, self._leading, self._ahead = None, None, None, None
        self._log = EventReader()

    def _note(self, error: LogWentBack) -> None:
        assert self._connection is not None
        with suppress(psycopg.Error), self._connection.cursor() as cursor:
            stops.note(cursor, checkpoints.RELAY, str(error))

    def _step(self) -> bool:
        if self._connection is None:
            self._connection = database.connect(self._url, "relay", statement_timeout_ms=self._timeout)
        with self._connection.cursor() as cursor:
            if not self._lead(cursor):
                return False
            if self._publisher is None:
                self._publisher = Publisher(self._config, self._config.topic)
                self._start = self._resume(cursor, self._publisher)
            self._publisher.check()
            return self._forward(cursor, self._publisher)

    def _lead(self, cursor: Cursor[Any]) -> bool:
        """Whether this relay is the leader. The lock lasts as long as the connection."""
        if not self._leading:
            row = cursor.execute("SELECT pg_try_advisory_lock(%s)", (LOCK,)).fetchone()
            leading = bool(row and row[0])
            if leading:
                cursor.execute(f"LISTEN {event_store.CHANNEL}")
            if leading != self._leading:
                log.info("relay.leading" if leading else "relay.standby")
            self._leading = leading
        return bool(self._leading)

    def _resume(self, cursor: Cursor[Any], publisher: Publisher) -> Start:
        saved, known = checkpoints.load(cursor, checkpoints.RELAY)
        now = publisher.topic
        reader = kafka.consumer(self._config)
        try:
            ends = topic.ends(reader, now)
        finally:
            reader.close()
        epochs = event_store.epochs(cursor)
        arrived = _arrived(cursor, epochs, ends, saved)
        before = known.get("topic_id")
        renewed = before and now.id and before != now.id
        if saved and (renewed or not any(end.highwater for end in ends.values())):
            start = Start(min(saved, self._retained(cursor)), {})
            told = None
            log.warning("relay.topic_is_new", topic=now.name, saved=saved, again_from=start.position)
        else:
            # With more partitions, a record's later events would go elsewhere, and so out of order.
            publisher.partitions = min(known.get("partitions", now.partitions), now.partitions)
            start = Start(saved, arrived)
            told = known.get("epoch")
            if not epochs.since(UUID(told) if told else None):
                self._require_known(cursor, saved, ends, known.get("ends", {}))
        known_ends = {number: end.highwater for number, end in ends.items()}
        if begun := [epoch for epoch in epochs.since(UUID(told) if told else None) if epoch.first_position > start.position]:
            start = self._tell(cursor, publisher, begun, start, known_ends)
        self._told = {epoch.id for epoch in epochs.since(None)}
        detail = {
            "topic": now.name, "topic_id": now.id, "partitions": publisher.partitions, "epoch": str(epochs.current.id),
            "ends": known_ends,
        }  # fmt: skip
        checkpoints.save(cursor, checkpoints.RELAY, start.position, detail)
        self._saved_at = time.monotonic()
        log.info("relay.started", topic=now.name, position=start.position, partitions=publisher.partitions)
        return start

    def _require_known(self, cursor: Cursor[Any], saved: int, ends: Mapping[int, topic.End], known: Mapping[str, int]) -> None:
        """What a relay that died had sent was in the log by the time when it was last seen. Raises ``LogWentBack``."""
        if not any(end.record is None for end in ends.values()) or (lag := checkpoints.lag(cursor, checkpoints.RELAY)) is None:
            return
        seen_at = self._now(cursor) - timedelta(seconds=lag.unseen)
        lost_history.require_known(ends, known, position_before(cursor, seen_at + SENDING) - saved)

    def _tell(self, cursor: Cursor[Any], publisher: Publisher, begun: Sequence[Epoch], start: Start, ends: dict[int, int]) -> Start:
        """Tell on every partition that epochs have begun, before any of their events. Where to go on from then."""
        for epoch in begun:
            position, more = epoch.first_position - 1, True
            while more and (events := event_store.read_after(cursor, position, self._chunk)):
                telling = list(takewhile(lambda recorded: isinstance(recorded.event, Restored), events))
                ends |= publisher.settle(publisher.send_to_all(self._log.records(cursor, telling)), self._stop)
                position, more = events[-1].position, len(telling) == len(events)
            log.warning("relay.epoch", epoch=str(epoch.id), last_good=epoch.last_good_position, first=epoch.first_position)
        good = min(epoch.last_good_position for epoch in begun)
        return Start(min(start.position, good), {number: min(position, good) for number, position in start.arrived.items()})

    def _retained(self, cursor: Cursor[Any]) -> int:
        """The position from which on the topic would still hold everything."""
        hours = self._config.retention_hours
        return position_before(cursor, self._now(cursor) - timedelta(hours=hours)) if hours else 0

    def _forward(self, cursor: Cursor[Any], publisher: Publisher) -> bool:
        position, arrived = self._start
        chunk = self._ahead or self._log.read(cursor, position, self._chunk)
        self._ahead = None
        if chunk is None:
            self._save(cursor, position)
            return False
        self._require_told(chunk)
        if not checkpoints.is_at(cursor, checkpoints.RELAY, position):
            raise Overtaken("The relay's checkpoint was moved by somebody else.")
        due = [
            record
            for record in chunk.records
            if record.begins is None and (not arrived or record.position > arrived.get(publisher.partition(record), 0))
        ]
        sent = publisher.send(due)
        if chunk.events == self._chunk:  # there may be more: read it while these are on their way
            self._ahead = self._log.read(cursor, chunk.position, self._chunk)
        ends = publisher.settle(sent, self._stop)
        self._save(cursor, chunk.position, ends)
        self._start = Start(chunk.position, arrived)
        return True

    def _require_told(self, chunk: Chunk) -> None:
        """Raises ``EpochBegan`` if one of the events begins an epoch that was not there when this relay began."""
        if any(record.begins is not None and record.begins not in self._told for record in chunk.records):
            raise EpochBegan("The log has begun another epoch.")

    def _save(self, cursor: Cursor[Any], position: int, ends: Mapping[int, int] = {}) -> None:
        """Move the checkpoint, or touch it now and then to show that the relay works."""
        if position == self._start.position and time.monotonic() - self._saved_at < HEARTBEAT_SECONDS:
            return
        if not checkpoints.advance(cursor, checkpoints.RELAY, position, since=self._start.position, ends=ends):
            raise Overtaken("The relay's checkpoint was moved by somebody else.")
        self._saved_at = time.monotonic()


def _arrived(cursor: Cursor[Any], epochs: Epochs, ends: Mapping[int, topic.End], saved: int) -> dict[int, int]:
    """The position up to which everything has arrived, for each partition, as its last record proves. Raises ``LogWentBack``.

    A record that was published again by hand, or tells that an epoch began, proves nothing. One of a history that is lost came
    after all those of before.
    """
    records = [record for record, _ in ends.values() if record is not None]
    by_hand = {record.partition for record in records if REPUBLISHED in dict(record.headers)}
    arrived = {}
    for number, (one, verdict) in lost_history.require_ours(cursor, epochs, records).items():
        if number not in by_hand and not one.restored:
            position = one.position if verdict == "ours" else epochs.at(one.position).last_good_position
            if position > saved:
                arrived[number] = position
    return arrived
