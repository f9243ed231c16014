"""Sums over the forecast's balances, movements and ledger: SQL for the amounts at an instant, or for what moved between two, within
bounds, in the deals' own currencies.

Whole months come from the sums by month. The days of a month that a bound cuts come from those by day, and so do the won deals of a
month in which a rate changed, because each is valued at the rate of its day. The ledger itself is read only for the days that an
instant cuts. Filters on deals are in ``current``.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

from projections.conditions import SqlStatement
from projections.exchange_rates import changes, period
from projections.forecast import CAUSES
from projections.forecast.limits import MAX_MONTHS_WITH_DEALS
from projections.forecast.periods import Events, Params, events, following, utc

RECENT = timedelta(days=180)
"""An instant more recent than this is reached backwards from the current balances, an earlier one forwards from zero."""


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
            found |= {"since": self.since, "first": following(self.since) if self._cuts_first else self.since}
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
        first, end = self._numbers
        return [f"{month // 12:04}-{month % 12 + 1:02}" for month in range(first, end)]

    @property
    def few(self) -> bool:
        """Whether there cannot be more months within the bounds than an answer may have."""
        first, end = self._numbers
        return 0 < end - first < MAX_MONTHS_WITH_DEALS

    @property
    def _numbers(self) -> tuple[int, int]:
        """The months from bound to bound as numbers, without the last one's; none if a bound is missing."""
        if self.since is None or self.until is None:
            return 0, 0
        return self.since.year * 12 + self.since.month - 1, self.until.year * 12 + self.until.month

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
NOT_ALL_ZERO = "sum(c.n) <> 0 OR sum(c.unweighted) <> 0 OR sum(c.weighted) <> 0"


def balances_at(name: str, at: datetime | None, today: date, bounds: Bounds) -> SqlStatement:
    """Rows (day, cause, currency, status, unweighted, weighted, n) that add up to the forecast now or at an instant.

    Parameters that it needs begin with ``name``. The day of a sum by month is the month's first, whose rates are those of every
    other day of the month.
    """
    now = _sums("true", bounds, table="forecast_current")
    if at is None:
        return _statement(now, bounds, {})
    if today - utc(at).date() < RECENT:
        parts, params = _moves(events(name, at, None), bounds, "-")
        return _statement([*now, *parts], bounds, params)
    parts, params = _moves(events(name, None, at), bounds)
    return _statement(parts, bounds, params)


def moves(name: str, after: datetime, until: datetime | None, bounds: Bounds) -> SqlStatement:
    """As ``balances_at``, rows that add up to what moved by cause after one instant, up to and including another if it is given."""
    parts, params = _moves(events(name, after, until), bounds, causes=True)
    return _statement(parts, bounds, params)


def start_and_moves(name: str, after: datetime, today: date, bounds: Bounds) -> SqlStatement:
    """As ``moves`` without an end, and with the cause ``start`` the forecast at the instant. Of a recent one that is the forecast
    of now without what moved, so that the sums are read once for both."""
    if today - utc(after).date() >= RECENT:
        start, moved = balances_at(f"{name}_start", after, today, bounds), moves(name, after, None, bounds)
        text = f"SELECT c.* FROM ({moved.text}) c UNION ALL SELECT {AS_START} FROM ({start.text}) c"
        return SqlStatement(text, start.params | moved.params)
    now = f"SELECT {AS_START} FROM ({' UNION ALL '.join(_sums('true', bounds, table='forecast_current'))}) c"
    parts, params = _moves(events(name, after, None), bounds, causes=True, start=True)
    return _statement([now, *parts], bounds, params)


AS_START = "c.day, 'start' AS cause, c.currency, c.status, c.unweighted, c.weighted, c.n"
"""Columns of a sum ``c`` that is part of what there was at the start."""


def _moves(found: Events, bounds: Bounds, sign: str = "", *, causes: bool = False, start: bool = False) -> tuple[list[str], Params]:
    """Months of events from the balances, days from the movements, and what is left of a day from the ledger.

    Movements have no days of open deals: those of a month that a bound cuts come from the ledger. With ``start``, whatever moved is
    also taken from the start.
    """
    as_rows: dict[str, Any] = {"causes": causes, "start": start}
    parts = [part for months in found.months for part in _sums(months, bounds, sign, **as_rows)]
    for days in found.days:
        mine = f"b.org_id = %(org_id)s AND {days.periods}"
        held = f"CASE b.status WHEN 'won' THEN {bounds.holds('b.day')} ELSE {bounds.whole_months('b.day')} END"
        parts.append(_rows("forecast_movements b", f"{mine} AND {held}", sign, **as_rows))
        parts += [_entries(f"{days.instants} AND b.status = 'open' AND {cut}", sign, start) for cut in bounds.cut_months("b.day")]
    parts += [_entries(f"{instants} AND {bounds.holds('b.day')}", sign, start) for instants in found.instants]
    return parts, found.params


def _statement(parts: list[str], bounds: Bounds, params: Params) -> SqlStatement:
    return SqlStatement(f"WITH {months_with_rate_change(bounds)} {' UNION ALL '.join(parts)}", bounds.params() | params)


def _entries(which: str, sign: str, start: bool = False) -> str:
    where = f"b.org_id = %(org_id)s AND {which}"
    if start:
        rows = f"(b.cause, b.unweighted, b.weighted, b.n), {_TAKEN_FROM_START}"
        return f"""
            SELECT b.day, v.cause, b.currency, b.status, v.unweighted, v.weighted, v.n
            FROM forecast_entries b CROSS JOIN LATERAL (VALUES {rows}) v (cause, unweighted, weighted, n) WHERE {where}
        """
    amounts = f"{sign}b.unweighted, {sign}b.weighted, {sign}b.n"
    return f"SELECT b.day, b.cause, b.currency, b.status, {amounts} FROM forecast_entries b WHERE {where}"


def _rows(source: str, where: str, sign: str = "", *, causes: bool = False, start: bool = False) -> str:
    """SQL for the sums ``b`` of a source: as they are, or what of them is due to each cause."""
    if not causes:
        amounts = f"{sign}b.unweighted, {sign}b.weighted, {sign}b.n"
        return f"SELECT b.day, '' AS cause, b.currency, b.status, {amounts} FROM {source} WHERE {where}"
    each = ", ".join(f"('{cause}', b.{cause}_unweighted, b.{cause}_weighted, 0)" for cause in CAUSES)
    taken = f", {_TAKEN_FROM_START}" if start else ""
    return f"""
        SELECT b.day, v.cause, b.currency, b.status, v.unweighted, v.weighted, v.n
        FROM {source} CROSS JOIN LATERAL (VALUES {each}{taken}) v (cause, unweighted, weighted, n)
        WHERE {where} AND (v.unweighted <> 0 OR v.weighted <> 0 OR v.n <> 0)
    """


_TAKEN_FROM_START = "('start', -b.unweighted, -b.weighted, -b.n)"


def _sums(
    periods: str, bounds: Bounds, sign: str = "", *, causes: bool = False, start: bool = False, table: str = "forecast_balances"
) -> list[str]:
    """SQL for the balances of some periods (SQL): whole months, won deals of the months in ``mixed`` by day, cut months by day."""
    mine = f"b.org_id = %(org_id)s AND {periods}"
    month = f"{mine} AND b.grain = 'month' AND {bounds.whole_months('b.day')}"
    day = f"{mine} AND b.grain = 'day'"
    of_mixed = f"{day} AND b.status = 'won' AND b.day >= m.month AND b.day < (m.month + interval '1 month')::date"
    found = {
        f"{month} AND NOT (b.status = 'won' AND b.day = ANY(ARRAY(SELECT m.month FROM mixed m)))": f"{table} b",
        of_mixed: f"mixed m CROSS JOIN {table} b",
        **{f"{day} AND {cut}": f"{table} b" for cut in bounds.cut_months("b.day")},
    }
    return [_rows(source, where, sign, causes=causes, start=start) for where, source in found.items()]


def months_with_rate_change(bounds: Bounds) -> str:
    """Common table expression ``mixed``: the whole months in which a rate changes after the first day."""
    return f"""
        mixed AS MATERIALIZED (
            SELECT DISTINCT b.day AS month FROM (
                SELECT {month_start("r.valid_from")} AS day FROM exchange_rates r
                WHERE r.org_id = %(org_id)s AND r.valid_from > {month_start("r.valid_from")}{changes(bounds.since, bounds.until)}
            ) b WHERE {bounds.whole_months("b.day")}
        )
    """


def month_start(day: str) -> str:
    return f"date_trunc('month', {day}::timestamp)::date"


def rate_period(status: str, day: str, bounds: Bounds) -> str:
    """SQL that keeps sums of won deals apart by periods of constant rates, because they are valued at the rate of their day."""
    return f"CASE {status} WHEN 'won' THEN {period(day, bounds.since, bounds.until)} END"
