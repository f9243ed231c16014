"""The org's events in order, from a position on: as pages, or as server-sent events that go on with new ones.

Positions have gaps and never change: continue after the last one seen.
"""

from __future__ import annotations

import asyncio

import msgspec
from litestar import get
from litestar.response.base import ASGIResponse
from litestar.types import Receive, Scope, Send

from app.http import filters, paging, request_context, shared
from app.http.operations import describe, query
from app.http.problems import Refused
from app.http.request_context import Http
from app.http.response import JsonResponse
from app.reading.live_feed import LiveFeed
from app.reading.org_feed import OrgFeed
from app.reading.read_pool import Identity
from app.reading.subscription import Subscription
from app.resources import history
from domain.did_you_mean import Hints
from domain.errors import Errors, Invalid
from domain.fold import Change
from projections import feed
from projections.history import HistoryEntry

TAG = "Events"
LIMIT = 100
MAX_LIMIT = 500
MAX_POSITION = 2**62
PARAMETERS = ("after", "limit")
SLICE = 50
"""Events rendered before other requests get their turn."""
EVENT_STREAM = "text/event-stream"
HEADERS = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-store"),
    (b"x-accel-buffering", b"no"),
]
RETRY = b"retry: 1000\n\n"
"""Milliseconds that clients wait before they reconnect."""
BEHIND = b": you fell behind: go on after %d\nid: %d\n\n"
"""The end of a stream whose client is too slow; ``Last-Event-ID`` tells where to resume."""


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
        ),
    ),
)
async def list_events(request: Http) -> ASGIResponse:
    context = request_context.from_request(request)
    streaming = EVENT_STREAM in request.headers.get("accept", "")
    after, limit = _asked(request, streaming)
    if streaming:
        return _stream(request, after)
    # One more than requested tells whether there is a next page.
    found, entries = await _beyond(request, after, limit + 1)
    following = None
    entries = entries[:limit]
    if found > len(entries):
        base = paging.base_url(context, shared.from_request(request).public_url)
        following = f"{base}/api/events/?after={entries[-1].position}&limit={limit}"
    return JsonResponse(msgspec.json.encode(EventPage(entries, following)))


async def _beyond(request: Http, after: int, limit: int) -> tuple[int, list[HistoryEntry]]:
    """How many events were found, and those that fit on the page."""
    identity = request_context.from_request(request).identity
    rows = await shared.from_request(request).read_pool.rows(
        identity, *feed.page(identity.org_id, after, limit, admin=identity.role == "admin")
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


class EventStream(ASGIResponse):
    """The events after a position, then new ones as they come, until the token expires, the process drains or the client leaves."""

    __slots__ = ("_after", "_feed", "_identity")

    def __init__(self, feed: LiveFeed, identity: Identity, after: int) -> None:
        self._feed = feed
        self._identity = identity
        self._after = after

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": HEADERS})
        if scope["request_context"].method != "HEAD":  # type: ignore[typeddict-item]
            await _write(send, RETRY)
            with self._feed.subscribed(self._identity, self._after) as (org, subscription):
                watching = asyncio.create_task(_end_with_the_client(receive, subscription))
                try:
                    await _follow(org, subscription, send)
                except asyncio.CancelledError:
                    if not subscription.stalled:
                        raise
                    return  # unfinished, so the server closes the connection
                finally:
                    watching.cancel()
        await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _follow(org: OrgFeed, subscription: Subscription, send: Send) -> None:
    now = asyncio.get_running_loop().time
    while (text := await org.next(subscription)) is not None:
        subscription.busy_since = now()
        await _write(send, text)
        subscription.busy_since = None
    if subscription.behind:
        subscription.busy_since = now()
        await _write(send, BEHIND % (subscription.sent, subscription.sent))


async def _write(send: Send, text: bytes) -> None:
    await send({"type": "http.response.body", "body": text, "more_body": True})


async def _end_with_the_client(receive: Receive, subscription: Subscription) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    subscription.end()


def _asked(request: Http, streaming: bool) -> tuple[int, int]:
    errors: Errors = {}
    taken, rest = paging.take_single(filters.parse(request.scope["query_string"]), PARAMETERS, errors)
    hints = Hints(PARAMETERS)
    for name, _ in rest:
        errors[name] = ["Unknown parameter." + hints.meant(name)]
    after = paging.parse_number(taken, "after", 0, 0, MAX_POSITION, errors)
    limit = paging.parse_number(taken, "limit", LIMIT, 1, MAX_LIMIT, errors)
    if streaming and (last := request.headers.get("last-event-id")):
        after = paging.parse_number({"Last-Event-ID": last}, "Last-Event-ID", 0, 0, MAX_POSITION, errors)
    if errors:
        raise Invalid(errors)
    return after, limit


HANDLERS = (list_events,)
