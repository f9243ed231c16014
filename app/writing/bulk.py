"""Calls of many commands, in one transaction or in parts, with one ``Idempotency-Key`` over all of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol
from uuid import UUID

from msgspec import Struct

from app.writing.envelope import Result
from app.writing.pace import Pace
from app.writing.units import Span, Unit
from domain.sql_cursor import SqlCursor
from projections import idempotency_records
from projections.idempotency_records import Kept, Key

MAX_OPERATIONS = 500
Results = Sequence[Sequence[Result]]


class Bulk(Struct, frozen=True):
    """A call of many commands, or a part of one, which is committed together.

    ``idempotency`` is the call's key with the request's fingerprint; ``render`` makes the response to the call up to here, which is
    kept under it, None if none is to be kept. ``records`` are those of the call's commands before, None for what was refused;
    ``ends`` says whether nothing comes after.
    """

    units: Sequence[Unit]
    render: Callable[[Results], str | None]
    idempotency: tuple[Key, bytes] | None = None
    records: Sequence[UUID | None] = ()
    ends: bool = True


class BulkOutcome(Struct):
    """The results by unit; or ``replayed``, the response to the first call with the same key; or ``resumed``, the response to that
    call as far as it came."""

    results: Results
    replayed: str | None = None
    resumed: str | None = None


class Executor(Protocol):
    """``pace`` says how many commands of a call go into a transaction."""

    pace: Pace

    async def execute_bulk(self, bulk: Bulk) -> BulkOutcome: ...


class Answers:
    """The books of one call, or a part of it: its response, kept under its key. Of a response that is not all, the version is how
    many results it has, below zero."""

    def __init__(self, bulk: Bulk) -> None:
        self._bulk = bulk
        self.replayed: str | None = None
        self.resumed: str | None = None

    def begin(self, cursor: SqlCursor) -> bool:
        self.replayed = self.resumed = None
        if self._bulk.idempotency is None:
            return True
        key, fingerprint = self._bulk.idempotency
        found = idempotency_records.find(cursor, [key])().get(key)
        if found is None:
            return True
        idempotency_records.require_same(key, found.fingerprint, fingerprint)
        if found.version < 0:
            if -found.version == len(self._bulk.records):
                return True
            self.resumed = found.body
        else:
            self.replayed = found.body
        return False

    def finish(self, cursor: SqlCursor, results: Results, span: Span | None) -> None:
        if self._bulk.idempotency is not None and (body := self._bulk.render(results)) is not None:
            key, fingerprint = self._bulk.idempotency
            done = 0 if self._bulk.ends else -len(self._bulk.records) - sum(map(len, results))
            idempotency_records.keep(cursor, {key: Kept(fingerprint, key.org_id, done, body)})
