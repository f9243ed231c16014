"""The owners of a waterfall: of each month, and of all months together, the largest, and the others added up.

PostgreSQL ranks them and cuts, as it does with the groups of a forecast. An owner ranks by the larger of what the start and the end
are, valued at the rates of the end.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import msgspec
from msgspec import Raw

from projections.forecast.entries import SOMETHING, SUMS, TRANSFERS, WaterfallQuery
from projections.forecast.groups import card
from projections.forecast.limits import MAX_BYTES

ALL_MONTHS = "-infinity"
"""As a month: all of them together, without the unscheduled."""

# What the parts of an answer take at most: a group beside its amounts and its card, a month without its groups, all else.
_GROUP_BYTES, _MONTH_BYTES, _FIXED_BYTES, _BEHIND_BYTES = 540, 1_500, 100_000, 250_000
_COLUMNS, _STEPS, _DECIMALS = 2, 17, 6
_KEYS = "month, currency, status, period"


def sums(keys: str) -> str:
    """Common table expression: from steps ``c`` the sums of each owner ``g``; ``keys`` is SQL for month, currency, status and
    period of constant rates."""
    return f"""
        o AS MATERIALIZED (SELECT {keys}, c.cause, c.owner_id, {SUMS} FROM c GROUP BY 1, 2, 3, 4, 5, 6 HAVING {SOMETHING}),
        g AS MATERIALIZED (
            SELECT o.* FROM o UNION ALL
            SELECT '{ALL_MONTHS}', c.currency, c.status, c.period, c.cause, c.owner_id, {SUMS} FROM o c
            WHERE c.month < 'infinity' GROUP BY 2, 3, 4, 5, 6 HAVING {SOMETHING}
        )
    """


def ranked(query: WaterfallQuery, own: str) -> str:
    """Common table expressions: from the sums of each owner ``g`` and those with rates ``k``, the sums ``q`` by month, place and
    owner, of which the last place is that of all others; the cards of those that may be shown, and how many are, ``shown``.

    ``own`` is SQL for the org's currency. ``%(groups_limit)s`` places are shown, or as many as there is room for beside
    ``%(months)s`` months, the same number in each.
    """
    # Ranked by window functions and not by a join, because nobody can tell the planner how many owners there are.
    limit = "%(groups_limit)s::bigint"
    amounts = f"{_COLUMNS} * least(r.causes + 2, {_STEPS})"  # rate_change and end are not among the causes
    size = f"{_GROUP_BYTES} + {amounts} * (length(trunc(r.most)::text) + {_DECIMALS}) + octet_length(r.card)"
    return f"""
        f AS MATERIALIZED (
            SELECT k.month, k.currency, k.status, k.period, {_worth(query, own, "end")} AS worth,
                {_worth(query, own, "start")} AS start_worth
            FROM k
        ), b AS (
            SELECT g.*, sum(g.unweighted * f.worth) OVER o AS at_end,
                sum(CASE g.cause WHEN 'start' THEN g.unweighted * f.worth END) OVER o AS at_start,
                sum((abs(g.unweighted) + abs(g.weighted)) * greatest(f.worth, f.start_worth)) OVER o AS most,
                count(*) OVER o AS causes
            FROM g JOIN f USING ({_KEYS}) WINDOW o AS (PARTITION BY g.month, g.owner_id)
        ), p AS (
            SELECT d.*, dense_rank() OVER (PARTITION BY d.month ORDER BY d.amount DESC, d.owner_id) AS place
            FROM (SELECT b.*, greatest(b.at_start, b.at_end, 0) AS amount FROM b) d
        ), q AS MATERIALIZED (
            SELECT p.month, p.currency, p.status, p.period, p.cause, least(p.place, {limit} + 1) AS place,
                CASE WHEN p.place <= {limit} THEN p.owner_id END AS grp, max(p.place) AS last, coalesce(max(p.most), 0) AS most,
                max(p.causes) AS causes,
                sum(p.unweighted) AS unweighted, sum(p.weighted) AS weighted
            FROM p GROUP BY 1, 2, 3, 4, 5, 6, 7
        ), cards AS MATERIALIZED (
            SELECT e.*, {card("%(end)s::timestamptz")} AS card FROM (
                SELECT q.month, q.grp, q.place, max(q.most) AS most, max(q.causes) AS causes
                FROM q WHERE q.place <= {limit} GROUP BY 1, 2, 3
            ) e
        ), shown AS MATERIALIZED (
            SELECT coalesce(max(b.place), 0) AS places
            FROM (SELECT r.place, sum({size}) OVER (ORDER BY r.place) AS bytes FROM cards r) b
            WHERE b.bytes <= {MAX_BYTES - _FIXED_BYTES - (_BEHIND_BYTES if query.expanded else 0)}
                - {_MONTH_BYTES} * greatest(%(months)s::bigint, (SELECT count(DISTINCT k.month) FROM k))
        )
    """


def _worth(query: WaterfallQuery, own: str, at: str) -> str:
    """SQL for what a unit of a currency is worth in the report's; NULL if that is not known."""
    report = "%(report)s::text" if query.currency else own
    return f"""
        CASE WHEN k.currency IN ({report}, {own}) THEN 1 ELSE k.{at}_rate END
        / CASE WHEN k.currency = {report} OR {report} = {own} THEN 1 ELSE k.{at}_report_rate END
    """


def steps(query: WaterfallQuery) -> str:
    """SQL for the steps as JSON: those of all deals (without a place), in which changes of owner do not count unless owners are
    filtered, those of each place, and those of the others (place 0)."""
    counted = "true" if query.of_owners else f"q.cause NOT IN {TRANSFERS}"
    keys = "q.month, q.currency, q.status, q.period, q.cause"
    amounts = "sum(q.unweighted) AS unweighted, sum(q.weighted) AS weighted"
    return f"""
        SELECT coalesce(json_agg(json_build_array(
            x.month, x.currency, x.status, x.period, x.cause, x.unweighted, x.weighted, x.place
        )), '[]')::varchar FROM (
            SELECT {keys}, {amounts}, NULL::bigint AS place FROM q
            WHERE q.month > '{ALL_MONTHS}' AND {counted} GROUP BY 1, 2, 3, 4, 5
            UNION ALL
            SELECT {keys}, {amounts}, CASE WHEN q.place <= shown.places THEN q.place ELSE 0 END
            FROM q CROSS JOIN shown GROUP BY 1, 2, 3, 4, 5, 8
        ) x
    """


COLUMNS = """
    (SELECT coalesce(json_agg(json_build_array(x.month, x.place, x.grp)), '[]')::varchar FROM (
        SELECT cards.month, cards.place, cards.grp FROM cards CROSS JOIN shown WHERE cards.place <= shown.places
        ORDER BY cards.month, cards.place
    ) x) AS groups,
    (SELECT coalesce(json_object_agg(x.month, x.n), '{}')::varchar FROM (
        SELECT q.month, max(q.last) - max(shown.places) AS n FROM q CROSS JOIN shown GROUP BY 1
    ) x WHERE x.n > 0) AS others,
    (SELECT coalesce(json_object_agg(x.grp, x.card::json), '{}')::varchar FROM (
        SELECT DISTINCT cards.grp, cards.card FROM cards CROSS JOIN shown WHERE cards.place <= shown.places
    ) x) AS cards
"""
"""Columns: the owner of each place, by month and place; the number of others by month; the cards by owner."""

_decode_places = msgspec.json.Decoder(list[tuple[str, int, str]]).decode
_decode_others = msgspec.json.Decoder(dict[str, int]).decode
_decode_cards = msgspec.json.Decoder(dict[str, Raw]).decode


class Owners(NamedTuple):
    """Whom the places of each month stand for, the largest first, and how many others there are."""

    places: Mapping[str, list[tuple[int, Raw]]]
    others: Mapping[str, int]


def decode(places: bytes, others: bytes, cards: bytes) -> Owners:
    by_owner = _decode_cards(cards)
    by_month: dict[str, list[tuple[int, Raw]]] = {}
    for month, place, owner in _decode_places(places):
        by_month.setdefault(month, []).append((place, by_owner[owner]))
    return Owners(by_month, _decode_others(others))
