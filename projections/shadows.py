"""Shadow tables: read models built from the log beside the live ones, kept up to date, and compared with them."""

from __future__ import annotations

import re
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, closing
from typing import Any, NamedTuple
from uuid import UUID

import psycopg
from psycopg import Connection, sql

from domain import event_store, fold
from domain.event import Recorded, State
from domain.fold import Change
from projections import connections
from projections.guarding import guard
from projections.projection import Projection

SCHEMA = "rebuild"
CHUNK = 2_000
STATEMENT_MS = 3_600_000
"""Building an index of a large table takes long."""
NEAR = 100
"""Events that are caught up with while writers wait rather than before, because new ones may never stop coming."""

Progress = Callable[[int, int], None]
"""Called with the number of events done and the total."""


class Difference(NamedTuple):
    """Rows that only one side has; ``live`` and ``rebuilt`` are samples as text."""

    table: str
    live: list[str]
    rebuilt: list[str]


def connect(url: str) -> Connection[Any]:
    """The connection is closed at the end in any state, so that nobody waits for a silent server to roll back."""
    connection = connections.connect_patiently(url, "rebuild", f"-c search_path={SCHEMA},public", statement_timeout_ms=STATEMENT_MS)
    connection.autocommit = False
    return connection


class Shadows:
    """The shadow tables of some read models, and the position they are at."""

    def __init__(self, url: str, control: Connection[Any], models: Sequence[Projection]) -> None:
        self._url = url
        self.control = control
        self.models = models
        self.position = 0

    def fill(self, progress: Progress) -> int:
        tables, indexes = _statements(self.models)
        for statement in tables:
            self.control.execute(statement)
        done = self._fold(progress)
        for sums in (sums for model in self.models for sums in model.sums):
            self.control.execute(sums.encode(), {"position": self.position})
        for statement in indexes:
            self.control.execute(statement)
        for model in self.models:
            guard(self.control, SCHEMA, model)
            for table in model.tables:
                self.control.execute(sql.SQL("ANALYZE {}").format(sql.Identifier(SCHEMA, table)))
        with self.control.cursor() as cursor:
            done += self.approach(cursor)
        return done

    def _fold(self, progress: Progress) -> int:
        """Read the log once, stream by stream, while each read model writes on a connection of its own."""
        with ExitStack() as stack:
            source = stack.enter_context(closing(connect(self._url)))
            source.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
            total = 0
            with source.cursor() as cursor:
                self.position = event_store.head(cursor)
                cursor.execute("SELECT count(*) FROM opportunities_events")
                total = (cursor.fetchone() or (0,))[0]
            targets = [stack.enter_context(closing(connect(self._url))) for _ in self.models]
            pool = stack.enter_context(ThreadPoolExecutor(len(self.models)))
            running: list[Future[None]] = []
            done = 0
            states: dict[UUID, State] = {}
            log = event_store.by_stream(source, self.position, CHUNK)
            stack.callback(_end, source, log)
            for chunk in log:
                changes = fold.changes(chunk, states)
                states = {changes[-1].after.id: changes[-1].after}  # of the stream that may continue in the next chunk
                for future in running:
                    future.result()
                running = [pool.submit(_write, target, model, changes) for target, model in zip(targets, self.models, strict=True)]
                done += len(chunk)
                progress(done, total)
            for future in running:
                future.result()
            for target in targets:
                target.commit()
            return done

    def approach(self, cursor: psycopg.Cursor[Any]) -> int:
        """Apply what was appended, except for what came during the last step. Returns the number of events."""
        done = caught = self.catch_up(cursor)
        while caught > NEAR:
            done += (caught := self.catch_up(cursor))
        return done

    def catch_up(self, cursor: psycopg.Cursor[Any]) -> int:
        """Apply the next events of the log, if there are any. Returns how many."""
        events = event_store.read_after(cursor, self.position, CHUNK)
        if not events:
            return 0
        fresh = {(recorded.stream_id, recorded.version) for recorded in events}
        streams = event_store.load(cursor, dict.fromkeys((recorded.stream_id for recorded in events), 0))
        by_key: dict[tuple[UUID, int], Change] = {}
        for change in fold.changes(streams, {}):
            key = (change.recorded.stream_id, change.recorded.version)
            if key in fresh:
                by_key[key] = change
        batch = [by_key[recorded.stream_id, recorded.version] for recorded in events]
        with self.control.transaction():
            for model in self.models:
                model.apply(cursor, batch)
        self.position = events[-1].position
        return len(events)

    def compare(self) -> list[Difference]:
        """Compare at one position: the snapshot is taken while nobody can append, and compared after that."""
        with closing(connect(self._url)) as snapshot:
            snapshot.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
            with self.control.cursor() as cursor:
                cursor.execute("SELECT pg_advisory_lock('public.opportunities_events'::regclass::oid::bigint)")
                try:
                    while self.catch_up(cursor):
                        pass
                    snapshot.execute("SELECT 1")
                finally:
                    cursor.execute("SELECT pg_advisory_unlock('public.opportunities_events'::regclass::oid::bigint)")
            return [
                difference
                for model in self.models
                for table in model.tables
                if (difference := _difference(snapshot, table, model.zero_rows.get(table, "false")))
            ]


def _difference(snapshot: Connection[Any], table: str, nothing: str) -> Difference | None:
    name, shadow = sql.Identifier("public", table), sql.Identifier(SCHEMA, table)
    statement = sql.SQL(
        "SELECT x::text FROM (SELECT * FROM {} WHERE NOT ({}) EXCEPT ALL SELECT * FROM {} WHERE NOT ({})) x LIMIT 5"
    )
    condition = sql.SQL(nothing)
    live = [row[0] for row in snapshot.execute(statement.format(name, condition, shadow, condition))]
    rebuilt = [row[0] for row in snapshot.execute(statement.format(shadow, condition, name, condition))]
    return Difference(table, live, rebuilt) if live or rebuilt else None


_COMMENT = re.compile(r"--[^\n]*")


def _statements(models: Sequence[Projection]) -> tuple[list[bytes], list[bytes]]:
    """The statements that create the tables, then those that create indexes, which is faster on full tables."""
    tables: list[bytes] = []
    indexes: list[bytes] = []
    for model in models:
        for statement in _COMMENT.sub("", model.ddl).split(";"):
            if text := statement.strip():
                (indexes if re.match(r"CREATE (UNIQUE )?INDEX|SELECT public.index", text) else tables).append(text.encode())
    return tables, indexes


def _end(source: Connection[Any], log: Generator[list[Recorded], None, None]) -> None:
    """Close the connection first: on one that is open, closing the cursor would ask the server, which may be silent."""
    source.close()
    log.close()


def _write(target: Connection[Any], model: Projection, changes: Sequence[Change]) -> None:
    with target.cursor() as cursor:
        model.fill(cursor, changes)
