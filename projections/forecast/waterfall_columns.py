"""The columns of a waterfall: from exact sums by cause, the steps that are shown.

A step shown is the difference of two running totals, each rounded once, so that the shown numbers add up too.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import ROUND_HALF_EVEN, Context, Decimal, Inexact, InvalidOperation, Overflow
from typing import Any, TypeVar

from domain import money
from projections.forecast.money import (
    ONE,
    ZERO,
    Factor,
    ForecastStatus,
    Total,
    difference,
    shortest,
)
from projections.forecast.owner_sums import Step
from projections.forecast.waterfall_types import WaterfallColumns, WaterfallSteps

C = TypeVar("C", bound=WaterfallColumns)


@dataclass(slots=True)
class StepTotals:
    """The exact sum of each step of one column."""

    steps: defaultdict[str, Total] = field(default_factory=lambda: defaultdict(Total))

    def add(self, step: str, amount: Decimal, valued: Factor | None, at_end: Factor) -> None:
        if valued:
            self.steps[step].add(amount, valued)
        if valued != at_end:
            self.steps["rate_change"].add(amount, at_end)
            if valued:
                self.steps["rate_change"].add(amount.copy_negate(), valued)

    def shown(self, currency: str, told: Sequence[str]) -> WaterfallSteps:
        running = Total()
        before = running.rounded(currency)
        differences = dict.fromkeys(told, ZERO)
        for step in told:
            if not (total := self.steps.get(step)):
                continue
            after = running.merge(total).rounded(currency)
            differences[step] = shortest(difference(after, before))
            before = after
        return WaterfallSteps(**differences, end=shortest(before))


@dataclass(slots=True)
class ColumnTotals:
    unweighted: StepTotals = field(default_factory=StepTotals)
    weighted: StepTotals = field(default_factory=StepTotals)

    def add(self, cause: str, unweighted: Decimal, weighted: Decimal, valued: Factor | None, at_end: Factor) -> None:
        self.unweighted.add(cause, unweighted, valued, at_end)
        self.weighted.add(cause, weighted, valued, at_end)

    def add_steps(self, steps: Iterable[Step]) -> None:
        for cause, by, unweighted, weighted in ((step.cause, step.by, step.unweighted, step.weighted) for step in steps):
            factor = Factor(ONE, by)
            self.unweighted.steps[cause].add(unweighted, factor)
            self.weighted.steps[cause].add(weighted, factor)

    def columns(self, type_: type[C], currency: str, told: Sequence[str], /, **others: Any) -> C:
        """As shown in a currency, with the other fields of the type."""
        return type_(unweighted=self.unweighted.shown(currency, told), weighted=self.weighted.shown(currency, told), **others)


def columns(steps: Sequence[Step], type_: type[C], currency: str, told: Sequence[str], /, **others: Any) -> C:
    """As ``ColumnTotals`` shows the sums of one group. There may be thousands of these."""
    unweighted: dict[str, Decimal] = {}
    weighted: dict[str, Decimal] = {}
    for step in steps:
        if step.by != ONE:
            totals = ColumnTotals()
            totals.add_steps(steps)
            return totals.columns(type_, currency, told, **others)
        unweighted[step.cause], weighted[step.cause] = step.unweighted, step.weighted
    return type_(unweighted=_shown(unweighted, currency, told), weighted=_shown(weighted, currency, told), **others)


_EXACT = Context(prec=400, traps=[Inexact, InvalidOperation, Overflow])
_add, _scale = _EXACT.add, _EXACT.scaleb
_round = Context(prec=400, rounding=ROUND_HALF_EVEN).to_integral_value
_LARGE = 2**53


def _shown(amounts: Mapping[str, Decimal], currency: str, told: Sequence[str]) -> WaterfallSteps:
    """Of amounts in the currency, one for each cause. Once rounded, they are counted in its smallest unit."""
    places = money.decimals(currency) or 0
    differences: dict[str, Any] = dict.fromkeys(told, 0)
    running, before = ZERO, 0
    for step in told:
        if amount := amounts.get(step):
            running = _add(running, amount)
            after = int(_round(_scale(running, places)))
            differences[step] = _number(after - before, places)
            before = after
    return WaterfallSteps(**differences, end=_number(before, places))


def _number(units: int, places: int) -> Any:
    """An amount of so many of the smallest unit, as ``shortest`` has it. Whole ones are integers, which are written sooner."""
    whole, part = divmod(units, 10**places)
    if not part and abs(whole) < _LARGE:
        return whole
    amount = _scale(units, -places)
    return amount if part % 10 else shortest(amount)


def value(status: ForecastStatus, at_start: Factor | None, at_end: Factor) -> Factor:
    """The rates at which a step is valued."""
    return at_end if status == "won" else at_start or at_end
