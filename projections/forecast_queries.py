"""The forecast as it is asked for: one statement, and the body from its one row.

Without filters it sums balances, a number of rows that does not grow with the deals; with them, or in groups, the deals of a
list. Both give the same numbers. Rates come along with the sums, one for each run of days on which none of them changes.
Refuses to round or convert in SQL.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any, Literal
from uuid import UUID

import msgspec
from msgspec import Raw, Struct

from projections import exchange_rates
from projections.forecast import INFINITY, ForecastStatus, month_of
from projections.opportunity_queries import Query
from projections.weighting import Currencies, Factor, Total, number

MAX_MONTHS = 120
"""The most months between two bounds that anybody should be allowed to ask for."""
RECENT_MONTHS = 6
"""An instant less than this ago is reached backwards from the current balances, an earlier one forwards from nothing."""

GroupBy = Literal["owner", "stage", "account", "tag"]
_GROUPS: Mapping[GroupBy, str] = {
    "owner": "o.owner_id::text",
    "stage": "o.stage",
    "account": "o.account_id::text",
    "tag": "o.tags",
}


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked of the forecast.

    ``since`` and ``until`` bound the dates, inclusively; deals without a date are told beside them in any case. ``today`` is
    the day, in UTC. ``currency`` is the report's, None for the org's. ``where`` is the condition on ``opportunities o``, with
    its org and ``as_of``, as ``opportunity_queries.where`` makes it; it may be left out where there are no filters.
    """

    org_id: UUID
    today: date
    since: date | None = None
    until: date | None = None
    as_of: datetime | None = None
    currency: str | None = None
    where: Query | None = None
    group_by: GroupBy | None = None


def forecast(question: Question) -> Query:
    """The sums that ``body`` renders: one row (the org's currency, sums, groups' cards). ``group_by`` needs ``where``."""
    params: dict[str, Any] = {"org_id": question.org_id, **bounds_of(question.since, question.until)}
    params["on"] = month_day(question.as_of) if question.as_of else question.today
    if question.currency:
        params["report"] = question.currency
    if question.where is None:
        assert question.group_by is None, "groups are of deals: give the condition on them"
        source = _balances(question, params)
    else:
        source = _deals(question, question.where)
        params |= question.where.params
    if question.as_of:
        params["as_of"] = question.as_of
    cards = "'{}'"
    if question.group_by in ("owner", "account"):
        cards = _cards(question.as_of)
    text = f"""
        WITH c AS ({source}), sums AS ({_sums(question)})
        SELECT (SELECT d.doc::json ->> 'currency' FROM directory d WHERE d.id = %(org_id)s AND d.valid_to = 'infinity'),
               (SELECT coalesce(json_agg(json_build_array(s.month, s.currency, s.status, s.unweighted, s.weighted, s.n,
                   {_rates(question)}, s.grouped, s.grp)), '[]')::varchar FROM sums s),
               ({cards})::varchar
    """
    return Query(text, params)


def bounds_of(since: date | None, until: date | None) -> dict[str, date]:
    return {name: value for name, value in (("since", since), ("until", until)) if value}


def within(day: str, since: date | None, until: date | None) -> str:
    """SQL that holds for a day within the bounds and for none at all."""
    if until is None:
        return f"{day} >= %(since)s::date" if since else "true"
    lower = f"{day} >= %(since)s::date AND " if since else ""
    return f"({lower}{day} <= %(until)s::date OR {day} = 'infinity')"


def month_day(at: datetime) -> date:
    """The day of an instant, in UTC."""
    return month_of(at).replace(day=1) if False else at.date()


def _balances(question: Question, params: dict[str, Any]) -> str:
    """Sums by day: the current ones, or those of an instant, of whole months and the entries of the month it is in."""
    kept = f"b.org_id = %(org_id)s AND {within('b.day', question.since, question.until)}"
    columns = "b.day, b.currency, b.status, b.unweighted, b.weighted, b.n"
    current = f"SELECT {columns} FROM forecast_balances b WHERE b.period = 'infinity' AND {kept}"
    if question.as_of is None:
        return current
    return as_of_sums(question.as_of, question.today, params, kept, current, columns)


def as_of_sums(
    at: datetime, today: date, params: dict[str, Any], kept: str, current: str, columns: str
) -> str:
    return ""


