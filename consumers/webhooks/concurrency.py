"""How many attempts at once, and for whom. Half of them are for endpoints that answer within a second, and for those of which
nothing is known; so the slow and the failing wait for each other and keep nobody else waiting. Refuses to know time or database.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import NamedTuple
from uuid import UUID

FAST_SECONDS = 1.0
PER_FAST = 8
PER_SLOW = 4
PER_UNPROVEN = 1
MAX_KNOWN = 2_000


@dataclass(slots=True)
class _Pace:
    """Attempts of one endpoint under way, how many there may be, and whether the last one was answered well in time."""

    under_way: int = 0
    most: int = PER_UNPROVEN
    fast: bool = False


class Allowance(NamedTuple):
    """How many more attempts an endpoint may have."""

    endpoint_id: UUID
    room: int
    fast: bool


class ConcurrencyLimits:
    """Of the endpoints seen of late; any other one may have one attempt."""

    def __init__(self, concurrency: int) -> None:
        self._lane = max(1, concurrency // 2)
        self._known: OrderedDict[UUID, _Pace] = OrderedDict()
        self._lanes = {True: 0, False: 0}

    @property
    def under_way(self) -> int:
        return self._lanes[True] + self._lanes[False]

    def free(self, *, fast: bool) -> int:
        return self._lane - self._lanes[fast]

    def rooms(self) -> list[Allowance]:
        """Of the endpoints seen of late. A slow one has more than one attempt only from half of the room of the slow."""
        spare = self._lane // 2 - self._lanes[False]
        rooms = []
        for id_, pace in self._known.items():
            room = max(0, pace.most - pace.under_way)
            if not pace.fast:
                first = PER_UNPROVEN if pace.under_way == 0 else 0
                more = max(0, min(room - first, spare))
                spare -= more
                room = first + more
            rooms.append(Allowance(id_, room, pace.fast))
        return rooms

    def start(self, endpoint_id: UUID, *, fast: bool) -> None:
        """An attempt, counted as one of a fast endpoint or of a slow one; ``finish`` is to be told the same."""
        pace = self._known.setdefault(endpoint_id, _Pace(fast=fast))
        self._known.move_to_end(endpoint_id)
        pace.under_way += 1
        self._lanes[fast] += 1

    def finish(self, endpoint_id: UUID, *, fast: bool, delivered: bool, seconds: float) -> None:
        self._lanes[fast] -= 1
        pace = self._known.setdefault(endpoint_id, _Pace(under_way=1))
        pace.under_way -= 1
        pace.fast = delivered and seconds < FAST_SECONDS
        pace.most = PER_FAST if pace.fast else PER_SLOW if delivered else PER_UNPROVEN
        self._forget()

    def _forget(self) -> None:
        """Let go of endpoints not seen for longest, but for those that have something under way."""
        looked = 0
        while len(self._known) > MAX_KNOWN and looked < MAX_KNOWN:
            oldest = next(iter(self._known))
            if self._known[oldest].under_way:
                self._known.move_to_end(oldest)
                looked += 1
            else:
                del self._known[oldest]
