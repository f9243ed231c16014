"""Lists and records of the directory: SQL text and parameters from typed conditions.

No value is part of a statement's text, except the LIMIT of a first page and the kind of the records, which are ours: so partial
indexes of a kind are found.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import Any, NamedTuple
from uuid import UUID

import msgspec

from domain import custom_field
from projections import questions, search, sources, terms
from projections.conditions import COMPARE, Condition, Order, SqlStatement, part
from projections.directory import terms as terms_of
from projections.directory.terms import KINDS
from projections.kept import Total
from projections.questions import Question
from projections.terms import Group

LIVE = "d.valid_to = 'infinity' AND NOT d.deleted"

# Field in a condition or an ordering → column and its type.
COLUMNS: dict[str, tuple[str, str]] = {
    "id": ("d.id", "uuid"),
    "name": ("d.name", "text"),
    "last_name": ("d.last_name", "text"),
    "email": ("d.lookup", "text"),
    "role": ("d.role", "text"),
    "active": ("d.active", "boolean"),
    "account": ("d.parent_id", "uuid"),
    "user": ("d.parent_id", "uuid"),
    "external_id": ("d.external_id", "text"),
    "type": ("(d.doc::jsonb ->> 'type')", "text"),
    "created_at": ("d.created_at", "timestamptz"),
    "updated_at": ("d.valid_from", "timestamptz"),
    "occurred_at": ("d.sort_at", "timestamptz"),
}
NULLABLE = frozenset({"email"})
BACKWARDS = (Order("email", True),)
"""The index on addresses has those without one at its end; so it cannot simply be read backwards."""
TABLE = sources.Table("directory", "d")


@dataclass(frozen=True, slots=True)
class DirectoryListQuery:
    """A list of an org's records of one kind; with ``parent_id``, of those that belong to one other record."""

    org_id: UUID
    kind: str
    conditions: tuple[Condition, ...] = ()
    order: tuple[Order, ...] = (Order("created_at", True),)
    parent_id: UUID | None = None


class _Filters(NamedTuple):
    """The conditions of a list: ``ordered`` those that an index in its order may check, ``others`` the rest, and what terms do not
    settle of these."""

    ordered: list[str]
    others: list[str]
    remaining: list[str]
    params: dict[str, Any]


def _filters(query: DirectoryListQuery) -> _Filters:
    found = _Filters([f"d.org_id = %(org_id)s AND d.kind = '{query.kind}' AND {LIVE}"], [], [], {"org_id": query.org_id})
    if query.parent_id is not None:
        found.params["parent_id"] = query.parent_id
        found.ordered.append("d.parent_id = %(parent_id)s")
    for n, condition in enumerate(query.conditions):
        text = _term(query.kind, condition, f"p{n}", found.params)
        (found.others if condition.field in ("search", "import") or condition.operator == "icontains" else found.ordered).append(
            text
        )
        if condition.operator == "icontains":
            found.remaining.append(text)
    return found


def _groups(query: DirectoryListQuery) -> list[Group]:
    if _by_external_id(query):
        return []
    return [group for condition in query.conditions for group in _groups_of(query.kind, condition)]


def is_counted(query: DirectoryListQuery) -> bool:
    """Whether there is no counter for the list, which may be of many records."""
    return query.kind in KINDS and bool(query.conditions or query.parent_id)


def meets(query: DirectoryListQuery) -> SqlStatement:
    """The condition of a list on records ``d`` of its kind, of which the caller knows that they are live."""
    filters = _filters(query)
    return SqlStatement(" AND ".join(["d.org_id = %(org_id)s", *filters.ordered[1:], *filters.others]), filters.params)


def count(query: DirectoryListQuery) -> SqlStatement:
    """The exact number of records on the list."""
    if query.kind in KINDS and not is_counted(query):
        total = "SELECT coalesce(sum(c.n), 0)::bigint FROM directory_counts c WHERE c.org_id = %(org_id)s AND c.kind"
        return SqlStatement(f"{total} = '{query.kind}'", {"org_id": query.org_id})
    filters, groups = _filters(query), _groups(query)
    if groups and len(filters.ordered) == 1 and not filters.remaining:
        return SqlStatement(
            f"SELECT count_directory_with_terms('{query.kind}', %(groups)s::jsonb)", {"groups": terms.groups(groups)}
        )
    where = " AND ".join([*filters.ordered, *filters.others])
    return SqlStatement(f"SELECT count(*) FROM directory d WHERE {where}", filters.params)


def whole(query: DirectoryListQuery, shown: str) -> SqlStatement:
    """A column of all records on the list, in its order."""
    found = unordered(query, shown)
    return SqlStatement(f"{found.text} ORDER BY {order_by(query)}", found.params)


def unordered(query: DirectoryListQuery, shown: str) -> SqlStatement:
    """As ``whole``, in any order."""
    filters = _filters(query)
    where = " AND ".join([*filters.ordered, *filters.others])
    return SqlStatement(f"SELECT {shown} FROM directory d WHERE {where}", filters.params)


def page(
    query: DirectoryListQuery, limit: int, offset: int = 0, *, total: Total | None = None, found: SqlStatement | None = None
) -> SqlStatement:
    """A page: (records as JSON joined by commas or NULL, count of all). Its records are ``found`` already if that is given."""
    if total is None:
        counting = count(query)
        total = Total("", f"({counting.text})", counting.params)
    found = found or _source(query, limit, offset)
    records = f"string_agg(d.doc, ',' ORDER BY {order_by(query)})::varchar"
    text = f"{total.tables} SELECT {total.first}{records}, {total.counted} FROM {found.text} d"
    return SqlStatement(text, found.params | total.params, _question(query))


def _source(query: DirectoryListQuery, limit: int, offset: int) -> SqlStatement:
    """The records of a page, as a table expression to be named ``d``."""
    ordered, others, remaining, params = _filters(query)
    where = " AND ".join([*ordered, *others])
    order = order_by(query)
    shown = part(limit, offset, params)
    asked = "%(limit)s::bigint" if offset else f"{limit:d}"
    source = f"(SELECT d.* FROM directory d WHERE {where} ORDER BY {order} {shown})"
    if _by_external_id(query):
        # Without statistics, the planner would look for them in the list's order.
        few = f"SELECT d.* FROM directory d WHERE {' AND '.join(ordered)} OFFSET 0"
        source = f"(SELECT d.* FROM ({few}) d WHERE {where} ORDER BY {order} {shown})"
    elif query.order == BACKWARDS:
        source = _backwards(where, order, shown, f"{asked} + %(offset)s::bigint" if offset else asked)
    if groups := _groups(query):
        params["groups"] = terms.groups(groups)
        candidates = f"SELECT t.id FROM directory_with_terms('{query.kind}', %(groups)s::jsonb, NULL, true) t (id)"
        found = sources.joined(TABLE, candidates, " AND ".join([*ordered, *remaining]))
        parts = sources.Parts(" AND ".join(ordered), " AND ".join(others), found)
        far = sources.walked(limit)
        walk = f"(SELECT d.* FROM directory d WHERE {parts.ordered} ORDER BY {order} LIMIT {far})"
        source = sources.page(TABLE, parts, walk, far, order, shown, asked)
    if offset:
        source = sources.current(TABLE, f"SELECT k.id FROM {source} k")
    return SqlStatement(source, params)


def _backwards(condition: str, order: str, shown: str, through: str) -> str:
    """The contacts of a page from the end of the index on addresses, which those without one come from on their own."""
    along = order.replace("NULLS LAST", "NULLS FIRST", 1)
    halves = [
        f"(SELECT d.* FROM directory d WHERE {condition} AND d.lookup IS {half} ORDER BY {along} LIMIT {through})"
        for half in ("NOT NULL", "NULL")
    ]
    return f"(SELECT d.* FROM ({' UNION ALL '.join(halves)}) d ORDER BY {order} {shown})"


def _question(query: DirectoryListQuery) -> Question:
    """A list without filters is counted, and read in the order of an index."""
    if query.kind in KINDS and (not query.conditions or _by_external_id(query)):
        return questions.DIRECTORY
    return questions.DIRECTORY_LISTS.get(query.kind, questions.DIRECTORY)


def _by_external_id(query: DirectoryListQuery) -> bool:
    """Whether a list is of the few records with these external ids."""
    return any((one.field, one.operator) == ("external_id", "in") for one in query.conditions)


def _groups_of(kind: str, condition: Condition) -> list[Group]:
    """The groups of terms of all records that meet a condition, if terms know anything of it."""
    if kind not in KINDS:
        return []
    if condition.field == "search":
        return [Group(field=terms_of.field(kind, word), word=search.pattern(word)) for word in search.words_of(condition.values[0])]
    if condition.operator == "icontains":
        words = search.words_of(condition.values[0])
        return [Group(field=terms_of.field(kind, word), word=f"%{search.like(word)}%") for word in words]
    return []


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


def column_of(kind: str, field: str) -> tuple[str, str]:
    """The column of a field and its type. Activities alone are sorted by another instant than that of their creation."""
    return COLUMNS["occurred_at"] if field == "created_at" and kind != "activity" else COLUMNS[field]


def order_by(query: DirectoryListQuery) -> str:
    parts = []
    for field, descending in (*query.order, Order("id", query.order[-1].descending)):
        nulls = " NULLS LAST" if field in NULLABLE else ""
        parts.append(f"{column_of(query.kind, field)[0]} {'DESC' if descending else 'ASC'}{nulls}")
    return ", ".join(parts)


def _term(kind: str, condition: Condition, name: str, params: dict[str, Any]) -> str:
    field, operator, values, _ = condition
    if field == "search":
        return search.words(values[0], name, params, lambda pattern: f"d.search LIKE {pattern}")
    if field == "import":
        params[name] = list(values)
        imported = "SELECT r.id FROM import_records r WHERE r.org_id = %(org_id)s AND r.import_id"
        return f"d.id IN ({imported} = ANY(%({name})s::uuid[]))"
    column, type_ = column_of(kind, field)
    if operator == "icontains":
        params[name] = search.containing_name(values[0])
        return f"split_part(d.search, E'\\n', 1) LIKE %({name})s"
    if operator == "isnull":
        return f"{column} IS {'NULL' if values[0] else 'NOT NULL'}"
    if operator in COMPARE:
        params[name] = values[0]
        return f"{column} {COMPARE[operator]} %({name})s::{type_}"
    if len(values) == 1:
        params[name] = values[0]
        return f"{column} = %({name})s::{type_}"
    params[name] = list(values)
    return f"{column} = ANY(%({name})s::{type_}[])"
