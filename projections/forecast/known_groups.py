"""What is kept of a forecast by owner or account: three tables, and SQL that brings them up to date."""

from __future__ import annotations

from projections.forecast.groups import GroupBy
from projections.forecast.kept_table import Kept

MOST_ROWS = 10_000
"""Sums of groups that are kept of one forecast at most."""
SPARE: dict[GroupBy, int] = {"account": 14, "owner": 150}
"""Groups that are known of each month beyond those that are shown, so that some may become smaller; more of those with many deals,
because it takes long to read these."""


_AMOUNTS = {"unweighted": "numeric", "weighted": "numeric", "n": "bigint"}
ALL = Kept("all", {"month": "date", "currency": "text", "status": "text", "period": "int", "day": "date", **_AMOUNTS})
KNOWN = Kept("known", {"month": "date", "grp": "uuid", "status": "text", "by": "numeric", **_AMOUNTS})
OTHERS = Kept("others", {"month": "date", "groups": "bigint", "largest": "numeric"})
TABLES = (ALL, KNOWN, OTHERS)
WIDTH = sum(len(table.columns) for table in TABLES)

SUM = "sum(x.unweighted) AS unweighted, sum(x.weighted) AS weighted, sum(x.n) AS n"
_MINUS = "-x.unweighted, -x.weighted, -x.n"
IN_UNKNOWN = "(x.month, x.grp) IN (SELECT u.month, u.grp FROM unknown u)"

MERGED = f"""
    v AS MATERIALIZED (
        SELECT x.month, x.grp, x.status, x.by, {SUM} FROM (
            SELECT * FROM k WHERE k.grp IS NOT NULL
            UNION ALL SELECT x.* FROM more x WHERE NOT {IN_UNKNOWN} UNION ALL SELECT * FROM now
        ) x GROUP BY 1, 2, 3, 4 HAVING sum(x.n) <> 0
    ), before AS MATERIALIZED (
        SELECT x.month, x.grp, x.status, x.by, {SUM} FROM (
            SELECT * FROM now
            UNION ALL SELECT x.month, x.grp, x.status, x.by, {_MINUS} FROM more x WHERE {IN_UNKNOWN}
        ) x GROUP BY 1, 2, 3, 4 HAVING sum(x.n) <> 0
    ), rest AS MATERIALIZED (
        SELECT x.month, x.status, x.by, {SUM} FROM (
            SELECT k.month, k.status, k.by, k.unweighted, k.weighted, k.n FROM k WHERE k.grp IS NULL
            UNION ALL SELECT x.month, x.status, x.by, {_MINUS} FROM before x
        ) x GROUP BY 1, 2, 3 HAVING sum(x.n) <> 0
    ), others AS MATERIALIZED (
        SELECT w.month, w.groups - (SELECT count(DISTINCT b.grp) FROM before b WHERE b.month = w.month) AS groups, w.largest
        FROM were w
    )
"""
"""Common table expressions: from the groups ``k`` as they were kept, what changed of them (``more``) and what those that were not
known are ``now``, all that are known, ``v``; and what remains of the ``others`` and of their sums, the ``rest``."""

REACH = """
    reach AS MATERIALIZED (
        SELECT r.month, r.groups, coalesce(max(p.place), 0) AS last,
            coalesce(max(p.place) FILTER (WHERE p.amount > r.largest), 0) AS certain
        FROM others r LEFT JOIN p ON p.month = r.month WHERE r.groups > 0 GROUP BY 1, 2
    ), places AS (
        SELECT p.* FROM p UNION ALL
        SELECT r.month, NULL, r.status, r.by, r.unweighted, r.weighted, r.n, 0,
            greatest(m.last, %(groups_limit)s::bigint) + m.groups
        FROM rest r JOIN reach m USING (month)
    )
"""
"""Common table expressions: of each month with others, how many places are ``certain``; all ``places``, the others at the end."""


def to_keep(group_by: GroupBy, when: str) -> str:
    """Common table expressions: the three tables, to be kept when SQL says so. From the sums with rates ``s``, the groups with
    places ``p`` and those that are not known, ``rest`` and ``others``."""
    known = f"%(groups_limit)s::bigint + {SPARE[group_by]}"
    return f"""
        known AS MATERIALIZED (
            SELECT x.month, x.grp, x.status, x.by, {SUM} FROM (
                SELECT p.month, CASE WHEN p.place <= {known} THEN p.grp END AS grp, p.status, p.by, p.unweighted, p.weighted, p.n
                FROM p UNION ALL SELECT r.month, NULL, r.status, r.by, r.unweighted, r.weighted, r.n FROM rest r
            ) x GROUP BY 1, 2, 3, 4
        ), beyond AS MATERIALIZED (
            SELECT x.month, sum(x.groups)::bigint AS groups, max(x.largest) AS largest FROM (
                SELECT p.month, 1 AS groups, max(p.amount) AS largest FROM p WHERE p.place > {known} GROUP BY p.month, p.grp
                UNION ALL SELECT r.month, r.groups, r.largest FROM others r WHERE r.groups > 0
            ) x GROUP BY 1
        ), {ALL.to_keep("s", when)}, {OTHERS.to_keep("beyond", when)},
        {KNOWN.to_keep("known", f"count(*) <= {MOST_ROWS} AND {when}")}
    """
