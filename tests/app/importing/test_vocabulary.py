"""What texts mean in an org; of a guess that could be several things there is none."""

from __future__ import annotations

import pytest
from msgspec import structs

from app.importing.vocabulary import Person
from tests.app.importing.reading import PEOPLE, VOCABULARY
from tests.support.domain import uuid


@pytest.mark.parametrize(
    ("text", "stage"),
    [("Proposal", "proposal"), ("Qualify", "qualification"), ("Closed Won", "won"), ("closedlost", "lost"),
     ("Negotiations", "negotiation"),
     ("Prospecting", None), ("Engaging", None), ("", None)],
)  # fmt: skip
def test_a_stage_is_guessed_only_where_it_is_likely(text: str, stage: str | None) -> None:
    assert VOCABULARY.likely_stage(text) == stage


@pytest.mark.parametrize("text", ["user3@example.com", "USER3@example.com", "li wei", str(PEOPLE[3].id)])
def test_a_person_is_an_email_an_id_or_a_name(text: str) -> None:
    assert VOCABULARY.person(text) == PEOPLE[3].id


def test_a_name_that_two_people_have_is_nobody_s() -> None:
    twice = structs.replace(VOCABULARY, people=[*PEOPLE, Person(uuid(999), "other@example.com", "Li Wei")])
    assert twice.person("Li Wei") is None
