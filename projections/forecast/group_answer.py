"""The groups of a forecast by owner or account as they are shown, from their exact sums.

Of every month the same number is shown: as many as were asked for, or as there is room for in an answer. What was made of a cell or
of a month to be shown is kept with it.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from itertools import islice

from msgspec import UNSET, Raw, UnsetType

from projections.forecast.current import ForecastQuery
from projections.forecast.group_sums import Cell, GroupSums, OfMonth, Part
from projections.forecast.groups import FIXED_BYTES, MONTH_BYTES, ForecastGroup, OtherGroups
from projections.forecast.limits import MAX_BYTES
from projections.forecast.money import ONE, Factor, Totals, encode


class KnownGroups:
    def __init__(self, query: ForecastQuery, own: str, sums: GroupSums) -> None:
        self._query, self._sums, self._currency = query, sums, query.currency or own
        months = max(len(query.bounds.months()), len({each.month for each in sums.sums.values()}))
        self._places = self._that_fit(MAX_BYTES - FIXED_BYTES - MONTH_BYTES * months)

    def largest(self, month: str) -> list[Raw]:
        return self._shown(month)[0]

    def others(self, month: str) -> OtherGroups | UnsetType:
        return self._shown(month)[1]

    def _that_fit(self, room: int) -> int:
        """How many groups of each month there is room for in so many bytes."""
        limit, months = self._query.groups_limit, [iter(each.known.items()) for each in self._sums.months.values()]
        for place in range(limit):
            at = [each for month in months for each in islice(month, 1)]
            room -= sum(memoryview(self._cell(group, cell)[1]).nbytes + 1 for group, cell in at)
            if room < 0:
                return place
        return limit

    def _shown(self, name: str) -> tuple[list[Raw], OtherGroups | UnsetType]:
        """The groups of a month, the largest first, and the others added up."""
        month = self._sums.months.get(name)
        if month is None:
            return [], UNSET
        if month.shown is None or month.shown[0] != self._places:
            month.shown = self._places, (self._largest(month), self._others(month))
        found: tuple[list[Raw], OtherGroups | UnsetType] = month.shown[1]
        return found

    def _largest(self, month: OfMonth) -> list[Raw]:
        found = [(group, *self._cell(group, cell)) for group, cell in islice(month.known.items(), self._places)]
        return [raw for _, _, raw in sorted(found, key=lambda each: (each[1].copy_negate(), each[0]))]

    def _others(self, month: OfMonth) -> OtherGroups | UnsetType:
        cells = list(islice(month.known.values(), self._places, None))
        number, totals = len(cells), _totals([part for cell in cells for part in cell.parts()])
        if others := month.others:
            number += others.groups
            _add(totals, others.parts)
        return totals.shown(OtherGroups, self._currency, groups=number) if number else UNSET

    def _cell(self, group: str, cell: Cell) -> tuple[Decimal, Raw]:
        if cell.shown is None:
            totals = _totals(cell.parts())
            shown = totals.shown(ForecastGroup, self._currency, **{str(self._query.group_by): self._sums.cards[group]})
            cell.shown = totals.unweighted(self._currency), Raw(encode(shown))
        return cell.shown


def _totals(parts: list[Part]) -> Totals:
    totals = Totals()
    _add(totals, parts)
    return totals


def _add(totals: Totals, parts: Sequence[Part]) -> None:
    for part in parts:
        if part.by is not None:
            totals.add(part.status, part.unweighted, part.weighted, part.n, Factor(ONE, part.by))
