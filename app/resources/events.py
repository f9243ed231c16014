"""The org's events in order, from a position on: as pages, or as server-sent events that go on with new ones.

Positions have gaps and never change: continue after the last one seen.
"""

from __future__ import annotations

import asyncio
from uuid import UUID

import msgspec
from litestar import get
from litestar.response.base import ASGIResponse

from app.http import filters, list_envelope, paging, request_context, shared
from app.http.operations import describe, query
from app.http.param_types import ID
from app.http.problems import Refused
from app.http.request_context import Http
from app.http.response import JsonResponse
from app.resources import history
from app.resources.event_stream import EventStream
from domain.did_you_mean import Hints
from domain.errors import Errors, Invalid
from domain.fold import Change
from projections import feed
from projections.history import HistoryEntry

TAG = "Events"
LIMIT = 100
MAX_LIMIT = 500
MAX_POSITION = 2**62
PARAMETERS = ("after", "limit", "import")
SLICE = 50
"""Events rendered before other requests get their turn."""
EVENT_STREAM = "text/event-stream"


class EventPage(msgspec.Struct, frozen=True):
    """``next`` is null at the end of the log: continue later after the last ``position`` seen."""

    results: list[HistoryEntry]
    next: str | None


@get(
    "/api/events",
    opt=describe(
        TAG,
        "Read the event feed",
        description="Every change in the org, in the order of the log; only admins see those of tokens and webhooks. "
        "`changes` has the old and the new value of each field. "
        "With `Accept: text/event-stream` the response is an endless stream of server-sent events: `id` is the position, `event`"
        " the type, `data` the entry. It starts after `Last-Event-ID`, or else after `after`. It ends with its token, and when the"
        " client reads nothing for seconds: then an `id` without data tells where to resume.",
        answer=EventPage,
        parameters=(
            query("after", "Only events after this position.", {"type": "integer", "minimum": 0, "maximum": MAX_POSITION}),
            query(
                "limit",
                "The largest number of events; a page of large ones has fewer.",
                {"type": "integer", "minimum": 1, "maximum": MAX_LIMIT, "default": LIMIT},
            ),
            query(
                "import",
                "Only events of this import, those of its undo too; not of a stream.",
                {"type": "string", "format": "uuid"},
            ),
        ),
    ),
)
async def list_events(request: Http) -> ASGIResponse:
    context = request_context.from_request(request)
    streaming = EVENT_STREAM in request.headers.get("accept", "")
    after, limit, import_id = _asked(request, streaming)
    if streaming:
        return _stream(request, after)
    # One more than requested tells whether there is a next page.
    found, entries = await _beyond(request, after, limit + 1, import_id)
    following = None
    entries = entries[:limit]
    if found > len(entries):
        of_import = f"&import={import_id}" if import_id else ""
        base = list_envelope.base_url(context, shared.from_request(request).public_url)
        following = f"{base}/api/events/?after={entries[-1].position}&limit={limit}{of_import}"
    return JsonResponse(msgspec.json.encode(EventPage(entries, following)))


async def _beyond(request: Http, after: int, limit: int, import_id: UUID | None) -> tuple[int, list[HistoryEntry]]:
    """How many events were found, and those that fit on the page."""
    identity = request_context.from_request(request).identity
    rows = await shared.from_request(request).read_pool.rows(
        identity, *feed.page(identity.org_id, after, limit, admin=identity.role == "admin", import_id=import_id)
    )
    changes: list[Change] = []
    for start in range(0, len(rows), SLICE):
        changes += feed.changes([row[1:] for row in rows[start : start + SLICE]])
        await asyncio.sleep(0)
    actors = await history.actors(request, changes)
    entries: list[HistoryEntry] = []
    for start in range(0, len(changes), SLICE):
        entries += feed.entries(changes[start : start + SLICE], actors)
        await asyncio.sleep(0)
    return (rows[0][0] if rows else 0), entries


def _stream(request: Http, after: int) -> EventStream:
    identity, live_feed = request_context.from_request(request).identity, shared.from_request(request).live_feed
    if shared.from_request(request).draining.is_set():
        raise Refused(503, "unavailable", "No stream can be opened now: try again.", {"retry-after": "1"})
    live_feed.require_room(identity)
    # Its duration must not count as a page's in the metrics.
    request.scope["path_template"] = f"{request.scope['path_template']} (stream)"
    return EventStream(live_feed, identity, after)


def _asked(request: Http, streaming: bool) -> tuple[int, int, UUID | None]:
    errors: Errors = {}
    taken, rest = paging.take_single(filters.parse(request.scope["query_string"]), PARAMETERS, errors)
    hints = Hints(PARAMETERS)
    for name, _ in rest:
        errors[name] = ["Unknown parameter." + hints.meant(name)]
    after = paging.parse_number(taken, "after", 0, 0, MAX_POSITION, errors)
    limit = paging.parse_number(taken, "limit", LIMIT, 1, MAX_LIMIT, errors)
    if streaming and (last := request.headers.get("last-event-id")):
        after = paging.parse_number({"Last-Event-ID": last}, "Last-Event-ID", 0, 0, MAX_POSITION, errors)
    import_id = _import(taken, streaming, errors)
    if errors:
        raise Invalid(errors)
    return after, limit, import_id


def _import(taken: dict[str, str], streaming: bool, errors: Errors) -> UUID | None:
    if "import" not in taken:
        return None
    if streaming:
        errors["import"] = ["A stream has the events of the whole org: their import_id says of which import they are."]
    try:
        return ID.read(taken["import"])  # type: ignore[no-any-return]
    except ValueError:
        errors["import"] = [ID.words]
    return None


HANDLERS = (list_events,)
