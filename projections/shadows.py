"""Shadow tables: read models built from the log beside the live ones, kept up to date, and compared with them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import closing
from typing import Any, NamedTuple
from uuid import UUID

import psycopg
from psycopg import Connection, sql

from domain import event_store, fold
from domain.fold import Change
from projections import shadow_schema
from projections import workers as filling_workers
from projections.at_once import run_at_once
from projections.filling import CHUNK
from projections.guarding import guard
from projections.projection import Projection
from projections.shadow_schema import SCHEMA, Form, connect

NEAR = 100
"""Events that are caught up with while writers wait rather than before, because new ones may never stop coming."""

Progress = Callable[[int, int], None]
"""Called with the number of events done and the total."""


class Difference(NamedTuple):
    """Rows that only one side has; ``live`` and ``rebuilt`` are samples as text."""

    table: str
    live: list[str]
    rebuilt: list[str]


class Shadows:
    """The shadow tables of some read models, and the position they are at."""

    def __init__(self, url: str, control: Connection[Any], models: Sequence[Projection]) -> None:
        self._url = url
        self.control = control
        self.models = models
        self.position = 0

    def fill(self, progress: Progress, workers: int | None) -> int:
        """Create the tables and fill them. Returns the number of events read."""
        form = shadow_schema.create(self.control, self.models)
        with self.control.cursor() as cursor:
            done = self._fill(cursor, form, progress, workers)
            return done + self.approach(cursor)

    def _fill(self, cursor: psycopg.Cursor[Any], form: Form, progress: Progress, workers: int | None) -> int:
        self.position = event_store.head(cursor)
        (total,) = cursor.execute("SELECT count(*) FROM opportunities_events").fetchone() or (0,)
        workers = workers or filling_workers.number(total)
        parts = event_store.spans(cursor, filling_workers.spans(total, workers), total)
        done = 0

        def report(events: int) -> None:
            nonlocal done
            done += events
            progress(done, total)

        filling_workers.fill(self._url, self.models, self.position, parts, workers, report)
        self._complete(form, workers)
        return done

    def _complete(self, form: Form, workers: int) -> None:
        """Give full tables all that they lack."""
        sums = [sql.SQL(text) for model in self.models for text in model.sums]
        run_at_once(self.control, self._url, workers, sums, {"position": self.position})
        run_at_once(self.control, self._url, workers, form.indexes)
        for key in form.keys:
            self.control.execute(key)
        for model in self.models:
            guard(self.control, SCHEMA, model)
        tables = [sql.Identifier(SCHEMA, table) for model in self.models for table in model.tables]
        # Until it is known which pages everybody sees, an index alone answers nothing.
        run_at_once(self.control, self._url, workers, [sql.SQL("VACUUM (ANALYZE) {}").format(name) for name in tables])

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
                model.conclude(cursor, batch)
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
