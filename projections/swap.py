"""Replaces live tables by rebuilt ones, at a moment when nobody appends or reads, without making anybody wait for it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import psycopg
from psycopg import sql

from domain import event_store
from projections.shadow_schema import SCHEMA, STATEMENT_MS, RebuildError
from projections.shadows import Shadows

PATIENCE_SECONDS = 120.0
"""How long a swap waits for a moment without long reads."""
GENTLE_SECONDS = 20.0
"""After how long the API's readers are cancelled instead of waited for; they then read again."""
READER = "opportunities reader"
LOOK_SECONDS = 0.05
MAX_PAUSE_SECONDS = 2.0
LOG_SECONDS = 0.02, 0.045
"""How long all failed attempts together may keep writers waiting: while readers are waited for, and when they are cancelled."""
FREE_TRIES = 20
"""Attempts in a row that make nobody wait, once the others have used up their time."""
FREE_PAUSE_SECONDS = 0.002
TABLES_SECONDS = 0.005, 0.02
"""How long one attempt waits for readers of the tables, and others behind it: likewise."""
_VERSION = sql.SQL(
    "INSERT INTO read_models (name, version) VALUES ({}, {})"
    " ON CONFLICT (name) DO UPDATE SET version = excluded.version, built_at = clock_timestamp()"
)


class Taken(Exception):
    """Somebody is appending, or waiting to."""


class Swap:
    """Swaps shadow tables with the live ones."""

    def __init__(self, shadows: Shadows) -> None:
        self._shadows = shadows

    def run(self) -> None:
        """Replace the live tables by the shadows, at a moment when nobody appends or reads.

        It makes others wait for milliseconds at most: while long statements read the tables it does not even try, and an attempt
        that cannot succeed ends at once. When attempts that wait have kept writers for as long as they may, it tries without
        waiting for anybody. Raises ``RebuildError`` if there is no such moment.
        """
        began = time.monotonic()
        kept = pause = 0.0
        with self._shadows.control.cursor() as cursor:
            while self._quiet(cursor, began):
                gentle = _gentle(began)
                free = kept + TABLES_SECONDS[not gentle] > LOG_SECONDS[not gentle]
                waited = self._attempt_freely(cursor, gentle=gentle) if free else self._attempt(cursor, gentle=gentle)
                if waited is None:
                    return
                kept += waited
                pause = MAX_PAUSE_SECONDS if free else pause * 2 or LOOK_SECONDS  # cancelled readers need time to read again
                time.sleep(pause)
            users = ", ".join(sorted(set(_users(cursor, self._live(cursor)).values()))) or "short statements"
        raise RebuildError(
            f"Nothing was changed: the tables to be replaced are in use all the time, now by {users}."
            " End what takes long there, or choose a quieter hour, and run it again."
        )

    def _quiet(self, cursor: psycopg.Cursor[Any], began: float) -> bool:
        """Wait until no transaction that used the tables at one check still does at the next; False if that takes too long."""
        before: dict[str, str] | None = None
        while time.monotonic() < began + PATIENCE_SECONDS:
            self._shadows.approach(cursor)
            now = _users(cursor, self._live(cursor), readers=_gentle(began))
            if before is not None and not before.keys() & now.keys():
                return True
            before = now
            time.sleep(LOOK_SECONDS)
        return False

    def _attempt(self, cursor: psycopg.Cursor[Any], *, gentle: bool) -> float | None:
        """None if the tables were swapped, else for how many seconds the log was kept from writers in vain."""
        position = self._shadows.position
        began = 0.0
        try:
            with self._shadows.control.transaction():
                live = self._live(cursor)
                if not gentle:  # before we hold the log, because they take a moment to end
                    self._cancel_readers(cursor, live)
                event_store.lock(cursor)
                began = time.monotonic()
                if not gentle:
                    self._cancel_readers(cursor, live)
                self._swap(cursor, live, TABLES_SECONDS[not gentle])
        except psycopg.errors.QueryCanceled:
            self._shadows.position = position
            return time.monotonic() - began
        return None

    def _attempt_freely(self, cursor: psycopg.Cursor[Any], *, gentle: bool) -> float | None:
        """As ``_attempt`` without waiting for a lock: if somebody holds one, or waits for it, nothing is kept."""
        kept = 0.0
        if not gentle:
            self._cancel_readers(cursor, self._live(cursor))
        for _ in range(FREE_TRIES):
            began, position = time.monotonic(), self._shadows.position
            try:
                with self._shadows.control.transaction():
                    live = self._live(cursor)
                    self._lock_at_once(cursor, live)
                    self._replace(cursor, live)
                return None
            except psycopg.errors.LockNotAvailable:
                self._shadows.position = position
            except Taken:
                kept += time.monotonic() - began
            time.sleep(FREE_PAUSE_SECONDS)
        return kept

    def _lock_at_once(self, cursor: psycopg.Cursor[Any], live: Sequence[str]) -> None:
        """Raises ``LockNotAvailable`` if a table is in use, ``Taken`` if the log is."""
        if live:
            cursor.execute(sql.SQL("LOCK TABLE {} IN ACCESS EXCLUSIVE MODE NOWAIT").format(_names(live)))
        if not event_store.try_lock(cursor):
            raise Taken

    def _cancel_readers(self, cursor: psycopg.Cursor[Any], live: Sequence[str]) -> None:
        """Cancel the API's readers, which read again a moment later."""
        cursor.execute(f"SELECT pg_cancel_backend(pid) FROM ({_USERS}) u WHERE reader AND ours", {"tables": list(live)})

    def _live(self, cursor: psycopg.Cursor[Any]) -> list[str]:
        """The tables and views to be replaced, views first; a new read model has none yet."""
        names = [name for model in self._shadows.models for name in (*model.views, *model.tables)]
        return [name for name in names if _exists(cursor, name)]

    def _swap(self, cursor: psycopg.Cursor[Any], live: Sequence[str], seconds: float) -> None:
        if live:
            # Readers take these locks in their own order, and may wait for us while we wait for them: we give way.
            text = "SET LOCAL statement_timeout = {}; LOCK TABLE {} IN ACCESS EXCLUSIVE MODE; SET LOCAL statement_timeout = {}"
            cursor.execute(sql.SQL(text).format(int(seconds * 1000), _names(live), STATEMENT_MS))
        self._replace(cursor, live)

    def _replace(self, cursor: psycopg.Cursor[Any], live: Sequence[str]) -> None:
        """Swap, with the log and the live tables locked."""
        while self._shadows.catch_up(cursor):
            pass
        statements = _drop(cursor, live)
        for model in self._shadows.models:
            shadows = [sql.Identifier(SCHEMA, name) for name in (*model.tables, *model.views)]
            statements += [sql.SQL("ALTER TABLE {} SET SCHEMA public").format(name) for name in shadows]
            statements.append(_VERSION.format(model.name, model.version))
        cursor.execute(sql.SQL("; ").join(statements))


_USERS = f"""
    SELECT l.virtualtransaction AS id, l.pid, coalesce(a.application_name = '{READER}', false) AS reader,
        coalesce(pg_has_role(a.usesysid, 'USAGE'), false) AS ours, coalesce(nullif(a.application_name, ''), a.backend_type) AS name
    FROM pg_locks l LEFT JOIN pg_stat_activity a USING (pid)
    WHERE l.relation IN (SELECT to_regclass('public.' || quote_ident(t)) FROM unnest(%(tables)s::text[]) t) AND l.granted
      AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
      AND l.pid IS DISTINCT FROM pg_backend_pid()
"""


def _users(cursor: psycopg.Cursor[Any], tables: Sequence[str], *, readers: bool = True) -> dict[str, str]:
    """The transactions that have locked one of the tables, with or without the API's ``readers``, and whose they are."""
    cursor.execute(
        f"""
        SELECT id, coalesce(name, 'a prepared transaction') || coalesce(' (process ' || pid || ')', '')
        FROM ({_USERS}) u WHERE %(readers)s OR NOT (reader AND ours)
        """,
        {"tables": list(tables), "readers": readers},
    )
    return dict(cursor.fetchall())


def _drop(cursor: psycopg.Cursor[Any], live: Sequence[str]) -> list[sql.Composed]:
    """Statements that drop views, and then tables. What is a view now may have been a table in an older version."""
    cursor.execute(
        """
        SELECT t FROM unnest(%(live)s::text[]) t JOIN pg_class c ON c.oid = to_regclass('public.' || quote_ident(t))
        WHERE c.relkind = 'v'
        """,
        {"live": list(live)},
    )
    views = {name for (name,) in cursor.fetchall()}
    parts = (("VIEW", [name for name in live if name in views]), ("TABLE", [name for name in live if name not in views]))
    return [sql.SQL("DROP {} {}").format(sql.SQL(kind), _names(names)) for kind, names in parts if names]


def _names(tables: Sequence[str]) -> sql.Composed:
    return sql.SQL(", ").join(sql.Identifier("public", table) for table in tables)


def _gentle(began: float) -> bool:
    return time.monotonic() < began + GENTLE_SECONDS


def _exists(cursor: psycopg.Cursor[Any], table: str) -> bool:
    row = cursor.execute("SELECT to_regclass('public.' || quote_ident(%(table)s)) IS NOT NULL", {"table": table}).fetchone()
    return bool(row and row[0])
