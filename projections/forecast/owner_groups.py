"""The groups of a waterfall by owner: of each month, and of all together, the largest, and the others added up.

Of every month the same number is shown: as many as were asked for, or as there is room for in an answer.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Protocol, cast

import msgspec
from msgspec import UNSET, Raw, UnsetType

from projections.forecast.entries import WaterfallQuery
from projections.forecast.limits import MAX_BYTES
from projections.forecast.money import encode
from projections.forecast.owner_sums import Cell, OfMonth, OwnerSums, merged
from projections.forecast.owners import BEHIND_BYTES, FIXED_BYTES, MONTH_BYTES
from projections.forecast.waterfall_columns import columns
from projections.forecast.waterfall_types import OtherWaterfallGroups, WaterfallGroup


class Groups(Protocol):
    """By month, its first day or ``ALL_MONTHS``."""

    def largest(self, month: str) -> list[WaterfallGroup]: ...

    def others(self, month: str) -> OtherWaterfallGroups | UnsetType: ...


class RankedHere:
    """Of all owners' sums. What a cell looks like is kept with it."""

    def __init__(self, query: WaterfallQuery, sums: OwnerSums, currency: str, told: Sequence[str]) -> None:
        self._sums, self._currency, self._told = sums, currency, told
        self._ranked = sums.ranked()
        months = max(len(query.bounds.months()), len(self._ranked))
        room = MAX_BYTES - FIXED_BYTES - (BEHIND_BYTES if query.expanded else 0) - MONTH_BYTES * months
        self._places = self._that_fit(query.groups_limit, room)

    def largest(self, month: str) -> list[WaterfallGroup]:
        found = [self._shown(owner, cell) for owner, cell in self._ranked.get(month, ())[: self._places]]
        return cast("list[WaterfallGroup]", found)

    def others(self, month: str) -> OtherWaterfallGroups | UnsetType:
        if not (rest := self._ranked.get(month, [])[self._places :]):
            return UNSET
        steps = merged(step for _, cell in rest for step in cell.steps())
        return columns(steps, OtherWaterfallGroups, self._currency, self._told, groups=len(rest))

    def _that_fit(self, limit: int, room: int) -> int:
        for place in range(min(limit, max(map(len, self._ranked.values()), default=0))):
            at = (cells[place] for cells in self._ranked.values() if len(cells) > place)
            room -= sum(memoryview(self._shown(owner, cell)).nbytes + 1 for owner, cell in at)
            if room < 0:
                return place
        return limit

    def _shown(self, owner: str, cell: Cell) -> Raw:
        if cell.shown is None:
            group = columns(cell.steps(), WaterfallGroup, self._currency, self._told, owner=self._sums.cards[owner])
            cell.shown, cell.decoded = Raw(encode(group)), None
        return cell.shown


class _Largest(OfMonth, array_like=True):
    place: int
    owner: str


class _Others(OfMonth, array_like=True):
    number: int


_decode_largest = msgspec.json.Decoder(list[_Largest]).decode
_decode_others = msgspec.json.Decoder(list[_Others]).decode
_decode_cards = msgspec.json.Decoder(dict[str, Raw]).decode


class RankedThere:
    """Of the columns of a statement that ranked the owners and cut."""

    def __init__(self, currency: str, told: Sequence[str], cards: bytes, largest: bytes, others: bytes) -> None:
        owners = _decode_cards(cards)
        self._groups: defaultdict[str, list[WaterfallGroup]] = defaultdict(list)
        for each in _decode_largest(largest):
            self._groups[each.month].append(columns(each.steps(), WaterfallGroup, currency, told, owner=owners[each.owner]))
        self._others = {
            each.month: columns(each.steps(), OtherWaterfallGroups, currency, told, groups=each.number)
            for each in _decode_others(others)
        }

    def largest(self, month: str) -> list[WaterfallGroup]:
        return self._groups[month]

    def others(self, month: str) -> OtherWaterfallGroups | UnsetType:
        return self._others.get(month, UNSET)
