"""A batch of planned rows on its way into the log: its units, and what is written beside them."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec
import structlog

from app.importing.faults import SHOWN
from app.importing.faults import Fault as RowFault
from app.importing.plan import Planned
from app.importing.profile import text_of
from app.process.failures import Unavailable
from app.writing.committer import Committer
from app.writing.envelope import Envelope, Outcome, Result
from app.writing.units import Span
from domain.adoption import Adopt
from domain.errors import DomainError, Forbidden, Invalid, Unauthenticated
from domain.sql_cursor import SqlCursor
from projections.imports import books, ids, spans
from projections.imports.books import Made
from projections.imports.ids import Known
from projections.imports.jobs import Counts, Fault, Job

log = structlog.get_logger("imports")

UNDOABLE = frozenset({"opportunity", "account", "contact", "user"})
"""Activities go with their deals; rates stay."""
_ID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")


class Stopped(Exception):
    """The import is not at work any more, or another worker has moved it on."""


class Part(NamedTuple):
    """Rows that are committed together: those after the line ``at``, up to ``last``, with the cells of their lines."""

    at: int
    last: int
    planned: Sequence[Planned]
    cells: Mapping[int, list[Any]]

    def halves(self) -> tuple[Part, Part]:
        half = len(self.planned) // 2
        first, second = self.planned[:half], self.planned[half:]
        middle = last_line(self.at, first)
        return Part(self.at, middle, first, self.cells), Part(middle, self.last, second, self.cells)


class Batch:
    """The ``Books`` of one transaction. ``decided`` is called when nothing is left to do but for PostgreSQL."""

    def __init__(self, job: Job, part: Part, decided: Callable[[], None] = lambda: None) -> None:
        self._job, self._part, self._decided = job, part, decided
        self.counts = Counts()
        self.open = False
        """Whether the import was still at work when the transaction began."""

    @property
    def units(self) -> list[Sequence[Envelope]]:
        return [one.commands for one in self._part.planned]

    def begin(self, cursor: SqlCursor) -> bool:
        self.open = books.is_next(cursor, self._job.id, "running", self._part.at)
        return self.open

    def finish(self, cursor: SqlCursor, results: Sequence[Sequence[Result]], span: Span | None) -> None:
        faults: list[Fault] = []
        made: list[Made] = []
        failed: dict[int, str] = {}
        known: list[Known] = []
        counted = dict.fromkeys(Counts.__struct_fields__, 0)
        for planned, found in zip(self._part.planned, results, strict=True):
            wrong = [*(_shown(fault) for fault in planned.faults), *_faults(planned, found)]
            faults += wrong
            if wrong and planned.line in self._part.cells:
                failed[wrong[0].line] = packed(self._part.cells[planned.line])
            records = [] if wrong else _made(planned, found)
            made += records
            known += [planned.known] if planned.known is not None and not wrong else []
            if not planned.aside:
                counted["done"] += 1
                counted[_outcome(planned, records, failed=bool(wrong))] += 1
            if planned.remark and not wrong:
                faults.append(Fault(0, planned.line, "", "", f"Imported. {planned.remark}"))
        self.counts = Counts(**counted)
        books.add_failed(cursor, self._job.org_id, self._job.id, failed)
        books.add_faults(cursor, self._job.org_id, self._job.id, faults)
        books.add_records(cursor, self._job.org_id, self._job.id, self._undoable(made))
        ids.add(cursor, self._job.org_id, self._job.id, known)
        books.advance(cursor, self._job.id, self._part.last, self.counts)
        if span is not None:
            spans.add(cursor, self._job.org_id, self._job.id, *span)
        self._decided()

    def _undoable(self, made: Sequence[Made]) -> list[Made]:
        """The records that an undo has to do with; not those whose past ends with their deletion."""
        commands = (command for one in self._part.planned for command in one.commands if isinstance(command.command, Adopt))
        deleted = {one.stream_id for one in commands if type(one.command.happened[-1].event).__name__ == "Deleted"}  # type: ignore[attr-defined]
        return [one for one in _once(made) if one.kind in UNDOABLE and one.id not in deleted]


def _once(made: Sequence[Made]) -> list[Made]:
    """Records that several rows of a batch made, as the first found them and the last left them."""
    merged: dict[object, Made] = {}
    for one in made:
        first = merged.get(one.id)
        merged[one.id] = one if first is None else first._replace(version_after=one.version_after)
    return list(merged.values())


def _outcome(planned: Planned, records: Sequence[Made], *, failed: bool) -> str:
    if failed:
        return "failed"
    if planned.skipped or not records:
        return "skipped"
    return "created" if records[0].version_before == 0 else "updated"


def _made(planned: Planned, results: Sequence[Result]) -> list[Made]:
    """The records that a row made or changed, each once."""
    found: dict[object, Made] = {}
    for command, result in zip(planned.commands, results, strict=True):
        if not isinstance(result, Outcome) or result.status == "unchanged":
            continue
        before = 0 if result.status == "created" else result.version - 1
        first = found.get(result.stream_id)
        begun = first.version_before if first else before
        found[result.stream_id] = Made(command.kind, result.stream_id, planned.line, begun, result.version)
    return list(found.values())


def _faults(planned: Planned, results: Sequence[Result]) -> list[Fault]:
    return [fault for result in results if isinstance(result, Exception) for fault in explained(planned, result)]


def explained(planned: Planned, error: Exception) -> list[Fault]:
    """What a refusal says, by field; of a record with the lines of its events, by that of the event."""
    line = planned.line
    if isinstance(error, Invalid):
        return [_explained(planned, path, " ".join(messages)) for path, messages in error.errors.items()]
    if isinstance(error, DomainError):
        return [Fault(0, line, "", "", error.detail)]
    log.error("import.row_failed", line=line, exc_info=error)
    return [Fault(0, line, "", "", "This row cannot be stored.")]


def _explained(planned: Planned, path: str, message: str) -> Fault:
    number, _, name = path.partition(".")
    if not planned.lines or not number.isdecimal():
        return Fault(0, planned.line, path, "", message)
    old = {str(one.new): str(one.old) for one in planned.before.values()}
    return Fault(0, planned.lines[int(number)], name, "", _ID.sub(lambda found: old.get(found[0], found[0]), message))


def _shown(fault: RowFault) -> Fault:
    return Fault(0, fault.line, fault.column[:SHOWN], fault.value, fault.message)


def packed(cells: Sequence[Any]) -> str:
    """The cells of a row as JSON: numbers and truth values as they are, all else as texts."""
    return msgspec.json.encode([_plain(cell) for cell in cells]).decode()


def _plain(cell: Any) -> Any:
    whole = isinstance(cell, bool) or (isinstance(cell, int) and abs(cell) < 2**53)
    return cell if whole or (isinstance(cell, float) and abs(cell) < 1e15) else text_of(cell).replace("\0", "�")


def commit(committer: Committer, job: Job, part: Part, decided: Callable[[], None] = lambda: None) -> Counts:
    """Commit rows in one transaction; if a fault of one stops it, in as many as it takes to tell which.

    Raises ``Stopped``, ``Unavailable``, ``Unauthenticated``, ``Forbidden``.
    """
    batch = Batch(job, part, decided)
    try:
        committer.run_units(batch.units, batch)
    except (Unavailable, Unauthenticated, Forbidden):
        raise
    except Exception as fault:
        if len(part.planned) == 1:
            log.error("import.row_failed", line=part.planned[0].line, exc_info=fault)
            return commit(committer, job, part._replace(planned=[_unstorable(part.planned[0])]))
        first, second = part.halves()
        return added(commit(committer, job, first), commit(committer, job, second))
    if not batch.open:
        raise Stopped
    return batch.counts


def _unstorable(planned: Planned) -> Planned:
    return Planned(planned.line, aside=planned.aside, faults=[RowFault(planned.line, "", "", "This row cannot be stored.")])


def last_line(at: int, planned: Sequence[Planned]) -> int:
    """Where an import is after these rows."""
    return max([at, *(one.line for one in planned if not one.aside)])


def added(first: Counts, second: Counts) -> Counts:
    return Counts(*(getattr(first, name) + getattr(second, name) for name in Counts.__struct_fields__))
