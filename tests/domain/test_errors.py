"""What a refusal says of itself."""

from __future__ import annotations

import pytest

from domain.errors import Conflict, Invalid, LostHistory


def test_an_invalid_command_is_told_by_its_fields_unless_there_is_a_better_sentence() -> None:
    errors = {"name": ("Must not be blank.",), "custom_fields.seats": ["Must be a number."]}
    refusal = Invalid(errors)
    assert refusal.errors == {"name": ["Must not be blank."], "custom_fields.seats": ["Must be a number."]}
    assert str(refusal) == refusal.detail == "Invalid: name, custom_fields.seats."
    assert Invalid(errors, "The body is empty.").detail == "The body is empty."


def test_a_conflict_has_a_code_and_what_it_says_to_programs() -> None:
    refusal = Conflict("in_use", "Three deals use it.", deals=3)
    assert (refusal.code, str(refusal), refusal.detail, refusal.extra) == (
        "in_use",
        "Three deals use it.",
        "Three deals use it.",
        {"deals": 3},
    )


@pytest.mark.parametrize("position", [8, None])
def test_a_lost_history_says_up_to_where_it_is_still_good(position: int | None) -> None:
    refusal = LostHistory("The log went back.", position)
    assert (refusal.code, str(refusal), refusal.extra) == ("lost_history", "The log went back.", {"last_good_position": position})
