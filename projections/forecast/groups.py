"""The groups of a forecast: the largest of each month, and the others added up.

PostgreSQL ranks stages and tags and cuts, so that what is fetched and rendered does not grow with the org; of owners and accounts
it leaves some more, which the process ranks and keeps (``group_sums``). To compare amounts it multiplies them by their rates, which
is exact. Sums that are still to be divided are kept apart by divisor, and divided only to be ranked.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Annotated, Literal

import msgspec
from msgspec import UNSET, Meta, Raw, Struct, UnsetType

from projections.forecast.limits import MAX_BYTES, MAX_GROUPS
from projections.forecast.money import ONE, Factor, ForecastStatus, Sums, Totals

GroupBy = Literal["owner", "stage", "account", "tag"]
_OF_ROW = "SELECT array_to_string(t.tags, E'\\n') FROM opportunities t WHERE t.id = o.id AND t.version = o.version"
COLUMNS: Mapping[GroupBy, str] = {
    "owner": "o.owner_id",
    "stage": "o.stage",
    "account": "o.account_id",
    "tag": f"CASE WHEN o.sheet_tags IS NULL THEN ({_OF_ROW}) ELSE o.sheet_tags END",
}
"""SQL for the group of a deal ``o``; for tags, a line for each group."""
CARDS = frozenset({"owner", "account"})
"""Groups that are records, and are shown as lists embed them."""
NO_TAG = ""

# What the parts of an answer take at most: a group beside its amounts and its card, a month without its groups, all else.
_GROUP_BYTES, MONTH_BYTES, FIXED_BYTES = 101, 600, 50_000
_AMOUNTS, _DECIMALS = 5, 6
Card = Annotated[Raw, Meta(extra_json_schema={"type": "object"}, description="As a list of opportunities has it.")]


class ForecastGroup(Sums):
    """The deals of one owner, stage, account or tag; null is for deals without tags."""

    owner: Card | UnsetType = UNSET
    stage: str | UnsetType = UNSET
    account: Card | UnsetType = UNSET
    tag: str | UnsetType | None = UNSET


class OtherGroups(Sums, kw_only=True):
    """The groups that are not shown, added up; ``groups`` is the number of them."""

    groups: int


class Figures(Sums, kw_only=True):
    """Sums as they are shown. With ``group_by`` also the groups, the largest first, and the others if there are any."""

    groups: Annotated[list[ForecastGroup], Meta(max_length=MAX_GROUPS)] | UnsetType = UNSET
    others: OtherGroups | UnsetType = UNSET


OWN = "(SELECT o.currency FROM own o)"
"""SQL for the org's currency where it was looked up once for the whole statement, which is sooner planned than looking again."""


def factors(own: str, currency: str | None, source: str = "s") -> str:
    """Common table expressions: from sums with rates, what those of a currency, status and period of a month are multiplied by, and
    what they are then divided ``by``. ``own`` is SQL for the org's currency, ``currency`` the report's if it is another."""
    report = "%(report)s::text" if currency else OWN
    return f"""
        own AS MATERIALIZED (SELECT {own} AS currency), f AS MATERIALIZED (
            SELECT s.month, s.currency, s.status, s.period,
                CASE WHEN s.currency IN ({report}, {OWN}) THEN 1 ELSE s.rate END AS times,
                CASE WHEN s.currency = {report} OR {report} = {OWN} THEN 1 ELSE s.report_rate END AS by
            FROM {source} s
        )
    """


def converted(source: str) -> str:
    """SQL for the sums of each group, multiplied, by month, group, status and divisor."""
    return f"""
        SELECT g.month, g.grp, g.status, CASE WHEN f.times IS NOT NULL THEN f.by END AS by,
            sum(g.unweighted * f.times) AS unweighted, sum(g.weighted * f.times) AS weighted, sum(g.n) AS n
        FROM {source} g JOIN f USING (month, currency, status, period) GROUP BY 1, 2, 3, 4
    """


PLACES = 10
"""Decimals of the amount by which groups are ranked: those whose quotients differ by less are equal, however they are added up."""
# Ranked by window functions and not by a join, because nobody can tell the planner how many groups there are.
_QUOTIENT = f"CASE WHEN v.by = 1 THEN v.unweighted ELSE round(v.unweighted, {2 * PLACES}) / v.by END"
PLACED = f"""
    p AS MATERIALIZED (
        SELECT b.*, dense_rank() OVER (PARTITION BY b.month ORDER BY b.amount DESC, b.grp) AS place
        FROM (
            SELECT v.*, coalesce(round(sum({_QUOTIENT}) OVER (PARTITION BY v.month, v.grp), {PLACES}), 0) AS amount FROM v
        ) b
    )
"""
"""Common table expression: the converted sums ``v`` with the amount of their group and its place in the month."""


_SIZE = f"""
    {_GROUP_BYTES} + {_AMOUNTS} * (length(trunc(r.amount)::text) + {_DECIMALS}) + octet_length(to_json(r.grp)::text)
"""
SHOWN = f"""
    q AS MATERIALIZED (
        SELECT p.month, least(p.place, %(groups_limit)s::bigint + 1) AS place,
            CASE WHEN p.place <= %(groups_limit)s::bigint THEN p.grp END AS grp,
            p.status, p.by, max(p.amount) AS amount, max(p.place) AS last,
            sum(p.unweighted) AS unweighted, sum(p.weighted) AS weighted, sum(p.n) AS n
        FROM p GROUP BY 1, 2, 3, 4, 5
    ), shown AS MATERIALIZED (
        SELECT coalesce(max(b.place), 0) AS places
        FROM (
            SELECT r.place, sum({_SIZE}) OVER (ORDER BY r.place) AS bytes FROM (
                SELECT q.month, q.grp, q.place, max(q.amount) AS amount FROM q
                WHERE q.place <= %(groups_limit)s::bigint GROUP BY 1, 2, 3
            ) r
        ) b
        WHERE b.bytes <= {MAX_BYTES - FIXED_BYTES}
            - {MONTH_BYTES} * greatest(%(months)s::bigint, (SELECT count(DISTINCT s.month) FROM s))
    )
"""
"""Common table expressions: from sums with places ``p``, the sums ``q`` by month, place, group, status and divisor, of which the
last place is that of all others; and how many places are ``shown``: ``%(groups_limit)s``, or as many as there is room for beside
``%(months)s`` months, the same number in each."""

RANKED = """
    (SELECT coalesce(json_agg(json_build_array(
        x.month, x.status, x.unweighted, x.weighted, x.n, x.by, x.grp
    )), '[]')::varchar FROM (
        SELECT q.month, q.status, q.by, CASE WHEN q.place <= shown.places THEN q.grp END AS grp,
            sum(q.unweighted) AS unweighted, sum(q.weighted) AS weighted, sum(q.n) AS n
        FROM q CROSS JOIN shown GROUP BY 1, 2, 3, 4
    ) x) AS groups,
    (SELECT coalesce(json_object_agg(x.month, x.n), '{}')::varchar FROM (
        SELECT q.month, max(q.last) - max(shown.places) AS n FROM q CROSS JOIN shown GROUP BY 1
    ) x WHERE x.n > 0) AS others
"""
"""Columns: the sums of groups (``_GroupSum``), and the number of others by month."""


def cards(places: str, of_group: str) -> str:
    """SQL for the places of groups ``grp``, each with its card, which is looked up once for the group: for its first place, ``nth``
    1. By window functions too, as ``PLACED``."""
    return f"""
        SELECT e.*, max(CASE WHEN e.nth = 1 THEN {of_group} END) OVER (PARTITION BY e.grp) AS card
        FROM (SELECT x.*, row_number() OVER (PARTITION BY x.grp ORDER BY x.place) AS nth FROM ({places}) x) e
    """


def card(at: str | None) -> str:
    """SQL for the embedded form of the record that a group ``e.grp`` is about, as of an instant (SQL)."""
    if at is None:
        which = "AND d.valid_to = 'infinity'"
    else:  # the version at the instant, else the first one after it
        which = (
            f"ORDER BY d.valid_from <= {at} DESC, CASE WHEN d.valid_from <= {at} THEN d.version ELSE -d.version END DESC LIMIT 1"
        )
    return f"coalesce((SELECT d.card FROM directory d WHERE d.id = e.grp {which}), to_json(e.grp)::text)"


class _GroupSum(Struct, array_like=True):
    """The sum of a group, or of the others (None), to be divided by ``by``; None if there is no rate."""

    month: str
    status: ForecastStatus
    unweighted: Decimal | None
    weighted: Decimal | None
    n: int
    by: Decimal | None
    group: str | None


_decode_sums = msgspec.json.Decoder(list[_GroupSum]).decode
_decode_others = msgspec.json.Decoder(dict[str, int]).decode


@dataclass(slots=True)
class _MonthGroups:
    shown: dict[str, Totals] = field(default_factory=lambda: defaultdict(Totals))
    others: Totals = field(default_factory=Totals)


class Groups:
    """The stages or tags of all months, from the columns of ``RANKED``, to be shown in one currency."""

    def __init__(self, currency: str, group_by: GroupBy, groups: bytes, others: bytes) -> None:
        self._currency = currency
        self._group_by: GroupBy = group_by
        self._others = _decode_others(others)
        self._months: dict[str, _MonthGroups] = defaultdict(_MonthGroups)
        for each in _decode_sums(groups):
            month = self._months[each.month]
            totals = month.others if each.group is None else month.shown[each.group]
            if each.by is not None and each.unweighted is not None and each.weighted is not None:
                totals.add(each.status, each.unweighted, each.weighted, each.n, Factor(ONE, each.by))

    def largest(self, month: str) -> list[ForecastGroup]:
        """The groups of a month (its first day) that are shown, the largest first."""
        found = ((totals.unweighted(self._currency), key, totals) for key, totals in self._months[month].shown.items())
        ordered = sorted(found, key=lambda each: (each[0].copy_negate(), each[1]))
        return [totals.shown(ForecastGroup, self._currency, **{self._group_by: key or None}) for _, key, totals in ordered]

    def others(self, month: str) -> OtherGroups | UnsetType:
        if not (number := self._others.get(month)):
            return UNSET
        return self._months[month].others.shown(OtherGroups, self._currency, groups=number)
