"""What a list item and a record show, as SQL of JSON: a deal's fragments with the records that it refers to between them."""

from __future__ import annotations

from datetime import datetime

from projections.opportunities.rows import Row

MAX_ACTIVITIES = 50


def _card(column: str, as_of: datetime | None) -> str:
    """The embedded form of the record that a column names, as it stands, or stood at the instant."""
    if as_of is None:
        return f"(SELECT d.card FROM directory d WHERE d.id = {column} AND d.valid_to = 'infinity')"
    return (
        f"(SELECT d.card FROM directory d WHERE d.id = {column} ORDER BY d.valid_from <= %(as_of)s DESC,"
        " CASE WHEN d.valid_from <= %(as_of)s THEN d.version ELSE -d.version END DESC LIMIT 1)"
    )


def _stakeholders(shown: str, as_of: datetime | None) -> str:
    if as_of is None:
        found = "d.valid_to = 'infinity' AND NOT d.deleted"
    else:
        found = "d.valid_from <= %(as_of)s AND d.valid_to > %(as_of)s AND NOT d.deleted"
    # Most deals have one or none, and those need no joining and sorting: that is a tenth of a page's time.
    return (
        "coalesce(CASE cardinality(o.stakeholder_ids) WHEN 0 THEN ''"
        f" WHEN 1 THEN (SELECT d.{shown} FROM directory d WHERE d.id = o.stakeholder_ids[1] AND {found})"
        f" ELSE (SELECT string_agg(d.{shown}, ',' ORDER BY s.n)"
        " FROM unnest(o.stakeholder_ids) WITH ORDINALITY AS s (id, n)"
        f" CROSS JOIN LATERAL (SELECT d.{shown} FROM directory d WHERE d.id = s.id AND {found} OFFSET 0) d) END, '')"
    )


def item(shown: str, as_of: datetime | None) -> str:
    """A list item without its closing brace."""
    return (
        f"o.json_until_account || {_card('o.account_id', as_of)} || o.json_until_owner || {_card('o.owner_id', as_of)}"
        f" || ',\"stakeholders\":[' || {_stakeholders(shown, as_of)} || ']' || o.json_after_stakeholders"
    )


SLOTS = """
    o.json_until_account || (E'\\x01(' || o.account_id) || (')b' || o.json_until_owner || E'\\x01(' || o.owner_id)
    || (')b,"stakeholders":[' || CASE cardinality(o.stakeholder_ids) WHEN 0 THEN ''
            ELSE E'\\x01(' || array_to_string(o.stakeholder_ids, E')b,\\x01(') || ')b' END || ']')
    || o.json_after_stakeholders
"""
"""A list item as it stands, without its closing brace, with slots for cards: see ``cards.filled``."""


def record(as_of: datetime | None) -> str:
    """A full record."""
    if as_of is None:
        valid = "d.valid_to = 'infinity' AND NOT d.deleted"
    else:
        valid = "d.valid_from <= %(as_of)s AND d.valid_to > %(as_of)s AND NOT d.deleted"
    return f"""
        {item("doc", as_of)} || ',"activities":[' || coalesce((
            SELECT string_agg(x.doc, ',' ORDER BY x.sort_at DESC, x.id DESC) FROM (
                SELECT d.doc, d.sort_at, d.id FROM directory d
                WHERE d.org_id = o.org_id AND d.kind = 'activity' AND d.parent_id = o.id AND {valid}
                ORDER BY d.sort_at DESC, d.id DESC LIMIT {MAX_ACTIVITIES}
            ) x), '') || '],"activities_url":"/api/opportunities/' || o.id || '/activities/"'
        || ',"custom_field_definitions":' || coalesce((
            SELECT d.doc FROM directory d WHERE d.org_id = o.org_id AND d.kind = 'custom_field' AND {valid}), '[]')
        || o.json_detail || '}}'
    """


def created(row: Row, account: str, owner: str, stakeholders: str, definitions: str) -> str:
    """What ``record`` gives for a deal that was just created, from the JSON of what it embeds: it has no activities."""
    return (
        f'{row.json_until_account}{account}{row.json_until_owner}{owner},"stakeholders":[{stakeholders}]{row.json_after_stakeholders}'
        f',"activities":[],"activities_url":"/api/opportunities/{row.id}/activities/","custom_field_definitions":{definitions}'
        f"{row.json_detail}}}"
    )
