"""Webhook endpoints over HTTP, for admins only. A secret is shown once, and not again to a repeated request."""

from __future__ import annotations

from uuid import UUID

import msgspec
from litestar import delete, get, patch, post
from litestar.params import FromPath
from msgspec import Struct

from app.http import bodies, dispatch, records
from app.http.filters import RANGE, Filter, Filters
from app.http.json_schema import shown
from app.http.list_spec import ListSpec
from app.http.operations import describe
from app.http.param_types import BOOL, INSTANT, PHRASE
from app.http.permission import require_an_admin
from app.http.request_context import Http
from app.http.response import JsonResponse
from app.resources import webhook_requests
from app.writing.envelope import Outcome
from consumers.webhooks import schedule, transport
from domain import webhook_endpoint
from projections.conditions import Order

TAG = "Webhooks"
PATH = "/api/webhooks"
ONE = "/api/webhooks/{id:uuid}"
RULES = frozenset({"rules"})
Endpoint = shown(webhook_endpoint.State, "WebhookEndpoint")
NewEndpoint = msgspec.defstruct(
    "NewWebhookEndpoint", [(field.name, field.type) for field in msgspec.structs.fields(Endpoint)] + [("secret", str | None)]
)
EXAMPLE = {
    "url": "https://hooks.example.com/opportunities",
    "events": ["opportunity.won", "opportunity.lost"],
    "description": "Commission calculator",
    "filters": {"currency": ["USD"], "amount__gte": "10000"},
}
TABLE = ListSpec(
    Filters(
        (
            Filter("active", BOOL, description="Neither paused nor disabled."),
            Filter("search", PHRASE, description="In the URL, ignoring case."),
            Filter("created_at", INSTANT, RANGE, description="When it was created."),
        )
    ),
    orderings=("created_at", "updated_at"),
    order=(Order("created_at", True),),
    fields=Endpoint.__struct_fields__,
)
SENT = f"""\
Each event is a POST of `{{"id", "type", "created_at", "org_id", "data": {{"opportunity", "previous"}}}}`: the deal as the API
showed it right after the event, and the old values of what it changed. It is signed as in
[Standard Webhooks](https://www.standardwebhooks.com): `webhook-id`, which is the same on every attempt, so that you can recognize
repeats; `webhook-timestamp`; and `webhook-signature`, with two signatures for a day after the secret was rotated. Respond with 2xx
within {transport.SECONDS:g} seconds. Anything else is retried after {schedule.in_words()}, give or take a fifth, never before a
`Retry-After`; then the delivery is dead. Redirects are not followed. 410 disables the endpoint, as do {schedule.FAILING.days}
days of nothing but failures.
"""


@get(PATH, opt=describe(TAG, "List webhook endpoints", description="For admins.", answer=Endpoint, table=TABLE))
async def list_webhooks(request: Http) -> JsonResponse:
    await require_an_admin(request)
    return await records.page(request, "webhook_endpoint", TABLE)


@post(
    PATH,
    opt=describe(
        TAG,
        "Create a webhook endpoint",
        description=(
            "For admins. The response shows the `secret` for verifying requests, only once: a repeated request gets null there. "
            "`filters` narrow down the deals: all must hold; several values of one are alternatives. The address must be public"
            " and https unless this installation allows otherwise.\n\n" + SENT
        ),
        status=201,
        body=webhook_endpoint.Create,
        body_example=EXAMPLE,
        given=RULES,
        answer=NewEndpoint,
        versioned=True,
    ),
)
async def create_webhook(request: Http) -> JsonResponse:
    await require_an_admin(request)
    requests = webhook_requests.from_request(request)
    command = await bodies.read(request, webhook_endpoint.Create, rules=requests.rules)
    await requests.check_url(command.url)
    return await _with_secret(request, await dispatch.execute(request, command), 201)


@get(ONE, opt=describe(TAG, "Get a webhook endpoint", description="For admins.", answer=Endpoint, versioned=True))
async def get_webhook(request: Http, id: FromPath[UUID]) -> JsonResponse:
    await require_an_admin(request)
    return await records.one(request, "webhook_endpoint", id)


@patch(
    ONE,
    opt=describe(
        TAG,
        "Change a webhook endpoint",
        description=(
            "Changes only what is sent; `filters` as a whole. `active` false pauses: waiting deliveries are held, and later events"
            " are sent only by a replay. `active` true resumes, also an endpoint that was disabled."
        ),
        body=webhook_endpoint.Update,
        body_example={"active": False},
        given=RULES,
        answer=Endpoint,
        versioned=True,
    ),
)
async def update_webhook(request: Http, id: FromPath[UUID]) -> JsonResponse:
    await require_an_admin(request)
    requests = webhook_requests.from_request(request)
    command = await bodies.read(request, webhook_endpoint.Update, rules=requests.rules)
    await requests.check_url(command.url)
    return dispatch.answer(await dispatch.execute(request, command, stream_id=id))


@delete(
    ONE,
    status_code=200,
    opt=describe(TAG, "Delete a webhook endpoint", description="Waiting deliveries are not sent.", status=204, versioned=True),
)
async def delete_webhook(request: Http, id: FromPath[UUID]) -> JsonResponse:
    return dispatch.answer(await dispatch.execute(request, webhook_endpoint.Delete(), stream_id=id), 204)


@post(
    ONE + "/rotate-secret",
    status_code=200,
    opt=describe(
        TAG,
        "Rotate the secret of a webhook endpoint",
        description=(
            "The response shows the new `secret`, only once: a repeated request gets null there. For a day requests are"
            " signed with both."
        ),
        answer=NewEndpoint,
        versioned=True,
    ),
)
async def rotate_webhook_secret(request: Http, id: FromPath[UUID]) -> JsonResponse:
    command = webhook_endpoint.RotateSecret()
    outcome = await dispatch.execute(request, command, stream_id=id)
    return await _with_secret(request, outcome, 200)


class _Secret(Struct):
    secret_generation: int


_generation = msgspec.json.Decoder(_Secret).decode


async def _with_secret(request: Http, outcome: Outcome, status: int) -> JsonResponse:
    """The endpoint, with the secret of the generation it shows."""
    secret = None
    if not outcome.replayed:
        secret = await webhook_requests.from_request(request).secret(outcome.stream_id, _generation(outcome.body).secret_generation)
    return dispatch.answer(outcome, status, location=f"{PATH}/" if status == 201 else None, secret=secret)


HANDLERS = (
    list_webhooks,
    create_webhook,
    get_webhook,
    update_webhook,
    delete_webhook,
    rotate_webhook_secret,
)
