"""The body of the response to a command: the record as it stands at the end of the transaction."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from domain.sql_cursor import SqlCursor
from projections import exchange_rates
from projections.opportunities import queries as opportunity_queries


def ask(cursor: SqlCursor, kind: str, wanted: Sequence[tuple[UUID, int]]) -> None:
    """Request (id, version, JSON) of the wanted (id, version) that are not deleted: any version of opportunities, otherwise the
    latest."""
    ids = [id_ for id_, _ in wanted]
    if kind == "opportunity":
        versions = [version for _, version in wanted]
        cursor.execute(opportunity_queries.records(), {"ids": ids, "versions": versions}, prepare=True, binary=True)
        return
    if kind == "exchange_rate":
        statement = exchange_rates.LAST_SET
    else:
        statement = """
            SELECT d.id, d.version, d.doc FROM directory d
            WHERE d.id = ANY(%(ids)s::uuid[]) AND d.valid_to = 'infinity' AND NOT d.deleted
        """
    cursor.execute(statement, {"ids": ids}, prepare=True, binary=True)
