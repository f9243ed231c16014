"""What a request asks of a list, and the page that answers it. All errors in its parameters are reported at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import msgspec

from app.http import field_selection, filters, list_envelope, ordering, paging, request_context, shared
from app.http.list_spec import ListSpec
from app.http.paging import Page
from app.http.param_types import instant
from app.http.request_context import Http
from app.http.response import JsonResponse
from app.reading.read_pool import Identity
from domain import custom_field
from domain.errors import Errors, Invalid
from projections.conditions import Condition, Order
from projections.directory import queries as directory_queries


@dataclass(frozen=True, slots=True)
class ListQuery:
    """A request for part of a list."""

    conditions: tuple[Condition, ...]
    order: tuple[Order, ...]
    page: Page
    fields: tuple[str, ...] = ()
    as_of: datetime | None = None
    further: Mapping[str, Any] = field(default_factory=dict)


async def parse(request: Http, table: ListSpec) -> ListQuery:
    """Parse the query string. Raises ``Invalid`` with every parameter that is unknown or bad."""
    query_string: bytes = request.scope["query_string"]
    identity = request_context.from_request(request).identity
    return parsed(query_string, table, identity, await custom_field_types(request) if has_custom(query_string, table) else {})


def has_custom(query_string: bytes, table: ListSpec) -> bool:
    """Whether the types of the org's custom fields are needed."""
    return table.filters.custom and b"cf_" in query_string


def parsed(
    query_string: bytes, table: ListSpec, identity: Identity, custom_types: Mapping[str, custom_field.Type | None]
) -> ListQuery:
    """As ``parse``, for an identity in an org with these custom fields."""
    errors: Errors = {}
    taken, rest = paging.take_single(filters.parse(query_string), table.others, errors)
    conditions: tuple[Condition, ...] = ()
    try:
        conditions = filters.conditions(rest, table.filters, identity=identity, custom_types=custom_types, others=table.others)
    except Invalid as error:
        errors |= error.errors
    listing = ListQuery(
        conditions,
        ordering.parse_order(taken.get("ordering"), table.orderings, table.order, errors),
        paging.parse_page(taken, errors),
        field_selection.parse_fields(taken.get("fields"), table.fields, errors),
        parse_instant(taken, "as_of", errors),
        _further(taken, table, errors),
    )
    if errors:
        raise Invalid(errors)
    return listing


def _further(taken: Mapping[str, str], table: ListSpec, errors: Errors) -> dict[str, Any]:
    """The values of a list's own parameters that were given."""
    found: dict[str, Any] = {}
    for name, kind in table.further.items():
        if name in taken:
            try:
                found[name] = kind.read(taken[name])
            except (ValueError, KeyError):
                errors[name] = [kind.words]
    return found


def parse_instant(given: Mapping[str, str], name: str, errors: Errors) -> datetime | None:
    """The instant that a parameter names, None if it was not given or is bad; then ``errors`` says so."""
    if name not in given:
        return None
    try:
        return instant(given[name])
    except ValueError:
        errors[name] = ["Must be an instant with its zone, such as 2026-06-30T12:00:00Z."]
        return None


async def custom_field_types(request: Http) -> dict[str, custom_field.Type | None]:
    """The type of each custom field of the org, None for those that cannot be filtered by."""
    identity = request_context.from_request(request).identity
    statement = directory_queries.settings(identity.org_id, "custom_field")
    rows = await shared.from_request(request).read_pool.rows(identity, *statement)
    return directory_queries.custom_types(rows[0][1]) if rows else {}


def envelope(request: Http, listing: ListQuery, results: Sequence[Any], count: int, next_cursor: str | None = None) -> JsonResponse:
    """The page as a response; ``results`` as in ``list_envelope.ListEnvelope``. Raises ``NotFound`` beyond the last page."""
    if listing.fields:
        results = field_selection.select_fields(results, listing.fields)
    page = list_envelope.envelope(
        request_context.from_request(request),
        request.scope["query_string"],
        shared.from_request(request).public_url,
        listing.page,
        results,
        count,
        next_cursor,
    )
    return JsonResponse(msgspec.json.encode(page))
