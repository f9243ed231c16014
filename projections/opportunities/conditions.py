"""Conditions on opportunities as SQL: which field is which column, and how custom fields of each type compare.

Values are always parameters, and never LIKE patterns of their own.
"""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal
from functools import partial
from types import NoneType
from typing import Any, NamedTuple, get_args

from msgspec import structs

from projections import search
from projections.conditions import COMPARE, Condition
from projections.opportunities import accounts, amounts, days
from projections.opportunities.rows import Compared, folded_key


class Column(NamedTuple):
    """``key`` is a column of whole numbers in the same order, if there is one, by which lists are filtered and ordered."""

    sql: str
    type: str
    nullable: bool = False
    key: str | None = None


_TYPES = {str: "text", int: "int", Decimal: "numeric", date: "date", datetime: "timestamptz"}


def _column(name: str, type_: Any) -> Column:
    options = set(get_args(type_) or (type_,)) - {NoneType}
    python = options.pop() if len(options) == 1 else str  # of a Literal, its texts
    return Column(f"o.{name}", _TYPES[python], NoneType in get_args(type_))


# By the field's name in a condition or an ordering.
COLUMNS = {
    "id": Column("o.id", "uuid"),
    "name": Column("o.name", "text"),
    "owner": Column("o.owner_id", "uuid"),
    "account": Column("o.account_id", "uuid"),
    "external_id": Column("o.external_id", "text", nullable=True),
    "updated_at": Column("o.valid_from", "timestamptz"),
    **{field.name: _column(field.name, field.type) for field in structs.fields(Compared)},
    "amount": Column("o.amount", "numeric", True, "o.amount_key"),
}
ORDERINGS = frozenset(COLUMNS) - {"id", "owner", "account", "external_id"}
ALONG = frozenset({"id", "owner", "owner_email", "account", "stage", "status", "close_date", "created_at"})
"""Fields whose comparisons are made while deals are read in the order of a list."""
SHEET = frozenset(COLUMNS) - {"next_step", "external_id"} | {"owner_email"}
"""Fields that the sheet has, which is the index that tells most of all deals."""
PAST_SHEET = SHEET - {"name", "owner_email"}
"""Fields that the index has that tells most of all versions."""


def to_sql(condition: Condition, name: str, params: dict[str, Any], *, at: str = "as_of", of_few: bool = False) -> str:
    """SQL for a condition on ``opportunities o``; its values go into ``params`` under names that begin with ``name``.

    Names of accounts are those of the instant in the parameter ``at``, of now if there is none. It is the same condition ``of_few``
    deals, but what it says of other records is then looked up for each deal.
    """
    field, operator, values, custom_type = condition
    if custom_type is not None:
        return _custom_to_sql(field.removeprefix("cf_"), operator, values, custom_type, name, params)
    if operator == "isnull":
        return f"{COLUMNS[field].key or COLUMNS[field].sql} IS {'NULL' if values[0] else 'NOT NULL'}"
    if field == "tags":
        params[name] = list(values)
        return f"o.tags {'@>' if operator == 'all' else '&&'} %({name})s::text[]"
    if field == "import":
        return _import_to_sql(values, name, params, of_few=of_few)
    if field == "owner_email":
        return _owner_to_sql(values, name, params)
    if field == "search":
        if at in params:
            return search.words(values[0], name, params, partial(_in_its_name_as_of if of_few else _in_a_name_as_of, at))
        return search.words(values[0], name, params, _in_its_name if of_few else _in_a_name)
    return _column_to_sql(condition, name, params)


def _column_to_sql(condition: Condition, name: str, params: dict[str, Any]) -> str:
    field, operator, values, _ = condition
    column, type_, _, key = COLUMNS[field]
    if key is not None:
        return _key_to_sql(key, operator, values, name, params)
    if operator == "icontains":
        params[name] = search.containing(values[0])
        return _contains(f"'{field}'", column, name)
    if operator in COMPARE:
        params[name] = values[0]
        if field == "close_date" and operator in ("lte", "lt"):
            # Where a plan serves all parameters, two bounds would be taken for a range of a two-hundredth of the deals, which
            # is then fetched and sorted; so they are not shown as a pair, and the index that gives the order is taken.
            return f"{column} {COMPARE[operator]} ANY (ARRAY[%({name})s::{type_}])"
        return f"{column} {COMPARE[operator]} %({name})s::{type_}"
    if len(values) == 1:
        params[name] = values[0]
        return f"{column} = %({name})s::{type_}"
    params[name] = list(values)
    return f"{column} = ANY(%({name})s::{type_}[])"


def _owner_to_sql(values: tuple[Any, ...], name: str, params: dict[str, Any]) -> str:
    """Owners by email address or id. Of one address there is one user, whose index gives the order too."""
    users = (
        "SELECT d.id FROM directory d WHERE d.org_id = %(org_id)s AND d.kind = 'user' AND d.valid_to = 'infinity' AND NOT d.deleted"
    )
    if len(values) == 1:
        params[name] = values[0]
        return f"o.owner_id = ({users} AND d.lookup = %({name})s LIMIT 1)"
    params[name] = list(values)
    return f"o.owner_id IN ({users} AND (d.lookup = ANY(%({name})s::text[]) OR d.id::text = ANY(%({name})s::text[])))"


def _import_to_sql(values: tuple[Any, ...], name: str, params: dict[str, Any], *, of_few: bool) -> str:
    """Deals that imports created or changed."""
    params[name] = list(values)
    if of_few:
        return f"EXISTS (SELECT FROM import_records r WHERE r.import_id = ANY(%({name})s::uuid[]) AND r.id = o.id)"
    return f"o.id IN ({imported(name)})"


def imported(name: str) -> str:
    """SQL for the ids of the records of the imports in a parameter."""
    return f"SELECT DISTINCT r.id FROM import_records r WHERE r.org_id = %(org_id)s AND r.import_id = ANY(%({name})s::uuid[])"


def _key_to_sql(key: str, operator: str, values: tuple[Any, ...], name: str, params: dict[str, Any]) -> str:
    if operator in COMPARE:
        params[name] = amounts.at_least(values[0]) if operator in ("gte", "lt") else amounts.at_most(values[0])
        return f"{key} {COMPARE[operator]} %({name})s::bigint"
    params[name] = amounts.keys(values)
    return f"{key} = ANY(%({name})s::bigint[])"


def _contains(key: str, text: str, name: str) -> str:
    """Whether a text has the pattern ``name`` in it. What is ASCII is not in ``folded``; lower() of the C collation is the same in
    every database."""
    return f'coalesce(o.folded ->> {key}, lower(({text}) COLLATE "C")) LIKE %({name})s'


def _in_a_name(pattern: str) -> str:
    """Found in the name of the deal or in its account's, which is looked up in the directory, so that a rename shows at once."""
    return f"(o.search LIKE {pattern} OR o.account_id IN (SELECT d.id FROM accounts_with_word({pattern}) d (id)))"


def _in_a_name_as_of(at: str, pattern: str) -> str:
    return f"(o.search LIKE {pattern} OR o.account_id IN ({accounts.as_of(at, pattern)}))"


def _in_its_name(pattern: str) -> str:
    account = f"d.id = o.account_id AND d.valid_to = 'infinity' AND d.search LIKE {pattern}"
    return f"(o.search LIKE {pattern} OR EXISTS (SELECT FROM directory d WHERE {account}))"


def _in_its_name_as_of(at: str, pattern: str) -> str:
    account = f"d.id = o.account_id AND d.valid_from <= %({at})s AND d.valid_to > %({at})s AND d.search LIKE {pattern}"
    return f"(o.search LIKE {pattern} OR EXISTS (SELECT FROM directory d WHERE {account}))"


_CUSTOM_CASTS = {"number": ("number", "numeric"), "date": ("string", "text"), "checkbox": ("boolean", "boolean")}


def _custom_to_sql(key: str, operator: str, values: tuple[Any, ...], custom_type: str, name: str, params: dict[str, Any]) -> str:
    params[f"{name}k"] = key
    value = f"o.custom_fields -> %({name}k)s"
    text = f"o.custom_fields ->> %({name}k)s"
    if operator == "isnull":
        return f"({text}) IS {'NULL' if values[0] else 'NOT NULL'}"
    if operator == "icontains":
        params[name] = search.containing(values[0])
        params[f"{name}f"] = folded_key(key)
        return _contains(f"%({name}f)s", text, name)
    if custom_type == "multiselect":
        params[name] = list(values)
        return f"(CASE WHEN jsonb_typeof({value}) = 'array' THEN {value} ?| %({name})s::text[] ELSE false END)"
    json_type, cast = _CUSTOM_CASTS.get(custom_type, ("", "text"))
    # ISO dates compare as text; a stored value that is none, or of another JSON type (kept from before the definition), never
    # matches.
    operand = (
        f"({text})::{cast}" if not json_type else (f"(CASE WHEN jsonb_typeof({value}) = '{json_type}' THEN ({text})::{cast} END)")
    )
    if custom_type == "date":
        values = tuple(v.isoformat() if isinstance(v, date) else v for v in values)
    if operator in COMPARE:
        params[name] = values[0]
        if custom_type == "date":
            operand = f"(CASE WHEN {operand} ~ '{days.FORM}' THEN {text} END)"
        return f"{operand} {COMPARE[operator]} %({name})s::{cast}"
    params[name] = list(values)
    return f"{operand} = ANY(%({name})s::{cast}[])"
