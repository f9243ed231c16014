"""Cursors: where a walk through a list goes on, as the ordering and the sort keys of the last record, in one opaque text.

Refuses another ordering, and values that are not of their columns' types. A cursor contains no secret and grants nothing: the org
is a condition of its own.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import msgspec

from projections.conditions import Order
from projections.opportunities import amounts
from projections.opportunities.conditions import COLUMNS


class InvalidCursor(ValueError):
    """The text is not a cursor of this list and ordering."""


_NUMBER = re.compile(r"-?\d{1,40}(\.\d{1,40})?", re.ASCII)
_WHOLE = re.compile(r"-?\d{1,9}", re.ASCII)
MAX_TEXT = 1_000

_values = msgspec.json.Decoder(list[str | None])


def encode(keys: str, order: Sequence[Order]) -> str:
    """The cursor for a page's last keys, as ``cursor_page`` returns them, in an ordering."""
    return base64.urlsafe_b64encode(f"{_named(order)}{keys}".encode()).decode().rstrip("=")


def decode(cursor: str, order: Sequence[Order]) -> list[Any]:
    """The keys of a cursor, each checked for its column's type and range. Raises ``InvalidCursor``."""
    try:
        text = base64.b64decode(cursor + "=" * (-len(cursor) % 4), b"-_", validate=True).decode()
    except ValueError as error:
        raise InvalidCursor("Not a cursor of this list: start again with an empty one.") from error
    name, bracket, values = text.partition("[")
    if name != _named(order):
        raise InvalidCursor("This cursor is of another ordering, or an older version: start again with an empty one.")
    try:
        given = _values.decode(bracket + values)
        return [_typed(key.field, value) for key, value in zip(order, given, strict=True)]
    except (ValueError, ArithmeticError, msgspec.DecodeError) as error:
        raise InvalidCursor("Not a cursor of this list: start again with an empty one.") from error


def _named(order: Sequence[Order]) -> str:
    """In the form of the ``ordering`` parameter."""
    return ",".join(f"{'-' if descending else ''}{field}" for field, descending in order)


def _typed(field: str, value: str | None) -> Any:
    if value is None:
        if not COLUMNS[field].nullable:
            raise ValueError(field)
        return None
    match COLUMNS[field].type:
        case "uuid":
            return UUID(value)
        case "numeric":
            return Decimal(_matched(_NUMBER, value))
        case "int":
            return int(_matched(_WHOLE, value))
        case "date":
            return date.fromisoformat(value)
        case "timestamptz":
            instant = datetime.fromisoformat(value)
            if instant.tzinfo is None:
                raise ValueError(value)
            return instant.astimezone(UTC)
    if "\0" in value or len(value) > MAX_TEXT:
        raise ValueError(field)
    return value


def _matched(pattern: re.Pattern[str], text: str) -> str:
    if not pattern.fullmatch(text):
        raise ValueError(text)
    return text


def within(key: Order, value: Any) -> str | None:
    """SQL for where the first key of the rows after the cursor may be, as far as they have one; None if ``after`` says it. Its
    parameter is that of ``after``."""
    column = COLUMNS[key.field]
    if not column.nullable:
        return None
    if value is None:
        return "false"
    return f"{column.key or column.sql} {'<=' if key.descending else '>='} %(k0)s::{'bigint' if column.key else column.type}"


def after(keys: Sequence[Order], values: Sequence[Any], params: dict[str, Any]) -> str:
    """SQL for the rows after the cursor: a row comparison if the ordering allows, which an index can follow, else by cases."""
    for n, (key, value) in enumerate(zip(keys, values, strict=True)):
        params[f"k{n}"] = amounts.key(value) if COLUMNS[key.field].key and value is not None else value
    if len({key.descending for key in keys}) == 1 and not any(COLUMNS[key.field].nullable for key in keys):
        columns = ", ".join(COLUMNS[key.field].sql for key in keys)
        marks = ", ".join(f"%(k{n})s" for n in range(len(keys)))
        return f"({columns}) {'<' if keys[0].descending else '>'} ({marks})"
    cases: list[str] = []
    equal: list[str] = []
    for n, (key, value) in enumerate(zip(keys, values, strict=True)):
        (column, type_, nullable, whole), sign = COLUMNS[key.field], "<" if key.descending else ">"
        if whole is not None:
            column, type_ = whole, "bigint"
        if value is None:  # nulls come last: only the next key can be beyond them
            equal.append(f"{column} IS NULL")
            continue
        beyond = f"{column} {sign} %(k{n})s::{type_}"
        if nullable:
            beyond = f"({beyond} OR {column} IS NULL)"
        cases.append(" AND ".join([*equal, beyond]))
        equal.append(f"{column} = %(k{n})s::{type_}")
    return "(" + " OR ".join(f"({case})" for case in cases) + ")"
