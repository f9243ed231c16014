"""Pages far down a list, counted from a record that is kept: its keys, and how many records of the list come before it.

A page by number passes over all records before it, however many there are. So the last record before a block of ``BLOCK`` is kept,
its anchor. What came before or after it since is told by the events since (``projections.kept``), and the page is found from there.
"""

from __future__ import annotations

from typing import Any

from projections import kept
from projections.kept import Figure, Total

BLOCK = 2_000
"""Pages that begin in the same so many records share an anchor."""
REACH = 3 * BLOCK
"""Records that are passed over from an anchor at most: beyond, another one is found."""


def block(offset: int) -> int:
    """How many records come before the block of a page."""
    return offset // BLOCK * BLOCK


def walked(offset: int, limit: int) -> tuple[str, str, dict[str, Any]]:
    """To find an anchor: SQL for the part of a list from it to the page's end, for how many records there are up to there, and
    the parameters of both."""
    first = block(offset) - 1
    params = {"walk": offset + limit - first, "skipped": first, "kept_n": first + 1, "ahead": offset - first}
    return "LIMIT %(walk)s::bigint OFFSET %(skipped)s::bigint", "%(walk)s::bigint + %(skipped)s::bigint", params


def found(ordered: str, keys: str, counted: str) -> Total:
    """Of a page whose anchor is looked for. ``ordered`` are the records from it to the page's end (``walked``); ``keys`` is SQL for
    the sort keys of the record ``a.id``."""
    tables = f"""
        WITH figure AS MATERIALIZED (SELECT {kept.POSITION} AS position, {kept.BUILT} AS built),
        walked AS MATERIALIZED (SELECT k.id, row_number() OVER () AS place FROM {ordered} k),
        anchor AS MATERIALIZED (SELECT ({keys}) AS keys FROM walked a WHERE a.place = 1)
    """
    first = "(SELECT f.position FROM figure f), (SELECT f.built FROM figure f), %(kept_n)s::bigint, (SELECT keys FROM anchor), "
    return Total(tables, counted, {}, first)


IDS = "SELECT w.id FROM walked w WHERE w.place > %(ahead)s::bigint"
"""SQL for the ids of a page's records, of those that were ``walked``."""


def from_anchor(figure: Figure, since: str, before: str, of: str, offset: int, counted: str) -> Total:
    """Of a page that is found from an anchor. ``before`` is the condition on a changed record that it comes before what follows the
    anchor."""
    n, keys = figure.parts
    tables = f"""
        WITH {since}, passed AS MATERIALIZED (
            SELECT %(offset)s::bigint - %(kept_n)s::bigint
                - (SELECT coalesce(sum(c.sign), 0) FROM {kept.meeting(before, of)})::bigint AS n
        ), figure AS MATERIALIZED (
            SELECT p.n, h.built, CASE WHEN p.n BETWEEN 0 AND {REACH} THEN h.position END AS position
            FROM holds h CROSS JOIN passed p
        )
    """
    first = """
        (SELECT f.position FROM figure f), (SELECT f.built FROM figure f), (SELECT %(offset)s::bigint - f.n FROM figure f),
        %(kept_keys)s::text,
    """
    params = figure.params() | {"kept_n": n, "kept_keys": keys, "offset": offset}
    return Total(tables, counted, params, first)


PART = "LIMIT %(limit)s::bigint OFFSET (SELECT f.n FROM figure f WHERE f.position IS NOT NULL)"
"""SQL for the part of a list that a page is, of what follows its anchor."""
THROUGH = "%(limit)s::bigint + coalesce((SELECT f.n FROM figure f WHERE f.position IS NOT NULL), 0)"
"""SQL for how many records there are from the anchor up to the page's end."""
