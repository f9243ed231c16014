"""The forecast's arithmetic: what a deal contributes, how amounts are converted, when they are rounded and how they are written.

Amounts stay exact until they are shown, and are rounded once, half to even, to the currency's decimals. Refuses floats, a rate of 1
in place of an unknown one, and any loss of digits on the way: the context raises instead.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date
from decimal import ROUND_HALF_EVEN, Context, Decimal, DivisionByZero, Inexact, InvalidOperation, Overflow
from fractions import Fraction
from functools import lru_cache
from typing import Annotated, Any, Literal, NamedTuple, TypeVar

import msgspec
from msgspec import Meta, Struct

from domain import money
from domain.opportunity.events import State

ONE = Decimal(1)
ZERO = Decimal(0)

_EXACT = Context(prec=400, traps=[Inexact, InvalidOperation, Overflow, DivisionByZero])
_ROUNDING = Context(prec=400, traps=[InvalidOperation, Overflow])

ForecastStatus = Literal["open", "won"]


class Contribution(NamedTuple):
    """What one deal adds to the forecast, in the month of ``day`` (None for deals without a date)."""

    day: date | None
    currency: str
    status: ForecastStatus
    amount: Decimal
    probability: int

    @property
    def weighted(self) -> Decimal:
        return (self.amount * self.probability).scaleb(-2)


def contribution(state: State | None) -> Contribution | None:
    """An open deal counts by its amount, a won one in full by its actual amount; a lost or deleted one does not count."""
    if state is None or state.deleted:
        return None
    match state.status:
        case "open":
            return Contribution(state.close_date, state.currency, "open", state.amount or ZERO, state.probability)
        case "won":
            return Contribution(state.actual_close_date, state.currency, "won", state.actual_amount or ZERO, 100)
    return None


class Factor(NamedTuple):
    """Converts by ``amount * times / by``: into the org's currency, and from there into the report's."""

    times: Decimal
    by: Decimal


SAME = Factor(ONE, ONE)


class Currencies(NamedTuple):
    """The currency of an org and that of its forecast."""

    own: str
    report: str

    def factor(self, currency: str, rate: Decimal | None, report_rate: Decimal | None) -> Factor | None:
        """How to convert, given what a unit of the currency and one of the report's are worth in the org's own.

        None if that requires a rate that is not known. The rates of the org's own currency are not needed.
        """
        if currency == self.report:
            return SAME
        times = ONE if currency == self.own else rate
        by = ONE if self.report == self.own else report_rate
        return None if times is None or by is None else Factor(times, by)


class Total:
    """An exact sum of converted amounts. Divisions, which may be inexact, are left to the end."""

    __slots__ = ("_divided", "_whole")

    def __init__(self) -> None:
        self._whole = ZERO
        self._divided: dict[Decimal, Decimal] | None = None

    def __bool__(self) -> bool:
        """False for a sum that is certainly zero."""
        return bool(self._whole or self._divided)

    def add(self, amount: Decimal, factor: Factor = SAME) -> None:
        times, by = factor
        if by is ONE or by == ONE:
            self._whole = _EXACT.fma(amount, times, self._whole)
        else:
            divided = self._divided = self._divided or {}
            divided[by] = _EXACT.fma(amount, times, divided.get(by, ZERO))

    def merge(self, *others: Total) -> Total:
        for other in others:
            self._whole = _EXACT.add(self._whole, other._whole)
            if other._divided:
                divided = self._divided = self._divided or {}
                for by, amount in other._divided.items():
                    divided[by] = _EXACT.add(amount, divided.get(by, ZERO))
        return self

    def rounded(self, currency: str) -> Decimal:
        """The sum with the currency's decimals."""
        if not self._divided:
            return rounded(self._whole, currency)
        total = sum((Fraction(amount) / Fraction(by) for by, amount in self._divided.items()), Fraction(self._whole))
        return _EXACT.multiply(Decimal(round(total / Fraction(_unit(currency)))), _unit(currency))


@lru_cache
def _unit(currency: str) -> Decimal:
    return ONE.scaleb(-(money.decimals(currency) or 0))


def rounded(amount: Decimal, currency: str) -> Decimal:
    """An exact amount with the currency's decimals."""
    return amount.quantize(_unit(currency), ROUND_HALF_EVEN, _ROUNDING)


def added(one: Decimal, other: Decimal) -> Decimal:
    return _EXACT.add(one, other)


def difference(of: Decimal, and_: Decimal) -> Decimal:
    return _EXACT.subtract(of, and_)


def shortest(value: Decimal) -> Decimal:
    """The value as JSON should have it, without trailing zeros and without an exponent: 180000, 92500.5."""
    if not value:
        return ZERO
    whole = value.quantize(ONE, ROUND_HALF_EVEN, _ROUNDING)
    return whole if whole == value else value.normalize(_EXACT)


Number = Annotated[Decimal, Meta(extra_json_schema={"decimal_format": "number"})]
"""A decimal that ``encode`` writes as a number, with every digit."""

encode = msgspec.json.Encoder(decimal_format="number").encode


class Sums(Struct, kw_only=True):
    """Money in the forecast's currency. ``unweighted`` is open amounts and won ones; ``count`` the number of deals."""

    unweighted: Number
    weighted: Number
    open_unweighted: Number
    open_weighted: Number
    won: Number
    count: int


S = TypeVar("S", bound=Sums)


@dataclass(slots=True)
class Totals:
    """The exact sums of a month, or of anything else that deals add up to."""

    open_unweighted: Total = field(default_factory=Total)
    open_weighted: Total = field(default_factory=Total)
    won: Total = field(default_factory=Total)
    count: int = 0

    def add(self, status: ForecastStatus, unweighted: Decimal, weighted: Decimal, n: int, factor: Factor) -> None:
        self.count += n
        if status == "won":
            self.won.add(unweighted, factor)
        else:
            self.open_unweighted.add(unweighted, factor)
            self.open_weighted.add(weighted, factor)

    def unweighted(self, currency: str) -> Decimal:
        return Total().merge(self.open_unweighted, self.won).rounded(currency)

    def shown(self, type_: type[S], currency: str, /, **others: Any) -> S:
        """As shown in a currency, with the other fields of the type."""
        return type_(
            unweighted=shortest(self.unweighted(currency)),
            weighted=shortest(Total().merge(self.open_weighted, self.won).rounded(currency)),
            open_unweighted=shortest(self.open_unweighted.rounded(currency)),
            open_weighted=shortest(self.open_weighted.rounded(currency)),
            won=shortest(self.won.rounded(currency)),
            count=self.count,
            **others,
        )
