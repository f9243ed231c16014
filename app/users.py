"""Users over HTTP: list, create, get, change, and who the token belongs to. Refuses to delete: a user is
deactivated."""

from __future__ import annotations

from litestar import get, patch, post
from litestar.response.base import ASGIResponse

from app import bodies, call, commands, records
from app.call import Http
from app.filters import RANGE, Filter, Filters
from app.json_schema import shown
from app.listing import Table
from app.operations import describe
from app.values import BOOL, EMAIL, INSTANT, PHRASE, TEXT, choice
from domain import user
from domain.permissions import ROLES
from projections.condition import Order

TAG = "Users"
PATH = "/api/users"
ONE = "/api/users/{id:uuid}"
User = shown(user.State, "User")
TABLE = Table(
    Filters(
        (
            Filter("role", choice(*ROLES), description="With this role."),
            Filter("active", BOOL, description="Who may use the API."),
            Filter("email", EMAIL, description="Exact address, whatever the case."),
            Filter("name", TEXT, ("icontains",), description="Exact name."),
            Filter("search", PHRASE, description="In the name or the address, whatever the case."),
            Filter("created_at", INSTANT, RANGE, description="When the user was made."),
            Filter("updated_at", INSTANT, RANGE, description="When the user last changed."),
        )
    ),
    orderings=("name", "email", "created_at", "updated_at"),
    order=(Order("created_at", True),),
    fields=User.__struct_fields__,
)


@get(PATH, opt=describe(TAG, "List users", answer=User, table=TABLE))
async def list_users(request: Http) -> ASGIResponse:
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
async def create_user(request: Http) -> ASGIResponse:
    command = await bodies.read(request, user.Create, frozenset({"active"}))
    return commands.answer(await commands.execute(request, command), 201, location=f"{PATH}/")


@get(f"{PATH}/me", opt=describe(TAG, "Get the token's user", answer=User, versioned=True))
async def get_me(request: Http) -> ASGIResponse:
    return await records.one(request, "user", call.of(request).identity.user_id)


@get(ONE, opt=describe(TAG, "Get a user", answer=User, versioned=True))
async def get_user(request: Http) -> ASGIResponse:
    return await records.one(request, "user", request.path_params["id"])


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
async def update_user(request: Http) -> ASGIResponse:
    command = await bodies.read(request, user.Update)
    return commands.answer(await commands.execute(request, command, stream_id=request.path_params["id"]))


HANDLERS = (
    list_users,
    create_user,
    get_me,
    get_user,
    update_user,
)
