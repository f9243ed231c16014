"""What deals are found by: tags, values of custom fields and text fields, the words of these and of names, and the account."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from functools import lru_cache
from operator import attrgetter
from typing import Any, cast
from uuid import UUID

from domain.fold import Change
from domain.opportunity.events import State
from domain.sql_cursor import SqlCursor
from domain.text import folded, nfc
from projections import terms
from projections.copies import Copies
from projections.opportunities import rows
from projections.opportunities.days import Days
from projections.opportunities.numbers import number_value
from projections.opportunities.ranges import Numbers
from projections.terms import Found, Word, term

DDL = f"""
CREATE TABLE opportunity_terms (
    id uuid PRIMARY KEY,
    org_id uuid NOT NULL,
    account_id uuid NOT NULL,
    created_at timestamptz NOT NULL,
    terms bigint[] NOT NULL,
    -- When the deal came to be found by these terms.
    since timestamptz NOT NULL
);
CREATE INDEX opportunity_terms_account ON opportunity_terms (account_id);
CREATE INDEX opportunity_terms_since ON opportunity_terms (org_id, since) WHERE since > created_at;
{terms.ddl("opportunity")}
"""
TABLES = ("opportunity_terms", "opportunity_words")

NAME = "name"
LONG = 100
MAX_WORDS = 40
"""A custom field's text of more words has the term ``unsplit`` instead."""


class Deal(Found):
    account_id: UUID
    since: datetime


def tag(org_id: UUID, value: str) -> int:
    return term(org_id, "tag", value)


def text_value(org_id: UUID, key: str, text: str) -> int:
    """Of a custom field with this text, or with the number that has this text."""
    return term(org_id, f"={key}", text)


def boolean_value(org_id: UUID, key: str, value: bool) -> int:
    return term(org_id, f"?{key}", str(value).lower())


def option(org_id: UUID, key: str, value: str) -> int:
    """Of a custom field with a list that has this text."""
    return term(org_id, f"[{key}", value)


def unsplit(org_id: UUID, key: str) -> int:
    """Of a custom field whose words have no terms: only the value itself tells whether it has a text in it."""
    return term(org_id, "unsplit", key)


def has(org_id: UUID, key: str) -> int:
    """Of a custom field or text field with any value."""
    return term(org_id, "has", key)


def text_key(field: str) -> str:
    """What stands for a text field in the place of a custom field's key, as none can be."""
    return f".{field}"


def field_of(key: str) -> str:
    """The field of the words of a custom field."""
    return f"cf_{key}"


def write(cursor: SqlCursor, batch: Sequence[Change]) -> None:
    found, words = _found(batch)
    terms.write(cursor, "opportunity_terms", found, ("account_id", "terms", "since"))
    terms.write_words(cursor, "opportunity_words", words)


def fill(copies: Copies, batch: Sequence[Change]) -> None:
    found, words = _found(batch)
    copies.latest("opportunity_terms", found)
    copies.words("opportunity_words", words)


def _found(batch: Sequence[Change]) -> tuple[dict[UUID, Found | None], list[Word]]:
    """The rows that change, by deal; and the words in them."""
    found: dict[UUID, Found | None] = {}
    words: list[Word] = []
    for _, before, after in batch:
        if not isinstance(after, State) or _is_found_as_before(cast("State | None", before), after):
            continue
        if after.deleted:
            found[after.id] = None
            continue
        numbers, new = _terms(after)
        found[after.id] = Deal(after.id, after.org_id, after.created_at, sorted(numbers), after.account_id, after.updated_at)
        words += new
    return found, words


def _is_found_as_before(before: State | None, after: State) -> bool:
    if before is None or before.deleted != after.deleted:
        return False
    return after.deleted or (
        before.name == after.name
        and before.account_id == after.account_id
        and before.tags == after.tags
        and before.custom_fields == after.custom_fields
        and _texts(before) == _texts(after)
    )


def _terms(state: State) -> tuple[set[int], list[Word]]:
    org_id = state.org_id
    words = [terms.named(org_id, NAME, word) for word in folded(state.name).split()]
    numbers = {word.term for word in words}
    numbers.update([tag(org_id, nfc(value)) for value in state.tags])
    values = [(nfc(key), value) for key, value in state.custom_fields.items()]
    values += [(text_key(name), value) for name, value in zip(rows.TEXTS, _texts(state), strict=True)]
    for key, value in values:
        if value is not None:
            found, new = _of_value(org_id, key, value)
            numbers.update(found, (has(org_id, key),))
            words += new
    return numbers, words


_text_of = attrgetter(*rows.TEXTS)


def _texts(state: State) -> tuple[str | None, ...]:
    found = _text_of(state)
    return found if len(rows.TEXTS) > 1 else (found,)


Terms = tuple[tuple[int, ...], tuple[Word, ...]]
"""The terms of a value, and the words that some of them stand for."""


def _of_value(org_id: UUID, key: str, value: Any) -> Terms:
    match value:
        case bool() | int() | float() | Decimal():
            return _of_scalar(org_id, key, value)
        case str():
            return _of_text(org_id, key, nfc(value)) if len(value) <= LONG else _split(org_id, key, nfc(value))
        case list():
            options = [option(org_id, key, nfc(item)) for item in value if isinstance(item, str)]
            return (unsplit(org_id, key), *options), ()
        case dict():
            return (unsplit(org_id, key),), ()
    return (), ()


@lru_cache(maxsize=5_000, typed=True)
def _of_scalar(org_id: UUID, key: str, value: bool | float | Decimal) -> Terms:
    if isinstance(value, bool):
        number = boolean_value(org_id, key, value)
        return (number,), (Word(org_id, field_of(key), str(value).lower(), number),)
    exact = Decimal(rows.encode(value).decode().strip('"'))
    text = format(exact or abs(exact), "f")  # as the database shows it
    number = text_value(org_id, key, text)
    found = (number_value(org_id, key, exact), number, *Numbers(org_id, key).terms(exact))
    return found, (Word(org_id, field_of(key), text, number),)


@lru_cache(maxsize=5_000)
def _of_text(org_id: UUID, key: str, text: str) -> Terms:
    return _split(org_id, key, text)


def _split(org_id: UUID, key: str, text: str) -> Terms:
    whole, split = text_value(org_id, key, text), set(folded(text).split())
    if split == {text}:  # the value is one word
        return (whole, *Days(org_id, key).terms(text)), (Word(org_id, field_of(key), text, whole),)
    if len(split) > MAX_WORDS:
        return (whole, unsplit(org_id, key)), ()
    words = tuple(Word(org_id, field_of(key), word, term(org_id, f"~{key}", word)) for word in split)
    return (whole, *(word.term for word in words)), words
