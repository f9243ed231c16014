"""The ``webhooks`` part of the OpenAPI document: the requests that endpoints are sent, one per type of event."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from msgspec import UNSET, Struct, UnsetType

from app.http.json_schema import Json, Schemas
from app.resources.opportunity_examples import ID, ITEM
from app.resources.opportunity_types import Opportunity
from domain.webhook_endpoint import EventType

TAG = "Webhooks"
RECEIVED = {
    "2XX": {"description": "Received; the body of the response is ignored."},
    "410": {"description": "No longer wanted: the endpoint is disabled."},
    "default": {"description": "Not received: retried for about three days, never before a `Retry-After`."},
}
Type = EventType | Literal["webhook.test"]
HAPPENED: dict[Type, tuple[str, Json]] = {
    "opportunity.created": ("A deal was created", {}),
    "opportunity.updated": ("A deal was changed without changing its stage", {"amount": "22000.00"}),
    "opportunity.stage_changed": ("A deal moved to another stage of the same kind", {"stage": "discovery", "probability": 20}),
    "opportunity.won": ("A deal was won", {"stage": "negotiation", "status": "open", "probability": 80}),
    "opportunity.lost": ("A deal was lost", {"stage": "proposal", "status": "open", "probability": 60}),
    "opportunity.reopened": ("A closed deal was reopened", {"stage": "lost", "status": "lost", "probability": 0}),
    "opportunity.deleted": ("A deal was deleted", {"deleted": False}),
    "opportunity.restored": ("A deleted deal was restored", {"deleted": True}),
    "webhook.test": ("An admin requested a test; the deal is made up", {}),
}
"""What each type means, and an example of old values."""


class WebhookOpportunity(Opportunity):
    """The deal as a list shows it right after the event; a deleted one as it last was."""

    deleted: bool | UnsetType = UNSET


class WebhookData(Struct):
    """`previous` has the old value of each field that the event changed."""

    opportunity: WebhookOpportunity
    previous: dict[str, Any]


class WebhookEvent(Struct):
    """`id` is the event's, the same on every attempt; `created_at` is when it occurred."""

    id: str
    type: Type
    created_at: datetime
    org_id: UUID
    data: WebhookData


def described(schemas: Schemas) -> Json:
    """The ``webhooks`` of the document, by type of event."""
    body = schemas.of(WebhookEvent)
    return {type_: {"post": _operation(type_, body)} for type_ in HAPPENED}


def _operation(type_: Type, body: Json) -> Json:
    summary, previous = HAPPENED[type_]
    shown = {**ITEM, "id": ID} | ({"deleted": True} if type_ == "opportunity.deleted" else {})
    example = {
        "id": "evt_5540bd8837d15d60aba6bbd4de38fbc4",
        "type": type_,
        "created_at": "2026-03-04T09:30:00Z",
        "org_id": "0197a3c2-7b00-7000-8000-00000000e001",
        "data": {"opportunity": shown, "previous": previous},
    }
    return {
        "operationId": f"receive_{type_.replace('.', '_')}",
        "tags": [TAG],
        "summary": summary,
        "security": [],
        "parameters": [
            _header("webhook-id", "The event's id: use it to recognize repeats.", example["id"]),
            _header("webhook-timestamp", "The time of this attempt, in seconds since 1970.", "1772616600"),
            _header(
                "webhook-signature",
                "As in Standard Webhooks; there are two for a day after a rotation.",
                "v1,K5oZfzN95Z9UVu1EsfQmfVNQhnkZ2pj9o9NDN/H/pI4=",
            ),
        ],
        "requestBody": {"required": True, "content": {"application/json": {"schema": body, "example": example}}},
        "responses": RECEIVED,
    }


def _header(name: str, text: str, example: object) -> Json:
    return {"name": name, "in": "header", "required": True, "description": text, "schema": {"type": "string"}, "example": example}
