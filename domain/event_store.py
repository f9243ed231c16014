"""The event store: the library's event table, mapper, recorder and notification log, with our codec and our append.

The only module that imports ``eventsourcing``. It refuses to change or remove an event, to leave the order of positions to chance,
and to retry an append by itself: the caller's transaction decides, and its command ids tell what happened.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any, Generic, NamedTuple, TypeVar
from uuid import UUID

import msgspec
from eventsourcing.persistence import Mapper, StoredEvent
from eventsourcing.postgres import PostgresApplicationRecorder
from msgspec import Raw
from psycopg import Connection
from psycopg.rows import tuple_row

from domain import catalog
from domain.epoch import Epoch, Epochs
from domain.event import Event, Meta, Recorded
from domain.sql_cursor import SqlCursor

TABLE = "opportunities_events"
CHANNEL = TABLE
# What the library's stock Application needs to open this store, beside the database's URL. The table is named after the class,
# which must be ``class Opportunities(Application[UUID])``.
ENVIRONMENT = {
    "PERSISTENCE_MODULE": "eventsourcing.postgres",
    "MAPPER_TOPIC": "domain.event_store:EventMapper",
    "APPLICATION_RECORDER_TOPIC": "domain.event_store:Recorder",
    "CREATE_TABLE": "no",
}

SAMPLE = 200
"""Events looked at for each bound of a span."""
NOBODY = UUID(int=0)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

T = TypeVar("T")


class Opening(NamedTuple):
    """What the holder of the log's lock gets: position and time of the next event, the time later than any before; and the names
    and versions of the read models in the database."""

    position: int
    now: datetime
    read_models: str


class Stored(msgspec.Struct, Generic[T], frozen=True):
    """The JSON in the table's ``state``."""

    data: T
    meta: Meta


_encode = msgspec.json.Encoder(order="deterministic", decimal_format="string").encode


@cache
def _decoder(topic: str) -> msgspec.json.Decoder[Stored[Event]]:
    return msgspec.json.Decoder(Stored[catalog.class_of(topic)])  # type: ignore[misc]


def encode(event: Event, meta: Meta) -> bytes:
    return _encode(Stored(data=event, meta=meta))


def decode(topic: str, state: bytes, originator_id: UUID, originator_version: int, position: int = 0) -> Recorded:
    """The event of one row. Raises ``KeyError`` for a stored name the catalog does not know."""
    stored = _decoder(topic).decode(catalog.upcast(topic, state))
    return Recorded(originator_id, originator_version, stored.data, stored.meta, position)


def event_of(topic: str, data: Raw) -> Event:
    """An event from its JSON. Raises ``KeyError`` for a stored name the catalog does not know, ``msgspec.MsgspecError`` for what is
    no such event."""
    nowhere = Meta(org_id=NOBODY, command_id=NOBODY, occurred_at=EPOCH, recorded_at=EPOCH)
    return decode(topic, _encode(Stored(data=data, meta=nowhere)), NOBODY, 1).event


class EventMapper(Mapper[UUID]):
    """Converts between ``Recorded`` and the library's ``StoredEvent``: plain deterministic JSON under stable names."""

    def to_stored_event(self, domain_event: Any) -> StoredEvent:
        return StoredEvent(
            originator_id=domain_event.stream_id,
            originator_version=domain_event.version,
            topic=catalog.name_of(type(domain_event.event)),
            state=encode(domain_event.event, domain_event.meta),
        )

    def to_domain_event(self, stored_event: StoredEvent) -> Any:
        assert isinstance(stored_event.originator_id, UUID)
        return decode(stored_event.topic, stored_event.state, stored_event.originator_id, stored_event.originator_version)


class Recorder(PostgresApplicationRecorder):
    """The library's recorder with one-statement appends that take an advisory lock instead of locking the table.

    So positions are in commit order, the log needs no rights but SELECT and INSERT, and an append does not collide with vacuum or
    index builds. Unlike the library's, it never repeats an append: after a lost connection only the command id in the log tells
    whether it was committed.
    """

    def insert_events(self, stored_events: Sequence[StoredEvent], **_: Any) -> Sequence[int] | None:
        events = [EventMapper.to_domain_event(_MAPPER, stored) for stored in stored_events]
        with self.datastore.get_connection() as connection, connection.transaction():
            cursor = connection.cursor(row_factory=tuple_row)
            lock(cursor)
            return append(cursor, events, opening(cursor))


_MAPPER = EventMapper(transcoder=None)  # type: ignore[arg-type]


def lock(cursor: SqlCursor) -> None:
    """Wait until no other transaction is appending. The lock is held to the end of this transaction."""
    cursor.execute('SELECT "position", instant, read_models FROM open_log()', prepare=True)


def try_lock(cursor: SqlCursor) -> bool:
    """As ``lock``, without waiting: whether the lock is ours. It reads no ``Opening``, so the caller must not append."""
    cursor.execute("SELECT pg_try_advisory_xact_lock('public.opportunities_events'::regclass::oid::bigint)")
    (ours,) = cursor.fetchone() or (False,)
    return bool(ours)


def evict(cursor: SqlCursor, application: str, milliseconds: int) -> bool:
    """Terminate a session of ``application`` that holds the lock in a transaction older than ``milliseconds`` and for whose next
    statement the server waits. True if there was one. Both sessions must belong to the same user."""
    cursor.execute(
        """
        SELECT pg_terminate_backend(a.pid) FROM pg_locks l JOIN pg_stat_activity a USING (pid)
        WHERE l.locktype = 'advisory' AND l.granted AND (l.classid, l.objsubid) = (0, 1)
          AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
          AND l.objid = 'public.opportunities_events'::regclass
          AND a.application_name = %(application)s AND a.wait_event = 'ClientRead'
          AND a.xact_start < clock_timestamp() - %(milliseconds)s * interval '1 millisecond'
        """,
        {"application": application, "milliseconds": milliseconds},
    )
    return cursor.fetchone() is not None


def opening(cursor: SqlCursor) -> Opening:
    """The result of ``lock``, right after it."""
    row = cursor.fetchone()
    assert row is not None
    position, instant, read_models = row
    return Opening(position, EPOCH + timedelta(microseconds=instant), read_models)


def append(cursor: SqlCursor, events: Sequence[Recorded], opening: Opening) -> list[int]:
    """Append events that were recorded at ``opening``; returns their positions in the order of ``events``.

    Raises ``UniqueViolation`` if a version exists, ``SerializationFailure`` if somebody appended without the lock.
    """
    if not events:
        return []
    cursor.execute(
        """
        SELECT append_events(%(ids)b::uuid[], %(versions)b::bigint[], %(topics)b::text[], %(states)b::bytea[], %(org_ids)b::uuid[],
            %(position)b::bigint, %(instant)b::bigint)
        """,
        {
            "ids": [recorded.stream_id for recorded in events],
            "versions": [recorded.version for recorded in events],
            "topics": [catalog.name_of(type(recorded.event)) for recorded in events],
            "states": [encode(recorded.event, recorded.meta) for recorded in events],
            "org_ids": [recorded.meta.org_id for recorded in events],
            "position": opening.position,
            "instant": (opening.now - EPOCH) // timedelta(microseconds=1),
        },
        prepare=True,
    )
    return list(range(opening.position, opening.position + len(events)))


def load(cursor: SqlCursor, known: Mapping[UUID, int]) -> list[Recorded]:
    """The events of the named streams after the versions known, each stream's in order."""
    return request_events(cursor, known)()


def request_events(cursor: SqlCursor, known: Mapping[UUID, int]) -> Callable[[], list[Recorded]]:
    """As ``load``, in two steps: sends the statement now, reads the result when called."""
    cursor.execute(
        """
        SELECT e.topic, e.state, e.originator_id, e.originator_version, e.notification_id
        FROM unnest(%(ids)b::uuid[], %(versions)b::bigint[]) AS known (id, version)
        JOIN opportunities_events e ON e.originator_id = known.id AND e.originator_version > known.version
        ORDER BY e.originator_id, e.originator_version
        """,
        {"ids": list(known), "versions": list(known.values())},
        prepare=True,
        binary=True,
    )
    return lambda: [decode(*row) for row in cursor.fetchall()]


def read_after(cursor: SqlCursor, position: int, limit: int) -> list[Recorded]:
    """The next events of the whole log, in order of position. Positions have gaps: continue after the last one seen."""
    cursor.execute(
        f"""
        SELECT topic, state, originator_id, originator_version, notification_id
        FROM opportunities_events WHERE notification_id > %(position)b ORDER BY notification_id LIMIT {int(limit)}
        """,
        {"position": position},
        prepare=True,
        binary=True,
    )
    return [decode(*row) for row in cursor.fetchall()]


def head(cursor: SqlCursor) -> int:
    """The position of the last event, 0 for an empty log."""
    row = cursor.execute("SELECT coalesce(max(notification_id), 0) FROM opportunities_events").fetchone()
    assert row is not None
    return int(row[0])


def epochs(cursor: SqlCursor) -> Epochs:
    """The log's epochs."""
    cursor.execute(
        "SELECT id, first_position, last_good_position, last_written_position FROM log_epochs ORDER BY first_position", prepare=True
    )
    return Epochs([Epoch(*row) for row in cursor.fetchall()])


def begin_epoch(cursor: SqlCursor, epoch: Epoch) -> None:
    """Begin an epoch; up to which position its first events were written is seen under the lock, which this takes."""
    cursor.execute(
        "SELECT begin_epoch(%(epoch)s, %(good)s::bigint, %(first)s::bigint)",
        {"epoch": epoch.id, "good": epoch.last_good_position, "first": epoch.first_position},
    )


def at_positions(cursor: SqlCursor, positions: Sequence[int]) -> dict[int, Recorded]:
    """The events at those of the positions where there is one."""
    cursor.execute(
        """
        SELECT topic, state, originator_id, originator_version, notification_id
        FROM opportunities_events WHERE notification_id = ANY(%(positions)b::bigint[])
        """,
        {"positions": list(positions)},
        prepare=True,
        binary=True,
    )
    return {recorded.position: recorded for recorded in (decode(*row) for row in cursor.fetchall())}


def committed(cursor: SqlCursor, event: Recorded) -> bool:
    """Whether this very event is in the log: the same stream, version and command."""
    cursor.execute(
        """
        SELECT topic, state, originator_id, originator_version, notification_id
        FROM opportunities_events WHERE originator_id = %(id)b AND originator_version = %(version)b
        """,
        {"id": event.stream_id, "version": event.version},
        binary=True,
    )
    return any(decode(*row).meta.command_id == event.meta.command_id for row in cursor.fetchall())


class Span(NamedTuple):
    """The streams whose ids are after ``after`` and up to ``until``; None is no bound."""

    after: UUID | None = None
    until: UUID | None = None


def spans(cursor: SqlCursor, number: int, events: int) -> list[Span]:
    """All streams in about ``number`` spans of about as many of the log's ``events`` each, by the ids of a sample."""
    cursor.execute(
        """
        SELECT DISTINCT unnest(percentile_disc(%(fractions)s::float8[]) WITHIN GROUP (ORDER BY originator_id))
        FROM opportunities_events TABLESAMPLE SYSTEM (%(percent)s::float8) ORDER BY 1
        """,
        {"fractions": [part / number for part in range(1, number)], "percent": min(100.0, 100 * number * SAMPLE / max(events, 1))},
    )
    ids = [id_ for (id_,) in cursor.fetchall() if id_ is not None]
    return [Span(after, until) for after, until in zip([None, *ids], [*ids, None], strict=True)]


def by_stream(connection: Connection[Any], upto: int, chunk: int, span: Span) -> Generator[list[Recorded], None, None]:
    """The log up to a position, stream by stream, in chunks of ``chunk`` events; a stream may span chunks."""
    bounds = {"upto": upto, "after": span.after, "until": span.until}
    where = "".join(f" AND {each}" for each, value in zip(_BOUNDS, span, strict=True) if value is not None)
    with connection.cursor(name="log", binary=True) as cursor:
        cursor.itersize = chunk
        cursor.execute(
            f"""
            SELECT topic, state, originator_id, originator_version, notification_id
            FROM opportunities_events WHERE notification_id <= %(upto)s{where} ORDER BY originator_id, originator_version
            """,
            bounds,
        )
        while rows := cursor.fetchmany(chunk):
            yield [decode(*row) for row in rows]


_BOUNDS = "originator_id > %(after)s", "originator_id <= %(until)s"


def of(connection: Connection[Any], *, org_id: UUID | None, stream_id: UUID | None, chunk: int) -> Iterator[Recorded]:
    """The events of an org, of a stream, or of a stream if it belongs to the org, in order of position; read in chunks."""
    named = {"org_id": org_id, "originator_id": stream_id}
    where = " AND ".join(f"{column} = %({column})s" for column, value in named.items() if value is not None)
    with connection.cursor(name="events", binary=True) as cursor:
        cursor.itersize = chunk
        cursor.execute(
            f"""
            SELECT topic, state, originator_id, originator_version, notification_id
            FROM opportunities_events WHERE {where} ORDER BY notification_id
            """,
            named,
        )
        for row in cursor:
            yield decode(*row)
