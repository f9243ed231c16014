"""All of a list of accounts or contacts, for exports."""

from __future__ import annotations

from projections.conditions import SqlStatement
from projections.directory import queries
from projections.directory.queries import DirectoryListQuery

_WITH_ACCOUNT = """
    (d.doc::jsonb || jsonb_build_object('account', coalesce(
        (SELECT a.card::jsonb FROM directory a WHERE a.id = d.parent_id AND a.valid_to = 'infinity'), jsonb_build_object('id', '')
    )))::varchar
"""


def rows(query: DirectoryListQuery, *, table: bool = False) -> SqlStatement:
    """The records as JSON; contacts of a ``table`` with the card of their ``account`` too."""
    return queries.whole(query, _WITH_ACCOUNT if table and query.kind == "contact" else "d.doc::varchar")


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
