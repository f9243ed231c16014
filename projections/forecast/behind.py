"""The opportunities behind the steps of a waterfall, page by page, each with what it added."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct

from domain.errors import Invalid
from projections import questions
from projections.conditions import SqlStatement
from projections.forecast import INFINITY
from projections.forecast.current import OWN_CURRENCY
from projections.forecast.entries import Step, WaterfallQuery, in_span, moves, rates
from projections.forecast.limits import MAX_MOVED
from projections.forecast.money import SAME, Currencies, Factor, ForecastStatus, Number, Total, shortest
from projections.forecast.waterfall import entries
from projections.forecast.waterfall_columns import value

UNSCHEDULED = "unscheduled"


class MovedOpportunity(Struct):
    """What an opportunity added to a step: in the currency of the waterfall, or in its own if no rate is known at the end.

    ``month`` is null for unscheduled deals.
    """

    id: Annotated[str, Meta(extra_json_schema={"format": "uuid"})]
    name: str
    month: str | None
    cause: Step
    currency: str
    unweighted: Number
    weighted: Number


def page(query: WaterfallQuery, month: str | None, cause: Step | None, limit: int, offset: int) -> SqlStatement:
    """A page for ``answer``: one row (the org's currency, the number of all or NULL if too much moved, what moved). ``month`` is
    its first day, or ``UNSCHEDULED``."""
    source = entries(query)
    params: dict[str, Any] = source.params | {"page_after": offset, "page_last": offset + limit}
    more = "true"
    if cause:
        params["cause"] = cause
        more += " AND c.cause = %(cause)s"
    if month == UNSCHEDULED:
        more += " AND c.day = 'infinity'"
    elif month:
        params["month"] = month
        more += " AND c.day >= %(month)s::date AND c.day < %(month)s::date + interval '1 month'"
    all_entries = f"SELECT FROM forecast_entries e WHERE e.org_id = %(org_id)s AND {in_span('e')} LIMIT {MAX_MOVED + 1}"
    text = f"""
        WITH few AS MATERIALIZED (SELECT count(*) <= {MAX_MOVED} AS few FROM ({all_entries}) e), m AS MATERIALIZED (
            SELECT m.*, dense_rank() OVER (ORDER BY m.month, m.cause, m.opportunity_id) AS place
            FROM ({moves(query, f"({source.text})", more)}) m WHERE (SELECT few.few FROM few)
        )
        SELECT {OWN_CURRENCY} AS own, CASE WHEN few.few THEN (SELECT coalesce(max(m.place), 0) FROM m) END AS count, (
            SELECT coalesce(json_agg(json_build_array(
                s.month, s.cause, s.opportunity_id,
                (SELECT o.name FROM opportunities o WHERE o.id = s.opportunity_id AND o.valid_to = 'infinity'),
                s.currency, s.status, s.unweighted, s.weighted, s.start_rate, s.start_report_rate, s.end_rate, s.end_report_rate
            ) ORDER BY s.place), '[]')::varchar
            FROM (
                SELECT s.*, {rates(query)} FROM m s WHERE s.place > %(page_after)s::bigint AND s.place <= %(page_last)s::bigint
            ) s
        ) AS moved FROM few
    """
    return SqlStatement(text, params, questions.WATERFALL_OPPORTUNITIES)


class _Move(Struct, array_like=True):
    month: str
    cause: Step
    id: str
    name: str
    currency: str
    status: ForecastStatus
    unweighted: Decimal
    weighted: Decimal
    start_rate: Decimal | None
    start_report_rate: Decimal | None
    end_rate: Decimal | None
    end_report_rate: Decimal | None


_decode = msgspec.json.Decoder(list[_Move]).decode


@dataclass(slots=True)
class _Amounts:
    name: str
    unweighted: Total = field(default_factory=Total)
    weighted: Total = field(default_factory=Total)

    def add(self, move: _Move, factor: Factor) -> None:
        self.unweighted.add(move.unweighted, factor)
        self.weighted.add(move.weighted, factor)


def answer(query: WaterfallQuery, row: Sequence[Any]) -> tuple[int, list[MovedOpportunity]]:
    """How many there are and those of the page, from the row of ``page``. One that moved in a currency without a rate, too, is
    there in each of the two. Raises ``Invalid`` if too much moved."""
    own, count, moved = row
    if count is None:
        message = f"More than {MAX_MOVED:,} steps lie between the two instants: choose nearer ones."
        raise Invalid({"from": [message], "to": [message]})
    currencies = Currencies(own, query.currency or own)
    found: dict[tuple[str, Step, str, str], _Amounts] = {}
    for move in _decode(moved):
        at_start = currencies.factor(move.currency, move.start_rate, move.start_report_rate)
        at_end = currencies.factor(move.currency, move.end_rate, move.end_report_rate)
        shown, factor = (move.currency, SAME) if at_end is None else (currencies.report, value(move.status, at_start, at_end))
        found.setdefault((move.month, move.cause, move.id, shown), _Amounts(move.name)).add(move, factor)
    return count, [
        MovedOpportunity(
            id=id_,
            name=amounts.name,
            month=None if month == INFINITY else month[:7],
            cause=cause,
            currency=currency,
            unweighted=shortest(amounts.unweighted.rounded(currency)),
            weighted=shortest(amounts.weighted.rounded(currency)),
        )
        for (month, cause, id_, currency), amounts in found.items()
    ]
