"""The forecast's ledger: every event that moves money posts what it takes away and what it adds, with the cause.

A deal contributes to the month of its close date (of the actual one once it is won). Deals without a date are
unscheduled, which is a month of its own, after all others: day ``infinity``. An event posts the difference between the
contributions before and after it, step by step, so that each step has one cause:

- The first event, a deletion or a restoration moves the whole contribution: ``created``, ``deleted``, ``restored``.
- Another date moves the contribution as it was, to an earlier day ``pulled_in``, to a later one ``pushed_out``. A date
  given to an unscheduled deal pulls it in, a date cleared pushes it out. A corrected actual date of a won deal does the same.
- Winning takes the open contribution out and puts the actual amount in, both ``won``; if the actual day differs from
  the scheduled one, the open amount is moved there first, so that the step ``won`` is only a difference in amount.
- Losing takes the contribution out: ``lost``. Reopening takes the won one out, if there was one, and puts the open one
  in, on its own day: ``reopened``.
- Otherwise a larger amount is ``increased``, at the probability as it was, a smaller one ``decreased``; then another
  probability does the same to the weighted sum alone. Another currency takes the old amount out (``decreased``) and puts
  the new one in (``increased``), because no rate may be used here. So neither step ever has the other's sign.
- What changes no contribution (owner, stage at the same probability, tags, a lost deal) posts nothing.

Balances are the running sums of the ledger, by month and by day: the current ones, and by cause what moved in each month in
which events occurred. Movements are the same sums for each day on which events occurred. There are no rates here: every sum
is in the deals' own currencies.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from functools import lru_cache
from typing import Any, Literal, NamedTuple, cast, get_args
from uuid import UUID

import msgspec
from msgspec import Struct

from domain.fold import Change
from domain.opportunity.events import State
from domain.sql_cursor import SqlCursor
from projections.forecast.money import Contribution, ForecastStatus, contribution, exact_sum

INFINITY = "infinity"
"""As a day: that of the unscheduled deals. As a period of balances: everything up to now."""

Cause = Literal["created", "reopened", "increased", "decreased", "pulled_in", "pushed_out", "won", "lost", "deleted", "restored"]

CAUSES: tuple[Cause, ...] = get_args(Cause)
SUMS = ("unweighted", "weighted", "n")
AMOUNTS = tuple(f"{cause}_{amount}" for cause in CAUSES for amount in ("unweighted", "weighted"))
"""The columns of balances and movements that say how much of a sum is due to each cause."""

# In balances ``period`` is the month in which events occurred, or 'infinity' for all of them, whose causes are not told apart;
# ``day`` is a day, or the first of a month by ``grain``. The unscheduled deals are a month and have no days. In movements
# ``period`` is the day on which events occurred; ``day`` is that of a won deal, because of the rates, and of an open one the
# first of its month. A cause is two columns and not a key, because an event often has several for the same deals and day.
# Programs of version 1 of this read model find the columns and sums that they read.
_SUMS_DDL = f"""
    day date NOT NULL,
    currency text NOT NULL,
    status text NOT NULL,
    unweighted numeric NOT NULL,
    weighted numeric NOT NULL,
    n bigint NOT NULL,
    {", ".join(f"{name} numeric NOT NULL" for name in AMOUNTS)}
"""
DDL = f"""
CREATE TABLE forecast_entries (
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
    n int NOT NULL
);
CREATE INDEX forecast_entries_occurred_at ON forecast_entries (org_id, occurred_at);

CREATE TABLE forecast_balances (
    org_id uuid NOT NULL,
    grain text NOT NULL,
    period date NOT NULL,
    {_SUMS_DDL},
    PRIMARY KEY (org_id, grain, period, day, currency, status)
) WITH (fillfactor = 70);

CREATE TABLE forecast_movements (
    org_id uuid NOT NULL,
    period date NOT NULL,
    {_SUMS_DDL},
    PRIMARY KEY (org_id, period, day, currency, status)
) WITH (fillfactor = 70);
"""


def _add(table: str, keys: tuple[str, ...]) -> str:
    """SQL that adds the rows of a parameter with the table's name to it; what they do not have is zero."""
    sums = (*SUMS, *AMOUNTS)
    zeros = f"ROW({', '.join(['NULL'] * len(keys) + ['0'] * len(sums))})::{table}"
    return f"""
        INSERT INTO {table} AS b SELECT * FROM json_populate_recordset({zeros}, %({table})s::json)
        ON CONFLICT ({", ".join(keys)}) DO UPDATE SET {", ".join(f"{name} = b.{name} + excluded.{name}" for name in sums)}
    """


_KEYS = ("org_id", "grain", "period", "day", "currency", "status")
POST = f"""
WITH posted AS (
    INSERT INTO forecast_entries SELECT * FROM json_populate_recordset(NULL::forecast_entries, %(rows)s::json)
), moved AS ({_add("forecast_movements", tuple(key for key in _KEYS if key != "grain"))})
{_add("forecast_balances", _KEYS)}
"""


class Posting(NamedTuple):
    """One signed step; ``n`` is the number of deals that come (+1) or go (-1) with it."""

    cause: Cause
    day: date | None
    currency: str
    status: ForecastStatus
    unweighted: Decimal
    weighted: Decimal
    n: int


def postings(before: State | None, after: State) -> Iterator[Posting]:
    """The steps from the deal's contribution before an event to the one after it; none if nothing moves."""
    old, new = contribution(before), contribution(after)
    if old == new:
        return
    turn = _turn(before, after)
    if turn in ("won", None) and old and new and old.day != new.day:
        moved = old._replace(day=new.day)
        yield from _step("pulled_in" if _earlier(new.day, old.day) else "pushed_out", old, moved)
        old = moved
    if turn:
        yield from _step(turn, old, new)
    elif old and new:
        yield from _changed(old, new)


def _turn(before: State | None, after: State) -> Cause | None:
    """What happened to the deal as a whole; None if it is the same deal with other figures."""
    if before is None:
        return "created"
    if before.deleted != after.deleted:
        return "deleted" if after.deleted else "restored"
    if before.status == after.status:
        return None
    return "reopened" if after.status == "open" else after.status


def _changed(old: Contribution, new: Contribution) -> Iterator[Posting]:
    if old.currency != new.currency:
        yield from _step("decreased", old, None)
        yield from _step("increased", None, new)
        return
    resized = old._replace(amount=new.amount)
    yield from _step("increased" if new.amount > old.amount else "decreased", old, resized)
    yield from _step("increased" if new.probability > old.probability else "decreased", resized, new)


def _step(cause: Cause, old: Contribution | None, new: Contribution | None) -> Iterator[Posting]:
    if old and new and old[:3] == new[:3]:
        unweighted, weighted = new.amount - old.amount, new.weighted - old.weighted
        if unweighted or weighted:
            yield Posting(cause, *new[:3], unweighted, weighted, 0)
        return
    if old:
        yield Posting(cause, *old[:3], -old.amount, -old.weighted, -1)
    if new:
        yield Posting(cause, *new[:3], new.amount, new.weighted, 1)


def _earlier(day: date | None, than: date | None) -> bool:
    return day is not None and (than is None or day < than)


class _Entry(Struct):
    org_id: UUID
    opportunity_id: UUID
    position: int
    occurred_at: datetime
    day: str
    currency: str
    status: ForecastStatus
    cause: Cause
    unweighted: Decimal
    weighted: Decimal
    n: int


encode = msgspec.json.Encoder(decimal_format="string").encode


class ForecastLedger:
    name = "forecast"
    version = 2
    tables: tuple[str, ...] = ("forecast_entries", "forecast_balances", "forecast_movements")
    ddl = DDL
    zero_rows: Mapping[str, str] = dict.fromkeys(tables[1:], " AND ".join(f"{each} = 0" for each in (*SUMS, *AMOUNTS)))

    def apply(self, cursor: SqlCursor, batch: Sequence[Change]) -> None:
        entries = [entry for change in batch if isinstance(change.after, State) for entry in _entries(change)]
        if entries:
            cursor.execute(POST, {"rows": encode(entries).decode(), **_sums(entries)}, prepare=True)


def _sums(entries: Sequence[_Entry]) -> dict[str, str]:
    """What a batch adds to the sums of each table, as JSON. In SQL so many aggregates of so few rows would cost more."""
    found: dict[UUID, tuple[_Rows, _Rows]] = {}
    for each in entries:
        balances, movements = found.setdefault(each.org_id, ({}, {}))
        on = each.occurred_at.astimezone(UTC).date()
        month = each.day if each.day == INFINITY else f"{each.day[:7]}-01"
        during = _day(on.replace(day=1))
        for grain, day in (("month", month), ("day", each.day)):
            if grain == "month" or day != INFINITY:
                _count(balances, (each.currency, each.status, INFINITY, day, grain), each, _WHOLE)
                _count(balances, (each.currency, each.status, during, day, grain), each, _BY_CAUSE[each.cause])
        day = each.day if each.status == "won" else month
        _count(movements, (each.currency, each.status, _day(on), day), each, _BY_CAUSE[each.cause])
    return {
        "forecast_balances": _changed_rows((org_id, rows) for org_id, (rows, _) in found.items()),
        "forecast_movements": _changed_rows((org_id, rows) for org_id, (_, rows) in found.items()),
    }


def _changed_rows(found: Iterable[tuple[UUID, _Rows]]) -> str:
    names = ("currency", "status", "period", "day", "grain")
    changed = [
        {"org_id": org_id, **dict(zip(names, key, strict=False)), **row}
        for org_id, rows in found
        for key, row in rows.items()
        if any(row.values())
    ]
    return encode(changed).decode()


_Rows = dict[tuple[str, ...], dict[str, Any]]
"""By key: the sums by column."""

_WHOLE = (("unweighted",), ("weighted",))
_BY_CAUSE: Mapping[Cause, tuple[tuple[str, ...], ...]] = {
    cause: (("unweighted", f"{cause}_unweighted"), ("weighted", f"{cause}_weighted")) for cause in CAUSES
}
"""The columns that an entry's two amounts are added to."""


def _count(rows: _Rows, key: tuple[str, ...], entry: _Entry, columns: tuple[tuple[str, ...], ...]) -> None:
    row = rows.setdefault(key, {"n": 0})
    row["n"] += entry.n
    for names, amount in zip(columns, (entry.unweighted, entry.weighted), strict=True):
        for name in names:
            row[name] = exact_sum(row[name], amount) if name in row else amount


def _entries(change: Change) -> Iterator[_Entry]:
    recorded, before, after = change
    for cause, day, currency, status, unweighted, weighted, n in postings(cast("State | None", before), cast("State", after)):
        yield _Entry(
            after.org_id,
            after.id,
            recorded.position,
            recorded.meta.occurred_at,
            _day(day),
            currency,
            status,
            cause,
            unweighted,
            weighted,
            n,
        )


@lru_cache(maxsize=10_000)
def _day(value: date | None) -> str:
    return INFINITY if value is None else value.isoformat()
