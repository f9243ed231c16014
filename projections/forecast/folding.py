"""The sums of the forecast's ledger: up to a fold point they are kept in tables, what came after it is added when they are read.

The tables ``forecast_folded_…`` hold the sums of all entries up to a fold point, a position of the log. The views that are named
like the sums add the entries beyond it, so whoever reads them reads what the ledger adds up to, in any snapshot. Each part of the
sums has a fold point of its own: an event moves it to its position, in its own transaction, if that is ``at`` more than a multiple
of ``EVERY`` (for the current balances, which are read most, of ``OFTEN``). So the fold points, and with them every row of these
tables, hang on the log alone, and what is beyond is the entries of fewer positions than that (of more only where positions have a
gap). Parts are folded at different positions, because whoever else writes waits for a transaction that folds.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from domain.sql_cursor import SqlCursor
from projections.forecast import AMOUNTS, AMOUNTS_OF_OWNERS, COLUMNS, SUMS

EVERY, OFTEN = 1024, 64
_LAST = 2**63 - 1
"""Said too, because a range between two bounds is taken for narrow by the planner, and found by its index."""

_MONTH = "date_trunc('month', e.day::timestamp)::date"
_ON = "(e.occurred_at AT TIME ZONE 'UTC')::date"
_DURING = "date_trunc('month', e.occurred_at AT TIME ZONE 'UTC')::date"
_SCHEDULED = "e.day < 'infinity'"
_WON = "e.status = 'won'"


class Part(NamedTuple):
    """Which rows of sums an entry ``e`` adds to: SQL for each key of them, and for the entries that do; and where it is folded."""

    name: str
    keys: Mapping[str, str]
    which: str
    at: int
    every: int = EVERY

    @property
    def point(self) -> str:
        """SQL for the fold point."""
        return f"(SELECT coalesce(max(f.position), 0) FROM forecast_fold f WHERE f.part = '{self.name}')"

    @property
    def last(self) -> str:
        """SQL for the last position of the log, up to ``%(position)s``, at which this part is folded."""
        return f"""
            (SELECT e.notification_id FROM public.opportunities_events e
             WHERE e.notification_id <= %(position)s::bigint AND e.notification_id %% {self.every} = {self.at}
             ORDER BY e.notification_id DESC LIMIT 1)
        """


class Sums(NamedTuple):
    """A table of sums: its keys, its columns for causes, what adds to it, and whether what a cause has not moved is NULL."""

    view: str
    keys: tuple[str, ...]
    amounts: tuple[str, ...]
    parts: tuple[Part, ...]
    sources: tuple[str, ...] = ("forecast_entries",)
    sparse: bool = False

    @property
    def table(self) -> str:
        return self.view.replace("forecast_", "forecast_folded_")

    @property
    def nothing(self) -> str:
        """SQL that holds for a row in which nothing is left."""
        return " AND ".join(f"coalesce({each}, 0) = 0" for each in (*SUMS, *self.amounts))


# In balances ``period`` is the month in which events occurred, or 'infinity' for all of them, whose causes are not told apart;
# ``day`` is a day, or the first of a month by ``grain``. The unscheduled deals are a month and have no days. In movements
# ``period`` is the day on which events occurred; ``day`` is that of a won deal, because of the rates, and of an open one the
# first of its month. Sums of owners are by month, those of won deals by day too. A cause is two columns and not a key, because an
# event often has several for the same deals and day. Of owners, of whom there are many rows, what a cause has not moved is NULL and
# not zero: so it takes no room, and no time to add up.
_PLACE = ("day", "currency", "status")


def _part(name: str, at: int, which: str, every: int = EVERY, **keys: str) -> Part:
    return Part(name, {"org_id": "e.org_id", "currency": "e.currency", "status": "e.status", **keys}, which, at, every)


BALANCES = Sums(
    "forecast_balances",
    ("org_id", "grain", "period", *_PLACE),
    AMOUNTS,
    (
        _part("months", 0, "true", grain="'month'", period=_DURING, day=_MONTH),
        _part("days", 256, _SCHEDULED, grain="'day'", period=_DURING, day="e.day"),
    ),
)
CURRENT = Sums(
    "forecast_balances",
    BALANCES.keys,
    (),
    (
        _part("current_months", 0, "true", OFTEN, grain="'month'", period="'infinity'", day=_MONTH),
        _part("current_days", OFTEN // 2, _SCHEDULED, OFTEN, grain="'day'", period="'infinity'", day="e.day"),
    ),
)
"""The current balances, which have no causes."""
MOVEMENTS = Sums(
    "forecast_movements",
    ("org_id", "period", *_PLACE),
    AMOUNTS,
    (_part("movements", 512, "true", period=_ON, day=f"CASE WHEN {_WON} THEN e.day ELSE {_MONTH} END"),),
)
OWNERS = Sums(
    "forecast_owners",
    ("org_id", "owner_id", "grain", "period", *_PLACE),
    AMOUNTS_OF_OWNERS,
    (
        _part("owners_months", 128, "true", grain="'month'", period=_DURING, owner_id="e.owner_id", day=_MONTH),
        _part("owners_days", 640, f"{_WON} AND {_SCHEDULED}", grain="'day'", period=_DURING, owner_id="e.owner_id", day="e.day"),
    ),
    ("forecast_entries", "forecast_transfers"),
    sparse=True,
)
OWNED = Sums(
    "forecast_owned",
    ("org_id", "grain", "owner_id", *_PLACE),
    (),
    (
        _part("owned_months", 384, "true", grain="'month'", owner_id="e.owner_id", day=_MONTH),
        _part("owned_days", 896, f"{_WON} AND {_SCHEDULED}", grain="'day'", owner_id="e.owner_id", day="e.day"),
    ),
    OWNERS.sources,
)
"""What the deals of each owner add up to now."""
ALL = (CURRENT, BALANCES, MOVEMENTS, OWNERS, OWNED)
_KEPT = (BALANCES, MOVEMENTS, OWNERS, OWNED)
TABLES = ("forecast_fold", *(each.table for each in _KEPT))
VIEWS = ("forecast_current", *(each.view for each in _KEPT))
ZERO_ROWS = {each.table: each.nothing for each in _KEPT}
_TYPES = {"org_id": "uuid", "owner_id": "uuid", "period": "date", "day": "date"}
_CAUSE_OF = {name: cause for cause, names in COLUMNS.items() for name in names}


def _amounts_ddl(names: Sequence[str], type_: str) -> str:
    return "".join(f"    {name} {type_},\n" for name in names)


def _table(sums: Sums) -> str:
    keys = "".join(f"    {name} {_TYPES.get(name, 'text')} NOT NULL,\n" for name in sums.keys)
    amounts = _amounts_ddl(sums.amounts, "numeric" if sums.sparse else "numeric NOT NULL DEFAULT 0")
    return f"""
CREATE TABLE {sums.table} (
{keys}    unweighted numeric NOT NULL,
    weighted numeric NOT NULL,
    n bigint NOT NULL,
{amounts}    PRIMARY KEY ({", ".join(sums.keys)})
) WITH (fillfactor = 70);
"""


def _view(sums: Sums, *more: Sums) -> str:
    """The kept sums and, from each entry beyond the fold point, what it adds to them."""
    columns = ", ".join((*sums.keys, *SUMS, *sums.amounts))
    rows = [row for each in (sums, *more) for row in _beyond(each, sums.amounts)]
    return _union(sums.view, [f"SELECT {columns} FROM {sums.table}", *rows])


def _current_view() -> str:
    """The current balances alone, which a program of this version reads for the forecast of now."""
    kept = f"SELECT {', '.join((*CURRENT.keys, *SUMS))} FROM {CURRENT.table} WHERE period = 'infinity'"
    return _union("forecast_current", [kept, *_beyond(CURRENT)])


def _union(view: str, rows: Sequence[str]) -> str:
    union = "\nUNION ALL ".join(rows)
    return f"CREATE VIEW {view} WITH (security_invoker = true) AS\n{union};\n"


def _beyond(sums: Sums, names: Sequence[str] = ()) -> Iterator[str]:
    """SQL for what each entry beyond the fold point adds, with columns for causes."""
    amounts = "".join(f", {_amount(sums, name) if name in sums.amounts else '0::numeric'}" for name in names)
    for part in sums.parts:
        for source in sums.sources:
            yield (
                f"SELECT {_keys(sums, part)}, e.unweighted, e.weighted, e.n::bigint{amounts} FROM {source} e"
                f" WHERE {part.which} AND e.position > {part.point} AND e.position <= {_LAST}"
            )


def _keys(sums: Sums, part: Part) -> str:
    return ", ".join(f"({part.keys[name]})::{_TYPES.get(name, 'text')} AS {name}" for name in sums.keys)


def _amount(sums: Sums, name: str) -> str:
    otherwise = "" if sums.sparse else " ELSE 0"
    return f"CASE WHEN e.cause = '{_CAUSE_OF[name]}' THEN e.{_sum_of(name)}{otherwise} END"


def _sum_of(name: str) -> str:
    return "unweighted" if name.endswith("_unweighted") else "weighted"


DDL = f"""
CREATE TABLE forecast_fold (
    part text NOT NULL,
    position bigint NOT NULL,
    PRIMARY KEY (part)
);
{_table(BALANCES)}{_table(MOVEMENTS)}{_table(OWNERS)}{_table(OWNED)}
{_current_view()}{_view(BALANCES, CURRENT)}{_view(MOVEMENTS)}{_view(OWNERS)}{_view(OWNED)}
"""


_TO = "%(position)s::bigint"


def _sum_up(sums: Sums, part: Part, after: str, upto: str) -> str:
    """SQL that inserts what the entries after a position up to another one (SQL) add up to."""
    keys = ", ".join(sums.keys)
    entries = " UNION ALL ".join(
        f"SELECT {_keys(sums, part)}, e.cause, e.unweighted, e.weighted, e.n"
        f" FROM {source} e WHERE {part.which} AND e.position > {after} AND e.position <= {upto}"
        for source in sums.sources
    )
    of_causes = "".join(f", {_caused(sums, name)}" for name in sums.amounts)
    return f"""
        INSERT INTO {sums.table} AS b ({", ".join((*sums.keys, *SUMS, *sums.amounts))})
        SELECT {keys}, sum(x.unweighted), sum(x.weighted), sum(x.n)::bigint{of_causes}
        FROM (
            SELECT {keys}, p.cause, sum(p.unweighted) AS unweighted, sum(p.weighted) AS weighted, sum(p.n) AS n
            FROM ({entries}) p GROUP BY {keys}, p.cause
        ) x GROUP BY {keys}
    """


def _add(sums: Sums, part: Part) -> str:
    """SQL that adds to a table what the entries from a part's fold point up to a position add up to."""
    added = ", ".join(f"{name} = b.{name} + excluded.{name}" for name in SUMS)
    added += "".join(f", {_changed(sums, name)}" for name in sums.amounts)
    return f"{_sum_up(sums, part, part.point, _TO)} ON CONFLICT ({', '.join(sums.keys)}) DO UPDATE SET {added}"


def _caused(sums: Sums, name: str) -> str:
    amount = f"sum(x.{_sum_of(name)}) FILTER (WHERE x.cause = '{_CAUSE_OF[name]}')"
    return f"nullif({amount}, 0)" if sums.sparse else f"coalesce({amount}, 0)"


def _changed(sums: Sums, name: str) -> str:
    """What a cause has moved and moved back is NULL again where sums are sparse."""
    if not sums.sparse:
        return f"{name} = b.{name} + excluded.{name}"
    return f"{name} = CASE WHEN excluded.{name} IS NULL THEN b.{name} ELSE nullif(coalesce(b.{name}, 0) + excluded.{name}, 0) END"


def _set(part: Part, upto: str) -> str:
    return f"""
        INSERT INTO forecast_fold AS f (part, position)
        SELECT '{part.name}', p.position FROM (SELECT {upto} AS position) p WHERE p.position IS NOT NULL
    """


def _move(part: Part) -> str:
    return f"{_set(part, _TO)} ON CONFLICT (part) DO UPDATE SET position = excluded.position"


_PARTS = tuple((sums, part) for sums in ALL for part in sums.parts)
FOLDS = tuple((part, (_add(sums, part), _move(part))) for sums, part in _PARTS)
"""Statements that move a part's fold point to a position, in this order."""
FOLD_ALL = (
    *(_sum_up(sums, part, "0", part.last) for sums, part in _PARTS),
    *(_set(part, part.last) for _, part in _PARTS),
)
"""Statements, in any order, that fill empty tables without keys with the sums of the entries of the log up to a position."""


def fold(cursor: SqlCursor, positions: Sequence[int]) -> None:
    """Fold as far as the events at these positions, the last of the log, say."""
    for part, statements in FOLDS:
        if (point := fold_point(positions, part.every, part.at)) is not None:
            for statement in statements:
                cursor.execute(statement, {"position": point}, prepare=True)


def fold_point(positions: Sequence[int], every: int, at: int = 0) -> int | None:
    """To where the events at these positions move a fold point, if they do."""
    return max((position for position in positions if position % every == at), default=None)


def room(position: int) -> int:
    """How many events there may be from a position on before one that folds. The current balances do not count: little of them is
    folded at a time."""
    return min((part.at - position) % part.every for part, _ in FOLDS if part.every > OFTEN)
