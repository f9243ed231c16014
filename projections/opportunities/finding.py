"""Which conditions on deals an index of terms can answer, and with which groups of terms."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import NamedTuple
from uuid import UUID

from msgspec import structs

from domain.text import folded
from projections import search
from projections.conditions import Condition
from projections.opportunities import terms
from projections.opportunities.days import Days
from projections.opportunities.numbers import number_value
from projections.opportunities.ranges import Numbers
from projections.opportunities.rows import TEXTS
from projections.terms import Group


class Found(NamedTuple):
    """The groups of terms of all deals that meet a condition; if ``exactly``, of no others.

    If not, some may be ``certain``: those of the first group do, and none of them is of the second one, whose may.
    """

    groups: list[Group]
    exactly: bool = True
    certain: tuple[Group, Group] | None = None


def by_terms(condition: Condition, org_id: UUID) -> Found | None:
    """None for a condition that terms know nothing of."""
    field, operator, values, custom_type = condition
    if custom_type is not None:
        return _by_value(org_id, field.removeprefix("cf_"), condition)
    if field in TEXTS:
        return _by_value(org_id, terms.text_key(field), condition)
    if field == "tags":
        tags = [terms.tag(org_id, value) for value in values]
        return Found([Group([each]) for each in tags] if operator == "all" else [Group(tags)])
    if field == "search":
        if not (patterns := search.patterns(values[0])):
            return None
        return Found([Group(field=terms.NAME, word=pattern, account=pattern) for pattern in patterns])
    return None


def _by_value(org_id: UUID, key: str, condition: Condition) -> Found | None:
    match condition.operator:
        case "icontains":
            return _containing(org_id, key, condition.values[0])
        case "in":
            return _of_value(org_id, key, condition)
        case "gte" | "gt" | "lte" | "lt" if condition.custom_type == "number":
            return _beyond(Numbers(org_id, key), condition)
        case "gte" | "gt" | "lte" | "lt" if condition.custom_type == "date":
            return Found([Group(Days(org_id, key).beyond(condition.values[0], **_side(condition)))])
        case "isnull" if not condition.values[0]:
            return Found([Group([terms.has(org_id, key)])])
    return None


def _containing(org_id: UUID, key: str, phrase: str) -> Found | None:
    """A text with the phrase in it has words with the phrase's in them, but not the other way round."""
    words = dict.fromkeys(folded(phrase).split())
    if not words:
        return None
    unsplit = Group([terms.unsplit(org_id, key)])
    split = [Group(field=terms.field_of(key), word=f"%{search.like(word)}%") for word in words]
    # A single word is in the text if it is in one of its words; of a text that is not split, there are none.
    certain = (split[0], unsplit) if [folded(phrase)] == list(words) else None
    return Found([structs.replace(group, terms=unsplit.terms) for group in split], exactly=False, certain=certain)


def _beyond(numbers: Numbers, condition: Condition) -> Found:
    certain, doubtful = numbers.beyond(Decimal(condition.values[0]), **_side(condition))
    if not doubtful:
        return Found([Group(certain)])
    return Found([Group([*certain, *doubtful])], exactly=False, certain=(Group(certain), Group(doubtful)))


def _side(condition: Condition) -> dict[str, bool]:
    """Which values are beyond a bound."""
    return {"above": condition.operator in ("gte", "gt"), "inclusive": condition.operator in ("gte", "lte")}


def _of_value(org_id: UUID, key: str, condition: Condition) -> Found | None:
    values = condition.values
    match condition.custom_type:
        case "number":
            return Found([Group([number_value(org_id, key, Decimal(value)) for value in values])])
        case "checkbox":
            return Found([Group([terms.boolean_value(org_id, key, value) for value in values])])
        case "multiselect":
            return Found([Group([terms.option(org_id, key, value) for value in values])])
        case "date":
            values = tuple(value.isoformat() if isinstance(value, date) else value for value in values)
            return Found([Group([terms.text_value(org_id, key, value) for value in values])])
    if condition.field not in TEXTS and any(
        value.startswith(("[", "{")) for value in values
    ):  # a list or an object in its form as text
        return None
    alternatives = [terms.text_value(org_id, key, value) for value in values]
    alternatives += [terms.boolean_value(org_id, key, value == "true") for value in values if value in ("true", "false")]
    return Found([Group(alternatives)])
