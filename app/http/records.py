"""Responses from the directory: a page of records of one kind, or one record."""

from __future__ import annotations

from uuid import UUID

from app.http import dispatch, filters, list_envelope, listing, request_context, shared
from app.http.list_spec import ListSpec
from app.http.request_context import Http
from app.http.response import JsonResponse
from domain.errors import NotFound
from projections.conditions import Condition
from projections.directory import deep
from projections.directory import queries as directory_queries
from projections.directory.counts import CountedRecords
from projections.directory.deep import DeepRecords
from projections.directory.queries import DirectoryListQuery


async def page(request: Http, kind: str, table: ListSpec, *conditions: Condition, parent_id: UUID | None = None) -> JsonResponse:
    """The requested page of the records that also meet ``conditions``."""
    identity = request_context.from_request(request).identity
    asked = await listing.parse(request, table)
    query = DirectoryListQuery(identity.org_id, kind, (*asked.conditions, *conditions), asked.order, parent_id)
    process, at = shared.from_request(request), asked.page
    if deep.is_deep(query, at.offset):
        _, _, items, count = await process.keeper.row(identity, DeepRecords(query, at.limit, at.offset))
    elif directory_queries.is_counted(query):
        items, count = await process.keeper.row(identity, CountedRecords(query, at.limit, at.offset))
    else:
        items, count = await process.read_pool.row(identity, *directory_queries.page(query, at.limit, at.offset))
    return listing.envelope(request, asked, list_envelope.joined(items), count)


async def one(request: Http, kind: str, id_: UUID) -> JsonResponse:
    """The record with its ETag. Raises as ``read``."""
    return dispatch.record(request, *await read(request, kind, id_))


async def read(request: Http, kind: str, id_: UUID) -> tuple[int, bytes]:
    """Version and JSON of a record. Raises ``NotFound``, ``Invalid`` for parameters."""
    filters.reject_any(request.scope["query_string"])
    identity = request_context.from_request(request).identity
    rows = await shared.from_request(request).read_pool.rows(identity, *directory_queries.record(identity.org_id, kind, id_))
    if not rows:
        raise NotFound(f"No such {kind}.")
    version, body = rows[0]
    return version, body


async def settings(request: Http, kind: str) -> tuple[int, bytes] | None:
    """Version and JSON of a record that an org has only one of, or None if it was never written."""
    identity = request_context.from_request(request).identity
    rows = await shared.from_request(request).read_pool.rows(identity, *directory_queries.settings(identity.org_id, kind))
    return (rows[0][0], rows[0][1]) if rows else None
