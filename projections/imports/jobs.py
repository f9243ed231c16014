"""Imports as they stand: how they are asked for, taken up by a worker, and moved on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, NamedTuple
from uuid import UUID

import msgspec
from msgspec import Raw, Struct
from psycopg import Cursor

State = Literal["receiving", "inspecting", "ready", "checking", "running", "done", "failed", "cancelled", "undoing", "undone"]
AT_WORK: tuple[State, ...] = ("inspecting", "checking", "running", "undoing")
STARTABLE: tuple[State, ...] = ("ready", "failed", "cancelled", "undone")
KEEP_DAYS = 7
SWEPT, SWEPT_IDS = 64, 20_000
"""Parts of files that are removed at once, each of which has a thousand rows of its own in PostgreSQL, and ids."""
STATES = "opportunities_import_states"
"""The channel that says in which org an import has changed."""


class File(Struct, frozen=True):
    """``digest`` is its SHA-256 in hex."""

    name: str
    size: int
    digest: str


class Received(NamedTuple):
    """The parts of an upload: fields by name, and files with the names of their parts, in order."""

    fields: dict[str, bytes]
    files: list[tuple[str, File]]


class Counts(Struct, frozen=True):
    """Rows that were dealt with, and what came of them."""

    done: int = 0
    created: int = 0
    updated: int = 0
    skipped: int = 0
    failed: int = 0


class Job(Struct, frozen=True, kw_only=True):
    """An import as a worker needs it."""

    id: UUID
    org_id: UUID
    kind: str
    state: State
    user_id: UUID | None
    token_id: UUID | None
    files: list[File]
    options: Raw
    line: int
    rows: int | None
    counts: Counts


class Fault(Struct, frozen=True):
    """What is wrong with a line of a file; 0 is the imported file, the others are those of its history."""

    file: int
    line: int
    column: str
    value: str
    message: str


_JOB = "id, org_id, kind, state, user_id, token_id, files::text, options::text, line, rows, done, created, updated, skipped, failed"
_files = msgspec.json.Decoder(list[File])


def telling(update: str) -> str:
    """An update of imports that says on the channel ``STATES`` in whose org it was."""
    return f"WITH changed AS ({update} RETURNING org_id) SELECT pg_notify('{STATES}', org_id::text) FROM changed"


def create(cursor: Cursor[Any], id_: UUID, org_id: UUID, kind: str, user_id: UUID | None, token_id: UUID | None) -> None:
    cursor.execute(
        "INSERT INTO imports (id, org_id, kind, state, user_id, token_id) VALUES (%s, %s, %s, 'receiving', %s, %s)",
        (id_, org_id, kind, user_id, token_id),
    )


def received(cursor: Cursor[Any], id_: UUID, kind: str, files: Sequence[File], options: bytes) -> None:
    """All of an upload is there."""
    cursor.execute(
        telling("""
        UPDATE imports SET state = 'inspecting', kind = %s, files = %s::jsonb, options = %s::jsonb, updated_at = clock_timestamp()
        WHERE id = %s
        """),
        (kind, msgspec.json.encode(files).decode(), options.decode(), id_),
    )
    wake(cursor)


def wake(cursor: Cursor[Any]) -> None:
    """Tell the workers that there is something to do."""
    cursor.execute("SELECT pg_notify('opportunities_imports', '')")


def claim(cursor: Cursor[Any], only: UUID | None = None) -> Job | None:
    """An import that waits for a worker, or this one; it is ours as long as this connection lasts."""
    cursor.execute(
        f"SELECT {_JOB} FROM imports WHERE state = ANY(%s) AND id = coalesce(%s, id) ORDER BY updated_at LIMIT 100",
        (list(AT_WORK), only),
    )
    for row in cursor.fetchall():
        cursor.execute("SELECT pg_try_advisory_lock(hashtextextended(%s::text, 7240511809))", (str(row[0]),))
        (ours,) = cursor.fetchone() or (False,)
        if ours:
            return load(cursor, row[0])
    return None


def release(cursor: Cursor[Any], id_: UUID) -> None:
    cursor.execute("SELECT pg_advisory_unlock(hashtextextended(%s::text, 7240511809))", (str(id_),))


def load(cursor: Cursor[Any], id_: UUID) -> Job | None:
    row = cursor.execute(f"SELECT {_JOB} FROM imports WHERE id = %s", (id_,)).fetchone()
    return None if row is None else _job(row)


def of_org(cursor: Cursor[Any], org_id: UUID, id_: UUID, *, lock: bool = True) -> Job | None:
    """An import of an org; nobody else changes it until the transaction ends."""
    row = cursor.execute(
        f"SELECT {_JOB} FROM imports WHERE id = %s AND org_id = %s AND state <> 'receiving'{' FOR UPDATE' if lock else ''}",
        (id_, org_id),
    ).fetchone()
    return None if row is None else _job(row)


def _job(row: Sequence[Any]) -> Job:
    id_, org_id, kind, state, user_id, token_id, files, options, line, rows, *counts = row
    return Job(
        id=id_,
        org_id=org_id,
        kind=kind,
        state=state,
        user_id=user_id,
        token_id=token_id,
        files=_files.decode(files),
        options=Raw(options.encode()),
        line=line,
        rows=rows,
        counts=Counts(*counts),
    )


def inspected(cursor: Cursor[Any], id_: UUID, options: bytes, inspection: bytes, rows: int) -> None:
    cursor.execute(
        telling("""
        UPDATE imports SET state = 'ready', options = %s::jsonb, inspection = %s::jsonb, rows = %s, problem = NULL,
            updated_at = clock_timestamp()
        WHERE id = %s AND state = 'inspecting'
        """),
        (options.decode(), inspection.decode(), rows, id_),
    )


def inspection(cursor: Cursor[Any], id_: UUID) -> str | None:
    """What was seen in the file, JSON."""
    row = cursor.execute("SELECT inspection::text FROM imports WHERE id = %s", (id_,)).fetchone()
    return row[0] if row else None


def set_options(cursor: Cursor[Any], id_: UUID, options: bytes) -> None:
    """New options, for which the file is looked at again."""
    cursor.execute(
        telling("""
        UPDATE imports SET options = %s::jsonb, state = 'inspecting', checked = false, updated_at = clock_timestamp() WHERE id = %s
        """),
        (options.decode(), id_),
    )
    wake(cursor)


def begin(
    cursor: Cursor[Any], id_: UUID, state: State, *, user_id: UUID | None, token_id: UUID | None, fingerprint: bytes | None
) -> None:
    """Begin a run; one that goes on where it was keeps its line and its counts."""
    cursor.execute(
        telling("""
        UPDATE imports SET state = %(state)s, user_id = %(user_id)s, token_id = %(token_id)s, problem = NULL, finished_at = NULL,
            fingerprint = coalesce(%(fingerprint)s, fingerprint), started_at = clock_timestamp(), updated_at = clock_timestamp()
        WHERE id = %(id)s
        """),
        {"id": id_, "state": state, "user_id": user_id, "token_id": token_id, "fingerprint": fingerprint},
    )
    wake(cursor)


def start_over(cursor: Cursor[Any], id_: UUID) -> None:
    """Forget what the last run counted and found wrong."""
    cursor.execute(
        """
        UPDATE imports SET line = 0, done = 0, created = 0, updated = 0, skipped = 0, failed = 0 WHERE id = %s
        """,
        (id_,),
    )
    cursor.execute("DELETE FROM import_faults WHERE import_id = %s", (id_,))
    cursor.execute("DELETE FROM import_failed WHERE import_id = %s", (id_,))


def same(cursor: Cursor[Any], org_id: UUID, id_: UUID, fingerprint: bytes) -> UUID | None:
    """The first other import of the same file, kind and mapping that is at work or done."""
    row = cursor.execute(
        """
        SELECT id FROM imports WHERE org_id = %s AND fingerprint = %s AND id <> %s AND state IN ('running', 'done')
        ORDER BY created_at LIMIT 1
        """,
        (org_id, fingerprint, id_),
    ).fetchone()
    return None if row is None else row[0]


def settle(cursor: Cursor[Any], id_: UUID, state: State, problem: bytes | None = None) -> None:
    """End the present work, unless it was cancelled meanwhile."""
    cursor.execute(
        telling("""
        UPDATE imports SET state = %(state)s, problem = %(problem)s::jsonb, finished_at = clock_timestamp(),
            updated_at = clock_timestamp(), checked = checked OR (state = 'checking' AND %(state)s = 'ready')
        WHERE id = %(id)s AND state = ANY(%(at_work)s)
        """),
        {"id": id_, "state": state, "problem": problem.decode() if problem else None, "at_work": list(AT_WORK)},
    )


def turn_back(cursor: Cursor[Any], id_: UUID, problem: bytes) -> None:
    """Undo an import that is all or nothing, because of a problem."""
    cursor.execute(
        telling("""
        UPDATE imports SET state = 'undoing', problem = %s::jsonb, updated_at = clock_timestamp()
        WHERE id = %s AND state = 'running'
        """),
        (problem.decode(), id_),
    )
    wake(cursor)


def undone(cursor: Cursor[Any], id_: UUID) -> None:
    """All is undone; if that was because of a problem, the import failed, and begins again when it is started."""
    cursor.execute(
        telling("""
        UPDATE imports SET state = CASE WHEN problem IS NULL THEN 'undone' ELSE 'failed' END,
            line = CASE WHEN problem IS NULL THEN line ELSE 0 END, finished_at = clock_timestamp(), updated_at = clock_timestamp()
        WHERE id = %s AND state = 'undoing'
        """),
        (id_,),
    )


def cancel(cursor: Cursor[Any], id_: UUID) -> None:
    """A check goes back to ready; a run keeps what it has done."""
    cursor.execute(
        telling("""
        UPDATE imports SET state = CASE WHEN state = 'checking' THEN 'ready' ELSE 'cancelled' END,
            finished_at = clock_timestamp(), updated_at = clock_timestamp()
        WHERE id = %s
        """),
        (id_,),
    )


def abandon(cursor: Cursor[Any], id_: UUID) -> None:
    """Nobody sees it any more; a worker removes it with its files, which may take long."""
    cursor.execute("UPDATE imports SET state = 'receiving', updated_at = '-infinity' WHERE id = %s", (id_,))


def sweep(cursor: Cursor[Any]) -> bool:
    """Remove some of what was kept for imports that ended long ago, and for uploads that never came to an end, then these uploads.
    True if there may be more."""
    params = {"days": KEEP_DAYS, "at_work": list(AT_WORK)}
    for table, most in (("import_ids", SWEPT_IDS), ("import_parts", SWEPT)):
        cursor.execute(
            f"""
            DELETE FROM {table} WHERE ctid = ANY(ARRAY(
                SELECT p.ctid FROM imports i JOIN {table} p ON p.import_id = i.id
                WHERE (i.finished_at < clock_timestamp() - make_interval(days => %(days)s) AND i.state <> ALL(%(at_work)s))
                    OR (i.state = 'receiving' AND i.updated_at < clock_timestamp() - interval '1 day')
                LIMIT {most}))
            """,
            params,
        )
        if cursor.rowcount:
            return True
    cursor.execute(
        """
        DELETE FROM imports WHERE id IN (
            SELECT id FROM imports WHERE state = 'receiving' AND updated_at < clock_timestamp() - interval '1 day' LIMIT 1)
        """
    )
    return cursor.rowcount > 0
