"""SQL for what a process gets to know of a forecast by owner or account: the largest groups, and the others added up, as JSON."""

from __future__ import annotations

from projections.forecast.groups import GroupBy, card
from projections.forecast.limits import MAX_BYTES

SPARE: dict[GroupBy, int] = {"account": 14, "owner": 150}
"""Groups that are known of each month beyond those that are shown, so that some may become smaller; more of those with many deals,
because it takes long to read these."""
_LEAST_BYTES = 150
"""Of a group in an answer."""
_PARTS = "json_agg(json_build_array(x.status, x.by, coalesce(x.unweighted, 0), coalesce(x.weighted, 0), x.n))"

SUM = "sum(x.unweighted) AS unweighted, sum(x.weighted) AS weighted, sum(x.n) AS n"
MOST_PLACES = f"""
    most AS MATERIALIZED (
        SELECT least(%(known)s::bigint,
            {MAX_BYTES // _LEAST_BYTES} / greatest(1, %(months)s::bigint, count(DISTINCT s.month))) AS places FROM s
    )
"""
"""Common table expression: how many groups of each month are to be known, ``%(known)s`` or as many as ever fit into an answer."""

KNOWN = f"""
    cells AS MATERIALIZED (SELECT p.* FROM p WHERE p.place <= (SELECT m.places FROM most m)),
    beyond AS MATERIALIZED (SELECT p.* FROM p WHERE p.place > (SELECT m.places FROM most m)),
    rest AS MATERIALIZED (SELECT x.month, x.status, x.by, {SUM} FROM beyond x GROUP BY 1, 2, 3),
    others AS MATERIALIZED (
        SELECT x.month, count(DISTINCT x.place) AS groups, max(x.amount) AS largest FROM beyond x GROUP BY 1
    )
"""
"""Common table expressions: from the sums with places ``p`` those that are to be known, and the others."""


def _rows(columns: str, text: str) -> str:
    return f"(SELECT coalesce(json_agg(json_build_array({columns})), '[]')::varchar FROM ({text}) x)"


def in_json(sums: str) -> str:
    """SQL for cells as ``GroupSums`` takes them, from converted sums."""
    of_groups = f"SELECT x.month, x.grp, {_PARTS} AS parts FROM ({sums}) x GROUP BY 1, 2"
    return _rows("x.month, x.grp, x.parts", of_groups)


ALL = _rows(
    "x.month, x.currency, x.status, x.unweighted, x.weighted, x.n, x.rate, x.report_rate, x.period",
    "SELECT s.* FROM s WHERE s.n IS NOT NULL",
)
"""SQL for the sums of all groups together ``s``."""
FOUND = ", ".join(
    (
        in_json("SELECT x.* FROM cells x"),
        _rows(
            "x.month, x.groups, x.largest, x.parts",
            f"""
                SELECT o.month, o.groups, o.largest, r.parts FROM others o
                JOIN (SELECT x.month, {_PARTS} AS parts FROM rest x GROUP BY 1) r USING (month)
            """,
        ),
    )
)
"""Columns: the ``cells`` and, by month, the ``others`` with the ``rest`` of the sums."""


def cards(groups: str, at: str | None) -> str:
    """SQL for the cards of groups (SQL for their ids), as of an instant (SQL)."""
    found = f"SELECT e.grp, ({card(at)})::json AS card FROM ({groups}) e (grp)"
    return f"(SELECT coalesce(json_object_agg(x.grp, x.card), '{{}}')::varchar FROM ({found}) x)"
