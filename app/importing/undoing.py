"""Undoing an import: newest first, what it created is deleted and what it changed is set back, by events as everything else. What
somebody changed since is left, and listed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import msgspec
from psycopg import Connection

from app.importing import restoring, senders
from app.importing.batch import Stopped
from app.importing.options import Options
from app.importing.plan import Sender
from app.writing.committer import Committer
from app.writing.envelope import Envelope, Outcome, Result
from domain.sql_cursor import SqlCursor
from projections.imports import books, jobs
from projections.imports.books import Made
from projections.imports.jobs import Counts, Fault, Job

RECORDS = 200


def steps(connection: Connection[Any], committer: Committer, job: Job) -> Iterator[None]:
    """Raises ``Stopped``, and as ``Committer.run_units``."""
    with connection.cursor() as cursor:
        sender = senders.of(cursor, job, msgspec.json.decode(job.options, type=Options))
    while True:
        with connection.cursor() as cursor:
            records = books.last_records(cursor, job.id, 2**62, RECORDS)
        if not records:
            break
        made = [one for _, one in records]
        units = [_unit(connection, sender, one) for one in made]
        undo = _Undo(job, made, min(number for number, _ in records))
        if made[0].kind == "user":
            _apart(committer, connection, units, undo)
        else:
            committer.run_units(units, undo)
            if not undo.open:
                raise Stopped
        yield
    with connection.transaction(), connection.cursor() as cursor:
        jobs.settle(cursor, job.id, "undone")


def _apart(committer: Committer, connection: Connection[Any], units: Sequence[Sequence[Envelope]], undo: _Undo) -> None:
    """Commands on users are committed one by one."""
    results = [committer.run(unit) if unit else [] for unit in units]
    with connection.transaction(), connection.cursor() as cursor:
        if not undo.begin(cursor):
            raise Stopped
        undo.finish(cursor, results)


class _Undo:
    """The ``Books`` of a batch: records that are dealt with are forgotten, those that were left are listed."""

    def __init__(self, job: Job, made: Sequence[Made], first: int) -> None:
        self._job, self._made, self._first = job, made, first
        self.open = False

    def begin(self, cursor: SqlCursor) -> bool:
        self.open = books.is_still(cursor, self._job.id, "undoing")
        return self.open

    def finish(self, cursor: SqlCursor, results: Sequence[Sequence[Result]]) -> None:
        faults = []
        for made, found in zip(self._made, results, strict=True):
            error = next((result for result in found if isinstance(result, Exception)), None)
            if error is not None:
                faults.append(Fault(0, made.line, made.kind, str(made.id), restoring.words(error)))
        undone = sum(1 for found in results if found and isinstance(found[0], Outcome))
        books.add_faults(cursor, self._job.org_id, self._job.id, faults)
        books.remove_records(cursor, self._job.id, self._first)
        books.advance(cursor, self._job.id, self._job.line, Counts(done=-undone))


def _unit(connection: Connection[Any], sender: Sender, made: Made) -> list[Envelope]:
    """The command that undoes what the import did to a record, if it still is at the version that the import left."""
    then, now = restoring.versions(connection, made.id, made.version_before)
    command = restoring.deletion(made.kind) if then is None else restoring.back(then, now)
    return [sender.envelope(made.kind, made.id, command, expected_versions=(made.version_after,))]
