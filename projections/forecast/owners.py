"""SQL for the owners of a waterfall, of each month and of all months together.

PostgreSQL values the steps: it multiplies by rates, which is exact, and keeps sums that are still to be divided apart by divisor.
Of few owners (``MOST_CELLS``) all sums are fetched, to be ranked, shown and kept by the process. Of more PostgreSQL ranks them and
cuts, and adds the others up, so that what is fetched and rendered does not grow with the org. An owner ranks by the larger of what
the start and the end are.
"""

from __future__ import annotations

from projections.forecast import TRANSFERS
from projections.forecast.balances import month_start, rate_period
from projections.forecast.entries import WaterfallQuery, rates
from projections.forecast.groups import OWN, card, cards
from projections.forecast.limits import MAX_BYTES

ALL_MONTHS = "-infinity"
"""As a month: all of them together, without the unscheduled."""
MOST_CELLS = 4_000
"""Months of owners that are fetched at most."""

# What the parts of an answer take at most: a group beside its amounts and its card, a month without its groups, all else.
_GROUP_BYTES, MONTH_BYTES, FIXED_BYTES, BEHIND_BYTES = 540, 1_500, 100_000, 250_000
_COLUMNS, _STEPS, _DECIMALS = 2, 17, 6
_SUMS = "sum(x.unweighted) AS unweighted, sum(x.weighted) AS weighted, sum(x.n) AS n"
_SOMETHING = "sum(x.unweighted) <> 0 OR sum(x.weighted) <> 0 OR x.cause = 'start' AND sum(x.n) <> 0"
_ARRAYS = """
    array_agg(x.cause) AS causes, array_agg(x.by) AS bys, array_agg(x.unweighted) AS unweighted, array_agg(x.weighted) AS weighted
"""


def tables(query: WaterfallQuery, own: str) -> str:
    """Common table expressions: from steps ``c`` the ``valued`` sums, and unless there are ``few`` of them, by month and place the
    owners ``p`` with their sums; ``shown`` is how many places are shown.

    ``own`` is SQL for the org's currency. ``%(groups_limit)s`` places are shown, or as many as there is room for beside
    ``%(months)s`` months, the same number in each.
    """
    few = f"SELECT count(*) <= {MOST_CELLS} AS few FROM (SELECT DISTINCT g.month, g.owner_id FROM g) x"
    return f"""
        {valued(query, own)}, few AS MATERIALIZED ({few}), p AS MATERIALIZED (
            SELECT d.*, row_number() OVER (PARTITION BY d.month ORDER BY d.amount DESC, d.owner_id) AS place
            FROM (
                SELECT x.month, x.owner_id, {_ARRAYS}, count(*) AS n, sum((abs(x.unweighted) + abs(x.weighted)) / x.by) AS most,
                    greatest(sum(x.unweighted / x.by), sum(x.unweighted / x.by) FILTER (WHERE x.cause = 'start'), 0) AS amount
                FROM g x WHERE NOT (SELECT f.few FROM few f) GROUP BY 1, 2
            ) d
        ), cards AS MATERIALIZED ({
        cards(
            "SELECT p.month, p.owner_id AS grp, p.place, p.most, p.n FROM p WHERE p.place <= %(groups_limit)s::bigint",
            _card(query),
        )
    }), shown AS MATERIALIZED ({_shown(query)})
    """


def valued(query: WaterfallQuery, own: str) -> str:
    """Common table expressions: from steps ``c`` the valued sums of each owner ``g``. Of ``s``, what has no rate is not valued."""
    period = f"coalesce({rate_period('c.status', 'c.day', query.bounds)}, -1)"
    return f"""
        d AS MATERIALIZED (SELECT c.*, {month_start("c.day")} AS month, {period} AS period FROM c),
        own AS MATERIALIZED (SELECT {own} AS currency), k AS MATERIALIZED ({_rates(query)}),
        s AS MATERIALIZED (
            SELECT d.month, d.cause, d.unweighted, d.weighted, d.n, d.owner_id, k.*, k.as_end AND d.cause <> 'start' AS at_end
            FROM d JOIN k USING (currency, status, period)
        ),
        o AS MATERIALIZED (
            SELECT x.month, x.owner_id, x.cause, x.by, {_SUMS} FROM ({_VALUED}) x GROUP BY 1, 2, 3, 4 HAVING {_SOMETHING}
        ), g AS MATERIALIZED (
            SELECT o.* FROM o UNION ALL
            SELECT '{ALL_MONTHS}', x.owner_id, x.cause, x.by, {_SUMS} FROM o x WHERE x.month < 'infinity'
            GROUP BY 2, 3, 4 HAVING {_SOMETHING}
        )
    """


def _card(query: WaterfallQuery) -> str:
    return card(None if query.until_now else "%(end)s::timestamptz")


def _rates(query: WaterfallQuery) -> str:
    """SQL for the factors of each currency, status and period of constant rates: at the start, at the end, and for steps."""
    report = "%(report)s::text" if query.currency else OWN
    found = []
    for at in ("start", "end"):
        times = f"CASE WHEN s.currency IN ({report}, {OWN}) THEN 1 ELSE s.{at}_rate END"
        by = f"CASE WHEN s.currency = {report} OR {report} = {OWN} THEN 1 ELSE s.{at}_report_rate END"
        found += [f"{times} AS {at}_times", f"{by} AS {at}_by", f"{times} * {by} IS NOT NULL AS {at}_known"]
    return f"""
        SELECT f.*, f.status = 'won' OR NOT f.start_known AS as_end,
            f.end_known AND (f.start_known IS FALSE OR (f.start_times, f.start_by) <> (f.end_times, f.end_by)) AS differs
        FROM (SELECT s.currency, s.status, s.period, {", ".join(found)} FROM (
            SELECT s.*, {rates(query)} FROM (
                SELECT d.currency, d.status, d.period, min(d.day) AS day FROM d GROUP BY 1, 2, 3
            ) s OFFSET 0
        ) s OFFSET 0) f
    """


# The start is valued at its own rates, steps at these or at those of the end, and the rest is what the rates did. Deals whose start
# has no rate are counted there all the same: a month with nothing but deals without an amount is shown too.
_BY = "CASE WHEN s.at_end THEN s.end_by ELSE s.start_by END"
_TIMES = "CASE WHEN s.at_end THEN s.end_times ELSE s.start_times END"


def _difference(at: str, sign: str, known: str) -> str:
    return f"""
        SELECT s.month, s.owner_id, 'rate_change', s.{at}_by, {sign}s.unweighted * s.{at}_times, {sign}s.weighted * s.{at}_times, 0
        FROM s WHERE s.{known} AND s.end_known AND s.differs AND NOT s.at_end AND (SELECT bool_or(k.differs) FROM k)
    """


_VALUED = f"""
    SELECT s.month, s.owner_id, s.cause, {_BY} AS by, s.unweighted * {_TIMES} AS unweighted, s.weighted * {_TIMES} AS weighted, s.n
    FROM s WHERE s.end_known AND (s.at_end OR s.start_known)
    UNION ALL {_difference("end", "", "end_known")}
    UNION ALL {_difference("start", "-", "start_known")}
    UNION ALL SELECT s.month, s.owner_id, 'start', 1, 0, 0, s.n FROM s
        WHERE s.end_known AND s.cause = 'start' AND NOT s.start_known AND NOT (SELECT bool_and(k.start_known) FROM k)
"""


def _shown(query: WaterfallQuery) -> str:
    amounts = f"{_COLUMNS} * least(r.n + 2, {_STEPS})"  # rate_change and end may come to them
    size = f"{_GROUP_BYTES} + {amounts} * (length(trunc(r.most)::text) + {_DECIMALS}) + octet_length(r.card)"
    room = MAX_BYTES - FIXED_BYTES - (BEHIND_BYTES if query.expanded else 0)
    return f"""
        SELECT coalesce(max(b.place), 0) AS places
        FROM (SELECT r.place, sum({size}) OVER (ORDER BY r.place) AS bytes FROM cards r) b
        WHERE b.bytes <= {room} - {MONTH_BYTES} * greatest(%(months)s::bigint, (SELECT count(DISTINCT g.month) FROM g))
    """


def columns(query: WaterfallQuery) -> str:
    """Columns: the sums of all deals by month, and what has no rate; the sums of owners by month, NULL if there are too many; their
    cards; else, the sums of the owners by month and place, and those of the others by month."""
    return f"{sums_of_all(query)}, {_OF_FEW}, {_cards(query)}, {_largest()}"


def columns_of_few(query: WaterfallQuery) -> str:
    """The first four of the ``columns``, with all owners."""
    return f"{sums_of_all(query)}, {_CELLS} AS cells, ({_cards_of_all(query)}) AS cards"


def sums_of_all(query: WaterfallQuery) -> str:
    """Columns. Changes of owner do not count, unless owners are filtered."""
    counted = "true" if query.of_owners else f"x.cause NOT IN {TRANSFERS}"
    sums = "sum(x.unweighted) AS unweighted, sum(x.weighted) AS weighted"
    every = f"SELECT x.month, x.cause, x.by, {sums} FROM g x WHERE x.month > '{ALL_MONTHS}' AND {counted} GROUP BY 1, 2, 3"
    without = f"""
        SELECT x.currency, x.cause, x.month, x.status, x.period, {_SUMS} FROM s x
        WHERE NOT x.end_known AND {counted} GROUP BY 1, 2, 3, 4, 5 HAVING {_SOMETHING}
    """
    return f"""
        {_rows("x.causes, x.bys, x.unweighted, x.weighted, x.month", f"SELECT x.month, {_ARRAYS} FROM ({every}) x GROUP BY 1")},
        {_rows("x.currency, x.cause, x.month, x.status, x.period, x.unweighted, x.weighted, x.n", without)}
    """


def _rows(columns: str, text: str) -> str:
    return f"(SELECT coalesce(json_agg(json_build_array({columns})), '[]')::varchar FROM ({text}) x)"


_CELLS = """
    (SELECT coalesce(json_agg(json_build_array(x.month, x.owner_id, x.steps)), '[]')::varchar FROM (
        SELECT g.month, g.owner_id, json_agg(json_build_array(g.cause, g.by, g.unweighted, g.weighted, g.n)) AS steps
        FROM g GROUP BY 1, 2
    ) x)
"""
_OF_FEW = f"(SELECT CASE WHEN f.few THEN {_CELLS} END FROM few f) AS cells"


def _cards_of_all(query: WaterfallQuery) -> str:
    cards = f"coalesce(json_object_agg(e.grp, ({_card(query)})::json), '{{}}')::varchar"
    return f"SELECT {cards} FROM (SELECT DISTINCT o.owner_id AS grp FROM o) e"


def _cards(query: WaterfallQuery) -> str:
    return f"(SELECT CASE WHEN f.few THEN ({_cards_of_all(query)}) ELSE {_CARDS_SHOWN} END FROM few f) AS cards"


_CARDS_SHOWN = """
    (SELECT coalesce(json_object_agg(x.grp, x.card::json), '{}')::varchar FROM cards x CROSS JOIN shown
        WHERE x.nth = 1 AND x.place <= shown.places)
"""


def _largest() -> str:
    shown = "SELECT p.* FROM p CROSS JOIN shown WHERE p.place <= shown.places ORDER BY p.month, p.place"
    rest = """
        SELECT p.month, x.cause, x.by, max(p.place - shown.places) AS n,
            sum(x.unweighted) AS unweighted, sum(x.weighted) AS weighted
        FROM p CROSS JOIN shown
        CROSS JOIN LATERAL unnest(p.causes, p.bys, p.unweighted, p.weighted) x (cause, by, unweighted, weighted)
        WHERE p.place > shown.places GROUP BY 1, 2, 3
    """
    others = f"SELECT x.month, max(x.n) AS n, {_ARRAYS} FROM ({rest}) x GROUP BY 1"
    amounts = "x.causes, x.bys, x.unweighted, x.weighted"
    return f"{_rows(f'{amounts}, x.month, x.place, x.owner_id', shown)}, {_rows(f'{amounts}, x.month, x.n', others)}"
