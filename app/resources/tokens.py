"""API tokens over HTTP: list, create, revoke. A token is never shown again, and only admins see those of others."""

from __future__ import annotations

from uuid import UUID

import msgspec
from litestar import delete, get, post
from litestar.params import FromPath

from app.http import bodies, dispatch, records, request_context
from app.http.filters import RANGE, Filter, Filters
from app.http.json_schema import shown
from app.http.list_spec import ListSpec
from app.http.operations import describe
from app.http.param_types import BOOL, ID, INSTANT, PHRASE
from app.http.request_context import Http
from app.http.response import JsonResponse
from app.writing import token_secrets
from domain import token
from projections.conditions import Condition, Order

TAG = "Tokens"
PATH = "/api/tokens"
ONE = "/api/tokens/{id:uuid}"
MADE_HERE = frozenset({"hash", "prefix"})
Token = shown(token.State, "Token")
NewToken = msgspec.defstruct(
    "NewToken", [(field.name, field.type) for field in msgspec.structs.fields(Token)] + [("token", str | None)]
)
TABLE = ListSpec(
    Filters(
        (
            Filter("user", ID, description="Of this user."),
            Filter("active", BOOL, description="Not revoked."),
            Filter("search", PHRASE, description="In the name, ignoring case."),
            Filter("created_at", INSTANT, RANGE, description="When it was created."),
        )
    ),
    orderings=("name", "created_at"),
    order=(Order("created_at", True),),
    fields=Token.__struct_fields__,
)


@get(PATH, opt=describe(TAG, "List tokens", description="Your own; for an admin all of the org.", answer=Token, table=TABLE))
async def list_tokens(request: Http) -> JsonResponse:
    identity = request_context.from_request(request).identity
    own = () if identity.role == "admin" else (Condition("user", "in", (identity.user_id,)),)
    return await records.page(request, "token", TABLE, *own)


@post(
    PATH,
    opt=describe(
        TAG,
        "Create a token",
        description=(
            "The response shows it in `token`, only once: a repeated request gets null there. `role` caps its user's. Admins may"
            " create any; others only for themselves, with no more rights and no longer life than the token they use, which are"
            " also the defaults; `read_only` tokens create none."
        ),
        status=201,
        body=token.Issue,
        body_name="TokenCreate",
        body_example={"name": "nightly export", "expires_at": "2027-01-01T00:00:00Z", "role": "read_only"},
        given=MADE_HERE,
        answer=NewToken,
        versioned=True,
    ),
)
async def create_token(request: Http) -> JsonResponse:
    secret, hashed = token_secrets.new()
    command = await bodies.read(request, token.Issue, hash=hashed, prefix=token_secrets.shown(secret))
    outcome = await dispatch.execute(request, command)
    return dispatch.answer(outcome, 201, location=f"{PATH}/", token=secret)


@delete(
    ONE,
    status_code=200,
    opt=describe(
        TAG,
        "Revoke a token",
        description=(
            "At once, everywhere. Also revokes the tokens issued with it, and with those, except the one of this request."
        ),
        status=204,
        versioned=True,
    ),
)
async def revoke_token(request: Http, id: FromPath[UUID]) -> JsonResponse:
    return dispatch.answer(await dispatch.execute(request, token.Revoke(), stream_id=id), 204)


HANDLERS = (
    list_tokens,
    create_token,
    revoke_token,
)
