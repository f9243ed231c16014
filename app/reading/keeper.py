"""Figures that a process keeps, such as counts of lists: each is computed once, and brought up to date by every question for it.

The least recently used ones give way when they take more bytes than they may. A kept figure is never older than the question: the
statement that answers it also says what has changed since, or that the figure no longer holds, and then it is computed again.
"""

from __future__ import annotations

import asyncio
import sys
from collections import OrderedDict
from collections.abc import Hashable, Sequence
from contextlib import suppress
from time import monotonic
from typing import Any, NamedTuple, Protocol

from app.reading.aside import LARGE, json_bytes
from app.reading.read_pool import Identity, ReadPool
from projections.conditions import SqlStatement
from projections.kept import Figure, NoLongerHolds

MAX_BYTES = 16 * 1024 * 1024
MANY = 1_000
"""Questions whose figures are too large, of which that is remembered."""
OVERHEAD = 600
"""Bytes of a figure beside its key and its parts, roughly."""


class Asked(Protocol):
    """A question with a figure in its answer."""

    @property
    def key(self) -> Hashable:
        """What the figure depends on, beside the log."""

    def statement(self, figure: Figure | None) -> SqlStatement:
        """One row: position and build that the figure holds for, NULL if it does not, then the columns of the answer."""

    def parts(self, row: Sequence[Any]) -> tuple[Any, ...] | None:
        """What is to be kept of the columns of the answer; None if the figure is to be kept as it is, or not at all. Raises
        ``NoLongerHolds`` if these cannot answer the question. Called by a thread if they are long."""


class _Entry(NamedTuple):
    figure: Figure
    size: int


class Keeper:
    """Must be used on one event loop."""

    def __init__(self, reads: ReadPool, max_bytes: int = MAX_BYTES) -> None:
        self._reads = reads
        self._max_bytes = max_bytes
        self._entries: OrderedDict[Hashable, _Entry] = OrderedDict()  # the last used one at the end
        self._computing: dict[Hashable, asyncio.Event] = {}
        self._too_large: set[Hashable] = set()
        self.size = 0
        """Bytes of all figures, roughly."""

    def __len__(self) -> int:
        return len(self._entries)

    async def row(self, identity: Identity, asked: Asked) -> Sequence[Any]:
        """The columns of the answer. Raises as ``ReadPool.row``."""
        key = asked.key
        if key not in self._entries and key not in self._too_large and (first := self._computing.get(key)) is not None:
            await first.wait()  # it is computed once for all who ask now
        while (entry := self._entries.get(key)) is not None:
            self._entries.move_to_end(key)
            position, built, *row = await self._reads.row(identity, *asked.statement(entry.figure))
            if position is not None:
                with suppress(NoLongerHolds):
                    self._keep(asked, await self._parts(identity, asked, row), position, built, entry.figure.seconds)
                    return row
            if self._entries.get(key) is entry:
                self._drop(key)
        return await self._compute(identity, asked)

    async def _compute(self, identity: Identity, asked: Asked) -> Sequence[Any]:
        key, done = asked.key, asyncio.Event()
        self._computing.setdefault(key, done)
        began = monotonic()
        try:
            position, built, *row = await self._reads.row(identity, *asked.statement(None))
            seconds = monotonic() - began
            self._keep(asked, await self._parts(identity, asked, row), position, built, seconds)
            if key not in self._entries:
                self._not_kept(key)
        finally:
            if self._computing.get(key) is done:
                del self._computing[key]
            done.set()
        return row

    async def _parts(self, identity: Identity, asked: Asked, row: Sequence[Any]) -> tuple[Any, ...] | None:
        if json_bytes(row) < LARGE:
            return asked.parts(row)
        return await self._reads.aside.on_thread((identity.org_id, identity.token_id), lambda: asked.parts(row))

    def _keep(self, asked: Asked, parts: tuple[Any, ...] | None, position: int, built: str, seconds: float) -> None:
        if parts is None:
            return
        key = asked.key
        before = self._entries.get(key)
        if before is not None and before.figure.built == built and before.figure.position >= position:
            return  # somebody else was faster
        size = OVERHEAD + len(repr(key)) + sum(map(sys.getsizeof, parts))
        if before is not None:
            self._drop(key)
        if size > self._max_bytes // 4:
            return
        self._too_large.discard(key)
        self._entries[key] = _Entry(Figure(position, built, parts, seconds), size)
        self.size += size
        while self.size > self._max_bytes:
            self._drop(next(iter(self._entries)))

    def _not_kept(self, key: Hashable) -> None:
        """Nobody is to wait for what is not kept."""
        if len(self._too_large) >= MANY:
            self._too_large.clear()
        self._too_large.add(key)

    def _drop(self, key: Hashable) -> None:
        self.size -= self._entries.pop(key).size
