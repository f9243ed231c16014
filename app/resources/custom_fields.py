"""Custom field definitions over HTTP, by key: list, create, get, change, delete. An org's are one stream with one version."""

from __future__ import annotations

from typing import Any

import msgspec
from litestar import delete, get, patch, post
from litestar.params import FromPath

from app.http import bodies, dispatch, filters, listing, records, request_context
from app.http.filters import Filters
from app.http.list_spec import ListSpec
from app.http.operations import describe
from app.http.request_context import Http
from app.http.response import JsonResponse
from app.writing.envelope import Outcome
from domain import custom_field
from domain.custom_field import Definition
from domain.errors import NotFound
from domain.fields import key_error

TAG = "Custom fields"
PATH = "/api/custom-fields"
ONE = "/api/custom-fields/{key:str}"
FIELD = frozenset({"field"})
EXAMPLE = {"key": "competitor", "label": "Competitor", "type": "dropdown", "options": ["incumbent_vendor", "none"]}
TABLE = ListSpec(Filters(), orderings=(), order=(), fields=Definition.__struct_fields__)
_definitions = msgspec.json.Decoder(list[dict[str, Any]])


@get(
    PATH,
    opt=describe(TAG, "List custom fields", description="In order of creation.", answer=Definition, table=TABLE),
)
async def list_custom_fields(request: Http) -> JsonResponse:
    asked = await listing.parse(request, TABLE)
    _, definitions = await _all(request)
    part = definitions[asked.page.offset : asked.page.offset + asked.page.limit]
    return listing.envelope(request, asked, part, len(definitions))


@post(
    PATH,
    opt=describe(
        TAG,
        "Define a custom field",
        description="For admins. `options` are for dropdown and multiselect: values, or `value` with `label`.",
        status=201,
        body=custom_field.Create,
        body_example=EXAMPLE,
        answer=Definition,
        versioned=True,
    ),
)
async def create_custom_field(request: Http) -> JsonResponse:
    command = await bodies.read(request, custom_field.Create)
    return _one(await _execute(request, command), command.key, 201)


@get(ONE, opt=describe(TAG, "Get a custom field", answer=Definition, versioned=True))
async def get_custom_field(request: Http, key: FromPath[str]) -> JsonResponse:
    filters.reject_any(request.scope["query_string"])
    version, definitions = await _all(request)
    return dispatch.record(request, version, msgspec.json.encode(_find(definitions, key)))


@patch(
    ONE,
    opt=describe(
        TAG,
        "Change a custom field",
        description="For admins. Key and type cannot change; existing values of deals stay as they are.",
        body=custom_field.Update,
        body_example={"label": "Main competitor", "required": True},
        given=FIELD,
        answer=Definition,
        versioned=True,
    ),
)
async def update_custom_field(request: Http, key: FromPath[str]) -> JsonResponse:
    _require_key(key)
    command = await bodies.read(request, custom_field.Update, field=key)
    return _one(await _execute(request, command), key)


@delete(
    ONE,
    status_code=200,
    opt=describe(TAG, "Remove a custom field", description="Existing values stay.", status=204, versioned=True),
)
async def delete_custom_field(request: Http, key: FromPath[str]) -> JsonResponse:
    _require_key(key)
    return dispatch.answer(await _execute(request, custom_field.Delete(key=key)), 204)


async def _execute(request: Http, command: custom_field.Create | custom_field.Update | custom_field.Delete) -> Outcome:
    return await dispatch.execute(
        request, command, stream_id=custom_field.stream_id(request_context.from_request(request).identity.org_id)
    )


async def _all(request: Http) -> tuple[int, list[dict[str, Any]]]:
    found = await records.settings(request, "custom_field")
    return (found[0], _definitions.decode(found[1])) if found else (0, [])


def _require_key(key: str) -> None:
    """Raises ``NotFound`` for a text that cannot be a key."""
    if key_error(key):
        raise NotFound("No such custom field.")


def _find(definitions: list[dict[str, Any]], key: str) -> dict[str, Any]:
    for definition in definitions:
        if definition["key"] == key:
            return definition
    raise NotFound("No such custom field.")


def _one(outcome: Outcome, key: str, status: int = 200) -> JsonResponse:
    """The response about one field, from an outcome that shows all."""
    outcome.body = msgspec.json.encode(_find(_definitions.decode(outcome.body), key)).decode()
    answer = dispatch.answer(outcome, status)
    if status == 201:
        answer.headers.append((b"location", f"{PATH}/{key}/".encode()))
    return answer


HANDLERS = (
    list_custom_fields,
    create_custom_field,
    get_custom_field,
    update_custom_field,
    delete_custom_field,
)
