"""The activities of an opportunity over HTTP: list, log. There is no edit."""

from __future__ import annotations

from typing import get_args
from uuid import UUID

from litestar import get, post
from litestar.params import FromPath

from app.http import bodies, dispatch, records, request_context, shared
from app.http.filters import RANGE, Filter, Filters
from app.http.json_schema import shown
from app.http.list_spec import ListSpec
from app.http.operations import describe
from app.http.param_types import INSTANT, PHRASE, choice
from app.http.request_context import Http
from app.http.response import JsonResponse
from domain import activity
from domain.errors import NotFound
from projections.conditions import Order
from projections.directory import queries as directory_queries

TAG = "Activities"
PATH = "/api/opportunities/{id:uuid}/activities"
PARENT = frozenset({"opportunity_id"})
Activity = shown(activity.State, "Activity")
EXAMPLE = {
    "type": "call",
    "subject": "Talked about pricing",
    "body": "They want a three-year term.",
    "occurred_at": "2026-03-04T15:00:00Z",
}
TABLE = ListSpec(
    Filters(
        (
            Filter("type", choice(*get_args(activity.Type)), description="Of this type."),
            Filter("occurred_at", INSTANT, RANGE, description="When it took place."),
            Filter("search", PHRASE, description="In the subject, ignoring case."),
        )
    ),
    orderings=("occurred_at", "created_at"),
    order=(Order("occurred_at", True),),
    fields=Activity.__struct_fields__,
)


@get(PATH, opt=describe(TAG, "List a deal's activities", answer=Activity, table=TABLE))
async def list_activities(request: Http, id: FromPath[UUID]) -> JsonResponse:
    identity = request_context.from_request(request).identity
    found = await shared.from_request(request).read_pool.rows(identity, *directory_queries.deal(identity.org_id, id))
    if not found:
        raise NotFound("No such opportunity.")
    return await records.page(request, "activity", TABLE, parent_id=id)


@post(
    PATH,
    opt=describe(
        TAG,
        "Log an activity",
        description="`occurred_at` defaults to now; it may be in the past, or in the future for a plan.",
        status=201,
        body=activity.Log,
        body_example=EXAMPLE,
        given=PARENT,
        answer=Activity,
        versioned=True,
        located=False,
    ),
)
async def log_activity(request: Http, id: FromPath[UUID]) -> JsonResponse:
    command = await bodies.read(request, activity.Log, PARENT, opportunity_id=id)
    return dispatch.answer(await dispatch.execute(request, command), 201)


HANDLERS = (
    list_activities,
    log_activity,
)
