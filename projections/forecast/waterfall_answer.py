"""The response of a waterfall, from the row of a statement of ``waterfall``, or from the exact sums of such a row.

Start plus the steps is always the end. The start is valued as the forecast was at ``start``, the end as at ``end``. Steps of open
deals are valued at the rates of the start, so that they show what people did (at those of the end if the start had none), steps of
won deals at the rate of their day as known at the end. ``rate_change`` is the rest: what the rates did. Deals for which the end has
no rate are listed apart, in their own currency.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any, TypeVar

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType

from projections.forecast import INFINITY, TRANSFERS
from projections.forecast.current import too_many_months
from projections.forecast.entries import MEMBERSHIPS, Step, WaterfallQuery
from projections.forecast.limits import MAX_MONTHS_WITH_DEALS
from projections.forecast.money import SAME, Currencies
from projections.forecast.owner_groups import Groups, RankedHere, RankedThere
from projections.forecast.owner_sums import OwnerSums
from projections.forecast.owners import ALL_MONTHS
from projections.forecast.periods import utc
from projections.forecast.waterfall_columns import ColumnTotals, value
from projections.forecast.waterfall_sums import WholeSums
from projections.forecast.waterfall_types import (
    STEPS,
    ExplainedColumns,
    GroupedColumns,
    OpportunitiesBehind,
    UnconvertedWaterfall,
    Waterfall,
    WaterfallColumns,
    WaterfallMonth,
)

C = TypeVar("C", bound=WaterfallColumns)


class _BehindStep(Struct, array_like=True):
    month: str
    cause: Step
    count: int
    ids: Raw


_decode_behind = msgspec.json.Decoder(list[_BehindStep]).decode


class _Totals:
    """The sums of each month, of the unscheduled deals and of all months (``ALL_MONTHS``), in a currency."""

    def __init__(self, query: WaterfallQuery, own: str) -> None:
        self._query = query
        self._currencies = Currencies(own, query.currency or own)
        self.report = self._currencies.report
        self.months = {f"{name}-01": ColumnTotals() for name in query.bounds.months()}
        self.months |= {ALL_MONTHS: ColumnTotals(), INFINITY: ColumnTotals()}
        self.behind: defaultdict[str, dict[Step, OpportunitiesBehind]] = defaultdict(dict)
        self.unconverted: defaultdict[str, ColumnTotals] = defaultdict(ColumnTotals)
        self.told_of_groups = [step for step in STEPS if query.of_others or step not in MEMBERSHIPS]
        self.told = [step for step in self.told_of_groups if query.of_owners or step not in TRANSFERS]
        self.groups: Groups | None = None

    def _in(self, month: str) -> list[ColumnTotals]:
        """Where what is in a month counts."""
        totals = self.months.setdefault(month, ColumnTotals())
        return [totals] if month == INFINITY else [totals, self.months[ALL_MONTHS]]

    def add(self, sums: WholeSums) -> None:
        factor = self._currencies.factor
        values = {
            place: (
                factor(each.currency, each.start_rate, each.start_report_rate),
                factor(each.currency, each.end_rate, each.end_report_rate),
            )
            for place, each in sums.rates.items()
        }
        for (place, cause), each in sums.sums.items():
            at_start, at_end = values[place]
            if at_end is None:
                self.unconverted[each.currency].add(cause, each.unweighted, each.weighted, SAME, SAME)
                continue
            valued = at_start if cause == "start" else value(each.status, at_start, at_end)
            for totals in self._in(each.month):
                totals.add(cause, each.unweighted, each.weighted, valued, at_end)

    def add_valued(self, sums: OwnerSums, months: Sequence[str]) -> None:
        for month in months:
            for totals in self._in(month):
                totals.add_steps(sums.months.get(month, ()))
        for each in sums.apart.values():
            self.unconverted[each.currency].add(each.cause, each.unweighted, each.weighted, SAME, SAME)

    def shown(self, type_: type[C], name: str, /, **more: Any) -> C:
        if self.groups:
            more |= {"groups": self.groups.largest(name), "others": self.groups.others(name)}
        return self.months[name].columns(type_, self.report, self.told, **more)

    def explained(self, name: str) -> dict[Step, OpportunitiesBehind] | UnsetType:
        behind = self.behind[name]
        return {cause: behind[cause] for cause in self.told if cause in behind} if self._query.expanded else UNSET


def answer(query: WaterfallQuery, row: Sequence[Any]) -> Waterfall:
    """The response, from the row of ``waterfall.changes``. Raises ``Invalid`` if there are too many months."""
    own, known, explained, *columns = row
    if known is None:
        raise too_many_months()
    if query.group_by is None:
        return answer_of_sums(query, own, WholeSums().plus(known, *columns), explained)
    months, apart, cells, cards, *largest = columns
    if cells is not None:
        return answer_of_sums(query, own, OwnerSums().plus(months, apart, cells, cards), explained)
    totals = _Totals(query, own)
    sums = OwnerSums().plus(months, apart, b"[]", b"{}")
    totals.add_valued(sums, list(sums.months))
    totals.groups = RankedThere(totals.report, totals.told_of_groups, cards, *largest)
    return _answer(query, totals, explained)


def answer_of_sums(query: WaterfallQuery, own: str, sums: WholeSums | OwnerSums, explained: bytes = b"[]") -> Waterfall:
    """As ``answer``."""
    totals = _Totals(query, own)
    if isinstance(sums, WholeSums):
        totals.add(sums)
    else:
        totals.add_valued(sums, list(sums.told(bool(query.of_owners))))
        totals.groups = RankedHere(query, sums, totals.report, totals.told_of_groups)
    if len(totals.months) > MAX_MONTHS_WITH_DEALS + 2:
        raise too_many_months()
    return _answer(query, totals, explained)


def _answer(query: WaterfallQuery, totals: _Totals, explained: bytes) -> Waterfall:
    for each in _decode_behind(explained):
        totals.behind[each.month][each.cause] = OpportunitiesBehind(each.count, each.ids)
    return Waterfall(
        currency=totals.report,
        start=utc(query.start),
        end=utc(query.end),
        total=totals.shown(GroupedColumns, ALL_MONTHS),
        months=[
            totals.shown(WaterfallMonth, name, month=name[:7], opportunities=totals.explained(name))
            for name in sorted(totals.months)
            if name not in (ALL_MONTHS, INFINITY)
        ],
        unscheduled=totals.shown(ExplainedColumns, INFINITY, opportunities=totals.explained(INFINITY)),
        unconverted=[
            each.columns(UnconvertedWaterfall, name, totals.told, currency=name)
            for name, each in sorted(totals.unconverted.items())
        ],
    )
