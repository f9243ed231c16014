"""The org's events as server-sent events, which go on with new ones."""

from __future__ import annotations

import asyncio

from litestar.response.base import ASGIResponse
from litestar.types import Receive, Scope, Send

from app.reading.live_feed import LiveFeed
from app.reading.org_feed import OrgFeed
from app.reading.read_pool import Identity
from app.reading.subscription import Subscription
from projections.feed import Place

HEADERS = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-store"),
    (b"x-accel-buffering", b"no"),
]
RETRY = b"retry: 1000\n\n"
"""Milliseconds that clients wait before they reconnect."""
BEHIND = b": you fell behind: go on after %d\nid: %b\n\n"
"""The end of a stream whose client is too slow; ``Last-Event-ID`` tells where to resume."""


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
        resume = Place(subscription.sent, subscription.mark)
        await _write(send, BEHIND % (resume.position, str(resume).encode()))


async def _write(send: Send, text: bytes) -> None:
    await send({"type": "http.response.body", "body": text, "more_body": True})


async def _end_with_the_client(receive: Receive, subscription: Subscription) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    subscription.end()
