"""Records as they stood right after an event, many at a time, for messages.

The names of other records in them are those of that moment, by the order of the log and not by its times, so a version always looks
the same. It reads all orgs, as the relay must.
"""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from domain.sql_cursor import SqlCursor

Key = tuple[UUID, int]


def _then(column: str) -> str:
    """The embedded form of the record that a column names, at the position of ``o``."""
    return (
        f"coalesce((SELECT d.card FROM directory d WHERE d.id = {column} AND d.position <= o.position"
        " ORDER BY d.version DESC LIMIT 1), 'null')"
    )


_OPPORTUNITIES = f"""
    SELECT o.id, o.version, convert_to(
        o.json_until_account || {_then("o.account_id")} || o.json_until_owner || {_then("o.owner_id")}
        || ',"stakeholders":[' || CASE WHEN o.stakeholder_ids = '{{}}' THEN '' ELSE coalesce((
            SELECT string_agg(x.card, ',' ORDER BY s.n)
            FROM unnest(o.stakeholder_ids) WITH ORDINALITY AS s (id, n) CROSS JOIN LATERAL (
                SELECT d.card, d.deleted FROM directory d
                WHERE d.id = s.id AND d.position <= o.position ORDER BY d.version DESC LIMIT 1
            ) x WHERE NOT x.deleted), '') END
        || ']' || o.json_after_stakeholders || '}}', 'UTF8')
    FROM unnest(%(ids)b::uuid[], %(numbers)b::int[]) AS k (id, version) JOIN opportunities o USING (id, version)
"""
_DIRECTORY = """
    SELECT d.id, d.version, convert_to(d.doc, 'UTF8')
    FROM unnest(%(ids)b::uuid[], %(numbers)b::int[]) AS k (id, version) JOIN directory d USING (id, version)
"""
_EXCHANGE_RATES = """
    SELECT r.id, r.version, convert_to(r.doc, 'UTF8')
    FROM unnest(%(ids)b::uuid[], %(numbers)b::int[]) AS k (id, version) JOIN exchange_rates r USING (id, version)
"""
_ACTORS = """
    SELECT k.id, k.position, convert_to(d.card, 'UTF8')
    FROM unnest(%(ids)b::uuid[], %(numbers)b::bigint[]) AS k (id, position) CROSS JOIN LATERAL (
        SELECT d.card FROM directory d WHERE d.id = k.id AND d.position <= k.position ORDER BY d.version DESC LIMIT 1
    ) d
"""
_STATEMENTS = {"opportunity": _OPPORTUNITIES, "exchange_rate": _EXCHANGE_RATES}


def shown(cursor: SqlCursor, kind: str, wanted: Sequence[Key]) -> dict[Key, bytes]:
    """Each wanted (id, version) of one kind as JSON: an opportunity as in a list, any other record in full."""
    return _fetch(cursor, _STATEMENTS.get(kind, _DIRECTORY), wanted)


def actors(cursor: SqlCursor, wanted: Sequence[Key]) -> dict[Key, bytes]:
    """The embedded JSON of users at positions of the log, by both."""
    return _fetch(cursor, _ACTORS, wanted)


def _fetch(cursor: SqlCursor, statement: str, wanted: Sequence[Key]) -> dict[Key, bytes]:
    if not wanted:
        return {}
    ids, numbers = zip(*wanted, strict=True)
    cursor.execute(statement, {"ids": list(ids), "numbers": list(numbers)}, prepare=True, binary=True)
    return {(id_, number): bytes(text) for id_, number, text in cursor.fetchall()}
