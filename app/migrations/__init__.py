"""The schema: numbered SQL files for the log and its surroundings, and the read models, which are rebuilt instead of migrated.

One migrator at a time (advisory lock), one transaction per file, and checksums so that an applied file cannot change. Statements
that some servers or users cannot run are replaced when a file is applied.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from importlib.resources import files
from typing import Any

from psycopg import Connection

from app.migrations import pooling, prerequisites
from app.process.failures import Failure
from domain import event_store
from projections import connections, registry
from projections.guarding import guard
from projections.projection import Projection

# An arbitrary number, the same in every version: migrators of one database take this lock.
LOCK = 7_240_511_806
CHECK_MS = 5_000


# Pattern in a file → what is run instead.
INSTEAD = {
    # The roles may exist already, where the user may not create any: see prerequisites.
    "0001_event_store": [(r"DO \$\$.*?END \$\$;", "")],
    # PostgreSQL 15 does not accept STORAGE in CREATE TABLE.
    "0002_outbound": [(r" STORAGE EXTERNAL", ""), (r"\Z", "ALTER TABLE webhook_deliveries ALTER body SET STORAGE EXTERNAL;")],
}


class SchemaError(Failure):
    """The database's schema does not fit this version of the program; the text says what to do."""


def scripts() -> Iterator[tuple[str, str, str]]:
    """(name, SQL, SHA-256) of every migration, in order."""
    for entry in sorted(files(__package__).iterdir(), key=lambda entry: entry.name):
        if entry.name.endswith(".sql"):
            text = entry.read_text()
            yield entry.name.removesuffix(".sql"), text, hashlib.sha256(text.encode()).hexdigest()


def runnable(name: str, text: str) -> str:
    """The SQL of a migration, for any supported server and user."""
    for written, said in INSTEAD.get(name, ()):
        text, found = re.subn(written, said, text, count=1, flags=re.DOTALL)
        assert found
    return text


def migrate(url: str) -> list[str]:
    """Bring the schema up to date; returns one line per step. Raises ``Unmet``, ``SchemaError``, ``psycopg.Error``.

    New read models, and those of another version than the code's, are built from the log. Processes of the previous version may
    write until the new tables are swapped in, and no longer.
    """
    done: list[str] = []
    pooling.check(url)
    with connections.connect_patiently(url, "migrate") as connection:
        connection.execute("SELECT pg_advisory_lock(%s)", (LOCK,))
        prerequisites.secure(connection)
        connection.execute(
            "CREATE TABLE IF NOT EXISTS migrations (name text PRIMARY KEY, checksum text NOT NULL,"
            " applied_at timestamptz NOT NULL DEFAULT clock_timestamp())"
        )
        applied = _applied(connection)
        for name, text, checksum in scripts():
            if name in applied:
                continue
            with connection.transaction():
                connection.execute(runnable(name, text).encode())
                connection.execute("INSERT INTO migrations (name, checksum) VALUES (%s, %s)", (name, checksum))
            done.append(f"applied {name}")
        outdated = _settle(connection, done)
    if outdated:
        from projections.rebuild import rebuild

        rebuild(url, [model.name for model in outdated])
        done += [f"rebuilt read model {model.name} version {model.version}" for model in outdated]
    return done


def check(url: str, *, writing: bool = False) -> None:
    """Raises ``SchemaError`` unless the schema is exactly this version's, ``Unmet`` if no process can work on it, or no ``writing``
    one."""
    if writing:
        pooling.check(url)
    with connections.connect(url, "check", statement_timeout_ms=CHECK_MS) as connection:
        if writing:
            prerequisites.check_writable(connection)
        prerequisites.check(connection)
        exists = connection.execute("SELECT to_regclass('public.migrations'), to_regclass('public.read_models')").fetchone()
        if not exists or None in exists:
            raise SchemaError("The database has no schema yet: run `opportunities migrate`.")
        applied = _applied(connection)
        known = {name for name, _, _ in scripts()}
        if missing := known - applied.keys():
            raise SchemaError(f"The database's schema is older ({min(missing)} is missing): run `opportunities migrate`.")
        if problem := registry.difference(registry.to_text(_versions(connection))):
            raise SchemaError(problem)


def _settle(connection: Connection[Any], done: list[str]) -> list[Projection]:
    """Create the new read models if the log is empty, and drop the records of those that this version does not know. Returns those
    to be built from the log. The log's lock keeps out processes that write for other read models."""
    with connection.transaction(), connection.cursor() as cursor:
        event_store.lock(cursor)
        versions = _versions(connection)
        if not _has_events(connection):
            for model in (model for model in registry.READ_MODELS if model.name not in versions):
                create(connection, model)
                cursor.execute("INSERT INTO read_models (name, version) VALUES (%s, %s)", (model.name, model.version))
                versions[model.name] = model.version
                done.append(f"created read model {model.name} version {model.version}")
        for name in versions.keys() - {model.name for model in registry.READ_MODELS}:
            cursor.execute("DELETE FROM read_models WHERE name = %s", (name,))
            done.append(f"dropped read model {name}, which this version does not have")
    return [model for model in registry.READ_MODELS if versions.get(model.name) != model.version]


def create(connection: Connection[Any], model: Projection) -> None:
    """Create the tables of a read model, with row-level security and grants."""
    connection.execute(model.ddl.encode())
    guard(connection, "public", model)


def _applied(connection: Connection[Any]) -> dict[str, str]:
    """The migrations the database has. Raises ``SchemaError`` if it is newer, or if a file was changed."""
    applied = dict(connection.execute("SELECT name, checksum FROM migrations").fetchall())
    known = {name: checksum for name, _, checksum in scripts()}
    for name, checksum in applied.items():
        if name not in known:
            raise SchemaError(f"The database's schema is newer than this program: it has {name}. Use a newer version.")
        if known[name] != checksum:
            raise SchemaError(f"Migration {name} was changed after it had been applied: put its file back.")
    return applied


def _versions(connection: Connection[Any]) -> dict[str, int]:
    return dict(connection.execute("SELECT name, version FROM read_models").fetchall())


def _has_events(connection: Connection[Any]) -> bool:
    row = connection.execute("SELECT EXISTS (SELECT 1 FROM opportunities_events)").fetchone()
    return bool(row and row[0])
