"""The owners of a waterfall: of each month, and of all months together, the largest, and the others added up.

PostgreSQL values the steps, ranks the owners and cuts, so that what is fetched and rendered does not grow with the org. It
multiplies by rates, which is exact; sums that are still to be divided are kept apart by divisor, and divided only to be ranked. An
owner ranks by the larger of what the start and the end are.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import NamedTuple

import msgspec
from msgspec import Raw, Struct

from projections.forecast import TRANSFERS
from projections.forecast.balances import month_start, rate_period
from projections.forecast.entries import WaterfallQuery, rates
from projections.forecast.groups import card, cards
from projections.forecast.limits import MAX_BYTES

ALL_MONTHS = "-infinity"
"""As a month: all of them together, without the unscheduled."""

# What the parts of an answer take at most: a group beside its amounts and its card, a month without its groups, all else.
_GROUP_BYTES, _MONTH_BYTES, _FIXED_BYTES, _BEHIND_BYTES = 540, 1_500, 100_000, 250_000
_COLUMNS, _STEPS, _DECIMALS = 2, 17, 6
_SUMS = "sum(x.unweighted) AS unweighted, sum(x.weighted) AS weighted, sum(x.n) AS n"
_SOMETHING = "sum(x.unweighted) <> 0 OR sum(x.weighted) <> 0 OR x.cause = 'start' AND sum(x.n) <> 0"
_ARRAYS = """
    array_agg(x.cause) AS causes, array_agg(x.by) AS bys, array_agg(x.unweighted) AS unweighted, array_agg(x.weighted) AS weighted
"""


def tables(query: WaterfallQuery, own: str) -> str:
    """Common table expressions: from steps ``c`` the valued sums of each owner ``g``, and by month and place the owners ``p`` with
    their sums; ``shown`` is how many places are shown. Of ``s``, what has no rate is not valued.

    ``own`` is SQL for the org's currency. ``%(groups_limit)s`` places are shown, or as many as there is room for beside
    ``%(months)s`` months, the same number in each.
    """
    period = f"coalesce({rate_period('c.status', 'c.day', query.bounds)}, -1)"
    return f"""
        d AS MATERIALIZED (SELECT c.*, {month_start("c.day")} AS month, {period} AS period FROM c),
        k AS MATERIALIZED ({_rates(query, own)}),
        s AS MATERIALIZED (
            SELECT d.month, d.cause, d.unweighted, d.weighted, d.n, d.owner_id, k.* FROM d JOIN k USING (currency, status, period)
        ),
        o AS MATERIALIZED (
            SELECT x.month, x.owner_id, x.cause, x.by, {_SUMS} FROM ({_VALUED}) x GROUP BY 1, 2, 3, 4 HAVING {_SOMETHING}
        ), g AS MATERIALIZED (
            SELECT o.* FROM o UNION ALL
            SELECT '{ALL_MONTHS}', x.owner_id, x.cause, x.by, {_SUMS} FROM o x WHERE x.month < 'infinity'
            GROUP BY 2, 3, 4 HAVING {_SOMETHING}
        ), p AS MATERIALIZED (
            SELECT d.*, row_number() OVER (PARTITION BY d.month ORDER BY d.amount DESC, d.owner_id) AS place
            FROM (
                SELECT x.month, x.owner_id, {_ARRAYS}, count(*) AS n, sum((abs(x.unweighted) + abs(x.weighted)) / x.by) AS most,
                    greatest(sum(x.unweighted / x.by), sum(x.unweighted / x.by) FILTER (WHERE x.cause = 'start'), 0) AS amount
                FROM g x GROUP BY 1, 2
            ) d
        ), cards AS MATERIALIZED ({
        cards(
            "SELECT p.month, p.owner_id AS grp, p.place, p.most, p.n FROM p WHERE p.place <= %(groups_limit)s::bigint",
            card("%(end)s::timestamptz"),
        )
    }), shown AS MATERIALIZED ({_shown(query)})
    """


def _rates(query: WaterfallQuery, own: str) -> str:
    """SQL for the factors of each currency, status and period of constant rates: at the start, at the end, and for steps."""
    report = "%(report)s::text" if query.currency else own
    found = []
    for at in ("start", "end"):
        times = f"CASE WHEN s.currency IN ({report}, {own}) THEN 1 ELSE s.{at}_rate END"
        by = f"CASE WHEN s.currency = {report} OR {report} = {own} THEN 1 ELSE s.{at}_report_rate END"
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


def _row(cause: str, at: str, sign: str = "", n: str = "0") -> str:
    return f"""
        SELECT s.month, s.owner_id, {cause} AS cause, s.{at}_by AS by,
            {sign}s.unweighted * s.{at}_times AS unweighted, {sign}s.weighted * s.{at}_times AS weighted, {n} AS n
        FROM s WHERE s.end_known
    """


# The start is valued at its own rates, steps at these or at those of the end, and the rest is what the rates did. Deals whose start
# has no rate are counted there all the same: a month with nothing but deals without an amount is shown too.
_VALUED = f"""
    {_row("s.cause", "end", n="s.n")} AND s.as_end AND s.cause <> 'start'
    UNION ALL {_row("s.cause", "start", n="s.n")} AND (NOT s.as_end OR s.cause = 'start') AND s.start_known
    UNION ALL {_row("'rate_change'", "end")} AND s.differs AND (NOT s.as_end OR s.cause = 'start')
    UNION ALL {_row("'rate_change'", "start", "-")} AND s.differs AND (NOT s.as_end OR s.cause = 'start') AND s.start_known
    UNION ALL SELECT s.month, s.owner_id, 'start', 1, 0, 0, s.n FROM s WHERE s.end_known AND s.cause = 'start' AND NOT s.start_known
"""


def _shown(query: WaterfallQuery) -> str:
    amounts = f"{_COLUMNS} * least(r.n + 2, {_STEPS})"  # rate_change and end may come to them
    size = f"{_GROUP_BYTES} + {amounts} * (length(trunc(r.most)::text) + {_DECIMALS}) + octet_length(r.card)"
    room = MAX_BYTES - _FIXED_BYTES - (_BEHIND_BYTES if query.expanded else 0)
    return f"""
        SELECT coalesce(max(b.place), 0) AS places
        FROM (SELECT r.place, sum({size}) OVER (ORDER BY r.place) AS bytes FROM cards r) b
        WHERE b.bytes <= {room} - {_MONTH_BYTES} * greatest(%(months)s::bigint, (SELECT count(DISTINCT g.month) FROM g))
    """


def columns(query: WaterfallQuery) -> str:
    """Columns: the sums of all deals by month, those of the owners by month and place, those of the others by month, what has no
    rate by currency, the cards by owner. In the first changes of owner do not count, unless owners are filtered."""
    counted = "true" if query.of_owners else f"x.cause NOT IN {TRANSFERS}"
    sums = "sum(x.unweighted) AS unweighted, sum(x.weighted) AS weighted"
    every = f"SELECT x.month, x.cause, x.by, {sums} FROM g x WHERE x.month > '{ALL_MONTHS}' AND {counted} GROUP BY 1, 2, 3"
    shown = "SELECT p.* FROM p CROSS JOIN shown WHERE p.place <= shown.places ORDER BY p.month, p.place"
    rest = f"""
        SELECT p.month, x.cause, x.by, {sums}, max(p.place - shown.places) AS n
        FROM p CROSS JOIN shown
        CROSS JOIN LATERAL unnest(p.causes, p.bys, p.unweighted, p.weighted) x (cause, by, unweighted, weighted)
        WHERE p.place > shown.places GROUP BY 1, 2, 3
    """
    without = f"""
        SELECT x.currency, x.cause, 1 AS by, {sums} FROM (
            SELECT x.currency, x.cause, {_SUMS} FROM s x
            WHERE NOT x.end_known AND {counted} GROUP BY x.currency, x.cause, x.month, x.status, x.period HAVING {_SOMETHING}
        ) x GROUP BY 1, 2
    """
    found = [
        f"""
            (SELECT coalesce(json_agg(json_build_array(
                x.causes, x.bys, x.unweighted, x.weighted, {keys}
            )), '[]')::varchar FROM ({text}) x) AS {name}
        """
        for name, keys, text in (
            ("all", "x.month", f"SELECT x.month, {_ARRAYS} FROM ({every}) x GROUP BY 1"),
            ("owners", "x.month, x.place, x.owner_id", shown),
            ("others", "x.month, x.n", f"SELECT x.month, max(x.n) AS n, {_ARRAYS} FROM ({rest}) x GROUP BY 1"),
            ("unconverted", "x.currency", f"SELECT x.currency, {_ARRAYS} FROM ({without}) x GROUP BY 1"),
        )
    ]
    return ", ".join([*found, _CARDS])


_CARDS = """
    (SELECT coalesce(json_object_agg(x.grp, x.card::json), '{}')::varchar FROM cards x CROSS JOIN shown
        WHERE x.nth = 1 AND x.place <= shown.places) AS cards
"""


class Steps(Struct, array_like=True):
    """Amounts by cause, to be divided by ``bys``."""

    causes: list[str]
    bys: list[Decimal]
    unweighted: list[Decimal]
    weighted: list[Decimal]


class OfMonth(Steps, array_like=True):
    month: str


class OfOwner(OfMonth, array_like=True):
    place: int
    owner: str


class OfOthers(OfMonth, array_like=True):
    number: int


class OfCurrency(Steps, array_like=True):
    currency: str


class Found(NamedTuple):
    """The columns of a statement, decoded."""

    all: Sequence[OfMonth]
    owners: Sequence[OfOwner]
    others: Sequence[OfOthers]
    unconverted: Sequence[OfCurrency]
    cards: dict[str, Raw]


_decode_all = msgspec.json.Decoder(list[OfMonth]).decode
_decode_owners = msgspec.json.Decoder(list[OfOwner]).decode
_decode_others = msgspec.json.Decoder(list[OfOthers]).decode
_decode_unconverted = msgspec.json.Decoder(list[OfCurrency]).decode
_decode_cards = msgspec.json.Decoder(dict[str, Raw]).decode


def decode(every: bytes, of_owners: bytes, others: bytes, unconverted: bytes, cards: bytes) -> Found:
    return Found(
        _decode_all(every),
        _decode_owners(of_owners),
        _decode_others(others),
        _decode_unconverted(unconverted),
        _decode_cards(cards),
    )
