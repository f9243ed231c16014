"""Figures that are kept: what was counted or added up at one position of the log, and SQL for what the events after it change.

The log tells, by an index that it has anyway, which deals have events after the position. The columns of a version's row never
change once it is written, so a figure changes by what the deals' versions of now meet, less what those at the position met. What
also hangs on names, users or rates does not hold once one of these has changed. A figure is of one build of the read models; the
statement that brings it up to date says which one that is, and finds out whether it still holds.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, Literal, NamedTuple
from uuid import UUID

from projections.conditions import SqlStatement

EVENT_SECONDS = 10e-6
"""What an event after a figure's position costs, roughly."""
MOST = (50, 200, 1_000, 4_000)
"""After so many events a figure is computed again, by how long that takes; few numbers, so that there are few statements."""

Kind = Literal["account", "user", "exchange_rate", "organization"]
"""Whose changes may make a figure wrong: of accounts their names, of the others every event."""

POSITION = "(SELECT coalesce(max(e.notification_id), 0) FROM opportunities_events e WHERE e.org_id = %(org_id)s)"
BUILT = """(SELECT string_agg(m.built_at::text, ' ' ORDER BY m.name) || (SELECT max(p.first_position) FROM log_epochs p)
    FROM read_models m)"""
"""SQL for the position of the org's last event, and for which build of the read models, and epoch of the log, the tables are."""


class NoLongerHolds(Exception):
    """Of what changed since, a figure cannot be brought up to date: it has to be computed again."""


class Figure(NamedTuple):
    """What a statement returned of itself to be kept, and the position and build for which it holds. ``seconds`` is how long it
    took to compute."""

    position: int
    built: str
    parts: tuple[Any, ...]
    seconds: float = 1.0

    def params(self) -> dict[str, Any]:
        return {"kept_position": self.position, "kept_built": self.built}

    @property
    def most(self) -> int:
        """The number of events after its position that are looked at before it is better computed again."""
        return max((number for number in MOST if number * EVENT_SECONDS <= self.seconds), default=MOST[0])


class Total(NamedTuple):
    """How a page is counted: tables before it, the column of the count, parameters, and columns to come before all others.

    ``kept`` is about how many there are, if that is known.
    """

    tables: str
    counted: str
    params: dict[str, Any]
    first: str = ""
    kept: int | None = None


def computed(count: SqlStatement, org_id: UUID) -> Total:
    """Of a count that is to be kept: position and build for which it holds come first."""
    figures = f"SELECT ({count.text}) AS n, {POSITION} AS position, {BUILT} AS built"
    return Total(f"WITH figure AS MATERIALIZED ({figures})", _COUNT, count.params | {"org_id": org_id}, _HOLDS)


def brought_up_to_date(
    figure: Figure, meets: SqlStatement, hangs_on: Collection[Kind] = (), *, as_of: bool = False, of: str = "opportunity"
) -> Total:
    """Of a kept count, with the condition that versions which count meet."""
    (n,) = figure.parts
    more = f"(SELECT coalesce(sum(c.sign), 0) FROM {meeting(meets.text, of)})"
    tables = f"""
        WITH {since(figure, hangs_on, as_of=as_of, of=of)}, figure AS MATERIALIZED (
            SELECT %(kept_n)s::bigint + {more} AS n, h.position, h.built FROM holds h
        )
    """
    return Total(tables, _COUNT, meets.params | figure.params() | {"kept_n": n}, _HOLDS, n)


_COUNT = "(SELECT f.n FROM figure f)"
_HOLDS = "(SELECT f.position FROM figure f), (SELECT f.built FROM figure f), "


def since(figure: Figure, hangs_on: Collection[Kind], *, as_of: bool = False, of: str = "opportunity") -> str:
    """Common table expressions, with the ``params`` of a figure and ``org_id``, and ``as_of`` if it is of an instant.

    ``holds`` has the position and build to which the figure is brought up to date; no position if it cannot be. ``changed`` are
    versions of deals, or ``of`` another kind of records: those that count now with ``sign`` 1, those that counted at the figure's
    position with -1.
    """
    wrong = [f"EXISTS (SELECT FROM since s WHERE s.kind = '{kind}')" for kind in hangs_on if kind != "account"]
    if "account" in hangs_on:
        wrong.append(_renamed(as_of=as_of))
    fits = "".join(f" AND NOT {each}" for each in wrong)
    return f"""
        since AS MATERIALIZED (
            SELECT e.originator_id AS id, e.originator_version AS version, e.notification_id AS position,
                split_part(e.topic, '.', 1) AS kind
            FROM opportunities_events e WHERE e.org_id = %(org_id)s AND e.notification_id > %(kept_position)s::bigint
            ORDER BY e.notification_id LIMIT {figure.most + 1}
        ), holds AS MATERIALIZED (
            SELECT b.built, CASE WHEN b.built = %(kept_built)s::text AND (SELECT count(*) FROM since) <= {figure.most}{fits}
                THEN coalesce((SELECT max(s.position) FROM since s), %(kept_position)s::bigint) END AS position
            FROM (SELECT {BUILT} AS built) b
        ), touched AS MATERIALIZED (
            SELECT s.id, min(s.version) AS first, max(s.version) AS last FROM since s
            WHERE s.kind = '{of}' AND (SELECT h.position FROM holds h) IS NOT NULL GROUP BY s.id
        ), changed AS MATERIALIZED ({_CHANGED_AS_OF if as_of else _CHANGED})
    """


# Of an instant, only what became valid until then counts, and no version before it became another's for being late.
_CHANGED = "SELECT t.id, t.last AS version, 1 AS sign FROM touched t UNION ALL SELECT t.id, t.first - 1, -1 FROM touched t"
_CHANGED_AS_OF = """
    SELECT t.id, v.version, v.sign FROM touched t
    CROSS JOIN LATERAL (
        SELECT FROM opportunities o WHERE o.id = t.id AND o.version = t.first AND o.valid_from <= %(as_of)s OFFSET 0
    ) late
    CROSS JOIN LATERAL (
        SELECT o.version, 1 AS sign FROM opportunities o WHERE o.id = t.id AND o.valid_from <= %(as_of)s AND o.valid_to > %(as_of)s
        UNION ALL SELECT t.first - 1, -1
    ) v
"""


def _renamed(*, as_of: bool) -> str:
    """SQL for whether an account has another name than at the figure's position."""
    until = " AND d.valid_from <= %(as_of)s" if as_of else ""
    return f"""
        EXISTS (
            SELECT FROM since s CROSS JOIN LATERAL (
                SELECT FROM directory d JOIN directory b ON b.id = s.id AND b.version = s.version - 1
                WHERE d.id = s.id AND d.version = s.version AND d.search <> b.search{until} OFFSET 0
            ) r WHERE s.kind = 'account' AND s.version > 1
        )
    """


def meeting(condition: str, of: str = "opportunity") -> str:
    """The changed versions ``c`` that are of live deals ``o``, or records ``d`` of another kind, and meet a condition, as a table
    expression."""
    table, a = ("opportunities", "o") if of == "opportunity" else ("directory", "d")
    return f"""
        changed c CROSS JOIN LATERAL (
            SELECT {a}.* FROM {table} {a}
            WHERE {a}.id = c.id AND {a}.version = c.version AND NOT {a}.deleted AND {condition} OFFSET 0
        ) {a}
    """
