"""The org's events in order, from a position on: as pages, or as server-sent events that go on with new ones.

Positions have gaps and never change: continue after the last one seen, best by a cursor, which also has the mark of the event
there.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from typing import Any
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
from projections.feed import Place
from projections.history import HistoryEntry

TAG = "Events"
LIMIT = 100
MAX_LIMIT = 500
MAX_POSITION = 2**62
CURSOR = re.compile(r"([0-9]{1,19})-([0-9a-f]{8})")
PARAMETERS = ("after", "limit", "import")
SLICE = 50
"""Events rendered before other requests get their turn."""
EVENT_STREAM = "text/event-stream"


class EventPage(msgspec.Struct, frozen=True):
    """``next`` is null at the end of the log: continue later with ``after`` the ``cursor``."""

    results: list[HistoryEntry]
    next: str | None
    cursor: str


@get(
    "/api/events",
    opt=describe(
        TAG,
        "Read the event feed",
        description="Every change in the org, in the order of the log; only admins see those of tokens and webhooks. "
        "`changes` has the old and the new value of each field. "
        "With `Accept: text/event-stream` the response is an endless stream of server-sent events: `id` is a cursor, which begins"
        " with the position, `event` the type, `data` the entry. It starts after `Last-Event-ID`, or else after `after`. It ends"
        " with its token, and when the client reads nothing for seconds: then an `id` without data tells where to resume. "
        "Between the events it tells how imports stand, at most once a second each: `import.progress`, without an `id`, with what "
        "`/api/imports/{id}/` shows of `state` and counts. "
        "A cursor of a history that the log has lost, because the database was restored from a backup, is a 410 `lost_history`,"
        " with the `last_good_position` to go on after if it is known. Of a position alone that is seen only where no event is.",
        answer=EventPage,
        errors=(410,),
        parameters=(
            query(
                "after",
                "Only events after this cursor, or position.",
                {
                    "anyOf": [
                        {"type": "integer", "minimum": 0},
                        {"type": "string", "pattern": f"^{CURSOR.pattern}$"},
                    ]
                },
            ),
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
        return await _stream(request, after)
    # One more than requested tells whether there is a next page.
    found, rows = await _beyond(request, after, limit + 1, import_id)
    following = None
    rows = rows[:limit]
    cursor = feed.place(rows[-1]) if rows else after
    if found > len(rows):
        of_import = f"&import={import_id}" if import_id else ""
        base = list_envelope.base_url(context, shared.from_request(request).public_url)
        following = f"{base}/api/events/?after={cursor}&limit={limit}{of_import}"
    return JsonResponse(msgspec.json.encode(EventPage(await _entries(request, rows), following, str(cursor))))


Rows = list[tuple[Any, ...]]
"""Columns for ``feed.changes``."""


async def _beyond(request: Http, after: Place, limit: int, import_id: UUID | None) -> tuple[int, Rows]:
    """How many events were found, and those that fit on the page. Raises ``LostHistory``."""
    identity = request_context.from_request(request).identity
    page = feed.page(identity.org_id, after.position, limit, admin=identity.role == "admin", import_id=import_id)
    found = await shared.from_request(request).read_pool.rows(identity, *feed.checked(page, after))
    rows = feed.require_known(found, after)
    return (rows[0][0] if rows else 0), [row[1:] for row in rows]


async def _entries(request: Http, rows: Rows) -> list[HistoryEntry]:
    changes: list[Change] = []
    for start in range(0, len(rows), SLICE):
        changes += feed.changes(rows[start : start + SLICE])
        await asyncio.sleep(0)
    actors = await history.actors(request, changes)
    entries: list[HistoryEntry] = []
    for start in range(0, len(changes), SLICE):
        entries += feed.entries(changes[start : start + SLICE], actors)
        await asyncio.sleep(0)
    return entries


async def _stream(request: Http, after: Place) -> EventStream:
    """Raises ``LostHistory``, while there still is a status to say so."""
    held = shared.from_request(request)
    identity = request_context.from_request(request).identity
    if held.draining.is_set():
        raise Refused(503, "unavailable", "No stream can be opened now: try again.", {"retry-after": "1"})
    if after.position:
        feed.require_known(await held.read_pool.rows(identity, *feed.known(after)), after)
    held.live_feed.require_room(identity)
    # Its duration must not count as a page's in the metrics.
    request.scope["path_template"] = f"{request.scope['path_template']} (stream)"
    return EventStream(held.live_feed, identity, after.position)


def _asked(request: Http, streaming: bool) -> tuple[Place, int, UUID | None]:
    errors: Errors = {}
    taken, rest = paging.take_single(filters.parse(request.scope["query_string"]), PARAMETERS, errors)
    hints = Hints(PARAMETERS)
    for name, _ in rest:
        errors[name] = ["Unknown parameter." + hints.meant(name)]
    after = _place(taken, "after", errors)
    limit = paging.parse_number(taken, "limit", LIMIT, 1, MAX_LIMIT, errors)
    if streaming and (last := request.headers.get("last-event-id")):
        after = _place({"Last-Event-ID": last}, "Last-Event-ID", errors)
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


def _place(given: Mapping[str, str], name: str, errors: Errors) -> Place:
    """A cursor, or a position alone, as versions before had it."""
    match = CURSOR.fullmatch(given.get(name, ""))
    position = {name: match[1]} if match else given
    return Place(paging.parse_number(position, name, 0, 0, MAX_POSITION, errors), match[2] if match else "")


HANDLERS = (list_events,)
