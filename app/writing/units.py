"""Units of commands: each is done entirely or not at all, in one transaction with others."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from typing import NamedTuple, Protocol
from uuid import UUID

import psycopg
from msgspec.structs import replace

from app.writing.deciding import Decisions
from app.writing.envelope import Envelope, Outcome, Result
from domain.errors import Conflict
from domain.fold import Change
from domain.sql_cursor import SqlCursor

Command = Envelope | Exception
"""A command, or why there is none: it is its own result."""
Unit = Sequence[Command]


class Span(NamedTuple):
    """The positions of the first and of the last event."""

    beginning: int
    ending: int


class Books(Protocol):
    """What is written together with the commands. Both run again if the transaction is repeated after a lost connection."""

    def begin(self, cursor: SqlCursor) -> bool:
        """Under the log's lock, before any decision; False if there is nothing to do any more."""

    def finish(self, cursor: SqlCursor, results: Sequence[Sequence[Result]], span: Span | None) -> None:
        """After all decisions, before the commit. ``span`` is where the events are, None if there are none."""


class NoBooks:
    def begin(self, cursor: SqlCursor) -> bool:
        return True

    def finish(self, cursor: SqlCursor, results: Sequence[Sequence[Result]], span: Span | None) -> None:
        pass


class Units:
    """The units of one transaction. ``results`` are by unit, one for each command. ``records`` are those of the commands before
    them, to which a ``ref`` may point."""

    def __init__(self, units: Sequence[Unit], books: Books, records: Sequence[UUID | None] = ()) -> None:
        self.units = [[_resolved(command, records) for command in unit] for unit in units] if records else units
        self._records = records
        self.envelopes = [command for command in chain.from_iterable(self.units) if isinstance(command, Envelope)]
        self.results: list[list[Result]] = []
        self._books = books
        self._open = False

    def decide(self, cursor: SqlCursor, decisions: Decisions) -> None:
        """Raises ``Unauthenticated``, ``Forbidden`` for whoever may give no such command."""
        self.results = []
        for envelope in self.envelopes[:1]:
            decisions.require_role(envelope)
        self._open = self._books.begin(cursor)
        records = list(self._records)
        if self._open:
            for unit in self.units:
                self.results.append(_decided(unit, decisions, records))
                decisions.append_much(len(self.envelopes))

    def finish(self, cursor: SqlCursor, appended: Sequence[Change]) -> None:
        span = Span(appended[0].recorded.position, appended[-1].recorded.position) if appended else None
        if self._open:
            self._books.finish(cursor, self.results, span)


def _resolved(command: Command, records: Sequence[UUID | None]) -> Command:
    """The command for the record of an earlier transaction, if it is for one."""
    if isinstance(command, Envelope) and command.ref is not None and command.ref < len(records):
        found = records[command.ref]
        return command if found is None else replace(command, stream_id=found, ref=None)
    return command


def _decided(unit: Unit, decisions: Decisions, records: list[UUID | None]) -> list[Result]:
    """Decide the commands of a unit, also those after a refusal; then nothing of the unit remains. ``records`` are those of the
    commands so far, None for what was refused."""
    before, first = decisions.mark(), len(records)
    results: list[Result] = []
    for command in unit:
        result = _result(command, decisions, records)
        results.append(result)
        records.append(result.stream_id if isinstance(result, Outcome) else None)
    if any(isinstance(result, Exception) for result in results):
        decisions.go_back(before)
        records[first:] = [None] * len(results)
    return results


def _result(command: Command, decisions: Decisions, records: Sequence[UUID | None]) -> Result:
    if isinstance(command, Exception):
        return command
    try:
        if command.ref is not None:
            if (found := records[command.ref]) is None:
                raise Conflict("ref_failed", f"Operation {command.ref}, whose record this is about, was refused.")
            command = replace(command, stream_id=found)
        return decisions.decide(command)
    except psycopg.Error:
        raise
    except Exception as error:  # noqa: BLE001 - a refusal, or an internal error that concerns this command alone
        return error
