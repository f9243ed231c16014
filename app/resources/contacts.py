"""Contacts over HTTP: list, create, get, change, delete."""

from __future__ import annotations

from uuid import UUID

from litestar import delete, get, patch, post, put
from litestar.params import FromPath

from app.http import bodies, bulk, dispatch, external_ids, records
from app.http.bulk_operations import BulkSpec
from app.http.filters import RANGE, Filter, Filters
from app.http.json_schema import shown
from app.http.list_spec import ListSpec
from app.http.operations import describe
from app.http.param_types import EMAIL, EXTERNAL_ID, ID, INSTANT, PHRASE, TEXT
from app.http.request_context import Http
from app.http.response import JsonResponse
from domain import contact
from domain.event import Command
from projections.conditions import Order

TAG = "Contacts"
PATH = "/api/contacts"
ONE = "/api/contacts/{id:uuid}"
Contact = shown(contact.State, "Contact")
EXAMPLE = {
    "first_name": "Jane",
    "last_name": "Doe",
    "email": "jane@acme.example",
    "phone": "+1 555 0100",
    "title": "Head of Procurement",
}
TABLE = ListSpec(
    Filters(
        (
            Filter("account", ID, ("isnull",), description="Of this account."),
            Filter("email", EMAIL, ("isnull",), description="Exact address, ignoring case."),
            Filter("name", TEXT, ("icontains",), description="First and last name."),
            Filter("external_id", EXTERNAL_ID, ("isnull",), description="Exactly this; one with commas also as a whole."),
            Filter("search", PHRASE, description="In the name or the address, ignoring case."),
            Filter("created_at", INSTANT, RANGE, description="When it was created."),
            Filter("updated_at", INSTANT, RANGE, description="When it last changed."),
            Filter("import", ID, description="Created or changed by this import."),
        )
    ),
    orderings=("name", "last_name", "email", "created_at", "updated_at"),
    order=(Order("created_at", True),),
    fields=Contact.__struct_fields__,
)
_OPERATIONS: dict[str, type[Command]] = {
    "create": contact.Create,
    "update": contact.Update,
    "upsert": contact.Replace,
    "delete": contact.Delete,
}
BULK = BulkSpec("contact", _OPERATIONS)


@get(PATH, opt=describe(TAG, "List contacts", answer=Contact, table=TABLE))
async def list_contacts(request: Http) -> JsonResponse:
    return await records.page(request, "contact", TABLE)


@post(
    PATH,
    opt=describe(TAG, "Create a contact", status=201, body=contact.Create, body_example=EXAMPLE, answer=Contact, versioned=True),
)
async def create_contact(request: Http) -> JsonResponse:
    command = await bodies.read(request, contact.Create)
    return dispatch.answer(await dispatch.execute(request, command), 201, location=f"{PATH}/")


@get(ONE, opt=describe(TAG, "Get a contact", answer=Contact, versioned=True))
async def get_contact(request: Http, id: FromPath[UUID]) -> JsonResponse:
    return await records.one(request, "contact", id)


@patch(
    ONE,
    opt=describe(
        TAG,
        "Change a contact",
        description="Changes only what is sent; null clears.",
        body=contact.Update,
        body_example={"title": "Chief Financial Officer"},
        answer=Contact,
        versioned=True,
    ),
)
async def update_contact(request: Http, id: FromPath[UUID]) -> JsonResponse:
    command = await bodies.read(request, contact.Update)
    return dispatch.answer(await dispatch.execute(request, command, stream_id=id))


@put(
    PATH + external_ids.PLACE,
    opt=describe(
        TAG,
        "Create or replace the contact with an external id",
        description="Replaces the live contact that has this `external_id`, or else creates one. What is left out is cleared.",
        parameters=(external_ids.PARAMETER,),
        body=contact.Replace,
        body_example=EXAMPLE,
        answer=Contact,
        versioned=True,
        creates=True,
    ),
)
async def put_contact(request: Http) -> JsonResponse:
    return await external_ids.put(request, contact.Replace, contact.Create, f"{PATH}/")


@delete(
    ONE,
    status_code=200,
    opt=describe(TAG, "Delete a contact", description="For managers. 409 while deals name it.", status=204, versioned=True),
)
async def delete_contact(request: Http, id: FromPath[UUID]) -> JsonResponse:
    return dispatch.answer(await dispatch.execute(request, contact.Delete(), stream_id=id), 204)


@post(PATH + "/bulk", status_code=200, opt=bulk.described(TAG, BULK, EXAMPLE))
async def bulk_contacts(request: Http) -> JsonResponse:
    return await bulk.run(request, BULK)


HANDLERS = (
    list_contacts,
    create_contact,
    get_contact,
    update_contact,
    put_contact,
    delete_contact,
    bulk_contacts,
)
