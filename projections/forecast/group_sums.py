"""The exact sums that a forecast by owner or account is made of, from columns of a statement, and what they are once deals have
changed.

A cell is what one group has in one month. The largest groups of each month are known, more than are shown, and the others are added
up. One of these that changes is known from then on, as long as it is large enough; one that did not change has at most the amount
of the largest. So the groups shown are certain as long as each has more. Nothing here is changed: what comes of a change shares
with what was before the cells that stayed as they were, and so what was already made of these to be shown.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import ROUND_HALF_UP, Context, Decimal
from fractions import Fraction
from typing import Any

import msgspec
from msgspec import Raw, Struct

from projections.forecast.current import Sum
from projections.forecast.groups import PLACES
from projections.forecast.money import ONE, ZERO, ForecastStatus, added
from projections.kept import NoLongerHolds

BYTES = 900
"""Of a cell in memory, with what is shown of it, roughly."""


class Part(Struct, array_like=True):
    """What a group's deals of a status add up to, still to be divided ``by``; if that is None there is no rate, and no amount."""

    status: ForecastStatus
    by: Decimal | None
    unweighted: Decimal
    weighted: Decimal
    n: int


class Cell(Struct):
    """``shown`` is the group in JSON, after the amount by which it is put in order."""

    encoded: Raw
    amount: Decimal
    shown: tuple[Decimal, Raw] | None = None

    def parts(self) -> list[Part]:
        return _decode_parts(self.encoded)


class Others(Struct):
    """Groups added up: their number, and an amount that none of them exceeds."""

    groups: int
    largest: Decimal
    parts: Sequence[Part]


class OfMonth(Struct):
    """``known`` begins with the largest. ``shown`` is what was made of it to be shown, after the number of groups in it."""

    known: Mapping[str, Cell]
    others: Others | None = None
    shown: tuple[int, Any] | None = None


class _OfGroup(Struct, array_like=True):
    month: str
    group: str
    parts: Raw


class _OthersOfMonth(Struct, array_like=True):
    month: str
    groups: int
    largest: Decimal
    parts: list[Part]


_decode_sums = msgspec.json.Decoder(list[Sum]).decode
_decode_groups = msgspec.json.Decoder(list[_OfGroup]).decode
_decode_others = msgspec.json.Decoder(list[_OthersOfMonth]).decode
_decode_parts = msgspec.json.Decoder(list[Part]).decode
_decode_cards = msgspec.json.Decoder(dict[str, Raw]).decode
_encode = msgspec.json.Encoder(decimal_format="number").encode


@dataclass(frozen=True, slots=True)
class GroupSums:
    """``sums`` are those of all groups, by place; ``cards`` those of the groups known."""

    sums: Mapping[tuple[Any, ...], Sum] = field(default_factory=dict)
    months: Mapping[str, OfMonth] = field(default_factory=dict)
    cards: Mapping[str, Raw] = field(default_factory=dict)

    @classmethod
    def computed(cls, sums: bytes, cells: bytes, others: bytes, cards: bytes) -> GroupSums:
        """Of what a statement found: sums, cells of the groups that are to be known, the others by month, and cards."""
        known: dict[str, dict[str, Cell]] = {}
        for each in _decode_groups(cells):
            known.setdefault(each.month, {})[each.group] = Cell(each.parts, _amount(_decode_parts(each.parts)))
        rest = {each.month: Others(each.groups, each.largest, each.parts) for each in _decode_others(others)}
        months = {month: OfMonth(_ranked(known.get(month, {})), rest.get(month)) for month in {**known, **rest}}
        return cls({each.place: each for each in _decode_sums(sums)}, months, _decode_cards(cards))

    def plus(self, sums: bytes, changes: bytes, now: bytes | None, cards: bytes, *, most: int, certain: int) -> GroupSums:
        """With what has changed: of all groups together, and of single ones, of which those that are not known are as they are
        ``now``; None if nobody looked. Of each month at most so many groups are known, and so many must be ``certain``.

        Raises ``NoLongerHolds`` if it is not certain any more which groups are the largest.
        """
        whole = {(each.month, each.group): _decode_parts(each.parts) for each in _decode_groups(now or b"[]")}
        changed: dict[str, dict[str, list[Part]]] = {}
        for each in _decode_groups(changes):
            changed.setdefault(each.month, {})[each.group] = _decode_parts(each.parts)
        months = dict(self.months)
        for month, groups in changed.items():
            before = months.get(month) or OfMonth({})
            if now is None and before.others and not before.known.keys() >= groups.keys():
                raise NoLongerHolds
            months[month] = _changed(before, groups, {group: whole.get((month, group), []) for group in groups}, most)
            if not _is_certain(months[month], certain):
                raise NoLongerHolds
        return GroupSums(self._sums(sums), months, self.cards)._with_cards(_decode_cards(cards))

    def _sums(self, encoded: bytes) -> dict[tuple[Any, ...], Sum]:
        found = dict(self.sums)
        for each in _decode_sums(encoded):
            if before := found.pop(each.place, None):
                each.unweighted, each.weighted = added(before.unweighted, each.unweighted), added(before.weighted, each.weighted)
                each.n += before.n
            if each.n:
                found[each.place] = each
        return found

    def _with_cards(self, given: Mapping[str, Raw]) -> GroupSums:
        """With cards of groups that changed, or that have another one now."""
        if not given:
            return self
        renamed = {group for group, card in given.items() if group in self.cards and bytes(self.cards[group]) != bytes(card)}
        months = {month: _unshown(each, renamed) for month, each in self.months.items()} if renamed else self.months
        cards = {**self.cards, **given}
        if len(cards) > 2 * sum(len(each.known) for each in months.values()):
            cards = {group: cards[group] for each in months.values() for group in each.known}
        return GroupSums(self.sums, months, cards)

    @property
    def of_others(self) -> tuple[list[str], list[str], list[str]]:
        """The months in which there are others, and the months and groups that are known in these."""
        months = [month for month, each in self.months.items() if each.others]
        known = [(month, group) for month in months for group in self.months[month].known]
        return months, [month for month, _ in known], [group for _, group in known]

    def __sizeof__(self) -> int:
        return BYTES * sum(len(each.known) for each in self.months.values()) + 300 * len(self.sums)


def merged(parts: Iterable[Part], without: Iterable[Part] = ()) -> list[Part]:
    """Of each status and divisor one part, those without deals left out."""
    found: dict[tuple[str, Decimal | None], Part] = {}
    for part in (*parts, *map(_negated, without)):
        key = part.status, part.by
        if (before := found.get(key)) is None:
            found[key] = part
        else:
            unweighted, weighted = added(before.unweighted, part.unweighted), added(before.weighted, part.weighted)
            found[key] = Part(*key, unweighted, weighted, before.n + part.n)
    return [part for part in found.values() if part.n]


def _negated(part: Part) -> Part:
    return Part(part.status, part.by, part.unweighted.copy_negate(), part.weighted.copy_negate(), -part.n)


def _changed(before: OfMonth, changes: Mapping[str, list[Part]], now: Mapping[str, list[Part]], most: int) -> OfMonth:
    known, others = dict(before.known), before.others
    for group, change in changes.items():
        if (cell := known.pop(group, None)) is not None or before.others is None:
            parts = merged((*(cell.parts() if cell else ()), *change))
        else:
            parts = now[group]
            others = _without(others, merged(parts, change))
        if parts:
            known[group] = Cell(Raw(_encode(parts)), _amount(parts))
    ranked = list(_ranked(known).items())
    for _, cell in ranked[most:]:
        others = _with(others, cell)
    return OfMonth(dict(ranked[:most]), others)


def _with(others: Others | None, cell: Cell) -> Others:
    if others is None:
        return Others(1, cell.amount, cell.parts())
    return Others(others.groups + 1, max(others.largest, cell.amount), merged((*others.parts, *cell.parts())))


def _without(others: Others | None, parts: Sequence[Part]) -> Others | None:
    if not parts or others is None:
        return others
    return Others(others.groups - 1, others.largest, merged(others.parts, parts)) if others.groups > 1 else None


def _is_certain(month: OfMonth, certain: int) -> bool:
    others = month.others
    return others is None or sum(cell.amount > others.largest for cell in month.known.values()) >= certain


def _unshown(month: OfMonth, groups: set[str]) -> OfMonth:
    """The month, with nothing made of these groups to be shown."""
    if groups.isdisjoint(month.known):
        return month
    known = {group: Cell(cell.encoded, cell.amount) if group in groups else cell for group, cell in month.known.items()}
    return OfMonth(known, month.others)


def _ranked(cells: Mapping[str, Cell]) -> dict[str, Cell]:
    by_id = sorted(cells.items(), key=lambda each: each[0])
    return dict(sorted(by_id, key=lambda each: each[1].amount, reverse=True))


_round = Context(prec=400, rounding=ROUND_HALF_UP).quantize
_UNIT = ONE.scaleb(-PLACES)


def _amount(parts: Sequence[Part]) -> Decimal:
    """What a group is ranked by."""
    total = ZERO
    for part in parts:
        if part.by is None:
            continue
        if part.by != ONE:
            return _divided(parts)
        total = added(total, part.unweighted)
    return _round(total, _UNIT)


def _divided(parts: Sequence[Part]) -> Decimal:
    total = sum((Fraction(part.unweighted) / Fraction(part.by) for part in parts if part.by), Fraction())
    units = total * 10**PLACES
    return Decimal((2 * units.numerator + units.denominator) // (2 * units.denominator)).scaleb(-PLACES)
