"""Calls of many commands: one transaction, and one ``Idempotency-Key`` over all of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from msgspec import Struct

from app.writing.envelope import Result
from app.writing.units import Unit
from domain.sql_cursor import SqlCursor
from projections import idempotency_records
from projections.idempotency_records import Kept, Key

MAX_OPERATIONS = 500

Results = Sequence[Sequence[Result]]


class Bulk(Struct, frozen=True):
    """``idempotency`` is a key with the request's fingerprint; ``render`` makes the response that is kept under it, None if none is
    to be kept."""

    units: Sequence[Unit]
    render: Callable[[Results], str | None]
    idempotency: tuple[Key, bytes] | None = None


class BulkOutcome(Struct):
    """The results by unit; or ``replayed``, the response to the first call with the same key."""

    results: Results
    replayed: str | None = None


class Executor(Protocol):
    async def execute_bulk(self, bulk: Bulk) -> BulkOutcome: ...


class Answers:
    """The books of one call: its response, kept under its key."""

    def __init__(self, bulk: Bulk) -> None:
        self._bulk = bulk
        self.replayed: str | None = None

    def begin(self, cursor: SqlCursor) -> bool:
        self.replayed = None
        if self._bulk.idempotency is None:
            return True
        key, fingerprint = self._bulk.idempotency
        found = idempotency_records.find(cursor, [key])().get(key)
        if found is None:
            return True
        idempotency_records.require_same(key, found.fingerprint, fingerprint)
        self.replayed = found.body
        return False

    def finish(self, cursor: SqlCursor, results: Results) -> None:
        if self._bulk.idempotency is not None and (body := self._bulk.render(results)) is not None:
            key, fingerprint = self._bulk.idempotency
            idempotency_records.keep(cursor, {key: Kept(fingerprint, key.org_id, 0, body)})
