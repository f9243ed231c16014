"""How the imports of one org stand, as texts for its live feed: what changed since the last look, at most one look a second."""

from __future__ import annotations

import asyncio
from uuid import UUID

import msgspec

from app.reading.read_pool import ReadPool
from projections.imports import progress as imports_progress
from projections.imports.jobs import AT_WORK

SECONDS = 1.0
"""Between two looks."""
EVENT = b"event: import.progress\ndata: %b\n\n"
"""Without an ``id``: it is no event of the log, and a client that reconnects goes on after the last one that is."""


class ImportProgress:
    def __init__(self, org_id: UUID, reads: ReadPool) -> None:
        self._org_id, self._reads = org_id, reads
        self._texts: dict[UUID, bytes] = {}
        self._at_work: set[UUID] = set()
        self._looked_at: float | None = None

    async def changes(self) -> list[bytes]:
        """Nothing if it was asked a moment ago. At first the imports that are at work. Raises ``Unavailable``."""
        now = asyncio.get_running_loop().time()
        if self.seconds():
            return []
        first, self._looked_at = self._looked_at is None, now
        _, rows = await self._reads.rows_of_org(self._org_id, *imports_progress.latest(self._org_id, self._at_work))
        found = [imports_progress.progress(row) for row in rows]
        texts = {one.id: EVENT % msgspec.json.encode(one) for one in reversed(found)}
        self._at_work = {one.id for one in found if one.state in AT_WORK}
        changed = [text for id_, text in texts.items() if self._texts.get(id_) != text and (not first or id_ in self._at_work)]
        self._texts = texts
        return changed

    def seconds(self) -> float:
        """How long to wait before the next look."""
        if self._looked_at is None:
            return 0.0
        return max(0.0, self._looked_at + SECONDS - asyncio.get_running_loop().time())

    def at_work(self) -> list[bytes]:
        """For who has just come."""
        return [self._texts[id_] for id_ in self._at_work]
