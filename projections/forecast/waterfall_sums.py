"""The exact sums that a waterfall without groups is made of, from columns of a statement, and what they are once more has moved."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal

import msgspec
from msgspec import Struct

from projections.forecast.money import ForecastStatus, added

Place = tuple[str, str, ForecastStatus, int]
"""Month, currency, status and period of constant rates."""


class Rates(Struct, array_like=True):
    month: str
    currency: str
    status: ForecastStatus
    period: int
    start_rate: Decimal | None
    start_report_rate: Decimal | None
    end_rate: Decimal | None
    end_report_rate: Decimal | None

    @property
    def place(self) -> Place:
        return self.month, self.currency, self.status, self.period


class Sum(Struct, array_like=True):
    """What a cause adds up to, in a currency."""

    month: str
    currency: str
    status: ForecastStatus
    period: int
    cause: str
    unweighted: Decimal
    weighted: Decimal
    n: int

    @property
    def place(self) -> Place:
        return self.month, self.currency, self.status, self.period

    def plus(self, other: Sum | None) -> Sum:
        if other is None:
            return self
        unweighted, weighted = added(self.unweighted, other.unweighted), added(self.weighted, other.weighted)
        return Sum(*self.place, self.cause, unweighted, weighted, self.n + other.n)


_decode_rates = msgspec.json.Decoder(list[Rates]).decode
_decode_sums = msgspec.json.Decoder(list[Sum]).decode
BYTES = 500
"""Of a sum in memory, roughly."""


@dataclass(frozen=True, slots=True)
class WholeSums:
    """Of all deals, with the rates of each."""

    rates: Mapping[Place, Rates] = field(default_factory=dict)
    sums: Mapping[tuple[Place, str], Sum] = field(default_factory=dict)

    def plus(self, rates: bytes, sums: bytes) -> WholeSums:
        """With what columns of a statement add."""
        found = dict(self.sums)
        for each in _decode_sums(sums):
            key = each.place, each.cause
            total = each.plus(found.get(key))
            if total.unweighted or total.weighted or (total.cause == "start" and total.n):
                found[key] = total
            else:
                found.pop(key, None)
        return WholeSums({**self.rates, **{each.place: each for each in _decode_rates(rates)}}, found)

    def __sizeof__(self) -> int:
        return BYTES * (len(self.rates) + len(self.sums))
