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
from contextlib import ExitStack, closing, contextmanager
from typing import Any, NamedTuple
from uuid import UUID

import psycopg
from psycopg import Connection, sql

from domain import event_store, fold
from domain.event import State
from domain.fold import Change
from projections import connections
from projections.projection import Projection
from projections.registry import READ_MODELS

SCHEMA = "rebuild"
CHUNK = 2_000
STATEMENT_MS = 3_600_000
"""An index of a large table takes its time."""
NEAR = 100
"""Events that are caught up with while writers wait, rather than before: there may be no end of them."""
# Rebuilds of one database meet here.
LOCK = 7_240_511_807
PATIENCE_SECONDS = 120.0
"""How long a swap waits for a moment when nobody is in the middle of a long reading."""
GENTLE_SECONDS = 20.0
"""After how long the API's readers are no longer waited for, but cancelled, upon which they read again."""
READER = "opportunities reader"
LOOK_SECONDS = 0.05
LOG_SECONDS = 0.02, 0.045
"""How long attempts that fail may keep writers waiting, all of them together: while readers are waited for, and then."""
RENEW_SECONDS = 30.0
"""After how long a swap that did not succeed may keep writers waiting for as long again: better than a rebuild in vain."""
TABLES_SECONDS = 0.005, 0.02
"""How long one attempt waits for those who read the tables, and others behind it: likewise."""
_VERSION = sql.SQL(
    "INSERT INTO read_models (name, version) VALUES ({}, {})"
    " ON CONFLICT (name) DO UPDATE SET version = excluded.version, built_at = clock_timestamp()"
)

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
        control = stack.enter_context(closing(_connect(url)))
        control.autocommit = True
        row = control.execute("SELECT pg_try_advisory_lock(%s)", (LOCK,)).fetchone()
        if not row or not row[0]:
            raise RebuildError("Another rebuild or verify is running on this database: wait for its end.")
        control.execute(f"DROP SCHEMA IF EXISTS {SCHEMA} CASCADE")
        control.execute(f"CREATE SCHEMA {SCHEMA}")
        stack.callback(_drop, control)
        try:
            yield _Shadows(url, control, models)
        except psycopg.OperationalError as error:
            if error.sqlstate is None:  # a connection is lost, and so is this one then; the next rebuild drops what is left
                control.close()
            raise


def _drop(control: Connection[Any]) -> None:
    if not control.closed:
        control.execute(f"DROP SCHEMA IF EXISTS {SCHEMA} CASCADE")
        control.execute("SELECT pg_advisory_unlock(%s)", (LOCK,))  # the server may be slow to notice that we have gone


def _connect(url: str) -> Connection[Any]:
    """Closed as it is at the end: nobody waits for a silent server to roll back."""
    connection = connections.connect_patiently(url, "rebuild", f"-c search_path={SCHEMA},public", statement_timeout_ms=STATEMENT_MS)
    connection.autocommit = False
    return connection


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
            done += self._approach(cursor)
        return done

    def _fold(self, progress: Progress) -> int:
        """Read the log once, stream by stream, while each read model writes on a connection of its own."""
        with ExitStack() as stack:
            source = stack.enter_context(closing(_connect(self._url)))
            source.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
            total = 0
            with source.cursor() as cursor:
                self._position = event_store.head(cursor)
                cursor.execute("SELECT count(*) FROM opportunities_events")
                total = (cursor.fetchone() or (0,))[0]
            targets = [stack.enter_context(closing(_connect(self._url))) for _ in self._models]
            pool = stack.enter_context(ThreadPoolExecutor(len(self._models)))
            running: list[Future[None]] = []
            done = 0
            states: dict[UUID, State] = {}
            for chunk in event_store.by_stream(source, self._position, CHUNK):
                changes = fold.changes(chunk, states)
                states = {changes[-1].after.id: changes[-1].after}  # of the stream that may go on in the next chunk
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

    def _approach(self, cursor: psycopg.Cursor[Any]) -> int:
        """Apply what was appended, but for what came during the last step; how many events."""
        done = caught = self._catch_up(cursor)
        while caught > NEAR:
            done += (caught := self._catch_up(cursor))
        return done

    def _catch_up(self, cursor: psycopg.Cursor[Any]) -> int:
        """Apply the next events of the log, if there are any; how many."""
        events = event_store.read_after(cursor, self._position, CHUNK)
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
        with self._control.transaction():
            for model in self._models:
                model.apply(cursor, batch)
        self._position = events[-1].position
        return len(events)

    def swap(self) -> None:
        """Put the shadows in the place of the live tables, at a moment when nobody appends or reads.

        Nobody waits for it but for some milliseconds: while long statements read the tables it is not even tried, and what is
        tried is given up at once. Raises ``RebuildError`` where that moment does not come.
        """
        began = time.monotonic()
        kept = pause = 0.0
        with self._control.cursor() as cursor:
            while self._quiet(cursor, began):
                gentle = _gentle(began)
                allowed = LOG_SECONDS[not gentle] * (1 + (time.monotonic() - began) // RENEW_SECONDS)
                if kept + TABLES_SECONDS[not gentle] > allowed:
                    continue
                waited = self._attempt(cursor, gentle=gentle)
                if waited is None:
                    return
                kept += waited
                pause = pause * 2 or LOOK_SECONDS
                time.sleep(pause)
            users = ", ".join(sorted(set(_users(cursor, self._live(cursor)).values()))) or "short statements"
        raise RebuildError(
            f"Nothing was changed: the tables to be replaced are in use all the time, now by {users}."
            " End what takes long there, or choose a quieter hour, and run it again."
        )

    def _quiet(self, cursor: psycopg.Cursor[Any], began: float) -> bool:
        """Wait until nobody who used the tables at one look is still at it at the next; False where that takes too long."""
        before: dict[str, str] | None = None
        while time.monotonic() < began + PATIENCE_SECONDS:
            self._approach(cursor)
            now = _users(cursor, self._live(cursor), readers=_gentle(began))
            if before is not None and not before.keys() & now.keys():
                return True
            before = now
            time.sleep(LOOK_SECONDS)
        return False

    def _attempt(self, cursor: psycopg.Cursor[Any], *, gentle: bool) -> float | None:
        """None if the shadows are in their place, else for how many seconds the log was kept from writers in vain."""
        position = self._position
        began = 0.0
        try:
            with self._control.transaction():
                live = self._live(cursor)
                if not gentle:  # before the log is ours, as it takes them a moment to end
                    self._cancel_readers(cursor, live)
                event_store.lock(cursor)
                began = time.monotonic()
                if not gentle:
                    self._cancel_readers(cursor, live)
                self._swap(cursor, live, TABLES_SECONDS[not gentle])
        except psycopg.errors.QueryCanceled:
            self._position = position
            return time.monotonic() - began
        return None

    def _cancel_readers(self, cursor: psycopg.Cursor[Any], live: Sequence[str]) -> None:
        """The API's; they ask again a moment later."""
        cursor.execute(f"SELECT pg_cancel_backend(pid) FROM ({_USERS}) u WHERE reader AND ours", (list(live),))

    def _live(self, cursor: psycopg.Cursor[Any]) -> list[str]:
        """The tables to be replaced; there may be none yet."""
        return [table for model in self._models for table in model.tables if _exists(cursor, table)]

    def _swap(self, cursor: psycopg.Cursor[Any], live: Sequence[str], seconds: float) -> None:
        names = sql.SQL(", ").join(sql.Identifier("public", table) for table in live)
        if live:
            # Readers take these locks in an order of their own, and may wait for us while we wait for them: we give way.
            text = "SET LOCAL statement_timeout = {}; LOCK TABLE {} IN ACCESS EXCLUSIVE MODE; SET LOCAL statement_timeout = {}"
            cursor.execute(sql.SQL(text).format(int(seconds * 1000), names, STATEMENT_MS))
        while self._catch_up(cursor):
            pass
        statements = [sql.SQL("DROP TABLE {}").format(names)] if live else []
        for model in self._models:
            shadows = [sql.Identifier(SCHEMA, table) for table in model.tables]
            statements += [sql.SQL("ALTER TABLE {} SET SCHEMA public").format(name) for name in shadows]
            statements.append(_VERSION.format(model.name, model.version))
        cursor.execute(sql.SQL("; ").join(statements))

    def compare(self) -> list[Difference]:
        """Compare at one position: the snapshot is taken while nobody can append, the comparison after that."""
        with closing(_connect(self._url)) as snapshot:
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
                if (difference := _difference(snapshot, table, model.zero_rows.get(table, "false")))
            ]


_USERS = f"""
    SELECT l.virtualtransaction AS id, l.pid, coalesce(a.application_name = '{READER}', false) AS reader,
        coalesce(pg_has_role(a.usesysid, 'USAGE'), false) AS ours, coalesce(nullif(a.application_name, ''), a.backend_type) AS name
    FROM pg_locks l LEFT JOIN pg_stat_activity a USING (pid)
    WHERE l.relation IN (SELECT to_regclass('public.' || quote_ident(t)) FROM unnest(%s::text[]) t) AND l.granted
      AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
      AND l.pid IS DISTINCT FROM pg_backend_pid()
"""


def _users(cursor: psycopg.Cursor[Any], tables: Sequence[str], *, readers: bool = True) -> dict[str, str]:
    """The transactions that have locked one of the tables, with the API's ``readers`` or without them, and whose they are."""
    cursor.execute(
        f"""
        SELECT id, coalesce(name, 'a prepared transaction') || coalesce(' (process ' || pid || ')', '')
        FROM ({_USERS}) u WHERE %s OR NOT (reader AND ours)
        """,
        (list(tables), readers),
    )
    return dict(cursor.fetchall())


def _gentle(began: float) -> bool:
    return time.monotonic() < began + GENTLE_SECONDS


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


def _write(target: Connection[Any], model: Projection, changes: Sequence[Change]) -> None:
    with target.cursor() as cursor:
        model.apply(cursor, changes)
