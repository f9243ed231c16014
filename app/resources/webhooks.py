"""Webhook endpoints over HTTP and what became of their deliveries; all of it for admins alone.

Refuses to show a secret twice, even to a repeated request.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, get_args
from uuid import UUID

import msgspec
from litestar import delete, get, patch, post
from litestar.response.base import ASGIResponse
from msgspec import Struct
from psycopg import Cursor

from app.http import bodies, dispatch, filters, listing, records, request_context
from app.http.filters import RANGE, Filter, Filters
from app.http.json_schema import shown
from app.http.listing import ListSpec
from app.http.operations import describe
from app.http.param_types import BOOL, INSTANT, PHRASE, choice
from app.http.permission import require_an_admin
from app.http.request_context import Http
from app.resources.opportunity_types import ITEM
from app.resources.webhook_requests import WebhookRequests
from app.writing.envelope import Outcome
from consumers.webhooks import delivery_log, redelivery
from consumers.webhooks.delivery_log import Delivery, DeliveryRecord
from consumers.webhooks.redelivery import TEST, Replayed
from consumers.webhooks.schedule import Status
from domain import webhook_endpoint
from domain.errors import Invalid, NotFound
from domain.webhook_endpoint import EVENT_TYPES
from projections.conditions import Order
from projections.directory import queries as directory_queries

TAG = "Webhooks"
PATH = "/api/webhooks"
ONE = "/api/webhooks/{id:uuid}"
DELIVERY = ONE + "/deliveries/{delivery_id:uuid}"
DELIVERY_ALONE = "/api/webhooks/deliveries/{id:uuid}"
"""The same, for who has a delivery's id and nothing else; OpenAPI tells of it in words, for it is ambiguous beside ``DELIVERY``."""
ALSO = "Also at `/api/webhooks/deliveries/<delivery id>"
RULES = frozenset({"rules"})
MAX_POSITION = 2**62
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
            Filter("search", PHRASE, description="In the URL, whatever the case."),
            Filter("created_at", INSTANT, RANGE, description="When it was made."),
        )
    ),
    orderings=("created_at", "updated_at"),
    order=(Order("created_at", True),),
    fields=Endpoint.__struct_fields__,
)
DELIVERIES = ListSpec(
    Filters(
        (
            Filter("status", choice(*get_args(Status)), description="Of this status."),
            Filter("type", choice(*EVENT_TYPES, TEST), description="Of this type of event."),
            Filter("created_at", INSTANT, RANGE, description="When it was queued."),
        )
    ),
    orderings=(),
    order=(),
    fields=Delivery.__struct_fields__,
)
SENT = """\
Each event is a POST of `{"id", "type", "created_at", "org_id", "data": {"opportunity", "previous"}}`: the deal as the API showed
it right after the event, and the old values of what it changed. It is signed as [Standard Webhooks](https://www.standardwebhooks.com)
say: `webhook-id`, the same on every attempt, so use it to tell repetitions; `webhook-timestamp`; and `webhook-signature`, of which
there are two for a day after the secret was rotated. Answer with 2xx within 15 seconds. Anything else is tried again after 5 s,
5 min, 30 min, 2 h, 5 h, 10 h, 14 h, 20 h and 24 h, give or take a fifth, never before a `Retry-After`; then the delivery is dead.
Redirects are not followed. 410 disables the endpoint, as do five days of nothing but failures.
"""


class WebhookReplay(Struct, kw_only=True, frozen=True):
    """Which events, at least from where: positions are of the event feed and included, times are those of recording, the
    end excluded."""

    from_position: int | None = None
    to_position: int | None = None
    since: datetime | None = None
    until: datetime | None = None
    undelivered: bool = False


@get(PATH, opt=describe(TAG, "List webhook endpoints", description="For admins.", answer=Endpoint, table=TABLE))
async def list_webhooks(request: Http) -> ASGIResponse:
    await require_an_admin(request)
    return await records.page(request, "webhook_endpoint", TABLE)


@post(
    PATH,
    opt=describe(
        TAG,
        "Create a webhook endpoint",
        description=(
            "For admins. The answer has the `secret` to verify requests with, this once: a repeated request gets null there. "
            "`filters` narrow down the deals: all given must hold, of several values any. The address must be public and"
            " https unless this installation allows otherwise.\n\n" + SENT
        ),
        status=201,
        body=webhook_endpoint.Create,
        body_example=EXAMPLE,
        given=RULES,
        answer=NewEndpoint,
        versioned=True,
    ),
)
async def create_webhook(request: Http) -> ASGIResponse:
    await require_an_admin(request)
    requests = _webhook_requests(request)
    command = await bodies.read(request, webhook_endpoint.Create, rules=requests.rules)
    await requests.check_url(command.url)
    return await _with_secret(request, await dispatch.execute(request, command), 201)


@get(ONE, opt=describe(TAG, "Get a webhook endpoint", description="For admins.", answer=Endpoint, versioned=True))
async def get_webhook(request: Http) -> ASGIResponse:
    await require_an_admin(request)
    return await records.one(request, "webhook_endpoint", request.path_params["id"])


@patch(
    ONE,
    opt=describe(
        TAG,
        "Change a webhook endpoint",
        description=(
            "Only what is sent; `filters` as a whole. `active` false pauses: what waits is held, and events of that time are"
            " sent only by a replay. `active` true goes on, also where the endpoint was disabled."
        ),
        body=webhook_endpoint.Update,
        body_example={"active": False},
        given=RULES,
        answer=Endpoint,
        versioned=True,
    ),
)
async def update_webhook(request: Http) -> ASGIResponse:
    await require_an_admin(request)
    requests = _webhook_requests(request)
    command = await bodies.read(request, webhook_endpoint.Update, rules=requests.rules)
    await requests.check_url(command.url)
    return dispatch.answer(await dispatch.execute(request, command, stream_id=request.path_params["id"]))


@delete(
    ONE,
    status_code=200,
    opt=describe(TAG, "Delete a webhook endpoint", description="What waits is not sent.", status=204, versioned=True),
)
async def delete_webhook(request: Http) -> ASGIResponse:
    return dispatch.answer(await dispatch.execute(request, webhook_endpoint.Delete(), stream_id=request.path_params["id"]), 204)


@post(
    ONE + "/rotate-secret",
    status_code=200,
    opt=describe(
        TAG,
        "Rotate the secret of a webhook endpoint",
        description=(
            "The answer has the new `secret`, this once: a repeated request gets null there. For a day requests are"
            " signed with both."
        ),
        answer=NewEndpoint,
        versioned=True,
    ),
)
async def rotate_webhook_secret(request: Http) -> ASGIResponse:
    command = webhook_endpoint.RotateSecret()
    outcome = await dispatch.execute(request, command, stream_id=request.path_params["id"])
    return await _with_secret(request, outcome, 200)


@post(
    ONE + "/test",
    status_code=202,
    opt=describe(
        TAG,
        "Test a webhook endpoint",
        description=f"Queues an event of type `{TEST}` about a made-up deal, signed and sent like any other.",
        status=202,
        answer=Delivery,
    ),
)
async def test_webhook(request: Http) -> ASGIResponse:
    await require_an_admin(request)
    await bodies.none(request)
    endpoint_id = request.path_params["id"]
    org_id = request_context.from_request(request).identity.org_id

    def work(cursor: Cursor[Any]) -> tuple[UUID, str]:
        return _shown(cursor, org_id, redelivery.test(cursor, org_id, endpoint_id, ITEM))

    return await _asked(request, work)


@get(
    ONE + "/deliveries",
    opt=describe(
        TAG,
        "List deliveries of a webhook endpoint",
        description="The latest first, each with its last attempts: outcome, status, time taken and the first of the answer.",
        answer=Delivery,
        table=DELIVERIES,
    ),
)
async def list_webhook_deliveries(request: Http) -> ASGIResponse:
    await require_an_admin(request)
    identity = request_context.from_request(request).identity
    reads = request.app.state.read_pool
    endpoint_id = request.path_params["id"]
    asked = await listing.parse(request, DELIVERIES)
    if not await reads.rows(identity, *directory_queries.record(identity.org_id, "webhook_endpoint", endpoint_id)):
        raise NotFound("No such webhook endpoint.")
    page = delivery_log.page(identity.org_id, endpoint_id, asked.conditions, asked.page.limit, asked.page.offset)
    rows = await reads.rows(identity, *page.rows)
    (count,) = await reads.row(identity, *page.total)
    wanted = delivery_log.attempts(identity.org_id, [row[0] for row in rows], delivery_log.MAX_ATTEMPTS)
    attempts = delivery_log.by_delivery(await reads.rows(identity, *wanted))
    shown = [delivery_log.delivery(row, attempts.get(row[0], [])) for row in rows]
    return listing.envelope(request, asked, msgspec.json.encode(shown)[1:-1], count)


@get(
    [DELIVERY, DELIVERY_ALONE],
    opt=describe(
        TAG,
        "Get a webhook delivery",
        description=f"With every attempt and the body as it is sent. {ALSO}/`.",
        answer=DeliveryRecord,
        aliases=frozenset({DELIVERY_ALONE}),
    ),
)
async def get_webhook_delivery(request: Http) -> ASGIResponse:
    await require_an_admin(request)
    filters.reject_any(request.scope["query_string"])
    identity = request_context.from_request(request).identity
    reads = request.app.state.read_pool
    id_ = _delivery_id(request)
    rows = await reads.rows(identity, *delivery_log.record(identity.org_id, id_))
    if not rows:
        raise NotFound("No such delivery.")
    attempts = delivery_log.by_delivery(await reads.rows(identity, *delivery_log.attempts(identity.org_id, [id_], None)))
    delivery = delivery_log.full(rows[0], attempts.get(id_, []))
    _require_of_endpoint(request, delivery)
    return ASGIResponse(body=msgspec.json.encode(delivery))


@post(
    [f"{DELIVERY}/redeliver", f"{DELIVERY_ALONE}/redeliver"],
    status_code=202,
    opt=describe(
        TAG,
        "Send a webhook delivery again",
        description=(
            f"At once, whatever became of it, with the same id and the same bytes, and all retries before it. {ALSO}/redeliver/`."
        ),
        status=202,
        answer=Delivery,
        aliases=frozenset({f"{DELIVERY_ALONE}/redeliver"}),
    ),
)
async def redeliver_webhook(request: Http) -> ASGIResponse:
    await require_an_admin(request)
    await bodies.none(request)
    id_ = _delivery_id(request)
    org_id = request_context.from_request(request).identity.org_id

    def work(cursor: Cursor[Any]) -> tuple[UUID, str]:
        redelivery.redeliver(cursor, org_id, id_)
        _require_of_endpoint(request, delivery_log.now(cursor, org_id, id_))
        return _shown(cursor, org_id, id_)

    return await _asked(request, work)


def _delivery_id(request: Http) -> UUID:
    named: UUID = request.path_params.get("delivery_id") or request.path_params["id"]
    return named


def _require_of_endpoint(request: Http, delivery: Delivery) -> None:
    """Raises ``NotFound`` where the path names another endpoint than the delivery's."""
    if "delivery_id" in request.path_params and request.path_params["id"] != delivery.endpoint_id:
        raise NotFound("No such delivery.")


@post(
    ONE + "/replay",
    status_code=202,
    opt=describe(
        TAG,
        "Send a range of events again",
        description=(
            "Queues every event of the range that the endpoint, as it is now, subscribes to: those sent before with the same id and"
            " bytes, and those it missed. With `undelivered`, only what is dead or was missed. At most"
            f" {redelivery.MAX_EVENTS} events are looked through; `next_position` says where to go on."
        ),
        status=202,
        body=WebhookReplay,
        body_name="WebhookReplay",
        body_example={"since": "2026-03-01T00:00:00Z", "until": "2026-03-02T00:00:00Z", "undelivered": True},
        answer=Replayed,
    ),
)
async def replay_webhook(request: Http) -> ASGIResponse:
    await require_an_admin(request)
    wanted = await bodies.read(request, WebhookReplay)
    _require_range(wanted)
    endpoint_id = request.path_params["id"]
    org_id = request_context.from_request(request).identity.org_id

    def work(cursor: Cursor[Any]) -> tuple[UUID, str]:
        replayed = redelivery.replay(
            cursor,
            org_id,
            endpoint_id,
            first=wanted.from_position or 1,
            last=wanted.to_position,
            since=wanted.since,
            until=wanted.until,
            undelivered=wanted.undelivered,
        )
        return endpoint_id, msgspec.json.encode(replayed).decode()

    return await _asked(request, work)


def _require_range(wanted: WebhookReplay) -> None:
    errors = {
        name: [f"Must be a position from 1 to {MAX_POSITION}."]
        for name in ("from_position", "to_position")
        if (position := getattr(wanted, name)) is not None and not 0 < position <= MAX_POSITION
    }
    if wanted.from_position is None and wanted.since is None:
        errors["since"] = ["Say from where: since, or from_position."]
    if errors:
        raise Invalid(errors)


def _webhook_requests(request: Http) -> WebhookRequests:
    requests: WebhookRequests = request.app.state.webhook_requests
    return requests


async def _asked(request: Http, work: Any) -> ASGIResponse:
    """The answer to an admin's request for deliveries."""
    filters.reject_any(request.scope["query_string"])
    body, replayed = await _webhook_requests(request).run_once(request, work)
    headers = [("idempotent-replayed", "true")] if replayed else []
    return ASGIResponse(body=body, status_code=202, headers=headers)


def _shown(cursor: Cursor[Any], org_id: UUID, id_: UUID) -> tuple[UUID, str]:
    """A delivery that was just queued."""
    return id_, msgspec.json.encode(delivery_log.now(cursor, org_id, id_)).decode()


class _Secret(Struct):
    secret_generation: int


_generation = msgspec.json.Decoder(_Secret).decode


async def _with_secret(request: Http, outcome: Outcome, status: int) -> ASGIResponse:
    """The endpoint with the secret of the generation it shows."""
    secret = None
    if not outcome.replayed:
        secret = await _webhook_requests(request).secret(outcome.stream_id, _generation(outcome.body).secret_generation)
    return dispatch.answer(outcome, status, location=f"{PATH}/" if status == 201 else None, secret=secret)


HANDLERS = (
    list_webhooks,
    create_webhook,
    get_webhook,
    update_webhook,
    delete_webhook,
    rotate_webhook_secret,
    test_webhook,
    list_webhook_deliveries,
    get_webhook_delivery,
    redeliver_webhook,
    replay_webhook,
)
