"""Terms are stable numbers: they are in databases, and a rebuild must come to the same."""

from __future__ import annotations

from uuid import UUID

from projections import terms
from projections.terms import Group

ORG = UUID("0197a3c2-7d1e-7b5a-8c3f-2f1e5d6a7b8c")
TAG = -6154217331129056446


def test_a_term_never_changes() -> None:
    assert terms.term(ORG, "tag", "renewal") == TAG
    assert terms.term(UUID(int=1), "tag", "renewal") != TAG
    assert -(2**63) <= TAG < 2**63


def test_a_word_is_searched_from_its_beginning_and_from_those_inside() -> None:
    assert terms.named(ORG, "name", "(acme-corp)").word == " (acme-corp)\n acme corp"


def test_a_word_is_certain_once_its_transaction_is_committed() -> None:
    remembered = terms.Remembered()
    one, other = (terms.named(ORG, "name", word) for word in ("one", "other"))
    remembered.begin()
    assert remembered.unknown([one]) == [one]
    remembered.begin()  # the first one was rolled back
    assert remembered.unknown([one, other]) == [one, other]
    remembered.keep()
    remembered.begin()
    assert remembered.unknown([one, other]) == []


def test_a_group_names_only_what_it_has() -> None:
    assert terms.groups([Group([1]), Group(field="name", word="%a%")]) == '[{"terms":[1]},{"field":"name","word":"%a%"}]'
