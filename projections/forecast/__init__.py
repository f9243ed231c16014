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

Balances are the running sums of the ledger, by month and by day: the current ones, and the movement of each month in
which events occurred. There are no rates here: every sum is in the deals' own currencies.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal
from functools import lru_cache
from typing import Literal, NamedTuple, cast
from uuid import UUID

import msgspec
from msgspec import Struct

from domain.fold import Change
from domain.opportunity.events import State
from domain.sql_cursor import SqlCursor
from projections.forecast.money import Contribution, ForecastStatus, contribution

INFINITY = "infinity"
"""As a day: that of the unscheduled deals. As a period of balances: everything up to now."""

Cause = Literal["created", "reopened", "increased", "decreased", "pulled_in", "pushed_out", "won", "lost", "deleted", "restored"]

# ``period`` is the month in which events occurred, or 'infinity' for all of them; ``day`` is a day, or the first of a month
# by ``grain``. The unscheduled deals are a month and have no days.
DDL = """
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
    day date NOT NULL,
    currency text NOT NULL,
    status text NOT NULL,
    unweighted numeric NOT NULL,
    weighted numeric NOT NULL,
    n bigint NOT NULL,
    PRIMARY KEY (org_id, grain, period, day, currency, status)
) WITH (fillfactor = 70);
"""

# One parse and one sum per batch: the balances are updated from the very rows that went into the ledger.
POST = """
WITH posted AS (
    INSERT INTO forecast_entries SELECT * FROM json_populate_recordset(NULL::forecast_entries, %(rows)s::json)
    RETURNING org_id, date_trunc('month', occurred_at AT TIME ZONE 'UTC')::date AS period, day, currency, status,
        unweighted, weighted, n
)
INSERT INTO forecast_balances AS b
SELECT p.org_id, g.grain, o.period, g.day, p.currency, p.status, sum(p.unweighted), sum(p.weighted), sum(p.n)
FROM posted p
CROSS JOIN LATERAL (VALUES ('month', date_trunc('month', p.day::timestamp)::date), ('day', p.day)) g (grain, day)
CROSS JOIN LATERAL (VALUES (p.period), ('infinity')) o (period)
WHERE g.grain = 'month' OR g.day < 'infinity'
GROUP BY p.org_id, g.grain, o.period, g.day, p.currency, p.status
HAVING sum(p.n) <> 0 OR sum(p.unweighted) <> 0 OR sum(p.weighted) <> 0
ON CONFLICT (org_id, grain, period, day, currency, status) DO UPDATE SET
    unweighted = b.unweighted + excluded.unweighted,
    weighted = b.weighted + excluded.weighted,
    n = b.n + excluded.n
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
    version = 1
    tables: tuple[str, ...] = ("forecast_entries", "forecast_balances")
    ddl = DDL
    zero_rows: Mapping[str, str] = {"forecast_balances": "unweighted = 0 AND weighted = 0 AND n = 0"}

    def apply(self, cursor: SqlCursor, batch: Sequence[Change]) -> None:
        entries = [entry for change in batch if isinstance(change.after, State) for entry in _entries(change)]
        if entries:
            cursor.execute(POST, {"rows": encode(entries).decode()}, prepare=True)


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
