"""The accounts whose names have a word in them, as of an instant."""

from __future__ import annotations


def as_of(at: str, pattern: str) -> str:
    """SQL for the ids of the accounts with a word like a pattern in the name that they had at an instant. Those that are found by
    other terms since are looked at, and of all others terms tell."""
    return f"""
        SELECT t.id FROM accounts_with_word({pattern}) a (id) CROSS JOIN LATERAL (
            SELECT t.id FROM directory_terms t WHERE t.id = a.id AND t.created_at <= %({at})s AND t.since <= %({at})s OFFSET 0
        ) t
        UNION ALL SELECT d.id FROM directory_terms t CROSS JOIN LATERAL (
            SELECT d.id FROM directory d
            WHERE d.id = t.id AND d.valid_from <= %({at})s AND d.valid_to > %({at})s AND d.search LIKE {pattern} OFFSET 0
        ) d WHERE t.org_id = %(org_id)s AND t.kind = 'account' AND t.since > t.created_at AND t.since > %({at})s
    """
