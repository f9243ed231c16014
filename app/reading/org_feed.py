"""The live feed of one org: one reader renders each event once, and all who may see it get the same bytes.

A subscriber that begins in the past reads it page by page until it reaches the reader's recent events. Changes of roles and tokens
that a read reports are applied before anything is handed out.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict, deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any, NamedTuple
from uuid import UUID

import msgspec
import structlog

from app.process.failures import Unavailable
from app.reading.import_progress import ImportProgress
from app.reading.notifications import Notifications
from app.reading.read_pool import ReadPool
from app.reading.subscription import MAX_BUFFER, Piece, Subscription
from domain import catalog
from domain.errors import LostHistory
from projections import feed
from projections.directory import queries as directory_queries
from projections.feed import Place
from projections.history import HistoryEntry

HEARTBEAT_SECONDS = 15.0
LOOK_SECONDS = 5.0
"""How often a reader queries for events without being woken, and checks its subscribers."""
RETRY_SECONDS = 1.0
BEHIND_SECONDS = 10.0
STALLED_SECONDS = 60.0
"""A client that reads nothing must reconnect after ``BEHIND_SECONDS``, and cut off after this."""
PAUSE_SECONDS = 0.0002
MAX_PAUSE_SECONDS = 0.15
"""Between two reads, per subscriber and at most: the more subscribers, the more events are sent at once."""
READ, READ_SIZE = 200, 1024 * 1024
PAGE, PAGE_SIZE = 50, MAX_BUFFER
"""Events, and roughly bytes of them, per read: the first two for new events, these for the past."""
SLICE = 20
"""Events rendered, or subscribers woken, before other requests get their turn."""
PIECE = 16 * 1024
RECENT = 1024 * 1024
"""Bytes of recent events that are kept for clients that were away for a moment."""
PAGES = 8
"""Pages of the past that are kept for subscribers that begin at the same position."""
HEARTBEAT = b": still here\n\n"

log = structlog.get_logger("feed")


class RenderedEvent(NamedTuple):
    """An event as it is sent."""

    position: int
    text: bytes
    for_admins: bool
    mark: str


class Lanes(NamedTuple):
    """How many orgs may read at once, and how many subscribers of all orgs may read the past."""

    reading: asyncio.Semaphore
    past: asyncio.Semaphore


class OrgFeed:
    """``_recent`` has the events after ``_since`` up to ``_head``, the last one read, whose mark is ``_mark``."""

    def __init__(self, org_id: UUID, reads: ReadPool, arrivals: Notifications, lanes: Lanes, draining: asyncio.Event) -> None:
        self.subscribers: set[Subscription] = set()
        self.most = 0
        """The largest number of subscribers at once so far."""
        self.org_id = org_id
        self._reads = reads
        self._arrivals = arrivals
        self._lanes = lanes
        self._draining = draining
        self._recent: deque[RenderedEvent] = deque()
        self._size = 0
        self._since = self._head = self._epoch = 0
        self._mark = ""
        self._cards: dict[UUID, dict[str, Any]] = {}
        self._pages: OrderedDict[int, list[RenderedEvent]] = OrderedDict()
        self._imports = ImportProgress(org_id, reads)
        self._begun = asyncio.Event()
        self._looked_at = 0.0
        self._patience = LOOK_SECONDS
        self.task = asyncio.create_task(self._run())

    def add(self, subscriber: Subscription) -> None:
        self.subscribers.add(subscriber)
        self.most = max(self.most, len(self.subscribers))

    async def next(self, subscriber: Subscription) -> bytes | None:
        """What to send to a subscriber, as soon as there is something; None at the end."""
        while not subscriber.ended:
            if text := subscriber.take():
                return text
            if subscriber.live:
                await subscriber.changed()
            elif not self._begun.is_set():
                await self._begun.wait()
            elif subscriber.identity.epoch >= self._epoch and subscriber.position >= self._since:
                self._go_live(subscriber)
            elif not await self._catch_up(subscriber):
                await asyncio.sleep(RETRY_SECONDS)
                return HEARTBEAT
        return None

    async def _run(self) -> None:
        """Read and hand out events until the process drains, or the last subscriber has left."""
        try:
            with self._arrivals.subscribe(self.org_id) as arrived:
                while self.subscribers and not self._draining.is_set():
                    arrived.clear()
                    more = await self._read_on()
                    await self._tell_imports()
                    self._look()
                    await asyncio.sleep(min(MAX_PAUSE_SECONDS, PAUSE_SECONDS * len(self.subscribers)))
                    if not more:
                        await _within(self._patience if self._begun.is_set() else RETRY_SECONDS, arrived)
        except LostHistory:  # clients reconnect, and are told
            log.warning("feed.lost_history", org_id=str(self.org_id), position=self._head)
        except Exception as error:  # clients reconnect, to a new reader
            log.error("feed.failed", org_id=str(self.org_id), exc_info=error)
        finally:
            self._begun.set()
            for subscriber in list(self.subscribers):
                subscriber.end()

    async def _read_on(self) -> bool:
        """Read new events and hand them to live subscribers. True if there may be more."""
        try:
            async with self._lanes.reading:
                if not self._begun.is_set():
                    await self._begin()
                rendered = await self._read(Place(self._head, self._mark), READ, READ_SIZE)
        except Unavailable:
            return False
        if rendered:
            self._keep(rendered)
            await self._hand_on(rendered)
        return bool(rendered)

    async def _begin(self) -> None:
        self._epoch, rows = await self._reads.rows_of_org(self.org_id, *feed.last(self.org_id))
        self._head, self._mark = rows[0]
        self._since = self._head
        self._begun.set()

    async def _read(self, after: Place, limit: int, size: int) -> list[RenderedEvent]:
        """The next events after a place. Afterwards every subscriber has the role it had when they were read, or a later one.

        Raises ``LostHistory``.
        """
        page = feed.checked(feed.page(self.org_id, after.position, limit, admin=True, size=size), after)
        epoch, found = await self._reads.rows_of_org(self.org_id, *page)
        rows = feed.require_known(found, after)
        if epoch > self._epoch:  # a result that overtook this one may have a later epoch
            self._forget()
            await self._identify(epoch)
            self._epoch = max(self._epoch, epoch)
        rendered: list[RenderedEvent] = []
        for start in range(0, len(rows), SLICE):
            part = [row[1:] for row in rows[start : start + SLICE]]
            changes = feed.changes(part)
            rendered += map(_rendered, feed.entries(changes, await self._actors(feed.actors(changes))), map(feed.place, part))
            await asyncio.sleep(0)
        return rendered

    async def _actors(self, ids: list[UUID]) -> Mapping[UUID, dict[str, Any]]:
        """The cards of users, cached until users change."""
        cards = self._cards
        if unknown := [id_ for id_ in ids if id_ not in cards]:
            epoch, found = await self._reads.rows_of_org(self.org_id, *directory_queries.cards(self.org_id, unknown))
            cards = cards | {id_: msgspec.json.decode(card) for id_, card in found}
            if epoch == self._epoch:
                self._cards = cards
        return cards

    async def _identify(self, epoch: int) -> None:
        """Look up again the tokens that were looked up before ``epoch``."""
        while outdated := [one for one in self.subscribers if one.identity.epoch < epoch and not one.ended]:
            found = await self._reads.identities({one.identity.hash for one in outdated})
            for subscriber in outdated:
                identity = found.get(subscriber.identity.hash)
                if identity is None:
                    subscriber.end()
                    continue
                if identity.role != subscriber.identity.role:
                    subscriber.rewind()
                subscriber.identity = identity

    def _forget(self) -> None:
        """Drop everything that shows users as they were."""
        self._cards = {}
        self._pages.clear()
        self._recent.clear()
        self._size, self._since = 0, self._head

    def _keep(self, rendered: Sequence[RenderedEvent]) -> None:
        self._recent.extend(rendered)
        self._size += sum(len(one.text) for one in rendered)
        self._head, self._mark = rendered[-1].position, rendered[-1].mark
        while self._size > RECENT:
            dropped = self._recent.popleft()
            self._size -= len(dropped.text)
            self._since = dropped.position

    async def _hand_on(self, rendered: Sequence[RenderedEvent]) -> None:
        by_role = {admin: list(_pieces(rendered, admin=admin)) for admin in (True, False)}
        for number, subscriber in enumerate(list(self.subscribers), 1):
            for piece in by_role[subscriber.identity.role == "admin"]:
                if subscriber.live:
                    subscriber.push(piece)
            if number % SLICE == 0:
                await asyncio.sleep(0)

    async def _tell_imports(self) -> None:
        """Tell live subscribers how imports stand, which is no part of the log."""
        self._patience = min(self._imports.seconds() or LOOK_SECONDS, LOOK_SECONDS)
        with suppress(Unavailable):
            for text in await self._imports.changes():
                for subscriber in list(self.subscribers):
                    subscriber.tell(text)

    def _look(self) -> None:
        """Send heartbeats to quiet streams, and cut off clients that read nothing."""
        now = asyncio.get_running_loop().time()
        if now - self._looked_at < LOOK_SECONDS:
            return
        self._looked_at = now
        for subscriber in list(self.subscribers):
            busy = now - subscriber.busy_since if subscriber.busy_since is not None else 0.0
            if busy > STALLED_SECONDS:
                subscriber.cut()
            elif busy > BEHIND_SECONDS:
                subscriber.fall_behind()
            elif subscriber.live and now - subscriber.given_at >= HEARTBEAT_SECONDS:
                subscriber.tell(HEARTBEAT)

    def _go_live(self, subscriber: Subscription) -> None:
        """Give the subscriber a piece of the recent events; it is live if that was all."""
        beyond = [one for one in self._recent if one.position > subscriber.position]
        ahead = next(_pieces(beyond, admin=subscriber.identity.role == "admin"), None)
        if ahead is not None:
            subscriber.give((ahead,), ahead.position)
        subscriber.live = ahead is None or ahead.position >= self._head
        if subscriber.live:
            subscriber.give((), self._head)
            for text in self._imports.at_work():
                subscriber.tell(text)

    async def _catch_up(self, subscriber: Subscription) -> bool:
        """Give the subscriber the next page of the past; False if the database is unavailable."""
        after, head = subscriber.position, self._head
        try:
            if subscriber.identity.epoch < self._epoch:
                await self._identify(self._epoch)
                return True
            rendered = await self._page(after)
        except LostHistory:
            subscriber.end()
            return True
        except Unavailable:
            return False
        if not subscriber.ended and subscriber.position == after:
            pieces = _pieces(rendered, admin=subscriber.identity.role == "admin")
            subscriber.give(pieces, rendered[-1].position if rendered else max(after, head))
        return True

    async def _page(self, after: int) -> list[RenderedEvent]:
        """A page of the past, one subscriber at a time; the next one that begins at the same position gets it from memory."""
        async with self._lanes.past:
            rendered = self._pages.get(after)
            if rendered is None:
                epoch = self._epoch
                rendered = await self._read(Place(after), PAGE, PAGE_SIZE)
                if rendered and epoch == self._epoch:
                    self._pages[after] = rendered
                while len(self._pages) > PAGES:
                    self._pages.popitem(last=False)
            return rendered


def _rendered(entry: HistoryEntry, place: Place) -> RenderedEvent:
    text = b"id: %b\nevent: %b\ndata: %b\n\n" % (str(place).encode(), entry.type.encode(), msgspec.json.encode(entry))
    return RenderedEvent(entry.position, text, entry.type.partition(".")[0] in catalog.FOR_ADMINS, place.mark)


def _pieces(rendered: Iterable[RenderedEvent], *, admin: bool) -> Iterator[Piece]:
    """What a role may see, in pieces."""
    texts: list[bytes] = []
    first = position = size = 0
    mark = ""
    for one in rendered:
        position, mark = one.position, ""
        if admin or not one.for_admins:
            first, mark = first or position, one.mark
            texts.append(one.text)
            size += len(one.text)
        if size >= PIECE:
            yield Piece(first, position, b"".join(texts), mark)
            texts, first, size = [], 0, 0
    if texts:
        yield Piece(first, position, b"".join(texts), mark)


async def _within(seconds: float, event: asyncio.Event) -> None:
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        pass
