"""The parameters of a list for OpenAPI, made from the tables that parse them."""

from __future__ import annotations

from collections.abc import Mapping

from app.http.filters import LISTS, MAX_VALUES, Filters
from app.http.list_spec import ListSpec
from app.http.operations import Json, query
from app.http.paging import MAX_OFFSET, MAX_PAGE_SIZE, PAGE_SIZE
from app.http.param_types import BOOL, PHRASE

OPERATORS = {
    "gte": "At least.",
    "lte": "At most.",
    "gt": "More than.",
    "lt": "Less than.",
    "isnull": "Whether there is no value.",
    "all": "Has all of these.",
    "any": "Has any of these.",
    "icontains": "Contains, ignoring case.",
}


def filter_parameters(filters: Filters) -> list[Json]:
    """The parameters that filter."""
    parameters: list[Json] = []
    for name, (each, operator) in filters.by_name.items():
        kind = {"isnull": BOOL, "icontains": PHRASE}.get(operator, each.kind)
        schema: Mapping[str, object] = kind.schema
        if operator in LISTS and kind.split:
            schema = {"type": "array", "items": dict(schema), "minItems": 1, "maxItems": MAX_VALUES}
        meaning = " ".join(part for part in (each.description, OPERATORS.get(operator, "")) if part)
        parameters.append(query(name, meaning, schema))
    return parameters


def list_parameters(table: ListSpec) -> list[Json]:
    """All parameters of a list."""
    parameters = filter_parameters(table.filters)
    if table.paged:
        parameters += _pages(table)
    if table.orderings:
        text = f"Fields to order by, `-` for descending: {', '.join(f'`{name}`' for name in table.orderings)}."
        parameters.append(query("ordering", text, _names(f"-?({'|'.join(table.orderings)})")))
    parameters.append(query("fields", "Only these keys of each record.", _names(f"({'|'.join(table.fields)})")))
    if table.as_of:
        text = "The list as it stood at this instant."
        parameters.append(query("as_of", text, {"type": "string", "format": "date-time"}))
    return parameters


def _pages(table: ListSpec) -> list[Json]:
    size = {"type": "integer", "minimum": 1, "maximum": MAX_PAGE_SIZE}
    parameters = [
        query("page", "Number of the page, from 1.", {"type": "integer", "minimum": 1, "default": 1}),
        query("page_size", "Records per page.", {**size, "default": PAGE_SIZE}),
        query("limit", "Instead of pages: the number of records.", size),
        query("offset", "With `limit`: how many records to skip.", {"type": "integer", "minimum": 0, "maximum": MAX_OFFSET}),
    ]
    if table.cursors:
        text = "Instead of pages: a stable walk of any depth. Start with an empty value; `next` links to the next page."
        parameters.append(query("cursor", text, {"type": "string"}, allowEmptyValue=True))
    return parameters


def _names(one: str) -> Json:
    return {"type": "string", "pattern": f"^{one}(,{one})*$"}
