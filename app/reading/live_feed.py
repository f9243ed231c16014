"""The live feeds of a process: one reader for each org that has subscribers, and limits on the number of streams."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from uuid import UUID

from app.process import memory
from app.reading.notifications import Notifications
from app.reading.org_feed import Lanes, OrgFeed
from app.reading.read_pool import Identity, ReadPool
from app.reading.subscription import Subscription

MANY = 50
"""Subscribers of an org whose end frees enough memory to return it to the system."""


class TooManyStreams(Exception):
    """A token, or its org, has all the streams it may have; the text says what to do."""


class LiveFeed:
    """Must be used on one event loop. All subscriptions end when ``draining`` is set."""

    def __init__(self, reads: ReadPool, arrivals: Notifications, draining: asyncio.Event, *, per_token: int, per_org: int) -> None:
        self._reads = reads
        self._arrivals = arrivals
        self._draining = draining
        self._per_token = per_token
        self._per_org = per_org
        self._orgs: dict[UUID, OrgFeed] = {}
        self._tokens: Counter[UUID] = Counter()
        self._lanes = Lanes(asyncio.Semaphore(1), asyncio.Semaphore(1))

    def require_room(self, identity: Identity) -> None:
        """Raises ``TooManyStreams`` if the token, or its org, has all the streams it may have."""
        org = self._orgs.get(identity.org_id)
        for number, most, whose in (
            (self._tokens[identity.token_id], self._per_token, "this token"),
            (len(org.subscribers) if org else 0, self._per_org, "this organization"),
        ):
            if number >= most:
                detail = f"There are already {number} streams of {whose}, the maximum: close some, or try again later."
                raise TooManyStreams(detail)

    @contextmanager
    def subscribed(self, identity: Identity, after: int) -> Iterator[tuple[OrgFeed, Subscription]]:
        """A subscription of the current task to the events of the identity's org after a position."""
        org = self._org(identity.org_id)
        subscription = Subscription(identity, after)
        org.add(subscription)
        self._tokens[identity.token_id] += 1
        expiry = identity.expires_at and asyncio.get_running_loop().call_later(
            max(0.0, (identity.expires_at - self._reads.clock.now()).total_seconds()), subscription.end
        )
        try:
            yield org, subscription
        finally:
            if expiry:
                expiry.cancel()
            org.subscribers.discard(subscription)
            self._tokens -= Counter([identity.token_id])

    async def close(self) -> None:
        tasks = [org.task for org in self._orgs.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _org(self, org_id: UUID) -> OrgFeed:
        org = self._orgs.get(org_id)
        if org is None or org.task.done():  # it has ended, and is about to be forgotten
            org = self._orgs[org_id] = OrgFeed(org_id, self._reads, self._arrivals, self._lanes, self._draining)
            org.task.add_done_callback(partial(self._ended, org))
        return org

    def _ended(self, org: OrgFeed, _: asyncio.Task[None]) -> None:
        if self._orgs.get(org.org_id) is org:
            del self._orgs[org.org_id]
        if org.most >= MANY:
            asyncio.get_running_loop().run_in_executor(None, memory.return_memory)
