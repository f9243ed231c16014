"""Deliveries of webhook endpoints: list, get, and tests, redeliveries and replays on request. For admins only."""

from __future__ import annotations

from datetime import datetime
from typing import Any, get_args
from uuid import UUID

import msgspec
from litestar import get, post
from litestar.params import FromPath
from msgspec import Struct
from psycopg import Cursor

from app.http import bodies, filters, listing, request_context, shared
from app.http.filters import RANGE, Filter, Filters
from app.http.list_spec import ListSpec
from app.http.operations import describe
from app.http.param_types import INSTANT, choice
from app.http.permission import require_an_admin
from app.http.request_context import Http
from app.http.response import JsonResponse
from app.resources import webhook_requests
from app.resources.opportunity_examples import ITEM
from consumers.webhooks import delivery_log, redelivery
from consumers.webhooks.delivery_log import Delivery, DeliveryRecord
from consumers.webhooks.redelivery import TEST, Replayed
from consumers.webhooks.schedule import Status
from domain.errors import Invalid, NotFound
from domain.webhook_endpoint import EVENT_TYPES
from projections.directory import queries as directory_queries

TAG = "Webhooks"
ONE = "/api/webhooks/{id:uuid}"
DELIVERY = ONE + "/deliveries/{delivery_id:uuid}"
DELIVERY_ALONE = "/api/webhooks/deliveries/{id:uuid}"
"""The same, for those who know only a delivery's id. OpenAPI mentions it in words, because it is ambiguous beside ``DELIVERY``."""
ALSO = "Also at `/api/webhooks/deliveries/<delivery id>"
MAX_POSITION = 2**62
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


class WebhookReplay(Struct, kw_only=True, frozen=True):
    """Which events to send. Positions are the event feed's and inclusive; times are those of recording, the end exclusive."""

    from_position: int | None = None
    to_position: int | None = None
    since: datetime | None = None
    until: datetime | None = None
    undelivered: bool = False


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
async def test_webhook(request: Http, id: FromPath[UUID]) -> JsonResponse:
    await require_an_admin(request)
    await bodies.none(request)
    org_id = request_context.from_request(request).identity.org_id

    def work(cursor: Cursor[Any]) -> tuple[UUID, str]:
        return _shown(cursor, org_id, redelivery.test(cursor, org_id, id, ITEM))

    return await _asked(request, work)


@get(
    ONE + "/deliveries",
    opt=describe(
        TAG,
        "List deliveries of a webhook endpoint",
        description="The latest first, each with its last attempts: outcome, status, time taken and the beginning of the response.",
        answer=Delivery,
        table=DELIVERIES,
    ),
)
async def list_webhook_deliveries(request: Http, id: FromPath[UUID]) -> JsonResponse:
    await require_an_admin(request)
    identity = request_context.from_request(request).identity
    reads = shared.from_request(request).read_pool
    asked = await listing.parse(request, DELIVERIES)
    if not await reads.rows(identity, *directory_queries.record(identity.org_id, "webhook_endpoint", id)):
        raise NotFound("No such webhook endpoint.")
    page = delivery_log.page(identity.org_id, id, asked.conditions, asked.page.limit, asked.page.offset)
    rows = await reads.rows(identity, *page.rows)
    (count,) = await reads.row(identity, *page.total)
    wanted = delivery_log.attempts(identity.org_id, [row[0] for row in rows], delivery_log.MAX_ATTEMPTS)
    attempts = delivery_log.by_delivery(await reads.rows(identity, *wanted))
    shown = [delivery_log.delivery(row, attempts.get(row[0], [])) for row in rows]
    return listing.envelope(request, asked, shown, count)


@get(
    [DELIVERY, DELIVERY_ALONE],
    opt=describe(
        TAG,
        "Get a webhook delivery",
        description=f"With every attempt and the exact body. {ALSO}/`.",
        answer=DeliveryRecord,
        aliases=frozenset({DELIVERY_ALONE}),
    ),
)
async def get_webhook_delivery(request: Http) -> JsonResponse:
    await require_an_admin(request)
    filters.reject_any(request.scope["query_string"])
    identity = request_context.from_request(request).identity
    reads = shared.from_request(request).read_pool
    id_ = _delivery_id(request)
    rows = await reads.rows(identity, *delivery_log.record(identity.org_id, id_))
    if not rows:
        raise NotFound("No such delivery.")
    attempts = delivery_log.by_delivery(await reads.rows(identity, *delivery_log.attempts(identity.org_id, [id_], None)))
    delivery = delivery_log.full(rows[0], attempts.get(id_, []))
    _require_of_endpoint(request, delivery)
    return JsonResponse(msgspec.json.encode(delivery))


@post(
    [f"{DELIVERY}/redeliver", f"{DELIVERY_ALONE}/redeliver"],
    status_code=202,
    opt=describe(
        TAG,
        "Send a webhook delivery again",
        description=(
            f"Sends it at once, whatever its status, with the same id and bytes, and all retries ahead. {ALSO}/redeliver/`."
        ),
        status=202,
        answer=Delivery,
        aliases=frozenset({f"{DELIVERY_ALONE}/redeliver"}),
    ),
)
async def redeliver_webhook(request: Http) -> JsonResponse:
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
    """Raises ``NotFound`` if the path names another endpoint than the delivery's."""
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
            " bytes, and those it missed. With `undelivered`, only dead and missed ones. At most"
            f" {redelivery.MAX_EVENTS} events are looked through; continue at `next_position`."
        ),
        status=202,
        body=WebhookReplay,
        body_name="WebhookReplay",
        body_example={"since": "2026-03-01T00:00:00Z", "until": "2026-03-02T00:00:00Z", "undelivered": True},
        answer=Replayed,
    ),
)
async def replay_webhook(request: Http, id: FromPath[UUID]) -> JsonResponse:
    await require_an_admin(request)
    wanted = await bodies.read(request, WebhookReplay)
    _require_range(wanted)
    org_id = request_context.from_request(request).identity.org_id

    def work(cursor: Cursor[Any]) -> tuple[UUID, str]:
        replayed = redelivery.replay(
            cursor,
            org_id,
            id,
            first=wanted.from_position or 1,
            last=wanted.to_position,
            since=wanted.since,
            until=wanted.until,
            undelivered=wanted.undelivered,
        )
        return id, msgspec.json.encode(replayed).decode()

    return await _asked(request, work)


def _require_range(wanted: WebhookReplay) -> None:
    errors = {
        name: [f"Must be a position from 1 to {MAX_POSITION}."]
        for name in ("from_position", "to_position")
        if (position := getattr(wanted, name)) is not None and not 0 < position <= MAX_POSITION
    }
    if wanted.from_position is None and wanted.since is None:
        errors["since"] = ["Give since or from_position."]
    if errors:
        raise Invalid(errors)


async def _asked(request: Http, work: Any) -> JsonResponse:
    """The response to an admin's request for deliveries."""
    filters.reject_any(request.scope["query_string"])
    body, replayed = await webhook_requests.from_request(request).run_once(request, work)
    headers = [(b"idempotent-replayed", b"true")] if replayed else []
    return JsonResponse(body, 202, headers)


def _shown(cursor: Cursor[Any], org_id: UUID, id_: UUID) -> tuple[UUID, str]:
    """A delivery that was just queued."""
    return id_, msgspec.json.encode(delivery_log.now(cursor, org_id, id_)).decode()


HANDLERS = (
    test_webhook,
    list_webhook_deliveries,
    get_webhook_delivery,
    redeliver_webhook,
    replay_webhook,
)
