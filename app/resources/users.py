"""Users over HTTP: list, create, get, change, and the token's own user. Users are deactivated, never deleted."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from litestar import get, patch, post
from litestar.params import FromPath
from msgspec import Struct, defstruct

from app.http import bodies, dispatch, records, request_context
from app.http.filters import RANGE, Filter, Filters
from app.http.json_schema import shown
from app.http.list_spec import ListSpec
from app.http.operations import describe
from app.http.param_types import BOOL, EMAIL, INSTANT, PHRASE, TEXT, choice
from app.http.request_context import Http
from app.http.response import JsonResponse, extended
from domain import user
from domain.permissions import ROLES, Role
from projections.conditions import Order

TAG = "Users"
PATH = "/api/users"
ONE = "/api/users/{id:uuid}"
User = shown(user.State, "User")


class CurrentToken(Struct):
    """``effective_role`` is the weaker one of the token's own and its user's role."""

    id: UUID
    role: Role | None
    effective_role: Role
    expires_at: datetime | None


Me = defstruct("Me", [("token", CurrentToken)], bases=(User,))
TABLE = ListSpec(
    Filters(
        (
            Filter("role", choice(*ROLES), description="With this role."),
            Filter("active", BOOL, description="Who may use the API."),
            Filter("email", EMAIL, description="Exact address, ignoring case."),
            Filter("name", TEXT, ("icontains",), description="Exact name."),
            Filter("search", PHRASE, description="In the name or the address, ignoring case."),
            Filter("created_at", INSTANT, RANGE, description="When the user was created."),
            Filter("updated_at", INSTANT, RANGE, description="When the user last changed."),
        )
    ),
    orderings=("name", "email", "created_at", "updated_at"),
    order=(Order("created_at", True),),
    fields=User.__struct_fields__,
)


@get(PATH, opt=describe(TAG, "List users", answer=User, table=TABLE))
async def list_users(request: Http) -> JsonResponse:
    return await records.page(request, "user", TABLE)


@post(
    PATH,
    opt=describe(
        TAG,
        "Create a user",
        description="For admins.",
        status=201,
        body=user.Create,
        body_example={"email": "rep@yours.com", "name": "Robin Reyes", "role": "rep"},
        answer=User,
        versioned=True,
    ),
)
async def create_user(request: Http) -> JsonResponse:
    command = await bodies.read(request, user.Create, frozenset({"active"}))
    return dispatch.answer(await dispatch.execute(request, command), 201, location=f"{PATH}/")


@get(
    f"{PATH}/me",
    opt=describe(
        TAG,
        "Get the token's user",
        description="With the token of the request; its `role`, if it has one, caps the user's.",
        answer=Me,
        versioned=True,
    ),
)
async def get_me(request: Http) -> JsonResponse:
    identity = request_context.from_request(request).identity
    version, body = await records.read(request, "user", identity.user_id)
    token = CurrentToken(identity.token_id, identity.cap, identity.role, identity.expires_at)
    return dispatch.record(request, version, extended(body, {"token": token}))


@get(ONE, opt=describe(TAG, "Get a user", answer=User, versioned=True))
async def get_user(request: Http, id: FromPath[UUID]) -> JsonResponse:
    return await records.one(request, "user", id)


@patch(
    ONE,
    opt=describe(
        TAG,
        "Change a user",
        description="For admins. A user who is not active has no access; the org keeps at least one active admin.",
        body=user.Update,
        body_example={"role": "manager"},
        answer=User,
        versioned=True,
    ),
)
async def update_user(request: Http, id: FromPath[UUID]) -> JsonResponse:
    command = await bodies.read(request, user.Update)
    return dispatch.answer(await dispatch.execute(request, command, stream_id=id))


HANDLERS = (
    list_users,
    create_user,
    get_me,
    get_user,
    update_user,
)
