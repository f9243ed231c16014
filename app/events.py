"""The org's events in order, from a position on. Positions have gaps and never change: the last one seen is where to
go on."""

from __future__ import annotations

import msgspec
from litestar import get
from litestar.response.base import ASGIResponse

from app import call, filters, history, paging
from app.call import Http
from app.operations import describe, query
from app.spelling import meant
from domain.errors import Errors, Invalid
from projections import feed
from projections.history import Entry

TAG = "Events"
LIMIT = 100
MAX_LIMIT = 500
MAX_POSITION = 2**62
PARAMETERS = ("after", "limit")


class EventPage(msgspec.Struct, frozen=True):
    """``next`` is null at the end of the log: go on later from the last ``position`` seen."""

    results: list[Entry]
    next: str | None


@get(
    "/api/events",
    opt=describe(
        TAG,
        "Read the event feed",
        description="Every change in the org, in the order of the log. `changes` has old and new value of each field.",
        answer=EventPage,
        parameters=(
            query("after", "Only events beyond this position.", {"type": "integer", "minimum": 0, "maximum": MAX_POSITION}),
            query("limit", "How many.", {"type": "integer", "minimum": 1, "maximum": MAX_LIMIT, "default": LIMIT}),
        ),
    ),
)
async def list_events(request: Http) -> ASGIResponse:
    this = call.of(request)
    after, limit = _asked(request)
    reads = request.app.state.reads
    # One more than asked for tells whether there is a next page.
    events = feed.recorded(await reads.rows(this.identity, *feed.streams(this.identity.org_id, after, limit + 1)))
    entries = feed.page(events, after, await history.actors(request, events))
    following = None
    if len(entries) > limit:
        entries = entries[:limit]
        base = paging.base(this, request.app.state.public_url)
        following = f"{base}/api/events/?after={entries[-1].position}&limit={limit}"
    return ASGIResponse(body=msgspec.json.encode(EventPage(entries, following)))


def _asked(request: Http) -> tuple[int, int]:
    errors: Errors = {}
    taken, rest = paging.once(filters.pairs(request.scope["query_string"]), PARAMETERS, errors)
    for name, _ in rest:
        errors[name] = ["Unknown parameter." + meant(name, PARAMETERS)]
    after = paging.number(taken, "after", 0, 0, MAX_POSITION, errors)
    limit = paging.number(taken, "limit", LIMIT, 1, MAX_LIMIT, errors)
    if errors:
        raise Invalid(errors)
    return after, limit


HANDLERS = (list_events,)
