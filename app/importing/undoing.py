"""Undoing an import: newest first, what it created is deleted and what it changed is set back, by events as everything else. What
somebody changed since is left, and listed."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import msgspec
from psycopg import Connection

from app.importing import apart, restoring, senders, settings_undo
from app.importing.ahead import Ahead
from app.importing.batch import Stopped
from app.importing.options import Options
from app.writing.committer import Committer
from app.writing.envelope import Envelope, Result
from app.writing.pace import Pace
from app.writing.units import Span
from domain import event_store
from domain.event import State
from domain.sql_cursor import SqlCursor
from projections.imports import books, jobs, spans
from projections.imports.books import Made
from projections.imports.jobs import Counts, Fault, Job

RECORDS = 400
"""Looked at together."""


class _Records(NamedTuple):
    """Records with their numbers, and the commands that undo each."""

    made: list[tuple[int, Made]]
    units: list[list[Envelope]]


class Undo:
    """The work on one import. Close it after use, before the connection is used otherwise."""

    def __init__(self, connection: Connection[Any], committer: Committer, job: Job) -> None:
        self._connection, self._committer, self._job = connection, committer, job
        with connection.cursor() as cursor:
            self._sender = senders.of(cursor, job, msgspec.json.decode(job.options, type=Options))
        self.pace = Pace()
        self._ahead: Ahead[_Records] = Ahead(self._next_records)
        self._before = 2**62
        self.seconds = 0.0
        """What the last commit took."""

    def close(self) -> None:
        self._ahead.close()

    def steps(self) -> Iterator[None]:
        """Raises ``Stopped``, and as ``Committer.run_units``."""
        while (records := self._ahead.take()).made:
            while records.made:
                size = self.pace.size
                records = self._undo(
                    _Records(records.made[:size], records.units[:size]), _Records(records.made[size:], records.units[size:])
                )
                yield
        with self._connection.cursor() as cursor:
            left = settings_undo.undo(cursor, self._committer, self._sender)
        with self._connection.transaction(), self._connection.cursor() as cursor:
            books.add_faults(cursor, self._job.org_id, self._job.id, left)
            jobs.undone(cursor, self._job.id)

    def _undo(self, now: _Records, rest: _Records) -> _Records:
        """Undo some; what is left to do."""
        made = [one for _, one in now.made]
        undo = _Undone(self._job, now.made, _nothing if rest.made else self._ahead.begin)
        if made[0].kind == "user":
            apart.commit(self._committer, self._connection, self._job, now.units, undo)
            return rest
        began = time.monotonic()
        self._committer.run_units(now.units, undo)
        if not undo.open:
            raise Stopped
        self.seconds = time.monotonic() - began
        self.pace.done(len(made), self._committer.turn)
        return rest

    def _next_records(self) -> _Records:
        with self._connection.cursor() as cursor:
            found = books.last_records(cursor, self._job.id, self._before, RECORDS)
            events = event_store.load(cursor, {one.id: 0 for _, one in found})
        if found:
            self._before = found[-1][0]
        states = restoring.states(events, {one.id: one.version_before for _, one in found})
        return _Records(found, [self._unit(one, *states[one.id]) for _, one in found])

    def _unit(self, made: Made, then: State | None, now: State) -> list[Envelope]:
        """The command that undoes what the import did to a record, if it still is at the version that the import left."""
        command = restoring.deletion(made.kind) if then is None else restoring.back(then, now)
        return [self._sender.envelope(made.kind, made.id, command, expected_versions=(made.version_after,))]


def _nothing() -> None:
    pass


class _Undone:
    """The ``Books`` of a batch: records that are undone are forgotten, those that were left are listed."""

    def __init__(self, job: Job, made: Sequence[tuple[int, Made]], decided: Callable[[], None]) -> None:
        self._job, self._made, self._decided = job, made, decided
        self.open = False

    def begin(self, cursor: SqlCursor) -> bool:
        self.open = books.is_still(cursor, self._job.id, "undoing")
        return self.open

    def finish(self, cursor: SqlCursor, results: Sequence[Sequence[Result]], span: Span | None) -> None:
        faults, undone = [], []
        for (number, made), found in zip(self._made, results, strict=True):
            error = next((result for result in found if isinstance(result, Exception)), None)
            if error is None:
                undone.append(number)
            else:
                faults.append(Fault(0, made.line, made.kind, str(made.id), restoring.words(error)))
        books.add_faults(cursor, self._job.org_id, self._job.id, faults)
        books.remove_records(cursor, self._job.id, undone)
        books.advance(cursor, self._job.id, self._job.line, Counts(done=-len(undone)))
        if span is not None:
            spans.add(cursor, self._job.org_id, self._job.id, *span)
        self._decided()
