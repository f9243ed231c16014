"""Where a walk through a list goes on: the sort keys of the last record seen, as one opaque text.

Refuses a text that does not fit the ordering. Nothing secret is in it and it opens nothing: the org is a condition of its own.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import msgspec

from projections.condition import Order
from projections.opportunity_terms import ARRAY_TYPES, COLUMNS, NULLABLE


class InvalidCursor(ValueError):
    """The text is no cursor of this list and ordering."""


def encode(keys: str) -> str:
    """The cursor for a page's last keys, as ``cursor_page`` returns them."""
    return base64.urlsafe_b64encode(keys.encode()).decode().rstrip("=")


def decode(cursor: str, keys: Sequence[Order]) -> list[Any]:
    try:
        values = msgspec.json.decode(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)), type=list[str | None])
    except (ValueError, binascii.Error, msgspec.DecodeError) as error:
        raise InvalidCursor("Not a cursor of this list.") from error
    if len(values) != len(keys):
        raise InvalidCursor("This cursor belongs to another ordering.")
    try:
        return [_typed(key.field, value) for key, value in zip(keys, values, strict=True)]
    except (ValueError, ArithmeticError) as error:
        raise InvalidCursor("This cursor belongs to another ordering.") from error


def _typed(field: str, value: str | None) -> Any:
    if value is None:
        if field not in NULLABLE:
            raise ValueError(field)
        return None
    match "uuid" if field == "id" else ARRAY_TYPES[field]:
        case "uuid":
            return UUID(value)
        case "numeric":
            number = Decimal(value)
            if not number.is_finite():
                raise ValueError(value)
            return number
        case "int":
            return int(value)
        case "date":
            return date.fromisoformat(value)
        case "timestamptz":
            return datetime.fromisoformat(value).astimezone(UTC)
    if "\0" in value:
        raise ValueError(value)
    return value


def after(keys: Sequence[Order], values: Sequence[Any], params: dict[str, Any]) -> str:
    """The rows beyond the cursor: a row comparison where the ordering allows, which an index can follow, else by cases."""
    for n, value in enumerate(values):
        params[f"k{n}"] = value
    if len({key.descending for key in keys}) == 1 and not any(key.field in NULLABLE for key in keys):
        columns = ", ".join(COLUMNS[key.field] for key in keys)
        marks = ", ".join(f"%(k{n})s" for n in range(len(keys)))
        return f"({columns}) {'<' if keys[0].descending else '>'} ({marks})"
    cases: list[str] = []
    equal: list[str] = []
    for n, (key, value) in enumerate(zip(keys, values, strict=True)):
        column, sign = COLUMNS[key.field], "<" if key.descending else ">"
        type_ = "uuid" if key.field == "id" else ARRAY_TYPES[key.field]
        if value is None:  # nulls come last: nothing is beyond them but by the next key
            equal.append(f"{column} IS NULL")
            continue
        beyond = f"{column} {sign} %(k{n})s::{type_}"
        if key.field in NULLABLE:
            beyond = f"({beyond} OR {column} IS NULL)"
        cases.append(" AND ".join([*equal, beyond]))
        equal.append(f"{column} = %(k{n})s::{type_}")
    return "(" + " OR ".join(f"({case})" for case in cases) + ")"
