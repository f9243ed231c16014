"""Lists and records of the directory: SQL text and parameters from typed conditions.

No value is part of a statement's text, except the LIMIT of a first page, which is an integer of ours.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import Any
from uuid import UUID

import msgspec

from domain import custom_field
from projections import questions, search
from projections.conditions import COMPARE, Condition, Order, SqlStatement, part

LIVE = "d.valid_to = 'infinity' AND NOT d.deleted"

# Field in a condition or an ordering → column and its type.
COLUMNS: dict[str, tuple[str, str]] = {
    "id": ("d.id", "uuid"),
    "name": ("d.name", "text"),
    "email": ("d.lookup", "text"),
    "role": ("d.role", "text"),
    "active": ("d.active", "boolean"),
    "account": ("d.parent_id", "uuid"),
    "user": ("d.parent_id", "uuid"),
    "type": ("(d.doc::jsonb ->> 'type')", "text"),
    "created_at": ("d.created_at", "timestamptz"),
    "updated_at": ("d.valid_from", "timestamptz"),
    "occurred_at": ("d.sort_at", "timestamptz"),
}
NULLABLE = frozenset({"email"})


@dataclass(frozen=True, slots=True)
class DirectoryListQuery:
    """A list of an org's records of one kind; with ``parent_id``, of those that belong to one other record."""

    org_id: UUID
    kind: str
    conditions: tuple[Condition, ...] = ()
    order: tuple[Order, ...] = (Order("created_at", True),)
    parent_id: UUID | None = None


def page(query: DirectoryListQuery, limit: int, offset: int = 0) -> SqlStatement:
    """A page: (records as JSON joined by commas or NULL, count of all)."""
    params: dict[str, Any] = {"org_id": query.org_id, "kind": query.kind}
    terms = ["d.org_id = %(org_id)s", "d.kind = %(kind)s", LIVE]
    if query.parent_id is not None:
        params["parent_id"] = query.parent_id
        terms.append("d.parent_id = %(parent_id)s")
    for n, condition in enumerate(query.conditions):
        terms.append(_term(condition, f"p{n}", params))
    where = " AND ".join(terms)
    order = _order_by(query.order)
    text = f"""
        SELECT string_agg(d.doc, ',' ORDER BY {order})::varchar, (SELECT count(*) FROM directory d WHERE {where})
        FROM (SELECT d.* FROM directory d WHERE {where} ORDER BY {order} {part(limit, offset, params)}) d
    """
    return SqlStatement(text, params, questions.DIRECTORY_LISTS.get(query.kind, questions.DIRECTORY))


def record(org_id: UUID, kind: str, id_: UUID) -> SqlStatement:
    """One live record: (version, JSON), or no row."""
    text = f"""
        SELECT d.version, d.doc::varchar FROM directory d
        WHERE d.org_id = %(org_id)s AND d.kind = %(kind)s AND d.id = %(id)s AND {LIVE}
    """
    return SqlStatement(text, {"org_id": org_id, "kind": kind, "id": id_}, questions.RECORD)


def settings(org_id: UUID, kind: str) -> SqlStatement:
    """The record of its kind that an org has only one of: (version, JSON), or no row."""
    text = f"""
        SELECT d.version, d.doc::varchar FROM directory d
        WHERE d.org_id = %(org_id)s AND d.kind = %(kind)s AND {LIVE}
    """
    return SqlStatement(text, {"org_id": org_id, "kind": kind}, questions.SETTINGS)


def cards(org_id: UUID, ids: list[UUID]) -> SqlStatement:
    """(id, embedded JSON) of the records with these ids, including deleted ones."""
    text = """
        SELECT d.id, d.card FROM directory d
        WHERE d.org_id = %(org_id)s AND d.id = ANY(%(ids)s::uuid[]) AND d.valid_to = 'infinity'
    """
    return SqlStatement(text, {"org_id": org_id, "ids": ids}, questions.CARDS)


def deal(org_id: UUID, id_: UUID) -> SqlStatement:
    """One row if the opportunity is live, else none."""
    text = """
        SELECT o.version FROM opportunities o
        WHERE o.org_id = %(org_id)s AND o.id = %(id)s AND o.valid_to = 'infinity' AND NOT o.deleted
    """
    return SqlStatement(text, {"org_id": org_id, "id": id_}, questions.RECORD)


def exchange_rate(stream_id: UUID, day: date) -> SqlStatement:
    """The rate quoted last for a day, JSON, in its one column; or no row."""
    text = """
        SELECT r.doc::varchar FROM exchange_rates r WHERE r.id = %(id)s AND r.valid_from = %(day)s
        ORDER BY r.version DESC LIMIT 1
    """
    return SqlStatement(text, {"id": stream_id, "day": day}, questions.RATES)


class _Definition(msgspec.Struct):
    key: str
    type: custom_field.Type
    filterable: bool = True


_definitions = msgspec.json.Decoder(list[_Definition])


def custom_types(document: bytes) -> dict[str, custom_field.Type | None]:
    """The types of the custom fields in their document, None for those that cannot be filtered by."""
    return {each.key: each.type if each.filterable else None for each in _definitions.decode(document)}


def _order_by(order: tuple[Order, ...]) -> str:
    parts = []
    for field, descending in (*order, Order("id", order[-1].descending)):
        nulls = " NULLS LAST" if field in NULLABLE else ""
        parts.append(f"{COLUMNS[field][0]} {'DESC' if descending else 'ASC'}{nulls}")
    return ", ".join(parts)


def _term(condition: Condition, name: str, params: dict[str, Any]) -> str:
    field, operator, values, _ = condition
    if field == "search":
        return search.words(values[0], name, params, lambda pattern: f"d.search LIKE {pattern}")
    column, type_ = COLUMNS[field]
    if operator == "icontains":
        params[name] = search.containing_name(values[0])
        return f"split_part(d.search, E'\\n', 1) LIKE %({name})s"
    if operator == "isnull":
        return f"{column} IS {'NULL' if values[0] else 'NOT NULL'}"
    if operator in COMPARE:
        params[name] = values[0]
        return f"{column} {COMPARE[operator]} %({name})s::{type_}"
    params[name] = list(values)
    return f"{column} = ANY(%({name})s::{type_}[])"
