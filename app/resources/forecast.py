"""``/api/opportunities/forecast/``: the forecast by month, now or as of any instant."""

from __future__ import annotations

from decimal import Decimal
from typing import get_args

import msgspec
from litestar import get

from app.http import filters, listing, paging, request_context, shared
from app.http.operations import describe, query
from app.http.param_types import CURRENCY
from app.http.parameters import filter_parameters
from app.http.request_context import Http
from app.http.response import JsonResponse
from app.reading.aside import json_bytes
from app.resources import forecast_parameters
from app.resources.forecast_parameters import BOUNDS, DAYS, DEALS, INSTANT, LIMITS, TAG
from app.resources.opportunities import PATH
from domain.errors import Errors, Invalid
from projections.forecast import current
from projections.forecast.current import Forecast, ForecastQuery, Month
from projections.forecast.groups import CARDS, Figures, GroupBy
from projections.forecast.kept_forecast import KeptForecast
from projections.forecast.kept_groups import KeptGroups
from projections.forecast.money import Totals, encode
from projections.opportunities.list_query import OpportunityListQuery

PARAMETERS = (*DAYS, "currency", "group_by", "groups_limit", "as_of")

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
            f"(but a deal is in the group of each of its tags). {LIMITS} Where the groups would take more, each month shows fewer."
        ),
        answer=Forecast,
        answer_example=msgspec.json.decode(encode(EXAMPLE)),
        parameters=(
            *BOUNDS,
            *forecast_parameters.group_by(get_args(GroupBy)),
            query("as_of", "The forecast as it stood at this instant.", INSTANT),
            *filter_parameters(DEALS),
        ),
    ),
)
async def get_forecast(request: Http) -> JsonResponse:
    identity = request_context.from_request(request).identity
    errors: Errors = {}
    taken, rest = paging.take_single(filters.parse(request.scope["query_string"]), PARAMETERS, errors)
    conditions = await forecast_parameters.conditions(request, rest, PARAMETERS, errors)
    bounds = forecast_parameters.bounds(taken, errors)
    as_of = listing.parse_instant(taken, "as_of", errors)
    currency = forecast_parameters.value(taken, "currency", CURRENCY, errors)
    group_by, groups_limit = forecast_parameters.groups(taken, get_args(GroupBy), errors)
    if errors:
        raise Invalid(errors)
    today = shared.from_request(request).read_pool.clock.now().date()
    asked = ForecastQuery(identity.org_id, today, bounds, as_of, currency, group_by=group_by, groups_limit=groups_limit)
    process = shared.from_request(request)
    if not conditions and group_by is None:
        sums = await process.read_pool.row(identity, *current.forecast(asked))
        return await process.renderer.response(identity, json_bytes(sums), lambda: current.rendered(asked, sums))
    deals = OpportunityListQuery(identity.org_id, tuple(conditions), as_of=as_of)
    if group_by in CARDS:
        groups = KeptGroups(asked, deals)
        found = await process.keeper.row(identity, groups)
        return await process.renderer.response(identity, groups.size, lambda: encode(groups.answer(found)))
    kept = KeptForecast(asked, deals)
    row = kept.answered(await process.keeper.row(identity, kept))
    return await process.renderer.response(identity, json_bytes(row), lambda: encode(current.answer(asked, row)))


HANDLERS = (get_forecast,)
