"""Rebuilds read models from the log beside the live ones and swaps them in while reads and writes go on; verifies them.

A rebuild fills shadow tables in a schema of their own with the very ``apply`` that keeps the live ones, catches up with what
was appended meanwhile, and swaps under the log's lock. ``verify`` does the same but compares instead. Both refuse to run
beside another rebuild of the same database.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from typing import Any, NamedTuple
from uuid import UUID

import psycopg
from psycopg import Connection, sql

from domain import catalog, event_store
from domain.event import Recorded, State
from projections.projection import Change, Projection
from projections.registry import READ_MODELS

SCHEMA = "rebuild"
CHUNK = 2_000
# Rebuilds of one database meet here.
LOCK = 7_240_511_807
SWAPS, SWAP_SECONDS = 300, 0.2

Progress = Callable[[int, int], None]
"""Called with the events done and the events there are."""


class RebuildError(Exception):
    """Why a rebuild cannot run; the text says what to do."""


class Difference(NamedTuple):
    """Rows that one side has and the other has not; ``live`` and ``rebuilt`` are samples as text."""

    table: str
    live: list[str]
    rebuilt: list[str]


def rebuild(url: str, names: Iterable[str], progress: Progress = lambda done, total: None) -> int:
    """Rebuild the named read models; the number of events read. Raises ``RebuildError``, ``psycopg.Error``."""
    models = _named(names)
    with _shadows(url, models) as shadows:
        events = shadows.fill(progress)
        shadows.swap()
    return events


def verify(url: str, progress: Progress = lambda done, total: None) -> list[Difference]:
    """What the live read models and freshly built ones do not have in common, at one position of the log."""
    with _shadows(url, READ_MODELS) as shadows:
        shadows.fill(progress)
        return shadows.compare()


def _named(names: Iterable[str]) -> list[Projection]:
    by_name = {model.name: model for model in READ_MODELS}
    if unknown := [name for name in names if name not in by_name]:
        raise RebuildError(f"There is no read model {unknown[0]!r}; there are {', '.join(by_name)}.")
    return [by_name[name] for name in names]


@contextmanager
def _shadows(url: str, models: Sequence[Projection]) -> Iterator[_Shadows]:
    with ExitStack() as stack:
        control = stack.enter_context(_connect(url))
        control.autocommit = True
        row = control.execute("SELECT pg_try_advisory_lock(%s)", (LOCK,)).fetchone()
        if not row or not row[0]:
            raise RebuildError("Another rebuild or verify is running on this database: wait for its end.")
        control.execute(f"DROP SCHEMA IF EXISTS {SCHEMA} CASCADE")
        control.execute(f"CREATE SCHEMA {SCHEMA}")
        stack.callback(_drop, control)
        yield _Shadows(url, control, models)


def _drop(control: Connection[Any]) -> None:
    if not control.closed:
        control.execute(f"DROP SCHEMA IF EXISTS {SCHEMA} CASCADE")
        control.execute("SELECT pg_advisory_unlock(%s)", (LOCK,))  # the server may be slow to notice that we have gone


def _connect(url: str) -> Connection[Any]:
    return psycopg.connect(
        url,
        connect_timeout=5,
        application_name="opportunities rebuild",
        options=f"-c search_path={SCHEMA},public -c timezone=UTC -c statement_timeout=0 -c jit=off",
    )


class _Shadows:
    """The shadow tables of some read models and the position they stand at."""

    def __init__(self, url: str, control: Connection[Any], models: Sequence[Projection]) -> None:
        self._url = url
        self._control = control
        self._models = models
        self._position = 0

    def fill(self, progress: Progress) -> int:
        tables, indexes = _statements(self._models)
        for statement in tables:
            self._control.execute(statement)
        done = self._fold(progress)
        for statement in indexes:
            self._control.execute(statement)
        for model in self._models:
            for table in model.tables:
                name = sql.Identifier(SCHEMA, table)
                self._control.execute(sql.SQL("SELECT public.isolate({}::regclass)").format(f"{SCHEMA}.{table}"))
                self._control.execute(sql.SQL("GRANT SELECT, INSERT, UPDATE, DELETE ON {} TO opportunities_writer").format(name))
                self._control.execute(sql.SQL("ANALYZE {}").format(name))
        with self._control.cursor() as cursor:
            while caught := self._catch_up(cursor):
                done += caught
        return done

    def _fold(self, progress: Progress) -> int:
        """Read the log once, stream by stream, while each read model writes on a connection of its own."""
        with ExitStack() as stack:
            source = stack.enter_context(_connect(self._url))
            source.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
            total = 0
            with source.cursor() as cursor:
                self._position = event_store.head(cursor)
                cursor.execute("SELECT count(*) FROM opportunities_events")
                total = (cursor.fetchone() or (0,))[0]
            targets = [stack.enter_context(_connect(self._url)) for _ in self._models]
            pool = stack.enter_context(ThreadPoolExecutor(len(self._models)))
            running: list[Future[None]] = []
            done = 0
            state: State | None = None
            for chunk in event_store.by_stream(source, self._position, CHUNK):
                changes, state = _changes(chunk, state)
                for future in running:
                    future.result()
                running = [pool.submit(_write, target, model, changes) for target, model in zip(targets, self._models, strict=True)]
                done += len(chunk)
                progress(done, total)
            for future in running:
                future.result()
            for target in targets:
                target.commit()
            return done

    def _catch_up(self, cursor: psycopg.Cursor[Any]) -> int:
        """Apply the next events of the log, if there are any; how many."""
        events = event_store.read_after(cursor, self._position, CHUNK)
        if not events:
            return 0
        fresh = {(recorded.originator_id, recorded.originator_version) for recorded in events}
        streams = event_store.load(cursor, dict.fromkeys((recorded.originator_id for recorded in events), 0))
        by_key: dict[tuple[UUID, int], Change] = {}
        state: State | None = None
        changes, _ = _changes(streams, state)
        for change in changes:
            key = (change.recorded.originator_id, change.recorded.originator_version)
            if key in fresh:
                by_key[key] = change
        batch = [by_key[recorded.originator_id, recorded.originator_version] for recorded in events]
        with self._control.transaction():
            for model in self._models:
                model.apply(cursor, batch)
        self._position = events[-1].position
        return len(events)

    def swap(self) -> None:
        """Put the shadows in the place of the live tables, at a moment when nobody appends or reads.

        Raises ``RebuildError`` where that moment does not come.
        """
        for _ in range(SWAPS):
            position = self._position
            try:
                with self._control.transaction(), self._control.cursor() as cursor:
                    self._swap(cursor)
                return
            except psycopg.errors.LockNotAvailable:
                self._position = position
            time.sleep(SWAP_SECONDS)  # let those through who had to wait meanwhile
        raise RebuildError("The tables to be replaced are in use all the time: end long statements and run it again.")

    def _swap(self, cursor: psycopg.Cursor[Any]) -> None:
        event_store.lock(cursor)
        while self._catch_up(cursor):
            pass
        tables = [table for model in self._models for table in model.tables]
        live = [sql.Identifier("public", table) for table in tables if _exists(cursor, table)]
        if live:
            # Readers take these locks in an order of their own. Waiting for less than deadlock_timeout, we give way.
            cursor.execute(f"SET LOCAL lock_timeout = '{SWAP_SECONDS}s'")
            cursor.execute(sql.SQL("LOCK TABLE {} IN ACCESS EXCLUSIVE MODE").format(sql.SQL(", ").join(live)))
        for name in live:
            cursor.execute(sql.SQL("DROP TABLE {}").format(name))
        for table in tables:
            cursor.execute(sql.SQL("ALTER TABLE {} SET SCHEMA public").format(sql.Identifier(SCHEMA, table)))
        for model in self._models:
            cursor.execute(
                """
                INSERT INTO read_models (name, version) VALUES (%s, %s)
                ON CONFLICT (name) DO UPDATE SET version = excluded.version, built_at = clock_timestamp()
                """,
                (model.name, model.version),
            )

    def compare(self) -> list[Difference]:
        """Compare at one position: the snapshot is taken while nobody can append, the comparison after that."""
        with _connect(self._url) as snapshot:
            snapshot.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
            with self._control.cursor() as cursor:
                cursor.execute("SELECT pg_advisory_lock('public.opportunities_events'::regclass::oid::bigint)")
                try:
                    while self._catch_up(cursor):
                        pass
                    snapshot.execute("SELECT 1")
                finally:
                    cursor.execute("SELECT pg_advisory_unlock('public.opportunities_events'::regclass::oid::bigint)")
            return [
                difference
                for model in self._models
                for table in model.tables
                if (difference := _difference(snapshot, table, model.nothing.get(table, "false")))
            ]


def _exists(cursor: psycopg.Cursor[Any], table: str) -> bool:
    row = cursor.execute("SELECT to_regclass('public.' || quote_ident(%s)) IS NOT NULL", (table,)).fetchone()
    return bool(row and row[0])


def _difference(snapshot: Connection[Any], table: str, nothing: str) -> Difference | None:
    name, shadow = sql.Identifier("public", table), sql.Identifier(SCHEMA, table)
    statement = sql.SQL(
        "SELECT x::text FROM (SELECT * FROM {} WHERE NOT ({}) EXCEPT ALL SELECT * FROM {} WHERE NOT ({})) x LIMIT 5"
    )
    condition = sql.SQL(nothing)
    live = [row[0] for row in snapshot.execute(statement.format(name, condition, shadow, condition))]
    rebuilt = [row[0] for row in snapshot.execute(statement.format(shadow, condition, name, condition))]
    return Difference(table, live, rebuilt) if live or rebuilt else None


def _statements(models: Sequence[Projection]) -> tuple[list[bytes], list[bytes]]:
    """The statements that make the tables, then those that make indexes, which are faster on full tables."""
    tables: list[bytes] = []
    indexes: list[bytes] = []
    for model in models:
        for statement in model.ddl.split(";"):
            if text := statement.strip():
                (indexes if re.match(r"CREATE (UNIQUE )?INDEX", text) else tables).append(text.encode())
    return tables, indexes


def _changes(events: Sequence[Recorded], state: State | None) -> tuple[list[Change], State | None]:
    """Fold events that come stream by stream; ``state`` is that of the stream the events before ended in."""
    changes: list[Change] = []
    for recorded in events:
        if recorded.originator_version == 1:
            state = None
        kind = catalog.kind_of_event(type(recorded.event))
        after = catalog.AGGREGATES[kind].evolve(state, recorded)
        changes.append(Change(recorded, state, after))
        state = after
    return changes, state


def _write(target: Connection[Any], model: Projection, changes: Sequence[Change]) -> None:
    with target.cursor() as cursor:
        model.apply(cursor, changes)
