"""Records under the ids of other systems: ``PUT …/by-external-id/<value>/`` creates or replaces."""

from __future__ import annotations

from typing import Any
from urllib.parse import unquote_to_bytes

from msgspec import structs

from app.http import bodies, dispatch
from app.http.operations import Json
from app.http.request_context import Http
from app.http.response import JsonResponse
from domain import event
from domain.errors import Invalid
from domain.event import Command
from domain.fields import MAX_NAME, line_error
from domain.text import normal

PLACE = "/by-external-id/{value:path}"
PARAMETER: Json = {
    "name": "value",
    "in": "path",
    "required": True,
    "description": "The external id, percent-encoded.",
    "schema": {"type": "string", "minLength": 1, "maxLength": MAX_NAME},
    "example": "CRM-4711",
}


def from_path(raw_path: bytes) -> str:
    """The external id in a path, slashes and all. Raises ``Invalid``."""
    raw = raw_path.partition(b"/by-external-id/")[2].removesuffix(b"/")
    try:
        text = normal(unquote_to_bytes(raw).decode())
    except UnicodeDecodeError:
        raise Invalid({"external_id": ["Must be percent-encoded UTF-8."]}) from None
    if message := line_error(text):
        raise Invalid({"external_id": [message]})
    return text


async def put(
    request: Http, replace: type[Command], create: type[Command], location: str, read_only: frozenset[str] = frozenset()
) -> JsonResponse:
    """Replace the record with the external id of the path, or create it."""
    command: Any = await bodies.read(request, replace, read_only)
    external_id = from_path(request.scope["raw_path"])
    if isinstance(command.external_id, str) and normal(command.external_id) != external_id:
        raise Invalid({"external_id": ["Must be the one in the address: leave it out, or PATCH the record to change it."]})
    command = structs.replace(command, external_id=external_id)
    outcome = await dispatch.execute(request, command, external_id=external_id, create=create(**event.set_fields(command)))
    if outcome.status == "created":
        return dispatch.answer(outcome, 201, location=location)
    return dispatch.answer(outcome)
