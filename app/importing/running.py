"""The work on an import, in short steps: look at its file, check its rows, write them. A later worker goes on after the last one
that was done."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from typing import Any, NamedTuple

import msgspec
from psycopg import Connection

from app.importing import apart, batch, checking, new_fields, org_vocabulary, senders, stored_history
from app.importing.ahead import Ahead
from app.importing.batch import Part
from app.importing.deal_plan import DealPlanner
from app.importing.deals import Deal
from app.importing.directory_plan import DirectoryPlanner
from app.importing.faults import Unreadable
from app.importing.inspection import inspect
from app.importing.options import Kind
from app.importing.plan import Planned, in_order
from app.importing.source import Reader, Source
from app.importing.vocabulary import Vocabulary
from app.writing.committer import Committer
from app.writing.pace import Pace
from projections import clock
from projections.imports import books, jobs
from projections.imports.jobs import Counts, Fault, Job


def inspection(connection: Connection[Any], job: Job) -> Iterator[None]:
    """Look at the file, all of it. Raises ``Unreadable``."""
    source = Source(connection, job)
    try:
        with connection.cursor() as cursor:
            vocabulary = org_vocabulary.load(cursor, job.org_id)
            now = clock.ask(cursor)
        _, found = inspect(source.file(), _kind(job), source.options, vocabulary, now)
        if not found.rows:
            raise Unreadable("The file has a header and no row: send one with rows.", found.form.header_row)
        with connection.transaction(), connection.cursor() as cursor:
            jobs.inspected(cursor, job.id, msgspec.json.encode(found.options), msgspec.json.encode(found), found.rows)
    finally:
        source.close()
    yield


class _Rows(NamedTuple):
    """A batch: its rows as they are planned, up to a line. ``good`` are those that can be planned again."""

    good: list[Any]
    bad: list[Planned]
    last: int
    cells: Mapping[int, list[Any]]
    planned: list[Planned]


class Run:
    """A check or a run of the rows of one import. ``seconds`` is what the last commit took."""

    def __init__(self, connection: Connection[Any], committer: Committer, job: Job) -> None:
        self._connection, self._committer, self.job = connection, committer, job
        self.source = Source(connection, job)
        self.seconds = 0.0
        options = self.source.options
        with connection.cursor() as cursor:
            self.now: datetime = clock.ask(cursor)
            self.sender = senders.of(cursor, job, options)
            if job.state == "running" and job.kind == "opportunities" and options.create_missing.custom_fields:
                new_fields.create(cursor, committer, job, self.sender, options.mapping)
            self.vocabulary: Vocabulary = org_vocabulary.load(cursor, job.org_id)
            people = frozenset(one.id for one in self.vocabulary.people)
            self._rules = checking.Rules(self.now, org_vocabulary.policy(cursor, job.org_id), people)
        self._planner: DealPlanner | DirectoryPlanner
        if job.kind == "opportunities":
            self._planner = DealPlanner(self.sender, options, self.vocabulary)
        else:
            self._planner = DirectoryPlanner(_kind(job), self.sender, options)
        self.pace = Pace()
        self._ahead: Ahead[_Rows] = Ahead(self._next_rows)
        self._refused = False

    def close(self) -> None:
        self._ahead.close()
        self.source.close()

    def steps(self) -> Iterator[None]:
        """Raises ``Unreadable``, ``Stopped``, and as ``batch.commit``."""
        yield from stored_history.read_in(self._connection, self.source, self.vocabulary, self.now)
        table = self.source.table()
        self._reader = Reader(_kind(self.job), table, self.source.options, self.vocabulary, self.now)
        self._rows = self.source.rows(table)
        at = self.job.line
        while True:
            rows = self._ahead.take()
            if not rows.good and not rows.bad:
                return
            if self._refused:  # what was planned meanwhile may refer to it
                self._planner.forget()
                rows = rows._replace(planned=in_order(self._plan(rows.good), rows.bad))
            self._refused = False
            for part, ends in self._parts(rows, at):
                self._write(part, self._ahead.begin if ends else _nothing)
                at = part.last
                yield

    def _next_rows(self) -> _Rows:
        good, bad, last = self._reader.batch(self._rows)
        return _Rows(good, bad, last, self._reader.cells, in_order(self._plan(good), bad))

    def _plan(self, good: list[Any]) -> list[Planned]:
        with self._connection.cursor() as cursor:
            if isinstance(self._planner, DirectoryPlanner):
                return self._planner.plan(cursor, good)
            keys = {key for one in good if isinstance(one, Deal) and (key := one.values.get("external_id"))}
            return self._planner.plan(cursor, good, stored_history.find(self._connection, self.source, keys))

    def _parts(self, rows: _Rows, at: int) -> Iterator[tuple[Part, bool]]:
        """What goes into a transaction each, and whether it is the last one."""
        rest = rows.planned
        while rest:
            size = self.pace.size if self.job.state == "running" else len(rest)
            planned, rest = rest[:size], rest[size:]
            last = batch.last_line(at, planned) if rest else rows.last
            yield Part(at, last, planned, rows.cells), not rest
            at = last

    def _write(self, part: Part, decided: Callable[[], None]) -> None:
        planned = part.planned
        if self.job.state == "checking":
            counts = self._check(part)
        elif self.job.kind == "users":
            users = batch.Batch(self.job, part)
            apart.commit(self._committer, self._connection, self.job, users.units, users)
            counts = users.counts
        else:
            began = time.monotonic()
            counts = batch.commit(self._committer, self.job, part, decided)
            self.seconds = time.monotonic() - began
            self.pace.done(len(planned), self._committer.held, alone=self._committer.alone)
        if counts.failed and self.source.options.all_or_nothing and self.job.state == "running":
            self._turn_back(next(one.line for one in planned if not one.aside))
        self._refused |= counts.failed > sum(1 for one in planned if one.faults)

    def _turn_back(self, line: int) -> None:
        """A row failed of an import that is all or nothing. Raises ``Stopped``."""
        fault = Fault(
            0, line, "", "", "Some rows failed, which `rows` has, and the import is all or nothing: nothing was imported."
        )
        with self._connection.transaction(), self._connection.cursor() as cursor:
            jobs.turn_back(cursor, self.job.id, msgspec.json.encode(fault))
        raise batch.Stopped

    def _check(self, part: Part) -> Counts:
        found = checking.check(self._connection, self._rules, part.planned)
        lines = {fault.line for fault in found.faults}
        with self._connection.transaction(), self._connection.cursor() as cursor:
            if not books.is_still(cursor, self.job.id, "checking"):
                raise batch.Stopped
            failed = {line: batch.packed(part.cells[line]) for line in lines if line in part.cells}
            books.add_failed(cursor, self.job.org_id, self.job.id, failed)
            books.add_faults(cursor, self.job.org_id, self.job.id, found.faults)
            books.advance(cursor, self.job.id, part.last, found.counts)
        return found.counts


def _nothing() -> None:
    pass


def _kind(job: Job) -> Kind:
    kinds: dict[str, Kind] = {one: one for one in ("opportunities", "accounts", "contacts", "users")}
    return kinds[job.kind]


def settle(connection: Connection[Any], job: Job) -> None:
    """The rows came to an end."""
    with connection.transaction(), connection.cursor() as cursor:
        jobs.settle(cursor, job.id, "ready" if job.state == "checking" else "done")
