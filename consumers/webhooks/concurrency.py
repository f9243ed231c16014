"""How many attempts may run at once, and for which endpoints.

Half of the slots are for endpoints that answer within a second and for unknown ones. Slow and failing endpoints share the other
half and cannot starve the rest. Pure: no time, no database.
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
    """One endpoint: attempts in flight, how many there may be, and whether the last one was answered fast."""

    under_way: int = 0
    most: int = PER_UNPROVEN
    fast: bool = False


class Allowance(NamedTuple):
    """How many more attempts an endpoint may have."""

    endpoint_id: UUID
    room: int
    fast: bool


class ConcurrencyLimits:
    """Tracks the endpoints used recently; any other one may have one attempt."""

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
        """The allowances of tracked endpoints. Slow ones get more than one attempt only from half of the slow slots."""
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
        """Count an attempt as fast or slow; pass the same to ``finish``."""
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
        """Drop the endpoints that were not used for longest, unless they have attempts in flight."""
        looked = 0
        while len(self._known) > MAX_KNOWN and looked < MAX_KNOWN:
            oldest = next(iter(self._known))
            if self._known[oldest].under_way:
                self._known.move_to_end(oldest)
                looked += 1
            else:
                del self._known[oldest]
