"""What each owner has at an instant, what moved for each, and from one to another: SQL over the sums of owners, and over the ledger
for the month of an instant.

What had happened up to an instant is the sums of whole months of events and what the ledger has of the instant's own month up to
it; or, where that is less, the sums with this month, without what the ledger has of it after the instant. The months before a
recent one are what each owner has now without the months since. What moved between two instants is the difference.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime, time, timedelta
from typing import NamedTuple
from uuid import UUID

from projections.conditions import Condition, SqlStatement
from projections.forecast import CAUSES, COLUMNS, SUMS, TRANSFERS
from projections.forecast.balances import Bounds, month_start, months_with_rate_change
from projections.forecast.entries import WaterfallQuery, in_span, up_to_the_end
from projections.forecast.filtered import meet
from projections.forecast.periods import Params, following, utc

RECENT = timedelta(days=365)
"""An instant more recent than this is reached backwards from now, an earlier one forwards from zero."""
LAST_POSITION = 2**63 - 1
"""Said too, so that the planner takes what comes after a position for little, and uses its index."""
MIDDLE = 15
"""Up to this day of a month the ledger is read from the month's first day, after it to the last."""


def answers(query: WaterfallQuery) -> bool:
    """Whether these sums do: they know of no other conditions, and have no days of open deals."""
    return query.filtered and not query.of_others and not query.bounds.cut_months("o.day")


def forecasts(conditions: Sequence[Condition], bounds: Bounds, group_by: str | None) -> bool:
    """Whether these sums answer a forecast, as ``answers`` says."""
    known = all(each.field in ("owner", "owner_email") for each in conditions)
    return known and group_by in ("owner", None) and not bounds.cut_months("o.day")


def deals(org_id: UUID, conditions: Sequence[Condition], bounds: Bounds, as_of: datetime | None, today: date) -> SqlStatement:
    """Rows (day, currency, status, unweighted, weighted, n, owner_id) that add up to what the owners have now, or at an instant."""
    params: Params = {"org_id": org_id} | bounds.params()
    mine = f"o.org_id = %(org_id)s AND {meet(conditions, 'q', params, 'as_of')}"
    if as_of is None:
        parts = _now(mine, bounds)
    else:
        at = _instant("at", as_of, today)
        params |= at.params | {"at": as_of}
        row = f"('start', {_times(at.sign)})"
        parts = [*_before(mine, at, bounds), _entries(f"{mine} AND {at.instants} AND {bounds.holds('o.day')}", row)]
    columns = "c.day, c.currency, c.status, c.unweighted, c.weighted, c.n, c.owner_id"
    rows = " UNION ALL ".join(parts)
    return SqlStatement(f"WITH {months_with_rate_change(bounds)} SELECT {columns} FROM ({rows}) c", params)


def steps(query: WaterfallQuery) -> SqlStatement:
    """As ``filtered.steps`` without ``opportunity_id``: rows that add up to the steps, some of which take others away again."""
    params = query.params()
    mine = f"o.org_id = %(org_id)s AND {meet(query.of_owners, 'q', params, 'end')}"
    start, end = _instant("start", query.start, query.today), _end(query)
    params |= start.params | (end.params if end else {})
    held = query.bounds.holds("o.day")
    parts = [
        *_start_and_moved(mine, start, end, query.bounds),
        _entries(f"{mine} AND {start.instants} AND {held}", f"('start', {_times(start.sign)}), (o.cause, {_times(-start.sign)})"),
    ]
    if end:
        parts.append(_entries(f"{mine} AND {end.instants} AND {held}", f"(o.cause, {_times(end.sign)})"))
    return SqlStatement(f"WITH {months_with_rate_change(query.bounds)} {' UNION ALL '.join(parts)}", params)


def _end(query: WaterfallQuery) -> _Instant | None:
    return None if query.until_now else _instant("end", query.end, query.today)


def _start_and_moved(mine: str, start: _Instant, end: _Instant | None, bounds: Bounds) -> list[str]:
    """SQL for what each owner had before the month of the start, and what moved from then to before the month of the end. Before a
    recent start that is what the owner has now without what moved since, which is read once for both."""
    since, within = f"{mine} AND o.period >= %(start_month)s::date", end and "o.period < %(end_month)s::date"
    if start.recent:
        return [
            *_now(mine, bounds),
            *(_moved(source, f"{since} AND {which}", within, start=True) for which, source in _sources(bounds).items()),
        ]
    until = f" AND {within}" if within else ""
    moved = (_moved(source, f"{since}{until} AND {which}") for which, source in _sources(bounds).items())
    return [*_before(mine, start, bounds), *moved]


def ledger(query: WaterfallQuery) -> SqlStatement:
    """The entries of the owners between the two instants, with what goes from one to another."""
    params = query.params()
    mine = f"o.org_id = %(org_id)s AND {meet(query.of_owners, 'q', params, 'end')}"
    text = f"SELECT o.* FROM {_LEDGER} o WHERE {mine} AND {query.bounds.holds('o.day')} AND {in_span('o')}"
    return SqlStatement(text, params)


def written_since(query: WaterfallQuery) -> SqlStatement:
    """As ``steps``, or those of all deals, rows that add up to what the events after ``%(kept_position)s`` do to the steps."""
    params = query.params()
    written = f"o.position > %(kept_position)s::bigint AND o.position <= {LAST_POSITION}"
    which = [written, meet(query.of_owners, "q", params, "end"), query.bounds.holds("o.day"), up_to_the_end("o", query)]
    at_start = "o.occurred_at <= %(start)s::timestamptz"
    text = f"""
        SELECT o.day, CASE WHEN {at_start} THEN 'start' ELSE o.cause END AS cause, o.currency, o.status,
            o.unweighted, o.weighted, CASE WHEN {at_start} THEN o.n ELSE 0 END AS n, o.owner_id
        FROM {_LEDGER if query.filtered else "forecast_entries"} o
        WHERE o.org_id = %(org_id)s AND {" AND ".join(which)}
    """
    return SqlStatement(text, params)


_LEDGER = "(SELECT e.* FROM forecast_entries e UNION ALL SELECT e.* FROM forecast_transfers e)"


class _Instant(NamedTuple):
    """How to reach an instant: the sums before the month ``{name}_month``, ``recent`` or not, and the entries ``o`` with
    ``instants`` (SQL), which are to be added or taken away."""

    name: str
    recent: bool
    sign: int
    instants: str
    params: Params


def _instant(name: str, at: datetime, today: date) -> _Instant:
    day = utc(at).date()
    month, recent = day.replace(day=1), today - day < RECENT
    if day.day <= MIDDLE and day < today:
        first = datetime.combine(month, time(), UTC)
        instants = f"o.occurred_at >= %({name}_first)s::timestamptz AND o.occurred_at <= %({name})s::timestamptz"
        return _Instant(name, recent, 1, instants, {f"{name}_month": month, f"{name}_first": first})
    instants, params = f"o.occurred_at > %({name})s::timestamptz", {f"{name}_month": following(day)}
    if (after := following(day)) != date.max:
        instants += f" AND o.occurred_at < %({name}_next)s::timestamptz"
        params[f"{name}_next"] = datetime.combine(after, time(), UTC)
    return _Instant(name, recent, -1, instants, params)


def _times(sign: int) -> str:
    return ", ".join(f"{'-' if sign < 0 else ''}o.{name}" for name in ("unweighted", "weighted", "n"))


def _now(mine: str, bounds: Bounds) -> list[str]:
    """SQL for what each owner has now, in rows as those of ``steps``."""
    amounts = "o.unweighted, o.weighted, o.n, o.owner_id"
    return [
        f"SELECT o.day, 'start' AS cause, o.currency, o.status, {amounts} FROM {source} WHERE {mine} AND {which}"
        for which, source in _sources(bounds, "forecast_owned").items()
    ]


def _before(mine: str, at: _Instant, bounds: Bounds) -> list[str]:
    """SQL for what each owner had before the month of an instant."""
    months = f"{mine} AND o.period {'>=' if at.recent else '<'} %({at.name}_month)s::date"
    sums = [_sums(source, f"{months} AND {which}", "-" if at.recent else "") for which, source in _sources(bounds).items()]
    return [*_now(mine, bounds), *sums] if at.recent else sums


def _sources(bounds: Bounds, table: str = "forecast_owners") -> dict[str, str]:
    """Conditions on sums ``o`` (SQL) and where these are: whole months, and the won deals of the months in ``mixed`` by day."""
    mixed = "o.day = ANY(ARRAY(SELECT m.month FROM mixed m))"
    return {
        f"o.grain = 'month' AND {bounds.whole_months('o.day')} AND NOT (o.status = 'won' AND {mixed})": f"{table} o",
        "o.grain = 'day' AND o.day >= m.month AND o.day < (m.month + interval '1 month')::date": f"mixed m, {table} o",
    }


def _sums(source: str, where: str, sign: str) -> str:
    sums = ", ".join(f"{sign}sum(o.{name}) AS {name}" for name in SUMS)
    return f"""
        SELECT o.day, 'start' AS cause, o.currency, o.status, {sums}, o.owner_id
        FROM {source} WHERE {where} GROUP BY o.day, o.owner_id, o.currency, o.status
    """


def _moved(source: str, where: str, within: str | None = None, *, start: bool = False) -> str:
    """Added up before causes become rows, of which there would be many more. With ``start``, all that is there is taken from the
    start, and only what is ``within`` (SQL) moved."""
    causes = [(cause, *COLUMNS[cause]) for cause in (*CAUSES, *TRANSFERS)]
    sums = [f"sum(o.{name}) AS {name}" for name in (SUMS if start else ())]
    # Of most causes there is nothing; a sum of NULLs would be as much work as any.
    sums += [f"sum(o.{name}) FILTER (WHERE o.{name} IS NOT NULL) AS {name}" for _, *names in causes for name in names]
    rows = [f"('{cause}', x.{unweighted}, x.{weighted}, 0)" for cause, unweighted, weighted in causes]
    if start:
        rows.append("('start', -x.unweighted, -x.weighted, -x.n)")
    return f"""
        SELECT x.day, v.cause, x.currency, x.status, coalesce(v.unweighted, 0), coalesce(v.weighted, 0), v.n, x.owner_id
        FROM (
            SELECT o.day, o.currency, o.status, o.owner_id, {within or "true"} AS within,
                {", ".join(sums)}
            FROM {source} WHERE {where} GROUP BY o.day, o.owner_id, o.currency, o.status{f", {within}" if within else ""}
        ) x CROSS JOIN LATERAL (VALUES {", ".join(rows)}) v (cause, unweighted, weighted, n)
        WHERE (v.unweighted <> 0 OR v.weighted <> 0 OR v.n <> 0) AND (x.within OR v.cause = 'start')
    """


def _entries(where: str, rows: str) -> str:
    """Added up too before they become ``rows``: of a month of a large org there are tens of thousands."""
    day = f"CASE o.status WHEN 'won' THEN o.day ELSE {month_start('o.day')} END AS day"
    return f"""
        SELECT o.day, v.cause, o.currency, o.status, v.unweighted, v.weighted, v.n, o.owner_id
        FROM (
            SELECT {day}, o.cause, o.currency, o.status, o.owner_id,
                sum(o.unweighted) AS unweighted, sum(o.weighted) AS weighted, sum(o.n) AS n
            FROM {_LEDGER} o WHERE {where} GROUP BY 1, 2, 3, 4, 5
        ) o CROSS JOIN LATERAL (VALUES {rows}) v (cause, unweighted, weighted, n)
    """
