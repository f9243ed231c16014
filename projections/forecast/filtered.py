"""What moved of the deals that meet conditions, and from owner to owner: SQL over the versions of deals and the ledger.

Of a deal that meets the conditions before an event and after it, the steps are the ledger's. A change of owner comes before all
else that an event does, so that the rest is the new owner's. An event by which a deal no longer meets the conditions takes its
contribution out, one by which it does puts it in: by the cause that such an event has anyhow (``won``, ``deleted`` and so on), else
``excluded`` and ``included``. These are also what another name of an account does to a search, which is compared as of the start
and as of the end.

This costs every version of the org's deals that was in force between the two instants.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from projections.conditions import Condition, SqlStatement
from projections.forecast.deal_sums import CONTRIBUTION
from projections.forecast.entries import WaterfallQuery, in_span
from projections.opportunities.conditions import to_sql

_CONTRIBUTION = ("day", "currency", "status", "unweighted", "weighted")


def steps(query: WaterfallQuery) -> SqlStatement:
    """Rows (opportunity_id, day, cause, currency, status, unweighted, weighted, n, owner_id) that add up to the forecast of these
    deals at the start, with the cause ``start``, and to what moved."""
    params = query.params()
    owned = meet(query.of_owners, "q", params, "end")
    fits = meet(query.of_others, "p", params, "end")
    fitted = meet(query.of_others, "p", params, "start")
    text = f"""
        WITH v AS MATERIALIZED (
            SELECT o.id, o.version, o.position, o.valid_from, o.deleted, o.owner_id, {CONTRIBUTION},
                o.status <> 'lost' AND NOT o.deleted AS counts, coalesce({owned}, false) AS owned, coalesce({fits}, false) AS fits,
                o.valid_from <= %(start)s::timestamptz AND coalesce({fitted}, false) AS fitted
            FROM opportunities o
            WHERE o.org_id = %(org_id)s AND o.valid_to > %(start)s::timestamptz AND o.valid_from <= %(end)s::timestamptz
        ), e AS MATERIALIZED ({_EVENTS})
        SELECT c.* FROM ({" UNION ALL ".join([_at_start(), _of_ledger(), *_in_and_out(query)])}) c
        WHERE {query.bounds.holds("c.day")}
    """
    return SqlStatement(text, params)


def meet(conditions: Sequence[Condition], name: str, params: dict[str, Any], at: str) -> str:
    """SQL that holds if all conditions do, with the names of accounts at the instant in the parameter ``at``."""
    return " AND ".join(to_sql(each, f"{name}{n}", params, at=at) for n, each in enumerate(conditions)) or "true"


# Full joins, because they are never done row by row, as the planner might if it takes the rows for few. So the conditions after
# them must not say that a side is there, but for ``coalesce``.
_EVENTS = f"""
    SELECT a.id, a.position, a.owner_id, {", ".join(f"a.{name}" for name in _CONTRIBUTION)}, a.deleted, a.counts,
        b.owner_id AS old_owner_id, {", ".join(f"b.{name} AS old_{name}" for name in _CONTRIBUTION)}, b.deleted AS old_deleted,
        b.id IS NULL AS new, coalesce(b.counts, false) AS counted, coalesce(b.fits AND b.owned, false) AS before,
        coalesce(b.fits AND a.owned, false) AS handed, a.fits AND a.owned AS after
    FROM v a FULL JOIN v b ON b.id = a.id AND b.version = a.version - 1
    WHERE coalesce(a.valid_from, '-infinity') > %(start)s::timestamptz
"""


# Of an event ``e``: whether the deal met the conditions ``before`` it, once it was ``handed`` to the owner of after, and ``after``.
_TURN = """
    CASE WHEN e.new THEN 'created' WHEN e.deleted <> e.old_deleted THEN CASE WHEN e.deleted THEN 'deleted' ELSE 'restored' END
        WHEN e.status <> e.old_status THEN CASE e.status WHEN 'open' THEN 'reopened' ELSE e.status END ELSE '{otherwise}' END
"""


def _step(cause: str, owner: str = "owner_id", *, row: str = "e", old: str = "", sign: str = "") -> str:
    """A contribution that comes (or goes, with a ``-``): that of the deal, or the ``old`` one."""
    day, currency, status, unweighted, weighted = (f"{row}.{old}{name}" for name in _CONTRIBUTION)
    amounts = f"{currency}, {status}, {sign}{unweighted}, {sign}{weighted}, {sign}1 AS n"
    return f"SELECT {row}.id AS opportunity_id, {day} AS day, {cause} AS cause, {amounts}, {row}.{owner} AS owner_id"


def _at_start() -> str:
    """The deals in force at the start: as they met the conditions then, and what another name of an account has changed."""
    there = "FROM v WHERE v.valid_from <= %(start)s::timestamptz AND v.counts AND v.owned"
    return f"""
        {_step("'start'", row="v")} {there} AND v.fitted
        UNION ALL {_step("'included'", row="v")} {there} AND v.fits AND NOT v.fitted
        UNION ALL {_step("'excluded'", row="v", sign="-")} {there} AND v.fitted AND NOT v.fits
    """


def _of_ledger() -> str:
    return f"""
        SELECT l.opportunity_id, l.day, l.cause, l.currency, l.status, l.unweighted, l.weighted, l.n, e.owner_id
        FROM e FULL JOIN (SELECT l.* FROM forecast_entries l WHERE l.org_id = %(org_id)s AND {in_span("l")}) l
            ON l.opportunity_id = e.id AND l.position = e.position
        WHERE coalesce(e.handed AND e.after, false) AND coalesce(l.n IS NOT NULL, false)
    """


def _in_and_out(query: WaterfallQuery) -> list[str]:
    found = [
        f"{_step(_TURN.format(otherwise='excluded'), old='old_', sign='-')} FROM e WHERE e.handed AND e.counted AND NOT e.after",
        f"{_step(_TURN.format(otherwise='included'))} FROM e WHERE e.after AND e.counts AND NOT e.handed",
    ]
    if query.of_owners or query.group_by:
        changed = "e.counted AND e.owner_id <> e.old_owner_id"
        out, into = _step("'transferred_out'", "old_owner_id", old="old_", sign="-"), _step("'transferred_in'", old="old_")
        found += [f"{out} FROM e WHERE e.before AND {changed}", f"{into} FROM e WHERE e.handed AND {changed}"]
    return found
