"""One import, worked on by the process of the command line with the engine that the API's imports have.

Whoever interrupts it leaves what is done, and goes on with ``--resume``.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from uuid import UUID

import click
import msgspec
from psycopg import Connection
from uuid_utils.compat import uuid7

from app.cli.options import progress
from app.importing.faults import MAX_BYTES
from app.importing.options import Options
from app.importing.worker import Importer
from app.process.failures import Failure
from app.writing.committer import Committer
from domain.text import caseless, normal
from projections.imports import books, files, jobs, lookups
from projections.imports.files import PART
from projections.imports.jobs import AT_WORK, File, Job

WAIT_SECONDS = 0.5
SHOWN = 20
"""Bad rows that are printed."""


class Import:
    """One import of an org, worked on by this process unless a worker has it."""

    def __init__(self, url: str, connection: Connection[Any], id_: UUID) -> None:
        self.id, self._url, self._connection = id_, url, connection

    def job(self) -> Job:
        with self._connection.cursor() as cursor:
            job = jobs.load(cursor, self.id)
        if job is None:
            raise Failure(f"There is no import {self.id}.")
        return job

    def begin(self, state: jobs.State, user_id: UUID | None, *, over: bool) -> None:
        with self._connection.transaction(), self._connection.cursor() as cursor:
            if over:
                jobs.start_over(cursor, self.id)
            jobs.begin(cursor, self.id, state, user_id=user_id, token_id=None, fingerprint=None)

    def work(self, title: str) -> Job:
        """Work until it has ended, with a bar on a terminal."""
        stop = threading.Event()
        committer = Committer(self._url)
        importer = Importer(self._url, committer, stop, only=self.id)
        try:
            with progress(title) as report:
                while (job := self.job()).state in AT_WORK:
                    report(job.counts.done, job.rows or 0)
                    if not importer.step():
                        stop.wait(WAIT_SECONDS)
                report(job.counts.done, job.rows or 0)
        except KeyboardInterrupt:
            with self._connection.cursor() as cursor:
                jobs.cancel(cursor, self.id)
            click.echo(f"Interrupted: what was done stays. Go on with --resume {self.id}, or take it back with --undo.", err=True)
            raise
        finally:
            importer.close()
            committer.close()
        return job

    def faults(self) -> list[str]:
        with self._connection.cursor() as cursor:
            found = books.first_faults(cursor, self.id, SHOWN)
        return [": ".join(filter(None, (f"line {one.line}", one.column, one.value, one.message))) for one in found]

    def problem(self) -> str:
        with self._connection.cursor() as cursor:
            fault = books.problem(cursor, self.id)
        return f"line {fault.line}: {fault.message}" if fault.line else fault.message


def receive(connection: Connection[Any], org_id: UUID, kind: str, user_id: UUID, paths: Sequence[Path], options: Options) -> UUID:
    """Keep the files of a new import. Raises ``Failure`` if they are too large."""
    if sum(path.stat().st_size for path in paths) > MAX_BYTES:
        raise Failure(f"The files of an import have at most {MAX_BYTES // 1024**2:,} MB together: split them into several imports.")
    id_ = uuid7()
    with connection.transaction(), connection.cursor() as cursor:
        jobs.create(cursor, id_, org_id, kind, user_id, None)
    kept: list[File] = []
    for number, path in enumerate(paths):
        digest, size = hashlib.sha256(), 0
        with path.open("rb") as file, connection.cursor() as cursor:
            for part in iter(lambda file=file: file.read(PART), b""):  # type: ignore[misc]
                files.add(cursor, org_id, id_, number, size // PART, part)
                digest.update(part)
                size += len(part)
        kept.append(File(path.name, size, digest.hexdigest()))
    with connection.transaction(), connection.cursor() as cursor:
        jobs.received(cursor, id_, kind, kept, msgspec.json.encode(options))
    return id_


def user_of(connection: Connection[Any], org_id: UUID, email: str) -> UUID:
    """The user with an address. Raises ``Failure`` if there is none."""
    with connection.cursor() as cursor:
        found = lookups.by_email(cursor, org_id, "user", [caseless(normal(email))])
    if not found:
        raise Failure(f"The org has no user {email}.")
    return next(iter(found.values()))[0]
