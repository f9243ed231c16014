"""Sums over the forecast's balances and ledger: SQL for what stood at an instant, within bounds, in the deals' own currencies.

Whole months come from the balances by month, the days of a month that a bound cuts from those by day, and so do the won deals
of a month in which a rate changed, for each is valued at the rate of its day. Refuses filters on deals: see ``forecast_queries``.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from projections.exchange_rates import period

RECENT = timedelta(days=180)
"""An instant less than this ago is reached backwards from the current balances, an earlier one forwards from zero."""

Params = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Bounds:
    """Days that a forecast is about, both ends included. Deals without a day are told beside them in any case."""

    since: date | None = None
    until: date | None = None

    def holds(self, day: str) -> str:
        """SQL that holds for a day (SQL) within the bounds and for ``infinity``."""
        if self.until is None:
            return f"{day} >= %(since)s::date" if self.since else "true"
        lower = f"{day} >= %(since)s::date AND " if self.since else ""
        return f"({lower}{day} <= %(until)s::date OR {day} = 'infinity')"

    def params(self) -> Params:
        return {name: day for name, day in (("since", self.since), ("until", self.until)) if day}

    def months(self) -> list[str]:
        """The months from bound to bound, empty where one is missing."""
        if self.since is None or self.until is None:
            return []
        first, last = (day.year * 12 + day.month - 1 for day in (self.since, self.until))
        return [f"{month // 12:04}-{month % 12 + 1:02}" for month in range(first, last + 1)]

    def whole(self, params: Params) -> str:
        """SQL that holds for the first day (``b.day``) of a month wholly within the bounds and for ``infinity``."""
        terms = []
        if self.since:
            params["first"] = _following(self.since) if self._cuts_first else self.since
            terms.append("b.day >= %(first)s::date")
        if self.until:
            params["last"] = self.until.replace(day=1)
            terms.append(f"(b.day {'<' if self._cuts_last else '<='} %(last)s::date OR b.day = 'infinity')")
        return " AND ".join(terms) or "true"

    def edges(self, params: Params) -> list[str]:
        """SQL that holds for the days (``b.day``) within the bounds in a month that a bound cuts, by month."""
        found = []
        if self.since and self._cuts_first:
            params["first"] = _following(self.since)
            upper = " AND b.day <= %(until)s::date" if self.until else ""
            found.append(f"b.day >= %(since)s::date AND b.day < %(first)s::date{upper}")
        if self.until and self._cuts_last and not (self._cuts_first and self._one_month):
            params["last"] = self.until.replace(day=1)
            lower = " AND b.day >= %(since)s::date" if self.since else ""
            found.append(f"b.day >= %(last)s::date AND b.day <= %(until)s::date{lower}")
        return found

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


def balances_at(name: str, at: datetime | None, today: date, bounds: Bounds, params: Params) -> str:
    """SQL for rows (day, currency, status, unweighted, weighted, n) that add up to the forecast now or at an instant.

    The instant is ``%(name)s``. Whole months of events come from the balances, the rest of its month from the ledger. The
    day of a sum by month is the month's first, on which rates are as on every other day of the month.
    """
    params |= bounds.params()
    if at is None:
        return _balances("b.period = 'infinity'", "", bounds, params)
    month = month_of(at)
    params |= {name: at, f"{name}_month": month}
    if today - utc(at).date() < RECENT:
        params[f"{name}_end"] = datetime.combine(_following(month), time(), UTC)
        return f"""{_balances("b.period = 'infinity'", "", bounds, params)}
            UNION ALL {_balances(f"b.period > %({name}_month)s::date AND b.period < 'infinity'", "-", bounds, params)}
            UNION ALL {_columns("-")} FROM forecast_entries b WHERE b.org_id = %(org_id)s AND {bounds.holds("b.day")}
                AND b.occurred_at > %({name})s::timestamptz AND b.occurred_at < %({name}_end)s::timestamptz
        """
    params[f"{name}_start"] = datetime.combine(month, time(), UTC)
    return f"""{_balances(f"b.period < %({name}_month)s::date", "", bounds, params)}
        UNION ALL {_columns("")} FROM forecast_entries b WHERE b.org_id = %(org_id)s AND {bounds.holds("b.day")}
            AND b.occurred_at >= %({name}_start)s::timestamptz AND b.occurred_at <= %({name})s::timestamptz
    """


def _columns(sign: str) -> str:
    return f"SELECT b.day, b.currency, b.status, {sign}b.unweighted, {sign}b.weighted, {sign}b.n"


def _balances(periods: str, sign: str, bounds: Bounds, params: Params) -> str:
    mine = f"b.org_id = %(org_id)s AND {periods}"
    whole = bounds.whole(params)
    parts = [
        f"""{_columns(sign)} FROM forecast_balances b WHERE {mine} AND b.grain = 'month' AND {whole}
            AND NOT (b.status = 'won' AND b.day = ANY(ARRAY(SELECT m.month FROM mixed m)))""",
        f"""{_columns(sign)} FROM mixed m JOIN forecast_balances b ON {mine} AND b.grain = 'day' AND b.status = 'won'
            AND b.day >= m.month AND b.day < (m.month + interval '1 month')::date""",
    ]
    days = f"{_columns(sign)} FROM forecast_balances b WHERE {mine} AND b.grain = 'day'"
    parts += [f"{days} AND {edge}" for edge in bounds.edges(params)]
    return " UNION ALL ".join(parts)


def months_with_rate_change(bounds: Bounds, params: Params) -> str:
    """SQL for the table ``mixed`` that ``standing`` takes for granted: the whole months in which a rate changes."""
    return f"""
        SELECT DISTINCT b.day AS month FROM (
            SELECT {month_start("r.valid_from")} AS day FROM exchange_rates r
            WHERE r.org_id = %(org_id)s AND r.valid_from > {month_start("r.valid_from")}{_around(bounds)}
        ) b WHERE {bounds.whole(params)}
    """


def _around(bounds: Bounds) -> str:
    since = " AND r.valid_from > %(since)s::date" if bounds.since else ""
    return since + (" AND r.valid_from <= %(until)s::date" if bounds.until else "")


def month_start(day: str) -> str:
    return f"date_trunc('month', {day}::timestamp)::date"


def rate_period(status: str, day: str, bounds: Bounds) -> str:
    """Won deals are valued at the rate of their day, so their sums are kept apart by periods of constant rates."""
    return f"CASE {status} WHEN 'won' THEN {period(day, bounds.since, bounds.until)} END"


def utc(at: datetime) -> datetime:
    return at.astimezone(UTC)


def month_of(at: datetime) -> date:
    """The first day of the month of an instant, in UTC: a period of balances."""
    return utc(at).date().replace(day=1)


def _following(day: date) -> date:
    """The first day of the next month, of the last month of all its last day."""
    first = day.replace(day=1)
    return date.max if first == date.max.replace(day=1) else (first + timedelta(days=31)).replace(day=1)
