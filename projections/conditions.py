"""Conditions of a list, and the SQL statements made from them. Text from a request never becomes SQL."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

from domain import custom_field
from projections.questions import OTHER, Question

Operator = Literal["in", "gte", "lte", "gt", "lt", "isnull", "icontains", "all", "any"]
COMPARE: Mapping[str, str] = {"gte": ">=", "lte": "<=", "gt": ">", "lt": "<"}
"""SQL of the operators that compare with one value."""


class Condition(NamedTuple):
    """``field`` is a name the read model knows, or ``cf_<key>``, for which ``custom_type`` says how to compare.

    Equality is ``in`` with one value. ``isnull`` has one bool; ``gte``, ``lte``, ``gt``, ``lt``, ``icontains`` one value; ``all``
    and ``any`` are for tags. Values have the field's Python type: str, UUID, Decimal, int, date, datetime, bool.
    """

    field: str
    operator: Operator
    values: tuple[Any, ...]
    custom_type: custom_field.Type | None = None


class Order(NamedTuple):
    field: str
    descending: bool


class SqlStatement(NamedTuple):
    """A statement and its named parameters; ``question`` says what is asked, and so what it may cost."""

    text: str
    params: dict[str, Any]
    question: Question = OTHER

    def renamed(self, prefix: str) -> SqlStatement:
        """With other names for its parameters, so that it can be part of another statement."""
        params = {f"{prefix}{name}": value for name, value in self.params.items()}
        return SqlStatement(self.text.replace("%(", f"%({prefix}"), params, self.question)


def part(limit: int, offset: int, params: dict[str, Any]) -> str:
    """SQL for a page of an ordered list.

    The first page has its limit in the text, because as a parameter it would make PostgreSQL plan again each time; later pages
    share one statement.
    """
    if not offset:
        return f"LIMIT {limit:d}"
    params.update(limit=limit, offset=offset)
    return "LIMIT %(limit)s::bigint OFFSET %(offset)s::bigint"
