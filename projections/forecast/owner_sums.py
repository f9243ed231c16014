"""The exact sums that a waterfall by owner is made of, from the columns of a statement, and what they are once more has moved.

A cell is what one owner has in one month. Cells are not changed: what comes of adding to the sums shares with them the cells that
stayed as they were, and so what was already made of these to be shown.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from fractions import Fraction

import msgspec
from msgspec import Raw, Struct

from projections.forecast import TRANSFERS
from projections.forecast.money import ONE, ZERO, ForecastStatus, added
from projections.forecast.owners import ALL_MONTHS

BYTES = 1_400
"""Of a cell in memory, with what is shown of it, roughly."""


class Step(Struct, array_like=True):
    """What a cause adds up to, in the currency of the waterfall, still to be divided ``by``."""

    cause: str
    by: Decimal
    unweighted: Decimal
    weighted: Decimal
    n: int = 0


class OfMonth(Struct, array_like=True):
    causes: list[str]
    bys: list[Decimal]
    unweighted: list[Decimal]
    weighted: list[Decimal]
    month: str

    def steps(self) -> list[Step]:
        return list(map(Step, self.causes, self.bys, self.unweighted, self.weighted))


class Apart(Struct, array_like=True):
    """What has no rate, in its own currency."""

    currency: str
    cause: str
    month: str
    status: ForecastStatus
    period: int
    unweighted: Decimal
    weighted: Decimal
    n: int


class _OfOwner(Struct, array_like=True):
    month: str
    owner: str
    steps: Raw


_decode_months = msgspec.json.Decoder(list[OfMonth]).decode
_decode_apart = msgspec.json.Decoder(list[Apart]).decode
_decode_owners = msgspec.json.Decoder(list[_OfOwner]).decode
_decode_cards = msgspec.json.Decoder(dict[str, Raw]).decode
_decode_steps = msgspec.json.Decoder(list[Step]).decode
_encode = msgspec.json.Encoder(decimal_format="number").encode


class Cell(Struct):
    """``amount`` is what the owner ranks by in the month; ``counts`` says whether more than transfers moved. ``decoded`` are its
    steps until they are shown, from when on they are kept as they came."""

    encoded: Raw
    amount: Decimal | Fraction
    counts: bool
    decoded: Sequence[Step] | None = None
    shown: Raw | None = None

    def steps(self) -> Sequence[Step]:
        return _decode_steps(self.encoded) if self.decoded is None else self.decoded


@dataclass(frozen=True, slots=True)
class OwnerSums:
    """``cells`` are by month and owner, also for all months; ``months`` the sums of all owners."""

    cells: Mapping[str, Mapping[str, Cell]] = field(default_factory=dict)
    months: Mapping[str, Sequence[Step]] = field(default_factory=dict)
    apart: Mapping[tuple[str, ...], Apart] = field(default_factory=dict)
    cards: Mapping[str, Raw] = field(default_factory=dict)

    def plus(self, months: bytes, apart: bytes, cells: bytes, cards: bytes) -> OwnerSums:
        """With what columns of a statement add."""
        of_months = dict(self.months)
        for each in _decode_months(months):
            of_months[each.month] = merged((*of_months.get(each.month, ()), *each.steps()))
        return OwnerSums(self._cells(cells), of_months, self._apart(apart), {**self.cards, **_decode_cards(cards)})

    def _cells(self, encoded: bytes) -> dict[str, Mapping[str, Cell]]:
        found: dict[str, Mapping[str, Cell]] = dict(self.cells)
        fresh: dict[str, dict[str, Cell]] = {}
        for each in _decode_owners(encoded):
            if (of_month := fresh.get(each.month)) is None:
                of_month = fresh[each.month] = dict(found.get(each.month, {}))
                found[each.month] = of_month
            before = of_month.get(each.owner)
            steps = _decode_steps(each.steps)
            if before is None:
                of_month[each.owner] = _cell(each.steps, steps)
            elif steps := [step for step in merged((*before.steps(), *steps)) if _is_something(step)]:
                of_month[each.owner] = _cell(Raw(_encode(steps)), steps)
            else:
                del of_month[each.owner]
        return found

    def _apart(self, encoded: bytes) -> dict[tuple[str, ...], Apart]:
        found = dict(self.apart)
        for each in _decode_apart(encoded):
            key = each.currency, each.cause, each.month, each.status, str(each.period)
            if before := found.get(key):
                each.unweighted, each.weighted = added(before.unweighted, each.unweighted), added(before.weighted, each.weighted)
                each.n += before.n
            found[key] = each
            if not _is_something(each):
                del found[key]
        return found

    def told(self, of_owners: bool) -> Iterator[str]:
        """The months in which something counts: more than changes of owner, unless owners are filtered."""
        for month, cells in self.cells.items():
            if month != ALL_MONTHS and any(cell.counts or of_owners for cell in cells.values()):
                yield month

    def ranked(self) -> dict[str, list[tuple[str, Cell]]]:
        """By month, the owners and their cells, the largest first."""
        return {month: _ranked(cells) for month, cells in self.cells.items()}

    def __sizeof__(self) -> int:
        return BYTES * sum(map(len, self.cells.values()))


def merged(steps: Iterable[Step]) -> list[Step]:
    """Of each cause and divisor one step."""
    found: dict[tuple[str, Decimal], Step] = {}
    for step in steps:
        key = step.cause, step.by
        if (before := found.get(key)) is None:
            found[key] = step
        else:
            unweighted, weighted = added(before.unweighted, step.unweighted), added(before.weighted, step.weighted)
            found[key] = Step(*key, unweighted, weighted, before.n + step.n)
    return list(found.values())


def _cell(encoded: Raw, steps: Sequence[Step]) -> Cell:
    end, start, counts = ZERO, ZERO, False
    for step in steps:
        if step.by != ONE:
            return _divided(encoded, steps)
        end = added(end, step.unweighted)
        if step.cause == "start":
            start = step.unweighted
        counts = counts or step.cause not in TRANSFERS
    return Cell(encoded, max(end, start, ZERO), counts, steps)


def _divided(encoded: Raw, steps: Sequence[Step]) -> Cell:
    end = start = Fraction()
    for step in steps:
        amount = Fraction(step.unweighted) / Fraction(step.by)
        end, start = end + amount, start + (amount if step.cause == "start" else 0)
    return Cell(encoded, max(end, start, Fraction()), any(step.cause not in TRANSFERS for step in steps), steps)


def _is_something(sums: Step | Apart) -> bool:
    return bool(sums.unweighted or sums.weighted or (sums.cause == "start" and sums.n))


def _ranked(cells: Mapping[str, Cell]) -> list[tuple[str, Cell]]:
    by_id = sorted(cells.items(), key=lambda each: each[0])
    return sorted(by_id, key=lambda each: each[1].amount, reverse=True)
