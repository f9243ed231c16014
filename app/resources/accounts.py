"""Accounts over HTTP: list, create, get, change, delete."""

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
from app.http.param_types import EXTERNAL_ID, ID, INSTANT, PHRASE, TEXT
from app.http.request_context import Http
from app.http.response import JsonResponse
from domain import account
from domain.event import Command
from projections.conditions import Order

TAG = "Accounts"
PATH = "/api/accounts"
ONE = "/api/accounts/{id:uuid}"
Account = shown(account.State, "Account")
EXAMPLE = {"name": "Acme Corp", "domain": "acme.example", "custom_fields": {"tier": "gold"}}
TABLE = ListSpec(
    Filters(
        (
            Filter("name", TEXT, ("icontains",), description="Exact name."),
            Filter("external_id", EXTERNAL_ID, ("isnull",), description="Exactly this; one with commas also as a whole."),
            Filter("search", PHRASE, description="In the name, ignoring case."),
            Filter("created_at", INSTANT, RANGE, description="When it was created."),
            Filter("updated_at", INSTANT, RANGE, description="When it last changed."),
            Filter("import", ID, description="Created or changed by this import."),
        )
    ),
    orderings=("name", "created_at", "updated_at"),
    order=(Order("created_at", True),),
    fields=Account.__struct_fields__,
)
_OPERATIONS: dict[str, type[Command]] = {
    "create": account.Create,
    "update": account.Update,
    "upsert": account.Replace,
    "delete": account.Delete,
}
BULK = BulkSpec("account", _OPERATIONS)


@get(PATH, opt=describe(TAG, "List accounts", answer=Account, table=TABLE))
async def list_accounts(request: Http) -> JsonResponse:
    return await records.page(request, "account", TABLE)


@post(
    PATH,
    opt=describe(TAG, "Create an account", status=201, body=account.Create, body_example=EXAMPLE, answer=Account, versioned=True),
)
async def create_account(request: Http) -> JsonResponse:
    command = await bodies.read(request, account.Create)
    return dispatch.answer(await dispatch.execute(request, command), 201, location=f"{PATH}/")


@get(ONE, opt=describe(TAG, "Get an account", answer=Account, versioned=True))
async def get_account(request: Http, id: FromPath[UUID]) -> JsonResponse:
    return await records.one(request, "account", id)


@patch(
    ONE,
    opt=describe(
        TAG,
        "Change an account",
        description="Changes only what is sent; `custom_fields` merges by key, null clears.",
        body=account.Update,
        body_example={"domain": "acme.example"},
        answer=Account,
        versioned=True,
    ),
)
async def update_account(request: Http, id: FromPath[UUID]) -> JsonResponse:
    command = await bodies.read(request, account.Update)
    return dispatch.answer(await dispatch.execute(request, command, stream_id=id))


@put(
    PATH + external_ids.PLACE,
    opt=describe(
        TAG,
        "Create or replace the account with an external id",
        description="Replaces the live account that has this `external_id`, or else creates one. What is left out is cleared.",
        parameters=(external_ids.PARAMETER,),
        body=account.Replace,
        body_example=EXAMPLE,
        answer=Account,
        versioned=True,
        creates=True,
    ),
)
async def put_account(request: Http) -> JsonResponse:
    return await external_ids.put(request, account.Replace, account.Create, f"{PATH}/")


@delete(
    ONE,
    status_code=200,
    opt=describe(TAG, "Delete an account", description="For managers. 409 while deals refer to it.", status=204, versioned=True),
)
async def delete_account(request: Http, id: FromPath[UUID]) -> JsonResponse:
    return dispatch.answer(await dispatch.execute(request, account.Delete(), stream_id=id), 204)


@post(PATH + "/bulk", status_code=200, opt=bulk.described(TAG, BULK, EXAMPLE))
async def bulk_accounts(request: Http) -> JsonResponse:
    return await bulk.run(request, BULK)


HANDLERS = (
    list_accounts,
    create_account,
    get_account,
    update_account,
    put_account,
    delete_account,
    bulk_accounts,
)
