"""Deals in the order of a list, so that an index gives it, from either end, and with the deals without a value last."""

from __future__ import annotations

from collections.abc import Sequence

from projections.conditions import Order
from projections.opportunities.conditions import COLUMNS

WITH_NULLS_LAST = {"amount": True, "closed_at": True, "close_date": False}
"""Orderings whose index has the deals without a value at its end, and whether these descend."""


def order_by(keys: Sequence[Order], alias: str = "o") -> str:
    parts = []
    for field, descending in keys:
        column = (COLUMNS[field].key or COLUMNS[field].sql).replace("o.", f"{alias}.", 1)
        # No NULLS LAST where nothing is null, so that the ordering is the index's.
        nulls = " NULLS LAST" if COLUMNS[field].nullable else ""
        parts.append(f"{column} {'DESC' if descending else 'ASC'}{nulls}")
    return ", ".join(parts)


def turned(keys: Sequence[Order], within: str | None) -> bool:
    """Whether the deals without a value have to be had on their own."""
    native = WITH_NULLS_LAST.get(keys[0].field)
    return native is not None and (native != keys[0].descending or within is not None)


def first(condition: str, keys: Sequence[Order], part: str, through: str, *, within: str | None = None) -> str:
    """The first deals that meet a condition, in order, as a table expression with all columns. ``part`` is the SQL for which of
    them, ``through`` how many there are up to the last of these, ``within`` a bound for the first key, NULL excluded."""
    order = order_by(keys)
    if not turned(keys, within):
        return f"(SELECT o.* FROM opportunities o WHERE {condition} ORDER BY {order} {part})"
    # Backwards, the index begins with the deals without a value; so these come from it on their own.
    field, descending = keys[0]
    along = order if WITH_NULLS_LAST[field] == descending else order.replace("NULLS LAST", "NULLS FIRST", 1)
    column = COLUMNS[field].key or COLUMNS[field].sql
    halves = [
        f"(SELECT o.* FROM opportunities o WHERE {condition} AND {half} ORDER BY {along} LIMIT {through})"
        for half in (f"{column} IS NOT NULL" if within is None else within, f"{column} IS NULL")
    ]
    return f"(SELECT o.* FROM ({' UNION ALL '.join(halves)}) o ORDER BY {order} {part})"
