"""The worker of imports: takes up one after the other, and works on it in short steps. Start several: they share the imports."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import suppress
from threading import Event
from typing import Any
from uuid import UUID

import msgspec
import psycopg
import structlog
from psycopg import Connection

from app.importing import running
from app.importing.batch import Stopped
from app.importing.faults import Fault, Unreadable
from app.importing.undoing import Undo
from app.process.failures import Unavailable
from app.writing.committer import Committer
from consumers import database
from domain.errors import DomainError
from projections import connections
from projections.imports import jobs, tries
from projections.imports.jobs import Job

log = structlog.get_logger("imports")

CHANNEL = "opportunities_imports"
SWEEP_SECONDS = 600.0
MAX_PAUSE_SECONDS = 0.5
INTERNAL = "Internal error: the log of `opportunities imports` says more."
MAX_TRIES = 3
"""Workers, or their sessions in PostgreSQL, that an import may kill, one after the other, before it fails."""


class Importer:
    """A ``loop.Worker``, for all imports or ``only`` one. Where others write too, it waits after each commit for half as long as
    that took, so that they get at the log."""

    def __init__(self, url: str, committer: Committer, stop: Event, *, only: UUID | None = None) -> None:
        self._url, self._committer, self._stop, self._only = url, committer, stop, only
        self._connection: Connection[Any] | None = None
        self._job: Job | None = None
        self._steps: Iterator[None] | None = None
        self._run: running.Run | Undo | None = None
        self._swept_at = -SWEEP_SECONDS
        self._owed: UUID | None = None
        """An import that could not be given back, because the connection was lost."""

    def step(self) -> bool:
        try:
            return self._step()
        except BaseException as error:
            self.close(killed=_ended_without_a_word(error))
            raise

    def wait(self, seconds: float) -> None:
        assert self._connection is not None
        for _ in self._connection.notifies(timeout=seconds, stop_after=1):
            pass

    def close(self, *, killed: bool = False) -> None:
        """Leave the import to whoever takes it up next, at once: PostgreSQL may notice later that a connection is closed.
        ``killed`` says that the import may have ended a session in PostgreSQL, which counts as its worker's death would."""
        job = self._job
        self._end()
        if self._connection is not None:
            self._owed = job.id if job is not None and not killed else self._owed
            with suppress(psycopg.Error):
                self._give_back(self._connection)
                if job is not None:
                    jobs.release(self._connection.cursor(), job.id)
            with suppress(psycopg.Error):
                self._connection.close()
        self._connection = None

    def _give_back(self, connection: Connection[Any]) -> None:
        """Say of what was taken up last that it killed nobody."""
        if self._owed is not None:
            tries.give_back(connection.cursor(), self._owed)
            self._owed = None

    def _end(self) -> None:
        if self._run is not None:
            self._run.close()
        self._job, self._steps, self._run = None, None, None

    def _step(self) -> bool:
        connection = self._connected()
        try:
            if self._job is None and not self._take_up(connection):
                return self._sweep(connection)
            assert self._job is not None
            assert self._steps is not None
            next(self._steps)
        except StopIteration:
            self._release(connection)
        except Stopped:
            self._release(connection)
        except (psycopg.Error, Unavailable):
            raise
        except Exception as error:  # noqa: BLE001 - whatever it is, it is of this import, and the others must not wait for it
            self._fail(connection, error)
        else:
            if self._run is not None and self._job.state in ("running", "undoing") and not self._run.pace.alone:
                self._stop.wait(min(self._run.seconds / 2, MAX_PAUSE_SECONDS))
        return True

    def _connected(self) -> Connection[Any]:
        if self._connection is None:
            self._connection = connections.connect(
                self._url, "imports", connections.BY_KEYS, statement_timeout_ms=database.TIMEOUT_MS, role="writer"
            )
            self._connection.prepare_threshold = 0
            self._connection.execute(f"LISTEN {CHANNEL}")
            self._give_back(self._connection)
        return self._connection

    def _take_up(self, connection: Connection[Any]) -> bool:
        with connection.cursor() as cursor:
            job = jobs.claim(cursor, self._only)
            if job is None:
                return False
            self._job = job
            tried = tries.take_up(cursor, job.id)
        log.info("import.taken_up", import_id=str(job.id), state=job.state, line=job.line, tries=tried)
        if tried > MAX_TRIES:
            log.error("import.given_up", import_id=str(job.id), state=job.state, line=job.line)
            raise _deadly(job)
        match job.state:
            case "inspecting":
                self._steps = running.inspection(connection, job)
            case "checking" | "running":
                self._run = run = running.Run(connection, self._committer, job, one_by_one=tried > 1)
                self._steps = _with_end(run, connection, job)
            case "undoing":
                self._run = undo = Undo(connection, self._committer, job)
                self._steps = undo.steps()
            case _:  # it has ended since it was seen
                self._steps = iter(())
        return True

    def _release(self, connection: Connection[Any]) -> None:
        assert self._job is not None
        id_ = self._job.id
        log.info("import.released", import_id=str(id_))
        self._end()
        with connection.cursor() as cursor:
            tries.forget(cursor, id_)
            jobs.release(cursor, id_)

    def _fail(self, connection: Connection[Any], error: Exception) -> None:
        """What is wrong with all of the import, for its owner."""
        assert self._job is not None
        if self._run is not None:
            self._run.close()
        if isinstance(error, Unreadable):
            fault = error.fault
        else:
            fault = Fault(0, "", "", error.detail if isinstance(error, DomainError) else INTERNAL)
        expected = isinstance(error, Unreadable | DomainError | FileNotFoundError)
        log.log(
            20 if expected else 40,
            "import.failed",
            import_id=str(self._job.id),
            reason=fault.message,
            exc_info=None if expected else error,
        )
        with connection.transaction(), connection.cursor() as cursor:
            jobs.settle(cursor, self._job.id, "failed", msgspec.json.encode(fault))
        self._release(connection)

    def _sweep(self, connection: Connection[Any]) -> bool:
        """Remove some of what is not needed any more; False if nothing is left to do for now."""
        if time.monotonic() - self._swept_at < SWEEP_SECONDS:
            return False
        with connection.transaction(), connection.cursor() as cursor:
            more = jobs.sweep(cursor)
        if not more:
            self._swept_at = time.monotonic()
        return more


def _ended_without_a_word(error: BaseException) -> bool:
    """Whether a session in PostgreSQL ended as one does that crashed. A server that is shut down looks alike, and so does a network
    that breaks, but not three times in a row at the same row."""
    cause = error.__cause__ if isinstance(error, Unavailable) else error
    return isinstance(cause, psycopg.OperationalError) and not isinstance(cause, connections.Silent) and cause.sqlstate is None


def _deadly(job: Job) -> Unreadable:
    """Why an import that killed one worker after the other is not taken up again."""
    if job.state in ("checking", "running"):
        where = f"at the first row after line {job.line:,}: correct it, or leave it out" if job.line else "at the first row"
        return Unreadable(f"The worker or its connection died {MAX_TRIES} times in a row, {where}.", job.line + 1)
    doing = "it looked at the file" if job.state == "inspecting" else "it undid the import"
    return Unreadable(f"The worker or its connection died {MAX_TRIES} times in a row while {doing}.")


def _with_end(run: running.Run, connection: Connection[Any], job: Job) -> Iterator[None]:
    yield from run.steps()
    running.settle(connection, job)
