"""Sums over the forecast's balances and ledger: SQL for the amounts at an instant, within bounds, in the deals' own currencies.

Whole months come from the balances by month. The days of a month that a bound cuts come from those by day, and so do the won deals
of a month in which a rate changed, because each is valued at the rate of its day. Filters on deals are in ``current``.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from projections.conditions import SqlStatement
from projections.exchange_rates import changes, period

RECENT = timedelta(days=180)
"""An instant more recent than this is reached backwards from the current balances, an earlier one forwards from zero."""

Params = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Bounds:
    """The days of a forecast, both ends included. Deals without a day are always shown beside them.

    The SQL that its methods return has its values in ``params``.
    """

    since: date | None = None
    until: date | None = None

    def params(self) -> Params:
        found: Params = {}
        if self.since:
            found |= {"since": self.since, "first": _following(self.since) if self._cuts_first else self.since}
        if self.until:
            found |= {"until": self.until, "last": self.until.replace(day=1)}
        return found

    def holds(self, day: str) -> str:
        """SQL that holds for a day (SQL) within the bounds and for ``infinity``."""
        if self.until is None:
            return f"{day} >= %(since)s::date" if self.since else "true"
        lower = f"{day} >= %(since)s::date AND " if self.since else ""
        return f"({lower}{day} <= %(until)s::date OR {day} = 'infinity')"

    def whole_months(self, day: str) -> str:
        """SQL that holds for the first day (SQL) of a month that is wholly within the bounds, and for ``infinity``."""
        terms = []
        if self.since:
            terms.append(f"{day} >= %(first)s::date")
        if self.until:
            terms.append(f"({day} {'<' if self._cuts_last else '<='} %(last)s::date OR {day} = 'infinity')")
        return " AND ".join(terms) or "true"

    def cut_months(self, day: str) -> list[str]:
        """SQL that holds for the days (SQL) within the bounds in a month that a bound cuts, by month."""
        found = []
        if self.since and self._cuts_first:
            upper = f" AND {day} <= %(until)s::date" if self.until else ""
            found.append(f"{day} >= %(since)s::date AND {day} < %(first)s::date{upper}")
        if self.until and self._cuts_last and not (self._cuts_first and self._one_month):
            lower = f" AND {day} >= %(since)s::date" if self.since else ""
            found.append(f"{day} >= %(last)s::date AND {day} <= %(until)s::date{lower}")
        return found

    def months(self) -> list[str]:
        """The months from bound to bound; empty if one is missing."""
        if self.since is None or self.until is None:
            return []
        first, last = (day.year * 12 + day.month - 1 for day in (self.since, self.until))
        return [f"{month // 12:04}-{month % 12 + 1:02}" for month in range(first, last + 1)]

    @property
    def _cuts_first(self) -> bool:
        return self.since is not None and self.since.day != 1

    @property
    def _cuts_last(self) -> bool:
        return self.until is not None and self.until != date.max and (self.until + timedelta(days=1)).day != 1

    @property
    def _one_month(self) -> bool:
        return bool(self.since and self.until and self.since.replace(day=1) == self.until.replace(day=1))


UNBOUNDED = Bounds()


def balances_at(name: str, at: datetime | None, today: date, bounds: Bounds) -> SqlStatement:
    """Rows (day, currency, status, unweighted, weighted, n) that add up to the forecast now or at an instant.

    The instant is ``%(name)s``. Whole months of events come from the balances, the rest of the instant's month from the ledger. The
    day of a sum by month is the month's first, whose rates are those of every other day of the month.
    """
    params = bounds.params()
    now = "b.period = 'infinity'"
    if at is None:
        return _statement(_balances(now, bounds), bounds, params)
    month = month_of(at)
    params |= {name: at, f"{name}_month": month}
    ledger = f"FROM forecast_entries b WHERE b.org_id = %(org_id)s AND {bounds.holds('b.day')}"
    if today - utc(at).date() < RECENT:
        params[f"{name}_end"] = datetime.combine(_following(month), time(), UTC)
        parts = [
            *_balances(now, bounds),
            *_balances(f"b.period > %({name}_month)s::date AND b.period < 'infinity'", bounds, "-"),
            f"""{_columns("-")} {ledger}
                AND b.occurred_at > %({name})s::timestamptz AND b.occurred_at < %({name}_end)s::timestamptz""",
        ]
    else:
        params[f"{name}_start"] = datetime.combine(month, time(), UTC)
        parts = [
            *_balances(f"b.period < %({name}_month)s::date", bounds),
            f"""{_columns("")} {ledger}
                AND b.occurred_at >= %({name}_start)s::timestamptz AND b.occurred_at <= %({name})s::timestamptz""",
        ]
    return _statement(parts, bounds, params)


def _statement(parts: list[str], bounds: Bounds, params: Params) -> SqlStatement:
    mixed = f"WITH mixed AS MATERIALIZED ({_months_with_rate_change(bounds)})"
    return SqlStatement(f"{mixed} {' UNION ALL '.join(parts)}", params)


def _columns(sign: str) -> str:
    return f"SELECT b.day, b.currency, b.status, {sign}b.unweighted, {sign}b.weighted, {sign}b.n"


def _balances(periods: str, bounds: Bounds, sign: str = "") -> list[str]:
    """SQL for the balances of some periods (SQL): whole months, won deals of the months in ``mixed`` by day, cut months by day."""
    mine = f"b.org_id = %(org_id)s AND {periods}"
    days = f"{_columns(sign)} FROM forecast_balances b WHERE {mine} AND b.grain = 'day'"
    return [
        f"""{_columns(sign)} FROM forecast_balances b WHERE {mine} AND b.grain = 'month' AND {bounds.whole_months("b.day")}
            AND NOT (b.status = 'won' AND b.day = ANY(ARRAY(SELECT m.month FROM mixed m)))""",
        f"""{_columns(sign)} FROM mixed m JOIN forecast_balances b ON {mine} AND b.grain = 'day' AND b.status = 'won'
            AND b.day >= m.month AND b.day < (m.month + interval '1 month')::date""",
        *(f"{days} AND {days_of_month}" for days_of_month in bounds.cut_months("b.day")),
    ]


def _months_with_rate_change(bounds: Bounds) -> str:
    """SQL for the whole months in which a rate changes after the first day."""
    return f"""
        SELECT DISTINCT b.day AS month FROM (
            SELECT {month_start("r.valid_from")} AS day FROM exchange_rates r
            WHERE r.org_id = %(org_id)s AND r.valid_from > {month_start("r.valid_from")}{changes(bounds.since, bounds.until)}
        ) b WHERE {bounds.whole_months("b.day")}
    """


def month_start(day: str) -> str:
    return f"date_trunc('month', {day}::timestamp)::date"


def rate_period(status: str, day: str, bounds: Bounds) -> str:
    """SQL that keeps sums of won deals apart by periods of constant rates, because they are valued at the rate of their day."""
    return f"CASE {status} WHEN 'won' THEN {period(day, bounds.since, bounds.until)} END"


def utc(at: datetime) -> datetime:
    return at.astimezone(UTC)


def month_of(at: datetime) -> date:
    """The first day of the month of an instant, in UTC: a period of balances."""
    return utc(at).date().replace(day=1)


def _following(day: date) -> date:
    """The first day of the next month; for the last possible month, its last day."""
    first = day.replace(day=1)
    return date.max if first == date.max.replace(day=1) else (first + timedelta(days=31)).replace(day=1)
