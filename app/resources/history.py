"""``/api/opportunities/<id>/history/``: every event of a deal: who, when and what changed. Deleted deals keep their history."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import msgspec
from litestar import get
from litestar.params import FromPath

from app.http import listing, request_context, shared
from app.http.filters import Filters
from app.http.list_spec import ListSpec
from app.http.operations import describe
from app.http.request_context import Http
from app.http.response import JsonResponse
from app.resources.opportunities import PATH, TAG
from domain.errors import NotFound
from domain.fold import Change
from projections import feed
from projections.directory import queries as directory_queries
from projections.history import HistoryEntry

TABLE = ListSpec(filters=Filters(), orderings=(), order=(), fields=HistoryEntry.__struct_fields__)


@get(
    PATH + "/{id:uuid}/history",
    opt=describe(TAG, "The history of an opportunity", table=TABLE, answer=HistoryEntry, description="Oldest first."),
)
async def list_history(request: Http, id: FromPath[UUID]) -> JsonResponse:
    asked = await listing.parse(request, TABLE)
    identity = request_context.from_request(request).identity
    page = feed.of_opportunity(identity.org_id, id, asked.page.limit, asked.page.offset)
    rows = await shared.from_request(request).read_pool.rows(identity, *page)
    if not rows:
        raise NotFound(f"There is no opportunity {id}.")
    changes = feed.changes([row[1:] for row in rows if row[1] is not None])
    entries = feed.entries(changes, await actors(request, changes))
    return listing.envelope(request, asked, entries, rows[0][0])


async def actors(request: Http, changes: list[Change]) -> dict[UUID, dict[str, Any]]:
    """The embedded forms of the users behind events, by id."""
    ids = feed.actors(changes)
    if not ids:
        return {}
    identity = request_context.from_request(request).identity
    rows = await shared.from_request(request).read_pool.rows(identity, *directory_queries.cards(identity.org_id, ids))
    return {id_: msgspec.json.decode(card) for id_, card in rows}


HANDLERS = (list_history,)
