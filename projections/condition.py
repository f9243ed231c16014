"""What is asked of a list, and the statement that answers it. Refuses text that comes from a request to become SQL."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

Operator = Literal["in", "gte", "lte", "gt", "lt", "isnull", "icontains", "all", "any"]
CustomType = Literal["text", "textarea", "number", "checkbox", "date", "dropdown", "multiselect"]


class Condition(NamedTuple):
    """``field`` is a name the read model knows, or ``cf_<key>`` with ``custom_type`` then saying how to compare.

    Equality is ``in`` with one value. ``isnull`` has one bool; ``gte``, ``lte``, ``gt``, ``lt``, ``icontains`` one value;
    ``all`` and ``any`` are for tags. Values are of the field's Python type: str, UUID, Decimal, int, date, datetime, bool.
    """

    field: str
    operator: Operator
    values: tuple[Any, ...]
    custom_type: CustomType | None = None


class Order(NamedTuple):
    field: str
    descending: bool


class Query(NamedTuple):
    """A statement and its named parameters."""

    text: str
    params: dict[str, Any]
