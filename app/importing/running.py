"""The work on an import, in short steps: look at its file, check its rows, write them. A later worker goes on after the last one
that was done."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from datetime import datetime
from math import ceil
from typing import Any

import msgspec
from psycopg import Connection

from app.importing import (
    apart,
    batch,
    checking,
    event_head,
    event_inspection,
    event_settings,
    new_fields,
    org_vocabulary,
    senders,
)  # fmt: skip
from app.importing.ahead import Ahead
from app.importing.batch import Part
from app.importing.event_head import Head
from app.importing.event_rows import EventRows
from app.importing.faults import Unreadable
from app.importing.inspection import inspect
from app.importing.rows import Feed, Rows, TableRows, kind_of
from app.importing.source import ROWS, Source
from app.importing.vocabulary import Vocabulary
from app.writing.committer import Committer
from app.writing.pace import Pace
from projections import clock
from projections.imports import books, ids, jobs
from projections.imports.jobs import Counts, Fault, Job


def inspection(connection: Connection[Any], job: Job) -> Iterator[None]:
    """Look at the file, all of it. Raises ``Unreadable``."""
    source = Source(connection, job)
    try:
        file = source.file()
        with connection.cursor() as cursor:
            if event_head.is_one(file):
                found = event_inspection.inspect(cursor, file, job, source.options)
            else:
                vocabulary = org_vocabulary.load(cursor, job.org_id)
                _, found = inspect(file, kind_of(job), source.options, vocabulary, clock.ask(cursor))
        if not found.rows:
            raise Unreadable("The file has a header and no row: send one with rows.", found.form.header_row)
        with connection.transaction(), connection.cursor() as cursor:
            jobs.inspected(cursor, job.id, msgspec.json.encode(found.options), msgspec.json.encode(found), found.rows)
    finally:
        source.close()
    yield


AHEAD = 2 * ROWS
"""Rows of an import that nobody knows of what became of them when its worker dies: those of the present batch and of the next."""


class Run:
    """A check or a run of the rows of one import. ``seconds`` is what the last commit took. With ``one_by_one`` the first rows,
    one of which killed a worker, are taken up by themselves."""

    def __init__(self, connection: Connection[Any], committer: Committer, job: Job, *, one_by_one: bool = False) -> None:
        self._connection, self._committer, self.job = connection, committer, job
        self.source = Source(connection, job)
        self.seconds = 0.0
        options = self.source.options
        head = self._head()
        with connection.cursor() as cursor:
            now: datetime = clock.ask(cursor)
            sender = senders.of(cursor, job, options)
            if job.state == "running" and head is not None:
                event_settings.create(cursor, committer, sender, head, options)
            elif job.state == "running" and job.kind == "opportunities" and options.create_missing.custom_fields:
                new_fields.create(cursor, committer, job, sender, options.mapping)
            vocabulary: Vocabulary = org_vocabulary.load(cursor, job.org_id)
            people = frozenset(one.id for one in vocabulary.people)
            policy = org_vocabulary.policy(cursor, job.org_id)
        if head is not None:
            policy = event_settings.would_be(head, policy, options)
            self._feed: Feed = EventRows(connection, self.source, sender, vocabulary, head)
        else:
            self._feed = TableRows(connection, self.source, sender, vocabulary, now)
        self._rules = checking.Rules(now, policy, people)
        self.pace = Pace()
        self._alone = AHEAD if one_by_one else 0
        """Rows that are still to be taken up by themselves."""
        self._ahead: Ahead[Rows] = Ahead(self._next)
        self._refused = False

    def _head(self) -> Head | None:
        file = self.source.file()
        return event_head.head(file) if event_head.is_one(file) else None

    def _next(self) -> Rows:
        if not self._alone:
            return self._feed.next(ROWS)
        self._alone -= 1
        return self._feed.next(1)

    def close(self) -> None:
        self._ahead.close()
        self.source.close()

    def steps(self) -> Iterator[None]:
        """Raises ``Unreadable``, ``Stopped``, and as ``batch.commit``."""
        yield from self._feed.begin()
        at = self.job.line
        while True:
            rows = self._ahead.take()
            if not rows.good and not rows.bad:
                return
            if self._refused:  # what was planned meanwhile may refer to it
                rows = self._feed.again(rows)
            self._refused = False
            for part, ends in self._parts(rows, at):
                self._write(part, self._ahead.begin if ends and not self._alone else _nothing)
                at = part.last
                yield

    def _parts(self, rows: Rows, at: int) -> Iterator[tuple[Part, bool]]:
        """What goes into a transaction each, and whether it is the last one, in which the next rows are planned: no small rest."""
        rest = rows.planned
        while rest:
            size = self.pace.size if self.job.state == "running" else len(rest)
            size = ceil(len(rest) / ceil(len(rest) / size))
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
            self.pace.done(len(planned), self._committer.turn)
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
        with self._connection.transaction(), self._connection.cursor() as cursor:
            if not books.is_still(cursor, self.job.id, "checking"):
                raise batch.Stopped
            failed = {place: batch.packed(part.cells[line]) for line, place in found.failed.items() if line in part.cells}
            books.add_failed(cursor, self.job.org_id, self.job.id, failed)
            books.add_faults(cursor, self.job.org_id, self.job.id, found.faults)
            known = [one.known for one in part.planned if one.known is not None and one.line not in found.failed]
            ids.add(cursor, self.job.org_id, self.job.id, known)
            books.advance(cursor, self.job.id, part.last, found.counts)
        return found.counts


def _nothing() -> None:
    pass


def settle(connection: Connection[Any], job: Job) -> None:
    """The rows came to an end."""
    with connection.transaction(), connection.cursor() as cursor:
        jobs.settle(cursor, job.id, "ready" if job.state == "checking" else "done")
