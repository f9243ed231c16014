"""Rules of the values that records share."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime
from typing import Annotated, Any

import msgspec
import pytest
from msgspec import Meta, UnsetType, json, structs

from app.http.body_errors import bare
from domain import account, activity, contact, opportunity, user
from domain.catalog import AGGREGATES
from domain.event import Command
from domain.exchange_rate import Rate
from domain.fields import (
    MAX_EMAIL,
    Percent,
    checks,
    date_error,
    email_error,
    instant_error,
    key_error,
    limit_errors,
    line_error,
    one_line,
    tags_error,
    text,
    text_error,
)
from domain.money import Currency
from domain.text import LINE_PATTERN, normalised
from tests.support.domain import is_sentence


@pytest.mark.parametrize("text", ["", "  ", "\u200b", "x" * 10_001, "a\0b"])
def test_what_is_no_text_is_explained(text: str) -> None:
    assert is_sentence(text_error(text))


def test_a_text_that_cannot_be_seen_is_told_from_one_that_is_not_there() -> None:
    assert text_error("\u200b") != text_error(" ") == text_error("")


@pytest.mark.parametrize("text", ["x" * 256, "a\nb", "a\tb", "a\u2028b", "a\u202eb", "\u2066a", "a\x7f", "\u200b\ufeff", "\u3164"])
def test_what_is_no_line_is_explained(text: str) -> None:
    assert is_sentence(line_error(text))


@pytest.mark.parametrize("text", ["שלום\u200f עולם", "👩‍👩‍👧", "日本", "a\u00adb", "a\u00a0b", "½", None])
def test_a_line_has_any_other_character(text: str | None) -> None:
    assert line_error(text) is None


def test_a_text_is_anything_else() -> None:
    assert text_error("one\ntwo\u202e") is None
    assert text_error("Acme — Annual 2026 ✓") is None
    assert text_error(None) is None
    assert text_error("", blank=True) is None


def test_tags_are_few_short_and_without_commas() -> None:
    assert tags_error(["a", "new business"]) is None
    assert tags_error(["x"] * 51)
    assert "comma" in (tags_error(["a,b"]) or "")


def test_an_email_may_be_of_a_company_that_is_an_example() -> None:
    assert email_error("rep@yours.example") is None
    assert email_error("rep@yours.test") is None
    for wrong in ("rep", "rep@", "@yours.com", "a b@yours.com"):
        assert is_sentence(email_error(wrong))


def test_an_email_has_254_characters_at_most() -> None:
    longest = f"a@{'.'.join(['b' * 62] * 3)}.{'c' * 58}.example"[:MAX_EMAIL]
    assert email_error(longest) is None
    assert is_sentence(email_error(f"a{longest}"))


def test_a_year_is_no_slip_of_the_pen() -> None:
    for day in (date(1900, 1, 1), date(2026, 6, 30), date(2199, 12, 31), None):
        assert date_error(day) is None
    for day in (date(206, 6, 30), date(1899, 12, 31), date(2200, 1, 1)):
        assert "from 1900 to 2199" in (date_error(day) or "")


def test_a_time_has_a_zone() -> None:
    assert instant_error(datetime(2026, 6, 30, tzinfo=UTC)) is None
    assert is_sentence(instant_error(datetime(2026, 6, 30)))  # noqa: DTZ001
    assert instant_error(datetime.max.replace(tzinfo=UTC))


def test_a_key_is_lower_case() -> None:
    assert key_error("proposal_2") is None
    for key in ("", "2nd", "Proposal", "a-b", "é", "a" * 65, "a\n"):
        assert is_sentence(key_error(key))


def test_space_around_texts_goes() -> None:
    assert normalised({"name": " a ", "number": 5, "none": None}) == {"name": "a", "number": 5, "none": None}


def test_every_text_of_a_command_has_a_limit_or_names_what_is_there() -> None:
    """Of what comes in a body; the others are judged by what they are to be the key of, and what only the product sets."""
    by_lookup = {
        "Create.stage", "Update.stage", "Replace.stage", "ChangeStage.stage", "Create.url", "Update.url", "Disable.url",
        "Update.field", "Delete.key", "Issue.hash", "Issue.prefix",
    }  # fmt: skip
    commands = [one for aggregate in AGGREGATES.values() for one in vars(aggregate.module).values() if is_command(one)]
    texts = {
        f"{command.__name__}.{field.name}"
        for command in commands
        for field in structs.fields(command)
        if str in bare(field.type) and field.name not in checks(command)
    }
    assert texts == by_lookup


def is_command(one: object) -> bool:
    return isinstance(one, type) and issubclass(one, Command) and one is not Command


@pytest.mark.parametrize("command", [account.Create, activity.Log, contact.Create, opportunity.Create, user.Update])
def test_the_limit_of_a_type_is_held_as_its_schema_says_it(command: type[Command]) -> None:
    (_, components) = json.schema_components([command])
    properties = components[command.__name__]["properties"]
    for name, check in checks(command).items():
        options = properties[name].get("anyOf", [properties[name]])
        longest = next((option["maxLength"] for option in options if "maxLength" in option), None)
        if longest is not None and name not in ("email", "owner_email"):
            assert check("x" * longest) is None
            assert is_sentence(check("x" * (longest + 1)))
            assert (check("") is None) is all("minLength" not in option for option in options)
        assert check(None) is None


LINE = {"minLength": 1, "pattern": LINE_PATTERN}


@pytest.mark.parametrize(
    ("make", "good", "bad", "schema"),
    [
        (lambda: one_line(5), "abcde", "abcdef", {**LINE, "maxLength": 5}),
        (one_line, "a" * 255, "a" * 256, {**LINE, "maxLength": 255}),
        (one_line, "a", "a\nb", {**LINE, "maxLength": 255}),
        (lambda: text(5), "a\nbcd", "abcdef", {"minLength": 1, "maxLength": 5, "pattern": r"\S"}),
        (text, "a" * 10_000, " ", {"minLength": 1, "maxLength": 10_000, "pattern": r"\S"}),
        (lambda: text(5, blank=True), " ", "abcdef", {"maxLength": 5}),
    ],
)
def test_a_limit_is_enforced_and_described_wherever_it_stands_in_a_type(
    make: Callable[[], Meta], good: str, bad: str, schema: dict[str, Any]
) -> None:
    """Made here and not where the module is loaded, so that a changed one is noticed."""
    assert limit_errors({"a": bad}, msgspec.defstruct("Bare", [("a", Annotated[str, make()])])).keys() == {"a"}
    limited = Annotated[str, Meta(description="A text."), make()]
    (_, components) = json.schema_components([msgspec.defstruct("Limited", [("a", limited)])])
    assert components["Limited"]["properties"]["a"] == {"type": "string", "description": "A text.", **schema}
    for type_ in (limited, limited | None, int | limited | UnsetType | None):
        struct = msgspec.defstruct("Limited", [("a", type_), ("b", int)])
        assert limit_errors({"a": good, "b": 1, "c": "x"}, struct) == limit_errors({"a": None}, struct) == {}
        ((name, (message,)),) = limit_errors({"a": bad, "b": 1}, struct).items()
        assert name == "a"
        assert is_sentence(message)


def test_a_type_without_a_limit_takes_anything_of_it() -> None:
    described = Annotated[str, Meta(description="A text.")]
    for type_ in (str, described, described | None, str | int | None):
        assert limit_errors({"a": "x" * 100_000}, msgspec.defstruct("Free", [("a", type_)])) == {}


@pytest.mark.parametrize(
    ("type_", "schema"),
    [
        (Percent, {"type": "integer", "minimum": 0, "maximum": 100}),
        (Currency, {"type": "string", "pattern": "^[A-Za-z]{3}$"}),
        (Rate, {"exclusiveMinimum": 0}),
    ],
)
def test_the_schema_of_a_number_or_code_names_its_bounds(type_: Any, schema: dict[str, Any]) -> None:
    assert json.schema(type_).items() >= schema.items()
