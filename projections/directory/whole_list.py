"""All of a list of accounts or contacts, for exports."""

from __future__ import annotations

from projections.conditions import SqlStatement
from projections.directory import queries
from projections.directory.queries import DirectoryListQuery


def rows(query: DirectoryListQuery) -> SqlStatement:
    """The records as JSON."""
    return queries.whole(query, "d.doc::varchar")


def count(query: DirectoryListQuery) -> SqlStatement:
    return queries.count(query)


def custom_keys(query: DirectoryListQuery, most: int) -> SqlStatement:
    """The keys of custom fields that records on the list have, ``most`` at most."""
    found = queries.whole(query, "d.doc")
    text = f"""
        SELECT DISTINCT k.key FROM ({found.text}) d CROSS JOIN LATERAL json_object_keys(d.doc::json -> 'custom_fields') k (key)
        ORDER BY k.key LIMIT {most:d}
    """
    return SqlStatement(text, found.params)
