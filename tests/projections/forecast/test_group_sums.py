"""What is known of the groups of a forecast stays what there is, whatever changes, as long as it says that it holds."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from decimal import Decimal
from fractions import Fraction
from random import Random
from typing import Any

import pytest

from projections.forecast.group_sums import GroupSums, Part, merged
from projections.forecast.money import encode
from projections.kept import NoLongerHolds

SHOWN, MOST = 3, 5
MONTHS = ("2026-01-01", "infinity")
Books = dict[tuple[str, str], list[Part]]


def amount(parts: Iterable[Part]) -> Fraction:
    return sum((Fraction(part.unweighted) / Fraction(part.by) for part in parts if part.by), Fraction())


def ranked(books: Books, month: str) -> list[str]:
    found = [(-amount(parts), group) for (at, group), parts in books.items() if at == month]
    return [group for _, group in sorted(found)]


def cells(groups: Mapping[tuple[str, str], list[Part]]) -> bytes:
    return encode([[month, group, parts] for (month, group), parts in groups.items()])


def computed(books: Books) -> GroupSums:
    known = {(month, group): books[month, group] for month in MONTHS for group in ranked(books, month)[:MOST]}
    others: list[Any] = []
    for month in MONTHS:
        if rest := ranked(books, month)[MOST:]:
            largest = Decimal(round(amount(books[month, rest[0]]) * 10**10)).scaleb(-10)
            others.append([month, len(rest), largest, merged(part for group in rest for part in books[month, group])])
    return GroupSums.computed(b"[]", cells(known), encode(others), b"{}")


def any_changes(books: Books, random: Random) -> Books:
    """What some deals add, or take away again."""
    found: Books = {}
    for _ in range(random.randrange(1, 4)):
        place = random.choice(MONTHS), f"group {random.randrange(12)}"
        there = [part for part in books.get(place, ()) if part.n > 0]
        if there and random.random() < 0.4:
            was = random.choice(there)
            change = Part(was.status, was.by, -was.unweighted / was.n, -was.weighted / was.n, -1)
            change = Part(was.status, was.by, -was.unweighted, -was.weighted, -was.n) if random.random() < 0.5 else change
        else:
            worth = Decimal(random.choice((0, 10, 10, 50, 72)))
            by = random.choice((Decimal(1), Decimal("1.25"), Decimal("1.1"), None))
            change = Part(random.choice(("open", "won")), by, worth, worth, 1)
        if place not in found:
            found[place] = [change]
    return found


@pytest.mark.parametrize("seed", range(6))
def test_what_is_known_is_what_there_is(seed: int) -> None:
    random = Random(seed)
    books: Books = {}
    sums, held = computed(books), 0
    for _ in range(300):
        changes = any_changes(books, random)
        for place, parts in changes.items():
            books[place] = merged((*books.get(place, ()), *parts))
            if not books[place]:
                del books[place]
        whole = {place: books[place] for place in changes if place in books}
        try:
            sums = sums.plus(b"[]", cells(changes), cells(whole), b"{}", most=MOST, certain=SHOWN)
            held += 1
        except NoLongerHolds:
            sums = computed(books)
        for month in MONTHS:
            expect(sums, books, month)
    assert 100 < held < 300


def expect(sums: GroupSums, books: Books, month: str) -> None:
    found, there = sums.months.get(month), ranked(books, month)
    assert list(found.known if found else ())[:SHOWN] == there[:SHOWN]
    if found is None:
        return
    others = found.others
    assert len(found.known) + (others.groups if others else 0) == len(there)
    assert all(key(cell.parts()) == key(books[month, group]) for group, cell in found.known.items())
    rest = merged(part for group in there if group not in found.known for part in books[month, group])
    assert key(others.parts if others else ()) == key(rest)


def key(parts: Iterable[Part]) -> set[tuple[Any, ...]]:
    return {(part.status, part.by, part.unweighted, part.weighted, part.n) for part in parts}


def test_of_the_past_a_group_that_is_not_known_is_not_looked_up() -> None:
    books = {(MONTHS[0], f"group {n}"): [Part("open", Decimal(1), Decimal(n), Decimal(n), 1)] for n in range(MOST + 1)}
    sums, one = computed(books), Part("open", Decimal(1), Decimal(1), Decimal(1), 1)
    known = sums.plus(b"[]", cells({(MONTHS[0], "group 5"): [one]}), None, b"{}", most=MOST, certain=SHOWN)
    assert known.months[MONTHS[0]].known["group 5"].amount == 6
    with pytest.raises(NoLongerHolds):
        sums.plus(b"[]", cells({(MONTHS[0], "group 0"): [one]}), None, b"{}", most=MOST, certain=SHOWN)


def test_cards_of_groups_that_are_not_known_any_more_do_not_pile_up() -> None:
    books: Books = {}
    sums = computed(books)
    for n in range(50):
        change = {(MONTHS[0], f"group {n}"): [Part("open", Decimal(1), Decimal(n), Decimal(n), 1)]}
        card = json.dumps({f"group {n}": {"id": n}}).encode()
        sums = sums.plus(b"[]", cells(change), cells(change), card, most=MOST, certain=SHOWN)
    (month,) = sums.months.values()
    assert month.known.keys() <= sums.cards.keys()
    assert len(sums.cards) <= 2 * MOST
