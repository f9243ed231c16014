"""``/api/opportunities/forecast/``: the forecast by month, as of any instant, and the waterfall between two instants.

Refuses ranges of more than ``MAX_MONTHS`` months.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Any, cast, get_args

import msgspec
from litestar import get

from app.http import filters, listing, paging, request_context, shared
from app.http.filters import Filters, Pairs
from app.http.operations import describe, query
from app.http.param_types import CURRENCY, DATE, ParamType
from app.http.parameters import filter_parameters
from app.http.request_context import Http
from app.http.response import JsonResponse, rendered
from app.resources.opportunities import FILTERS, PATH
from domain.errors import Errors, Invalid
from projections.conditions import Condition
from projections.forecast import current, waterfall
from projections.forecast.balances import Bounds
from projections.forecast.current import Forecast, ForecastQuery, Month
from projections.forecast.groups import Figures, GroupBy
from projections.forecast.limits import GROUPS_LIMIT, MAX_BYTES, MAX_GROUPS, MAX_MONTHS, MAX_MONTHS_WITH_DEALS
from projections.forecast.money import Totals, encode
from projections.forecast.waterfall import Waterfall, WaterfallQuery
from projections.opportunities import queries as opportunity_queries

TAG = "Forecast"

# The forecast chooses a deal's day itself, and ``currency`` is the one it is shown in.
DEALS = Filters(tuple(each for each in FILTERS.filters if each.name not in ("close_date", "currency")), custom=True)
DAYS = ("close_date__gte", "close_date__lte")
PARAMETERS = (*DAYS, "currency", "group_by", "groups_limit", "as_of")
CHANGES = (*DAYS, "currency", "from", "to")

_DAY = {"type": "string", "format": "date"}
_INSTANT = {"type": "string", "format": "date-time"}
_BOUNDS = (
    query("close_date__gte", "From this day, by close date; for won deals by the actual one.", _DAY),
    query("close_date__lte", "Up to this day, inclusive.", _DAY),
    query("currency", "The currency to show it in; by default the org's.", CURRENCY.schema),
)


_LIMITS = (
    f"At most {MAX_MONTHS} months between two bounds, and {MAX_MONTHS_WITH_DEALS:,} with deals in them without. "
    f"An answer has {MAX_BYTES:,} bytes at most."
)

EXAMPLE = Forecast(
    currency="USD",
    months=[
        Month(
            month="2026-04",
            unweighted=Decimal(180000),
            weighted=Decimal(92500),
            open_unweighted=Decimal(125000),
            open_weighted=Decimal(37500),
            won=Decimal(55000),
            count=9,
        )
    ],
    unscheduled=Totals().shown(Figures, "USD"),
    unconverted=[],
    as_of=None,
)


@get(
    PATH + "/forecast",
    opt=describe(
        TAG,
        "Forecast sales by month",
        description=(
            "Open deals by `close_date`, weighted by probability; won ones by `actual_close_date`. Filters as in the list. With "
            "`group_by`, each month has its largest groups and the rest of them added up as `others`: together they are the month "
            f"(but a deal is in the group of each of its tags). {_LIMITS} Where the groups would take more, each month shows fewer."
        ),
        answer=Forecast,
        answer_example=msgspec.json.decode(encode(EXAMPLE)),
        parameters=(
            *_BOUNDS,
            query("group_by", "Group by this, within each month.", {"type": "string", "enum": list(get_args(GroupBy))}),
            query(
                "groups_limit",
                "With `group_by`: how many groups of each month to show, the largest first by `unweighted`.",
                {"type": "integer", "minimum": 1, "maximum": MAX_GROUPS, "default": GROUPS_LIMIT},
            ),
            query("as_of", "The forecast as it stood at this instant.", _INSTANT),
            *filter_parameters(DEALS),
        ),
    ),
)
async def get_forecast(request: Http) -> JsonResponse:
    identity = request_context.from_request(request).identity
    errors: Errors = {}
    taken, rest = paging.take_single(filters.parse(request.scope["query_string"]), PARAMETERS, errors)
    conditions = await _conditions(request, rest, DEALS, PARAMETERS, errors)
    bounds = _bounds(taken, errors)
    as_of = listing.parse_instant(taken, "as_of", errors)
    currency = _value(taken, "currency", CURRENCY, errors)
    group_by = taken.get("group_by")
    if group_by is not None and group_by not in get_args(GroupBy):
        errors["group_by"] = [f"Must be one of: {', '.join(get_args(GroupBy))}."]
    groups_limit = paging.parse_number(taken, "groups_limit", GROUPS_LIMIT, 1, MAX_GROUPS, errors)
    if "groups_limit" in taken and group_by is None:
        errors["group_by"] = ["Must be given with groups_limit."]
    if errors:
        raise Invalid(errors)
    deals = None
    if conditions or group_by:
        deals = opportunity_queries.where(opportunity_queries.OpportunityListQuery(identity.org_id, conditions, as_of=as_of))
    today = shared.from_request(request).read_pool.clock.now().date()
    asked = ForecastQuery(identity.org_id, today, bounds, as_of, currency, deals, cast("GroupBy | None", group_by), groups_limit)
    row = await shared.from_request(request).read_pool.row(identity, *current.forecast(asked))
    return await rendered(_size(row), lambda: encode(current.answer(asked, row)))


@get(
    PATH + "/forecast/changes",
    opt=describe(
        TAG,
        "What changed in the forecast between two instants",
        description="By month and cause, with the deals behind each step. Start plus the signed steps equals end.",
        answer=Waterfall,
        parameters=(
            query("from", "The earlier instant.", _INSTANT, required=True),
            query("to", "The later instant; by default now.", _INSTANT),
            *_BOUNDS,
        ),
    ),
)
async def get_forecast_changes(request: Http) -> JsonResponse:
    identity = request_context.from_request(request).identity
    errors: Errors = {}
    taken, rest = paging.take_single(filters.parse(request.scope["query_string"]), CHANGES, errors)
    await _conditions(request, rest, Filters(), CHANGES, errors)
    bounds = _bounds(taken, errors)
    currency = _value(taken, "currency", CURRENCY, errors)
    now = shared.from_request(request).read_pool.clock.now()
    start = listing.parse_instant(taken, "from", errors)
    end = listing.parse_instant(taken, "to", errors) if "to" in taken else now
    if "from" not in taken:
        errors["from"] = ["Give the instant to start from, such as 2026-06-30T12:00:00Z."]
    elif start and end and end < start:
        errors["to"] = ["Must not be before `from`."]
    if errors or start is None or end is None:
        raise Invalid(errors)
    asked = WaterfallQuery(identity.org_id, start, end, now.date(), bounds, currency)
    row = await shared.from_request(request).read_pool.row(identity, *waterfall.changes(asked))
    return await rendered(_size(row), lambda: encode(waterfall.answer(asked, row)))


def _size(row: Sequence[Any]) -> int:
    """The bytes of JSON in a row."""
    return sum(len(column) for column in row if isinstance(column, bytes))


async def _conditions(
    request: Http, given: Pairs, table: Filters, others: tuple[str, ...], errors: Errors
) -> tuple[Condition, ...]:
    """The conditions on deals; errors are added to ``errors``."""
    custom = table.custom and any(name.startswith("cf_") for name, _ in given)
    types = await listing.custom_field_types(request) if custom else {}
    try:
        return filters.conditions(
            given, table, identity=request_context.from_request(request).identity, custom_types=types, others=others
        )
    except Invalid as error:
        errors |= error.errors
        return ()


def _bounds(taken: dict[str, str], errors: Errors) -> Bounds:
    since, until = (_value(taken, name, DATE, errors) for name in DAYS)
    bounds = Bounds(since, until)
    if since and until:
        if until < since:
            errors["close_date__lte"] = ["Must not be before close_date__gte."]
        elif (until.year - since.year) * 12 + until.month - since.month >= MAX_MONTHS:
            errors["close_date__lte"] = [f"At most {MAX_MONTHS} months from close_date__gte."]
    return bounds


def _value(taken: dict[str, str], name: str, kind: ParamType, errors: Errors) -> Any:
    if name not in taken:
        return None
    try:
        return kind.read(taken[name])
    except (ValueError, KeyError, ArithmeticError):
        errors[name] = [kind.words]
        return None


HANDLERS = (get_forecast, get_forecast_changes)
