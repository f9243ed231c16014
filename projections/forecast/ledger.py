"""The forecast's read model: the entries of its ledger, and the sums into which they are folded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal
from functools import lru_cache
from typing import cast
from uuid import UUID

from msgspec import Struct

from domain.fold import Change
from domain.opportunity.events import State
from domain.sql_cursor import SqlCursor
from projections import versioned_rows
from projections.copies import Copies
from projections.forecast import INFINITY, Cause, Posting, Transfer, folding, postings, transfers
from projections.forecast.money import ForecastStatus

_ENTRY_DDL = """
    org_id uuid NOT NULL,
    opportunity_id uuid NOT NULL,
    position bigint NOT NULL,
    occurred_at timestamptz NOT NULL,
    day date NOT NULL,
    currency text NOT NULL,
    status text NOT NULL,
    cause text NOT NULL,
    unweighted numeric NOT NULL,
    weighted numeric NOT NULL,
    n int NOT NULL,
    owner_id uuid NOT NULL
"""
DDL = f"""
CREATE TABLE forecast_entries ({_ENTRY_DDL});
CREATE INDEX forecast_entries_occurred_at ON forecast_entries (org_id, occurred_at);
CREATE INDEX forecast_entries_position ON forecast_entries (position);

CREATE TABLE forecast_transfers ({_ENTRY_DDL});
CREATE INDEX forecast_transfers_occurred_at ON forecast_transfers (org_id, occurred_at);
CREATE INDEX forecast_transfers_position ON forecast_transfers (position);
{folding.DDL}
"""


class _Entry(Struct):
    org_id: UUID
    opportunity_id: UUID
    position: int
    occurred_at: datetime
    day: str
    currency: str
    status: ForecastStatus
    cause: Cause | Transfer
    unweighted: Decimal
    weighted: Decimal
    n: int
    owner_id: UUID


class ForecastLedger:
    name = "forecast"
    version = 6
    tables: tuple[str, ...] = ("forecast_entries", "forecast_transfers", *folding.TABLES)
    views: tuple[str, ...] = folding.VIEWS
    ddl = DDL
    zero_rows: Mapping[str, str] = folding.ZERO_ROWS
    sums: tuple[str, ...] = folding.FOLD_ALL

    def apply(self, cursor: SqlCursor, batch: Sequence[Change]) -> None:
        entries, transferred = _posted(batch)
        versioned_rows.insert(cursor, "forecast_entries", entries)
        versioned_rows.insert(cursor, "forecast_transfers", transferred)

    def conclude(self, cursor: SqlCursor, batch: Sequence[Change]) -> None:
        """All of a transaction is folded at once, because entries of more events share more sums."""
        folding.fold(cursor, [change.recorded.position for change in batch])

    def fill(self, copies: Copies, batch: Sequence[Change]) -> None:
        entries, transferred = _posted(batch)
        copies.insert("forecast_entries", entries)
        copies.insert("forecast_transfers", transferred)


def _posted(batch: Sequence[Change]) -> tuple[list[_Entry], list[_Entry]]:
    """The entries and the transfers of events."""
    entries: list[_Entry] = []
    transferred: list[_Entry] = []
    for change in batch:
        if isinstance(after := change.after, State):
            before = cast("State | None", change.before)
            entries += [_entry(change, after, after.owner_id, each) for each in postings(before, after)]
            if before is not None and before.owner_id != after.owner_id:
                transferred += [_entry(change, after, owner, each) for owner, each in transfers(before, after)]
    return entries, transferred


def _entry(change: Change, after: State, owner: UUID, posting: Posting) -> _Entry:
    cause, day, currency, status, unweighted, weighted, n = posting
    recorded = change.recorded
    at = recorded.meta.occurred_at
    return _Entry(after.org_id, after.id, recorded.position, at, _day(day), currency, status, cause, unweighted, weighted, n, owner)


@lru_cache(maxsize=10_000)
def _day(value: date | None) -> str:
    return INFINITY if value is None else value.isoformat()
