"""The parameters that the forecast and its waterfall share: the days, the currency and the filters on deals.

Refuses ranges of more than ``MAX_MONTHS`` months.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from app.http import filters, listing, paging, request_context
from app.http.filters import Filters, Pairs
from app.http.operations import Json, query
from app.http.param_types import CURRENCY, DATE, ParamType
from app.http.request_context import Http
from app.resources.opportunities import FILTERS
from domain.errors import Errors, Invalid
from projections.conditions import Condition
from projections.forecast.balances import Bounds
from projections.forecast.limits import GROUPS_LIMIT, MAX_BYTES, MAX_GROUPS, MAX_MONTHS, MAX_MONTHS_WITH_DEALS

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

# The forecast chooses a deal's day itself, and ``currency`` is the one it is shown in.
DEALS = Filters(tuple(each for each in FILTERS.filters if each.name not in ("close_date", "currency", "import")), custom=True)


def group_by(what: Sequence[str]) -> tuple[Json, ...]:
    """The parameters of groups."""
    return (
        query("group_by", "Group by this, within each month.", {"type": "string", "enum": list(what)}),
        query(
            "groups_limit",
            "With `group_by`: how many groups of each month to show, the largest first by `unweighted`.",
            {"type": "integer", "minimum": 1, "maximum": MAX_GROUPS, "default": GROUPS_LIMIT},
        ),
    )


def groups(taken: dict[str, str], what: Sequence[str], errors: Errors) -> tuple[Any, int]:
    """What to group by, one of ``what`` or None, and how many groups to show."""
    found = taken.get("group_by")
    if found is not None and found not in what:
        errors["group_by"] = [f"Must be one of: {', '.join(what)}."]
    return found, paging.parse_number(taken, "groups_limit", GROUPS_LIMIT, 1, MAX_GROUPS, errors)


async def conditions(request: Http, given: Pairs, others: tuple[str, ...], errors: Errors) -> tuple[Condition, ...]:
    """The conditions on deals; errors are added to ``errors``."""
    custom = any(name.startswith("cf_") for name, _ in given)
    types = await listing.custom_field_types(request) if custom else {}
    try:
        return filters.conditions(
            given, DEALS, identity=request_context.from_request(request).identity, custom_types=types, others=others
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
