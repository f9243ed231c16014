"""The parameters that the forecast and its waterfall share: the days, the currency and the filters on deals.

Refuses ranges of more than ``MAX_MONTHS`` months.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from app.http import filters, listing, request_context
from app.http.filters import Filters, Pairs
from app.http.operations import query
from app.http.param_types import CURRENCY, DATE, ParamType
from app.http.request_context import Http
from domain.errors import Errors, Invalid
from projections.conditions import Condition
from projections.forecast.balances import Bounds
from projections.forecast.limits import MAX_BYTES, MAX_MONTHS, MAX_MONTHS_WITH_DEALS

TAG = "Forecast"
DAYS = ("close_date__gte", "close_date__lte")
INSTANT = {"type": "string", "format": "date-time"}
LIMITS = (
    f"At most {MAX_MONTHS} months between two bounds, and {MAX_MONTHS_WITH_DEALS:,} with deals in them without. "
    f"An answer has {MAX_BYTES:,} bytes at most."
)

_DAY = {"type": "string", "format": "date"}
BOUNDS = (
    query("close_date__gte", "From this day, by close date; for won deals by the actual one.", _DAY),
    query("close_date__lte", "Up to this day, inclusive.", _DAY),
    query("currency", "The currency to show it in; by default the org's.", CURRENCY.schema),
)


async def conditions(request: Http, given: Pairs, table: Filters, others: tuple[str, ...], errors: Errors) -> tuple[Condition, ...]:
    """The conditions on deals; errors are added to ``errors``."""
    custom = table.custom and any(name.startswith("cf_") for name, _ in given)
    types = await listing.custom_field_types(request) if custom else {}
    try:
        return filters.conditions(
            given, table, identity=request_context.from_request(request).identity, custom_types=types, others=others
        )
    except Invalid as error:
        errors |= error.errors
        return ()


def bounds(taken: dict[str, str], errors: Errors) -> Bounds:
    since, until = (value(taken, name, DATE, errors) for name in DAYS)
    found = Bounds(since, until)
    if since and until:
        if until < since:
            errors["close_date__lte"] = ["Must not be before close_date__gte."]
        elif (until.year - since.year) * 12 + until.month - since.month >= MAX_MONTHS:
            errors["close_date__lte"] = [f"At most {MAX_MONTHS} months from close_date__gte."]
    return found


def value(taken: dict[str, str], name: str, kind: ParamType, errors: Errors) -> Any:
    if name not in taken:
        return None
    try:
        return kind.read(taken[name])
    except (ValueError, KeyError, ArithmeticError):
        errors[name] = [kind.words]
        return None


def size(row: Sequence[Any]) -> int:
    """The bytes of JSON in a row."""
    return sum(len(column) for column in row if isinstance(column, bytes))
