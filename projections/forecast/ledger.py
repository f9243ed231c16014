"""The forecast's read model: the entries of its ledger, and the sums that go with them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from functools import lru_cache
from typing import Any, cast
from uuid import UUID

import msgspec
from msgspec import Struct

from domain.fold import Change
from domain.opportunity.events import State
from domain.sql_cursor import SqlCursor
from projections.forecast import (
    AMOUNTS,
    AMOUNTS_OF_OWNERS,
    COLUMNS,
    DDL,
    INFINITY,
    SUMS,
    SUMS_OF,
    Cause,
    Posting,
    Transfer,
    postings,
    transfers,
)
from projections.forecast.money import ZERO, ForecastStatus, exact_sum

_MOVEMENT = ("org_id", "period", "day", "currency", "status")
_BALANCE = ("org_id", "grain", "period", "day", "currency", "status")
_OWNER = ("org_id", "grain", "period", "owner_id", "day", "currency", "status")


def _add(table: str, keys: Sequence[str], nothing: str, changed: str) -> str:
    """SQL that adds the rows of a parameter with the table's name to it. What they do not have is as in the row ``nothing``."""
    return f"""
        INSERT INTO {table} AS b SELECT * FROM json_populate_recordset({nothing}::{table}, %({table})s::json)
        ON CONFLICT ({", ".join(keys)}) DO UPDATE SET {_added(SUMS)}, {changed}
    """


def _added(sums: Sequence[str]) -> str:
    return ", ".join(f"{name} = b.{name} + excluded.{name}" for name in sums)


def _add_sums(table: str, keys: Sequence[str]) -> str:
    zeros = f"ROW({', '.join(['NULL'] * len(keys) + ['0'] * len((*SUMS, *AMOUNTS)))})"
    return _add(table, keys, zeros, _added(AMOUNTS))


def _add_sums_of_owners() -> str:
    """What a cause has not moved, or moved and moved back, is NULL."""
    changed = (
        f"{name} = CASE WHEN excluded.{name} IS NULL THEN b.{name} ELSE nullif(coalesce(b.{name}, 0) + excluded.{name}, 0) END"
        for name in AMOUNTS_OF_OWNERS
    )
    nothing = f"ROW({', '.join(['NULL'] * len(_OWNER) + ['0'] * len(SUMS) + ['NULL'] * len(AMOUNTS_OF_OWNERS))})"
    return _add("forecast_owners", _OWNER, nothing, ", ".join(changed))


# The current balances have no causes, and to add them alone costs a fifth less than all columns.
_POST = f"""
WITH posted AS (
    INSERT INTO forecast_entries SELECT * FROM json_populate_recordset(NULL::forecast_entries, %(rows)s::json)
), moved AS ({_add_sums("forecast_movements", _MOVEMENT)}), owned AS ({_add_sums_of_owners()}),
current AS (
    INSERT INTO forecast_balances AS b (org_id, grain, period, day, currency, status, unweighted, weighted, n)
    SELECT r.org_id, r.grain, 'infinity', r.day, r.currency, r.status,
        coalesce(r.unweighted, 0), coalesce(r.weighted, 0), coalesce(r.n, 0)
    FROM json_to_recordset(%(current)s::json) AS r (
        org_id uuid, grain text, day date, currency text, status text, unweighted numeric, weighted numeric, n bigint
    )
    ON CONFLICT ({", ".join(_BALANCE)}) DO UPDATE SET {_added(SUMS)}
)
{_add_sums("forecast_balances", _BALANCE)}
"""
_POST_TRANSFERS = f"""
WITH posted AS (
    INSERT INTO forecast_transfers SELECT * FROM json_populate_recordset(NULL::forecast_transfers, %(rows)s::json)
)
{_add_sums_of_owners()}
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


encode = msgspec.json.Encoder(decimal_format="string").encode


def _zero(amounts: Sequence[str]) -> str:
    """SQL that holds for a row in which nothing is left."""
    return " AND ".join(f"coalesce({each}, 0) = 0" for each in (*SUMS, *amounts))


class ForecastLedger:
    name = "forecast"
    version = 3
    tables: tuple[str, ...] = ("forecast_entries", "forecast_transfers", *SUMS_OF)
    ddl = DDL
    zero_rows: Mapping[str, str] = {table: _zero(amounts) for table, amounts in SUMS_OF.items()}

    def apply(self, cursor: SqlCursor, batch: Sequence[Change]) -> None:
        entries: list[_Entry] = []
        transferred: list[_Entry] = []
        for change in batch:
            if isinstance(after := change.after, State):
                before = cast("State | None", change.before)
                entries += [_entry(change, after, after.owner_id, each) for each in postings(before, after)]
                if before is not None and before.owner_id != after.owner_id:
                    transferred += [_entry(change, after, owner, each) for owner, each in transfers(before, after)]
        if entries:
            cursor.execute(_POST, {"rows": encode(entries).decode(), **_sums(entries)}, prepare=True)
        if transferred:
            owned = {"forecast_owners": _sums(transferred)["forecast_owners"]}
            cursor.execute(_POST_TRANSFERS, {"rows": encode(transferred).decode(), **owned}, prepare=True)


_Rows = dict[tuple[object, ...], dict[str, Any]]
"""By key: what is to be added to the row that has it."""


def _sums(entries: Sequence[_Entry]) -> dict[str, str]:
    """What a batch adds to the sums of each table, as JSON. In SQL so many aggregates of so few rows would cost more."""
    current: _Rows = {}
    balances: _Rows = {}
    movements: _Rows = {}
    owners: _Rows = {}
    for each in entries:
        on, won, causes = each.occurred_at.astimezone(UTC).date(), each.status == "won", COLUMNS[each.cause]
        month = each.day if each.day == INFINITY else f"{each.day[:7]}-01"
        during = _day(on.replace(day=1))
        org, owner = each.org_id.int, each.owner_id.int  # whose hashes are quicker
        for grain, day in (("month", month), ("day", each.day)):
            if grain == "month" or day != INFINITY:
                key = (org, each.currency, each.status, grain, day)
                _count(current, key, {"org_id": each.org_id, "grain": grain}, day, each)
                place = {"org_id": each.org_id, "grain": grain, "period": during}
                _count(balances, (*key, during), place, day, each, causes)
                if grain == "month" or won:
                    _count(owners, (*key, during, owner), {**place, "owner_id": each.owner_id}, day, each, causes)
        day, period = each.day if won else month, _day(on)
        place = {"org_id": each.org_id, "period": period}
        _count(movements, (org, each.currency, each.status, day, period), place, day, each, causes)
    found = {"current": current, "forecast_balances": balances, "forecast_movements": movements, "forecast_owners": owners}
    return {name: encode(list(rows.values())).decode() for name, rows in found.items()}


def _count(
    rows: _Rows, key: tuple[object, ...], place: Mapping[str, object], day: str, entry: _Entry, causes: tuple[str, ...] = ()
) -> None:
    """What a cause has not moved is left out, and a row of which nothing is left."""
    row = rows.get(key)
    if row is None:
        row = rows[key] = {
            **place,
            "currency": entry.currency,
            "status": entry.status,
            "day": day,
            "n": entry.n,
            "unweighted": entry.unweighted,
            "weighted": entry.weighted,
        }
        for name, amount in zip(causes, (entry.unweighted, entry.weighted), strict=False):
            if amount:
                row[name] = amount
        return
    row["n"] += entry.n
    left = bool(row["n"])
    for name, amount in zip(("unweighted", "weighted", *causes), (entry.unweighted, entry.weighted) * 2, strict=False):
        if total := exact_sum(row.get(name, ZERO), amount):
            row[name] = total
        else:
            row.pop(name, None)
    if not left and not row.keys() - _PLACE:
        del rows[key]


_PLACE = frozenset({"org_id", "owner_id", "grain", "period", "currency", "status", "day", "n"})


def _entry(change: Change, after: State, owner: UUID, posting: Posting) -> _Entry:
    cause, day, currency, status, unweighted, weighted, n = posting
    recorded = change.recorded
    at = recorded.meta.occurred_at
    return _Entry(after.org_id, after.id, recorded.position, at, _day(day), currency, status, cause, unweighted, weighted, n, owner)


@lru_cache(maxsize=10_000)
def _day(value: date | None) -> str:
    return INFINITY if value is None else value.isoformat()
