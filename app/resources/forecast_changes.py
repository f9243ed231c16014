"""``/api/opportunities/forecast/changes/``: what changed in the forecast between two instants, and the opportunities behind it."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from typing import Any, cast

from litestar import get
from msgspec import Raw

from app.http import field_selection, filters, listing, paging, request_context, shared
from app.http.filters import Filters
from app.http.list_spec import ListSpec
from app.http.listing import ListQuery
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
from projections.conditions import Condition
from projections.forecast import CAUSES, TRANSFERS, behind, kept_waterfall, waterfall, waterfall_answer
from projections.forecast.behind import UNSCHEDULED, MovedOpportunity
from projections.forecast.entries import MEMBERSHIPS, WaterfallQuery
from projections.forecast.kept_waterfall import KeptWaterfall
from projections.forecast.limits import MAX_BEHIND, MAX_LISTED, MAX_MOVED
from projections.forecast.money import encode
from projections.forecast.waterfall_types import Waterfall

SPAN = (*DAYS, "currency", "from", "to")
CHANGES = (*SPAN, "expand", "group_by", "groups_limit")
GROUPS = ("owner",)
BEHIND = ListSpec(filters=Filters(), orderings=(), order=(), fields=MovedOpportunity.__struct_fields__)
CHANGE = (*CAUSES, *TRANSFERS, *MEMBERSHIPS)
STEP = (*SPAN, "month", "cause", *BEHIND.others)

_MONTH = r"^(\d{4}-(0[1-9]|1[0-2])|unscheduled)$"
_SPAN = (
    query("from", "The earlier instant.", INSTANT, required=True),
    query("to", "The later instant; by default now.", INSTANT),
    *BOUNDS,
)


@get(
    PATH + "/forecast/changes",
    opt=describe(
        TAG,
        "What changed in the forecast between two instants",
        description=(
            "By month and cause. Start plus the signed steps equals end. Filters as in the list: an event after which a deal no "
            "longer meets them takes it out, one after which it does puts it in, by the event's own cause if it has one (`won`, "
            "`deleted` and so on), else by `excluded` and `included`. With a filter on owners, and in groups, a change of owner is "
            "`transferred_out` of the one and `transferred_in` to the other, before all else that the same event does. With "
            "`group_by`, each month and the total have the owners who start or end with most, and the others added up: together "
            "they are the month. `expand=opportunities` adds the deals behind each step of a month, but not of its groups: the "
            f"first {MAX_BEHIND} of a step, {MAX_LISTED:,} in all, and their exact number; `changes/opportunities/` lists all. "
            f"{LIMITS} Where the groups would take more, each month shows fewer."
        ),
        answer=Waterfall,
        parameters=(
            *_SPAN,
            *forecast_parameters.group_by(GROUPS),
            query("expand", "What to add to each step.", {"type": "string", "enum": ["opportunities"]}),
            *filter_parameters(DEALS),
        ),
    ),
)
async def get_forecast_changes(request: Http) -> JsonResponse:
    errors: Errors = {}
    taken, rest = paging.take_single(filters.parse(request.scope["query_string"]), CHANGES, errors)
    conditions = await forecast_parameters.conditions(request, rest, CHANGES, errors)
    group_by, groups_limit = forecast_parameters.groups(taken, GROUPS, errors)
    if taken.get("expand", "opportunities") != "opportunities":
        errors["expand"] = ["Must be: opportunities."]
    asked = _query(request, taken, conditions, errors, expanded="expand" in taken, group_by=group_by, groups_limit=groups_limit)
    process, identity = shared.from_request(request), request_context.from_request(request).identity
    if not kept_waterfall.are_kept(asked):
        row = await process.read_pool.row(identity, *waterfall.changes(asked))
        return await process.renderer.response(identity, json_bytes(row), lambda: encode(waterfall_answer.answer(asked, row)))
    kept = KeptWaterfall(replace(asked, until_now="to" not in taken))
    found = await process.keeper.row(identity, kept)
    return await process.renderer.response(identity, max(json_bytes(found), kept.size), lambda: encode(kept.answer(found)))


@get(
    PATH + "/forecast/changes/opportunities",
    opt=describe(
        TAG,
        "The opportunities behind what changed in the forecast",
        description=(
            "Each with what it added to a step of a month, in the order of months, causes and ids. To tell the first of them all "
            f"are ranked, so there may be at most {MAX_MOVED:,} steps of deals between the two instants."
        ),
        answer=MovedOpportunity,
        table=BEHIND,
        parameters=(
            *_SPAN,
            query("month", "Only in this month of the forecast, or `unscheduled`.", {"type": "string", "pattern": _MONTH}),
            query("cause", "Only by this cause.", {"type": "string", "enum": list(CHANGE)}),
            *filter_parameters(DEALS),
        ),
    ),
)
async def list_forecast_changes_opportunities(request: Http) -> JsonResponse:
    errors: Errors = {}
    taken, rest = paging.take_single(filters.parse(request.scope["query_string"]), STEP, errors)
    conditions = await forecast_parameters.conditions(request, rest, STEP, errors)
    cause = taken.get("cause")
    if cause is not None and cause not in CHANGE:
        errors["cause"] = [f"Must be one of: {', '.join(CHANGE)}."]
    month = _month(taken.get("month"), errors)
    page = paging.parse_page(taken, errors)
    fields = field_selection.parse_fields(taken.get("fields"), BEHIND.fields, errors)
    asked = _query(request, taken, conditions, errors)
    statement = behind.page(asked, month, cast("Any", cause), page.limit, page.offset)
    row = await shared.from_request(request).read_pool.row(request_context.from_request(request).identity, *statement)
    count, found = behind.answer(asked, row)
    results = [Raw(encode(each)) for each in found]
    return listing.envelope(request, ListQuery((), (), page, fields), results, count)


def _query(request: Http, taken: dict[str, str], conditions: tuple[Condition, ...], errors: Errors, **more: Any) -> WaterfallQuery:
    """The question of a waterfall, and ``more`` about it. Raises ``Invalid`` with these errors and its own."""
    bounds = forecast_parameters.bounds(taken, errors)
    currency = forecast_parameters.value(taken, "currency", CURRENCY, errors)
    now = shared.from_request(request).read_pool.clock.now()
    start = listing.parse_instant(taken, "from", errors)
    end = listing.parse_instant(taken, "to", errors) if "to" in taken else now
    if "from" not in taken:
        errors["from"] = ["Give the instant to start from, such as 2026-06-30T12:00:00Z."]
    elif start and end and end < start:
        errors["to"] = ["Must not be before `from`."]
    if errors or start is None or end is None:
        raise Invalid(errors)
    identity = request_context.from_request(request).identity
    return WaterfallQuery(identity.org_id, start, end, now.date(), bounds, currency, conditions=conditions, **more)


def _month(text: str | None, errors: Errors) -> str | None:
    """A month's first day, or ``UNSCHEDULED``."""
    if text is None or text == UNSCHEDULED:
        return text
    try:
        return date.fromisoformat(f"{text}-01").isoformat()
    except ValueError:
        errors["month"] = ["Must be a month, such as 2026-04, or unscheduled."]
        return None


HANDLERS = (get_forecast_changes, list_forecast_changes_opportunities)
