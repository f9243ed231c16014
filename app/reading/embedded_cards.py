"""The cards that lists embed, kept in the process, so that a page's statement gives ids and looks no names up.

Every answer says how current the org's cards are in its snapshot. What changed since the state that we have, and what we lack, is
asked for then. So a page is filled with the cards of its own snapshot, or, if that cannot be, it is asked for again with its cards
from the database.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Protocol
from uuid import UUID

from app.reading.read_pool import Identity, ReadPool
from projections.conditions import SqlStatement
from projections.directory import cards
from projections.directory.cards import MOST, NONE, SEPARATOR, filled

MAX_BYTES = 24 * 1024 * 1024
"""Of a process: some 43,000 cards, if all are used evenly."""
CARD_BYTES = 200
"""What a card takes beside its text: its id, its place in a table, and what Python needs for each."""
ORG_BYTES = 2_000


class Page(Protocol):
    """A page's statement, without or with slots for cards (see ``projections.opportunities.queries.page``)."""

    def __call__(self, *, slots: bool = False) -> SqlStatement: ...


class EmbeddedCards:
    """Must be used on one event loop.

    When those used lately take half of the bytes, those that were not used since this was last so are dropped.
    """

    def __init__(self, max_bytes: int = MAX_BYTES) -> None:
        self._half = max_bytes // 2
        self._used = _Used()
        self._lately: dict[UUID, _OrgCards] = {}
        self._before: dict[UUID, _OrgCards] = {}

    async def row(self, reads: ReadPool, identity: Identity, page: Page) -> tuple[Any, ...]:
        """The row of a page, with its items whole. Raises as ``ReadPool.rows``."""
        items, *others, state = await reads.row(identity, *page(slots=True))
        if items is not None and (items := await self._filled(reads, identity, items, state)) is None:
            return await reads.row(identity, *page())
        return items, *others

    async def _filled(self, reads: ReadPool, identity: Identity, items: bytes, state: bytes) -> bytes | None:
        """None if our cards are those of another snapshot."""
        ours = self._of(identity.org_id)
        whole, missing = ours.fill(items)
        if ours.state == state and not missing:
            return whole
        since = ours.position
        now, changes, found = await reads.row(identity, *cards.of(identity.org_id, missing, since))
        ours = self._of(identity.org_id)
        if not ours.follow(now, changes.split(SEPARATOR) if changes else [], since):
            return None
        ours.keep(found.split(SEPARATOR) if found else ())
        if now != state:  # a card changed between the two statements
            return None
        whole, missing = ours.fill(items)
        return None if missing else whole

    def _of(self, org_id: UUID) -> _OrgCards:
        ours = self._lately.get(org_id)
        if ours is not None and self._used.bytes <= self._half:
            return ours
        if self._used.bytes > self._half:
            self._before, self._lately = self._lately, {}
            self._used.bytes = 0
        ours = self._lately[org_id] = _OrgCards(self._used, self._before.pop(org_id, None))
        return ours


class _Used:
    bytes = 0


class _Cards(dict[bytes, bytes]):
    """Cards by id. Those that neither we have nor ``older`` are noted in ``missing``."""

    def __init__(self, used: _Used) -> None:
        super().__init__()
        self.older: dict[bytes, bytes] = {}
        self.missing: list[str] = []
        self._used = used

    def __missing__(self, key: bytes) -> bytes:
        card = self.older.pop(key, None)
        if card is None:
            self.missing.append(key.decode())
            return NONE
        self.put(key, card)
        return card

    def put(self, key: bytes, card: bytes) -> None:
        self[key] = card
        self._used.bytes += len(card) + CARD_BYTES

    def drop(self) -> None:
        self.clear()
        self.older = {}


class _OrgCards:
    """Cards of an org as they were in one snapshot: its ``state`` with no change but the last, whose ``position`` it is."""

    def __init__(self, used: _Used, before: _OrgCards | None) -> None:
        used.bytes += ORG_BYTES
        self.state = b""
        self.position = 0
        self._table = b""
        self._cards = _Cards(used)
        if before is not None:
            self.state, self.position, self._table = before.state, before.position, before._table
            self._cards.older = before._cards
            before._cards.older = {}

    def follow(self, state: bytes, changes: Sequence[bytes], since: int) -> bool:
        """Come to a state, by the newest changes since a position. False if it is one that we have left behind."""
        table, _, newest = state.rpartition(b" ")
        position, cards = int(newest), self._cards
        rows = [text.split(b" ", 2) for text in changes]
        if table != self._table or since > self.position or (len(rows) == MOST and int(rows[-1][0]) > self.position):
            cards.drop()
        elif position < self.position:
            return False
        for _, key, card in rows:
            if key in cards or cards.older.pop(key, None) is not None:
                cards.put(key, card)
        self.state, self._table, self.position = state, table, position
        return True

    def keep(self, texts: Iterable[bytes]) -> None:
        """Of our snapshot, each as ``id card``."""
        for text in texts:
            key, _, card = text.partition(b" ")
            self._cards.put(key, card)

    def fill(self, items: bytes) -> tuple[bytes, list[str]]:
        """Items with cards in their slots, and the ids of the cards that we do not have."""
        self._cards.missing = []
        return filled(items, self._cards) + b"}", self._cards.missing
