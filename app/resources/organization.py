"""The org itself over HTTP: get, change its name and how strict it is about custom fields. Its currency cannot change."""

from __future__ import annotations

from litestar import get, patch

from app.http import bodies, dispatch, records, request_context
from app.http.json_schema import shown
from app.http.operations import describe
from app.http.request_context import Http
from app.http.response import JsonResponse
from domain import organization

TAG = "Organization"
PATH = "/api/organization"
Organization = shown(organization.State, "Organization")


@get(PATH, opt=describe(TAG, "Get the organization", answer=Organization, versioned=True))
async def get_organization(request: Http) -> JsonResponse:
    return await records.one(request, "organization", organization.stream_id(request_context.from_request(request).identity.org_id))


@patch(
    PATH,
    opt=describe(
        TAG,
        "Change the organization",
        description=(
            "For admins. With `custom_fields_mode` `strict`, deals may have defined custom fields only. The `currency` may be"
            " repeated but not changed."
        ),
        body=organization.Update,
        body_example={"custom_fields_mode": "strict"},
        answer=Organization,
        versioned=True,
    ),
)
async def update_organization(request: Http) -> JsonResponse:
    command = await bodies.read(request, organization.Update)
    stream_id = organization.stream_id(request_context.from_request(request).identity.org_id)
    return dispatch.answer(await dispatch.execute(request, command, stream_id=stream_id))


HANDLERS = (
    get_organization,
    update_organization,
)
