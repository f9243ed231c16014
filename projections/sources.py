"""Where a page of a list comes from if no index gives both its order and its filters.

First a bounded number of records is looked at in the list's order, among which what many have is found. If they do not fill the
page, everything that an index of the filters' own finds is put in order: then it is not much, or rare at this end of the list.
"""

from __future__ import annotations

from typing import NamedTuple

WALK = 2_000
"""Records looked at in the list's order for a page of ``PAGE`` before the filters' index is asked."""
PAGE = 50


class Table(NamedTuple):
    """A table of versions, which have ``id`` and ``version``."""

    name: str
    alias: str


MANY = 20_000
"""Records that terms find, from which on it takes longer to look each of them up than to go through an index of all."""


class Parts(NamedTuple):
    """Conditions on a table: ``ordered`` those that an index in the list's order may check, ``others`` the rest; and ``found``, a
    table expression of the rows that meet all of them, with their keys. If they may be ``MANY``, ``candidates`` is SQL for the ids
    of all that meet the others, but for what is ``remaining`` of these, and ``found`` is of the few in ``FEW``."""

    ordered: str
    others: str
    found: str
    candidates: str | None = None
    remaining: tuple[str, ...] = ()


FEW = "SELECT f.id FROM candidates f WHERE NOT (SELECT m.many FROM many m)"
"""SQL for the candidates, if they are few."""


def counted(candidates: str) -> str:
    """Common table expressions: the ``candidates``, and whether they are ``many``."""
    return f"""
        candidates AS MATERIALIZED ({candidates}),
        many AS MATERIALIZED (SELECT count(*) > {MANY} AS many FROM candidates)
    """


def joined(table: Table, candidates: str, condition: str) -> str:
    """The candidates that meet a condition: looked up one by one, however many the planner expects."""
    name, a = table
    return f"({candidates}) c CROSS JOIN LATERAL (SELECT {a}.* FROM {name} {a} WHERE {a}.id = c.id AND {condition} OFFSET 0) {a}"


def versions(table: Table, found: str) -> str:
    """The rows of versions, by the ``id`` and ``version`` of what was ``found``, as a table expression. They too are looked up one
    by one: without statistics, the planner would rather read all rows of the org and compare."""
    name, a = table
    row = f"SELECT {a}.* FROM {name} {a} WHERE {a}.id = k.id AND {a}.version = k.version OFFSET 0"
    return f"(SELECT {a}.* FROM ({found}) k CROSS JOIN LATERAL ({row}) {a})"


def current(table: Table, found: str) -> str:
    """As ``versions``, by the ``id`` alone, of the versions of now: many of which were only passed over have cost no row."""
    name, a = table
    row = f"SELECT {a}.* FROM {name} {a} WHERE {a}.id = k.id AND {a}.valid_to = 'infinity' OFFSET 0"
    return f"(SELECT {a}.* FROM ({found}) k CROSS JOIN LATERAL ({row}) {a})"


def walked(limit: int) -> int:
    """As many records for each that is asked for: what a tenth of all have is found among them."""
    return max(WALK, WALK * limit // PAGE)


def page(table: Table, parts: Parts, walk: str, far: int, order: str, part: str, limit: str, of_many: str = "") -> str:
    """SQL of a page of records, as a table expression. ``walk`` is one with the first ones in the list's order, so ``far``;
    ``limit`` the number of rows asked for, ``part`` that and where they begin, as SQL. ``of_many`` is the page if there are many
    candidates."""
    a = table.alias
    more, candidates = "", ""
    if parts.candidates is not None:
        of_those = f"SELECT c.id FROM ({parts.candidates}) c WHERE NOT (SELECT d.enough FROM done d)"
        candidates = f", {counted(of_those)}"
        more = f"UNION ALL SELECT m.id, m.version FROM {of_many} m"
    chosen = f"""
        SELECT n.id, n.version FROM near n WHERE (SELECT d.enough FROM done d)
        UNION ALL
        SELECT f.id, f.version FROM (SELECT {a}.id, {a}.version FROM {parts.found} ORDER BY {order} {part}) f
        WHERE NOT (SELECT d.enough FROM done d)
        {more}
    """
    return f"""(
        WITH walked AS MATERIALIZED (
            SELECT {a}.id, {a}.version, ({parts.others}) AS meets FROM {walk} {a}
        ), near AS MATERIALIZED (SELECT w.id, w.version FROM walked w WHERE w.meets {part}),
        done AS MATERIALIZED (
            SELECT (SELECT count(*) FROM near) = {limit} OR (SELECT count(*) FROM walked) < {far} AS enough
        ){candidates}
        SELECT {a}.* FROM {versions(table, chosen)} {a}
    )"""
