"""Lists and records of opportunities: SQL text and parameters from typed conditions.

Refuses a value in the text of a statement, except LIMIT and OFFSET, which are integers of ours: bound as parameters they would
make PostgreSQL plan anew for ever. The text depends on the form of the query alone, so it stays prepared.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any, NamedTuple
from uuid import UUID

import msgspec

from projections.condition import Condition
from projections.opportunities import ANY_DATE, AS_OF, LIVE, NOBODY

MAX_ACTIVITIES = 50

# Field in a condition or an ordering → column; those that may be null.
COLUMNS = {
    "id": "o.id",
    "name": "o.name",
    "stage": "o.stage",
    "status": "o.status",
    "owner": "o.owner_id",
    "account": "o.account_id",
    "currency": "o.currency",
    "amount": "o.amount",
    "probability": "o.probability",
    "close_date": "o.close_date",
    "actual_close_date": "o.actual_close_date",
    "actual_amount": "o.actual_amount",
    "created_at": "o.created_at",
    "updated_at": "o.valid_from",
}
NULLABLE = frozenset({"amount", "close_date", "actual_close_date", "actual_amount"})
ORDERINGS = frozenset(COLUMNS) - {"id", "owner", "account"}
ARRAY_TYPES = {
    "name": "text",
    "stage": "text",
    "status": "text",
    "currency": "text",
    "owner": "uuid",
    "account": "uuid",
    "amount": "numeric",
    "actual_amount": "numeric",
    "probability": "int",
    "close_date": "date",
    "actual_close_date": "date",
    "created_at": "timestamptz",
    "updated_at": "timestamptz",
}
_COMPARE = {"gte": ">=", "lte": "<=", "gt": ">", "lt": "<"}
# What the counters know.
_COUNTED = frozenset({"stage", "status", "owner", "close_date"})


class Order(NamedTuple):
    field: str
    descending: bool


DEFAULT_ORDER = (Order("created_at", True),)


class Query(NamedTuple):
    text: str
    params: dict[str, Any]


class InvalidCursor(ValueError):
    """The text is no cursor of this list and ordering."""


@dataclass(frozen=True, slots=True)
class List:
    """What is asked of the list: an org's deals that meet every condition, as of an instant if given."""

    org_id: UUID
    conditions: tuple[Condition, ...] = ()
    order: tuple[Order, ...] = DEFAULT_ORDER
    as_of: datetime | None = None

    @property
    def keys(self) -> tuple[Order, ...]:
        """The ordering with the id as its last, unique key."""
        return (*self.order, Order("id", self.order[-1].descending if self.order else True))


def _card(column: str, kind_alias: str, as_of: datetime | None) -> str:
    """The embedded form of the record a column names, as it stands, or stood at the instant."""
    if as_of is None:
        return f"(SELECT d.card FROM directory d WHERE d.id = {column} AND d.valid_to = 'infinity')"
    return (
        f"(SELECT d.card FROM directory d WHERE d.id = {column} ORDER BY d.valid_from <= %(as_of)s DESC,"
        " CASE WHEN d.valid_from <= %(as_of)s THEN d.version ELSE -d.version END DESC LIMIT 1)"
    )


def _stakeholders(shown: str, as_of: datetime | None) -> str:
    if as_of is None:
        found = "d.valid_to = 'infinity' AND NOT d.deleted"
    else:
        found = "d.valid_from <= %(as_of)s AND d.valid_to > %(as_of)s AND NOT d.deleted"
    return (
        "CASE WHEN o.stakeholder_ids = '{}' THEN '' ELSE coalesce((SELECT string_agg(d." + shown + ", ',' ORDER BY s.n)"
        f" FROM unnest(o.stakeholder_ids) WITH ORDINALITY AS s (id, n) JOIN directory d ON d.id = s.id AND {found}), '') END"
    )


def _item(shown: str, as_of: datetime | None) -> str:
    """A list item without its closing brace."""
    return (
        f"o.head || {_card('o.account_id', 'a', as_of)} || o.middle || {_card('o.owner_id', 'u', as_of)}"
        f" || ',\"stakeholders\":[' || {_stakeholders(shown, as_of)} || ']' || o.tail"
    )


def _record(as_of: datetime | None) -> str:
    if as_of is None:
        valid = "d.valid_to = 'infinity' AND NOT d.deleted"
    else:
        valid = "d.valid_from <= %(as_of)s AND d.valid_to > %(as_of)s AND NOT d.deleted"
    return f"""
        {_item("doc", as_of)} || ',"activities":[' || coalesce((
            SELECT string_agg(x.doc, ',' ORDER BY x.sort_at DESC, x.id DESC) FROM (
                SELECT d.doc, d.sort_at, d.id FROM directory d
                WHERE d.org_id = o.org_id AND d.kind = 'activity' AND d.parent_id = o.id AND {valid}
                ORDER BY d.sort_at DESC, d.id DESC LIMIT {MAX_ACTIVITIES}
            ) x), '') || '],"activities_url":"/api/opportunities/' || o.id || '/activities/"'
        || ',"custom_field_definitions":' || coalesce((
            SELECT d.doc FROM directory d WHERE d.org_id = o.org_id AND d.kind = 'custom_field' AND {valid}), '[]')
        || o.detail || '}}'
    """


_RECORDS = f"""
    SELECT o.id, o.version, {_record(None)}
    FROM unnest(%s::uuid[], %s::int[]) AS k (id, version) JOIN opportunities o USING (id, version) WHERE NOT o.deleted
"""


def records() -> str:
    """Statement for full records, its parameters their ids and versions: (id, version, JSON), unless deleted then."""
    return _RECORDS


def record(org_id: UUID, id_: UUID, as_of: datetime | None = None) -> Query:
    """One full record: (version, JSON), or no row."""
    text = f"""
        SELECT o.version, ({_record(as_of)})::varchar FROM opportunities o
        WHERE o.org_id = %(org_id)s AND o.id = %(id)s AND {LIVE if as_of is None else AS_OF}
    """
    return Query(text, {"org_id": org_id, "id": id_, "as_of": as_of} if as_of else {"org_id": org_id, "id": id_})


def where(query: List) -> Query:
    """The condition on ``opportunities o`` for a list, with its parameters."""
    params: dict[str, Any] = {"org_id": query.org_id}
    terms = ["o.org_id = %(org_id)s", LIVE if query.as_of is None else AS_OF]
    if query.as_of is not None:
        params["as_of"] = query.as_of
    for n, condition in enumerate(query.conditions):
        terms.append(_term(condition, f"p{n}", params))
    return Query(" AND ".join(terms), params)


def _term(condition: Condition, name: str, params: dict[str, Any]) -> str:
    field, operator, values, custom_type = condition
    if custom_type is not None:
        return _custom_term(field.removeprefix("cf_"), operator, values, custom_type, name, params)
    if operator == "isnull":
        return f"{COLUMNS[field]} IS {'NULL' if values[0] else 'NOT NULL'}"
    if field == "tags":
        params[name] = list(values)
        return f"o.tags {'@>' if operator == 'all' else '&&'} %({name})s::text[]"
    if field == "owner_email":
        params[name] = [value.lower() for value in values]
        return (
            "o.owner_id IN (SELECT d.id FROM directory d WHERE d.org_id = %(org_id)s AND d.kind = 'user'"
            f" AND d.valid_to = 'infinity' AND NOT d.deleted"
            f" AND (d.lookup = ANY(%({name})s::text[]) OR d.id::text = ANY(%({name})s::text[])))"
        )
    if field == "search":
        params[name] = f"%{_like(values[0])}%"
        return (
            f"(o.name ILIKE %({name})s OR o.account_id IN (SELECT d.id FROM directory d WHERE d.org_id = %(org_id)s"
            f" AND d.kind = 'account' AND d.valid_to = 'infinity' AND d.name ILIKE %({name})s))"
        )
    column, type_ = COLUMNS[field], ARRAY_TYPES[field]
    if operator in _COMPARE:
        params[name] = values[0]
        return f"{column} {_COMPARE[operator]} %({name})s::{type_}"
    if operator == "icontains":
        params[name] = f"%{_like(values[0])}%"
        return f"{column} ILIKE %({name})s"
    if len(values) == 1:
        params[name] = values[0]
        return f"{column} = %({name})s::{type_}"
    params[name] = list(values)
    return f"{column} = ANY(%({name})s::{type_}[])"


def _like(text: str) -> str:
    return text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")


_CUSTOM_CASTS = {"number": ("number", "numeric"), "date": ("string", "text"), "checkbox": ("boolean", "boolean")}


def _custom_term(
    key: str, operator: str, values: tuple[Any, ...], custom_type: str, name: str, params: dict[str, Any]
) -> str:
    params[f"{name}k"] = key
    value = f"o.custom_fields -> %({name}k)s"
    text = f"o.custom_fields ->> %({name}k)s"
    if operator == "isnull":
        return f"({text}) IS {'NULL' if values[0] else 'NOT NULL'}"
    if custom_type == "multiselect":
        params[name] = list(values)
        return f"(CASE WHEN jsonb_typeof({value}) = 'array' THEN {value} ?| %({name})s::text[] ELSE false END)"
    if operator == "icontains":
        params[name] = f"%{_like(values[0])}%"
        return f"({text}) ILIKE %({name})s"
    json_type, cast = _CUSTOM_CASTS.get(custom_type, ("", "text"))
    # ISO dates compare as text; a stored value of another JSON type (kept from before the definition) never matches.
    operand = (
        f"({text})::{cast}"
        if not json_type
        else (f"(CASE WHEN jsonb_typeof({value}) = '{json_type}' THEN ({text})::{cast} END)")
    )
    if custom_type == "date":
        values = tuple(v.isoformat() if isinstance(v, date) else v for v in values)
    if operator in _COMPARE:
        params[name] = values[0]
        return f"{operand} {_COMPARE[operator]} %({name})s::{cast}"
    params[name] = list(values)
    return f"{operand} = ANY(%({name})s::{cast}[])"


def _counted(query: List) -> bool:
    return query.as_of is None and all(
        condition.field in _COUNTED
        and condition.custom_type is None
        and condition.operator != "isnull"
        and not (condition.field == "close_date" and condition.operator == "in" and len(condition.values) > 1)
        for condition in query.conditions
    )


def count(query: List) -> Query:
    """The exact number of deals on the list: from the counters where they know the filters, else counted."""
    if not _counted(query):
        matching = where(query)
        return Query(f"SELECT count(*) FROM opportunities o WHERE {matching.text}", matching.params)
    params: dict[str, Any] = {"org_id": query.org_id}
    terms = ["o.org_id = %(org_id)s"]
    by_owner = any(condition.field == "owner" for condition in query.conditions)
    by_date = any(condition.field == "close_date" for condition in query.conditions)
    if not by_owner:
        terms.append(f"o.owner_id = '{NOBODY}'")
    terms.append(
        "o.close_date < 'infinity' AND o.close_date > '-infinity'" if by_date else f"o.close_date = '{ANY_DATE}'"
    )
    for n, condition in enumerate(query.conditions):
        terms.append(_term(condition, f"p{n}", params))
    return Query(f"SELECT coalesce(sum(o.n), 0)::bigint FROM opportunity_counts o WHERE {' AND '.join(terms)}", params)


def page(query: List, limit: int, offset: int = 0, *, counted: bool = True) -> Query:
    """A page by offset: (items as JSON joined by commas, count). Deep offsets walk the index alone (deferred join)."""
    condition = where(query)
    order = _order_by(query.keys, "o")
    total = f"({count(query).text})" if counted else "NULL::bigint"
    if offset:
        source = (
            f"(SELECT o.* FROM (SELECT o.id, o.version FROM opportunities o WHERE {condition.text}"
            f" ORDER BY {order} LIMIT {limit:d} OFFSET {offset:d}) k JOIN opportunities o USING (id, version))"
        )
    else:
        source = f"(SELECT o.* FROM opportunities o WHERE {condition.text} ORDER BY {order} LIMIT {limit:d})"
    text = f"SELECT string_agg({_item('card', query.as_of)} || '}}', ',' ORDER BY {order})::varchar, {total} FROM {source} o"
    return Query(text, condition.params)


def _order_by(keys: Sequence[Order], alias: str) -> str:
    parts = []
    for field, descending in keys:
        column = COLUMNS[field].replace("o.", f"{alias}.", 1)
        # Without NULLS LAST where nothing is null, so that the ordering is the index's.
        nulls = " NULLS LAST" if field in NULLABLE else ""
        parts.append(f"{column} {'DESC' if descending else 'ASC'}{nulls}")
    return ", ".join(parts)


def cursor_page(query: List, limit: int, cursor: str | None, *, counted: bool = True) -> Query:
    """A page after a cursor ("" or None for the first): (items, count, cursor of the next page's start or NULL).

    Its cost does not depend on how deep it is. Raises ``InvalidCursor``.
    """
    condition = where(query)
    params, text = condition.params, condition.text
    if cursor:
        text += " AND " + _after(query.keys, _decode_cursor(cursor, query.keys), params)
    order = _order_by(query.keys, "o")
    total = f"({count(query).text})" if counted else "NULL::bigint"
    keys = ", ".join(f"{COLUMNS[field]}::text" for field, _ in query.keys)
    return Query(
        f"""
        SELECT string_agg({_item("card", query.as_of)} || '}}', ',' ORDER BY {order}) FILTER (WHERE o.rn <= {limit:d})::varchar,
               {total}, (array_agg(json_build_array({keys})::text) FILTER (WHERE o.rn = {limit:d} AND o.total > {limit:d}))[1]
        FROM (SELECT k.*, row_number() OVER (ORDER BY {order.replace("o.", "k.")}) AS rn, count(*) OVER () AS total
              FROM (SELECT o.* FROM opportunities o WHERE {text} ORDER BY {order} LIMIT {limit + 1:d}) k) o
        """,
        params,
    )


def encode_cursor(keys: str) -> str:
    """The cursor for a page's last keys, as ``cursor_page`` returns them."""
    return base64.urlsafe_b64encode(keys.encode()).decode().rstrip("=")


def _decode_cursor(cursor: str, keys: Sequence[Order]) -> list[Any]:
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


def _after(keys: Sequence[Order], values: Sequence[Any], params: dict[str, Any]) -> str:
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
