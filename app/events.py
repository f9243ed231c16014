"""The org's events in order, from a position on: a page, or, as server-sent events, all that are and will be.

Positions have gaps and never change: the last one seen is where to go on. Refuses to keep a stream open for a token that is
no longer good, or for a process that is to stop.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress

import msgspec
from litestar import get
from litestar.response.base import ASGIResponse
from litestar.response.streaming import ASGIStreamingResponse

from app import call, filters, history, paging
from app.call import Http
from app.operations import describe, query
from app.problems import Refused
from app.spelling import meant
from app.submission import Unavailable
from domain.errors import Errors, Invalid, Unauthenticated
from projections import feed
from projections.history import Entry

TAG = "Events"
LIMIT = 100
MAX_LIMIT = 500
MAX_POSITION = 2**62
PARAMETERS = ("after", "limit")
EVENT_STREAM = "text/event-stream"
HEARTBEAT_SECONDS = 15.0
RETRY_SECONDS = 1.0
MAX_STREAMS = 1_000
"""Streams that one process keeps open."""


class EventPage(msgspec.Struct, frozen=True):
    """``next`` is null at the end of the log: go on later from the last ``position`` seen."""

    results: list[Entry]
    next: str | None


@get(
    "/api/events",
    opt=describe(
        TAG,
        "Read the event feed",
        description="Every change in the org, in the order of the log; those of tokens and webhooks only admins see. "
        "`changes` has old and new value of each field. "
        "With `Accept: text/event-stream` the answer goes on for ever, as server-sent events: `id` is the position, `event` the"
        " type, `data` the entry. It goes on after `Last-Event-ID`, else after `after`.",
        answer=EventPage,
        parameters=(
            query("after", "Only events beyond this position.", {"type": "integer", "minimum": 0, "maximum": MAX_POSITION}),
            query("limit", "How many.", {"type": "integer", "minimum": 1, "maximum": MAX_LIMIT, "default": LIMIT}),
        ),
    ),
)
async def list_events(request: Http) -> ASGIResponse:
    this = call.of(request)
    streaming = EVENT_STREAM in request.headers.get("accept", "")
    after, limit = _asked(request, streaming)
    if streaming:
        return _stream(request, after)
    # One more than asked for tells whether there is a next page.
    entries = await _beyond(request, after, limit + 1)
    following = None
    if len(entries) > limit:
        entries = entries[:limit]
        base = paging.base(this, request.app.state.public_url)
        following = f"{base}/api/events/?after={entries[-1].position}&limit={limit}"
    return ASGIResponse(body=msgspec.json.encode(EventPage(entries, following)))


async def _beyond(request: Http, after: int, limit: int) -> list[Entry]:
    identity = call.of(request).identity
    rows = await request.app.state.reads.rows(identity, *feed.page(identity.org_id, after, limit, admin=identity.role == "admin"))
    events = feed.happened(rows)
    return feed.entries(events, await history.actors(request, events))


def _stream(request: Http, after: int) -> ASGIResponse:
    state = request.app.state
    if state.draining.is_set() or len(state.arrivals) >= MAX_STREAMS:
        raise Refused(503, "unavailable", "No stream can be opened now: try again.", {"retry-after": "1"})
    headers = {"cache-control": "no-store", "x-accel-buffering": "no"}
    if call.of(request).method == "HEAD":
        return ASGIResponse(media_type=EVENT_STREAM, headers=headers)
    # In the metrics its duration is not that of a page.
    request.scope["path_template"] = f"{request.scope['path_template']} (stream)"
    return ASGIStreamingResponse(iterator=_events(request, after), media_type=EVENT_STREAM, headers=headers)


async def _events(request: Http, after: int) -> AsyncIterator[bytes]:
    """What is beyond a position, and then what arrives, until the token ends, the process drains or the client has gone."""
    state, this = request.app.state, call.of(request)
    yield f"retry: {RETRY_SECONDS * 1000:.0f}\n\n".encode()
    with state.arrivals.of(this.identity.org_id) as arrived:
        while not state.draining.is_set():
            arrived.clear()
            entries: list[Entry] = []
            patience = HEARTBEAT_SECONDS
            try:
                identity = await state.reads.identity(this.identity.hash)
                if identity is None:
                    return
                this.identity = identity
                entries = await _beyond(request, after, LIMIT)
            except Unauthenticated:
                return
            except Unavailable:
                patience = RETRY_SECONDS
            if entries:
                after = entries[-1].position
                yield b"".join(_told(entry) for entry in entries)
                continue
            with suppress(TimeoutError):
                async with asyncio.timeout(patience):
                    await arrived.wait()
                continue
            yield b": still here\n\n"


def _told(entry: Entry) -> bytes:
    return b"id: %d\nevent: %b\ndata: %b\n\n" % (entry.position, entry.type.encode(), msgspec.json.encode(entry))


def _asked(request: Http, streaming: bool) -> tuple[int, int]:
    errors: Errors = {}
    taken, rest = paging.once(filters.pairs(request.scope["query_string"]), PARAMETERS, errors)
    for name, _ in rest:
        errors[name] = ["Unknown parameter." + meant(name, PARAMETERS)]
    after = paging.number(taken, "after", 0, 0, MAX_POSITION, errors)
    limit = paging.number(taken, "limit", LIMIT, 1, MAX_LIMIT, errors)
    if streaming and (last := request.headers.get("last-event-id")):
        after = paging.number({"Last-Event-ID": last}, "Last-Event-ID", 0, 0, MAX_POSITION, errors)
    if errors:
        raise Invalid(errors)
    return after, limit


HANDLERS = (list_events,)
