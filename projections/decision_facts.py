"""What a decision must know of other records, read under the log's lock so that nothing can change before the append."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from typing import Literal
from uuid import UUID

from msgspec.structs import replace

from domain.facts import Facts, Named, References
from domain.sql_cursor import SqlCursor
from domain.text import caseless, normal

Existing = list[tuple[UUID, str, UUID, str | None, str]]
"""Org, kind, id, for a user its role, and the JSON of the record as others embed it, of a contact all of it."""


def existing(cursor: SqlCursor, ids: Iterable[UUID]) -> Callable[[], Existing]:
    """Request which of the ids are live records (for users: active ones). Calling the result reads it."""
    wanted = list(ids)
    if wanted:
        cursor.execute(
            """
            SELECT org_id, kind, id, role, CASE kind WHEN 'contact' THEN doc ELSE card END FROM directory
            WHERE id = ANY(%(ids)b::uuid[]) AND valid_to = 'infinity' AND NOT deleted AND active
            """,
            {"ids": wanted},
            prepare=True,
            binary=True,
        )
    return lambda: cursor.fetchall() if wanted else []


def known(cursor: SqlCursor, ids: Collection[UUID]) -> Callable[[], list[tuple[UUID, str, UUID]]]:
    """Request which of the ids are of records that exist, or did. Calling the result reads (org, kind, id)."""
    if ids:
        cursor.execute(
            """
            SELECT org_id, kind, id FROM directory WHERE id = ANY(%(ids)b::uuid[]) AND valid_to = 'infinity'
            UNION ALL
            SELECT org_id, 'opportunity', id FROM opportunities WHERE id = ANY(%(ids)b::uuid[]) AND valid_to = 'infinity'
            """,
            {"ids": list(ids)},
            prepare=True,
            binary=True,
        )
    return lambda: cursor.fetchall() if ids else []


def named(cursor: SqlCursor, wanted: Collection[tuple[UUID, Named]]) -> Callable[[], list[tuple[UUID, str, str, UUID]]]:
    """Request the live records with these external ids, by org. Calling the result reads (org, kind, external id, id)."""
    if wanted:
        orgs, names = zip(*wanted, strict=True)
        kinds, texts = zip(*names, strict=True)
        cursor.execute(NAMED, {"orgs": list(orgs), "kinds": list(kinds), "texts": list(texts)}, prepare=True, binary=True)
    return lambda: cursor.fetchall() if wanted else []


def by_email(cursor: SqlCursor, wanted: Collection[tuple[UUID, str]]) -> Callable[[], list[tuple[UUID, str, UUID, str]]]:
    """Request the active users with these addresses, by org. Calling the result reads (org, address, id, role)."""
    if wanted:
        orgs, emails = zip(*wanted, strict=True)
        cursor.execute(_BY_EMAIL, {"orgs": list(orgs), "emails": list(emails)}, prepare=True, binary=True)
    return lambda: cursor.fetchall() if wanted else []


def deals(
    cursor: SqlCursor, role: Literal["account", "stakeholder"], wanted: Collection[tuple[UUID, UUID]]
) -> Callable[[], dict[UUID, int]]:
    """Request the number of live deals that name each record in this role; ``wanted`` are orgs and ids. Calling the result reads
    it, by id."""
    if wanted:
        orgs, ids = zip(*wanted, strict=True)
        counted = f"SELECT k.id, ({_DEALS[role]}) FROM unnest(%(orgs)b::uuid[], %(ids)b::uuid[]) AS k (org_id, id)"
        cursor.execute(counted, {"orgs": list(orgs), "ids": list(ids)}, prepare=True, binary=True)
    return lambda: dict(cursor.fetchall()) if wanted else {}


def last_deleted_deal(cursor: SqlCursor, org_id: UUID, external_id: str) -> UUID | None:
    """The deal with this external id that was deleted last."""
    cursor.execute(_LAST_DELETED, {"org_id": org_id, "external_id": external_id}, prepare=True, binary=True)
    row = cursor.fetchone()
    return row[0] if row else None


def from_references(found: Existing, org_id: UUID) -> Facts:
    ids: dict[str, set[UUID]] = {"account": set(), "user": set(), "owner": set(), "contact": set()}
    for org, kind, id_, role, _ in found:
        if org == org_id and kind in ids:
            ids[kind].add(id_)
            if kind == "user" and role != "read_only":
                ids["owner"].add(id_)
    accounts, users, owners, contacts = map(frozenset, ids.values())
    return Facts(accounts=accounts, users=users, owners=owners, contacts=contacts)


def for_record(cursor: SqlCursor, references: References, org_id: UUID, stream_id: UUID, token_id: UUID | None = None) -> Facts:
    """All facts that the references of a command ask for. ``stream_id`` is the command's record, ``token_id`` the token it came
    with."""
    facts = from_references(existing(cursor, references.records)(), org_id)
    if references.opportunity_id is not None:
        cursor.execute(_DEAL, {"org_id": org_id, "id": references.opportunity_id})
        if row := cursor.fetchone():
            facts = replace(facts, opportunities=frozenset([row[0]]), owner_id=row[1])
    if references.stages:
        cursor.execute(_DEALS_BY_STAGE, {"org_id": org_id})
        facts = replace(facts, in_use=dict(cursor.fetchall()))
    if references.other_users:
        email = caseless(normal(references.email)) if references.email is not None else None
        cursor.execute(_OTHER_USERS, {"org_id": org_id, "id": stream_id, "email": email})
        taken, admins = cursor.fetchone() or (0, 0)
        facts = replace(facts, email_taken=taken > 0, other_admins=admins)
    if references.tokens_of_others:
        cursor.execute(_TOKENS_OF_OTHER_ADMINS, {"org_id": org_id, "user_id": stream_id})
        facts = replace(facts, last_admin_token=_one(cursor) == 0)
    if references.issued_tokens:
        cursor.execute(_ISSUED_TOKENS, {"id": stream_id, "kept_id": token_id, "org_id": org_id})
        issued, last = cursor.fetchone() or ([], False)
        facts = replace(facts, issued_tokens=tuple(id_ for id_ in issued if id_ != stream_id), last_admin_token=last)
    return facts


_DEAL = """
    SELECT id, owner_id FROM opportunities WHERE org_id = %(org_id)s AND id = %(id)s AND valid_to = 'infinity' AND NOT deleted
"""
# Each name is looked up by itself, and in the order of the index: where a plan is made while a table is small and serves for ever,
# a join may read a whole index, and an equation any.
NAMED = """
    SELECT k.org_id, k.kind, k.external_id, d.id
    FROM unnest(%(orgs)b::uuid[], %(kinds)b::text[], %(texts)b::text[]) AS k (org_id, kind, external_id) CROSS JOIN LATERAL (
        SELECT d.id FROM directory d
        WHERE d.org_id = k.org_id AND d.kind = k.kind AND d.external_id >= k.external_id AND d.external_id <= k.external_id
            AND d.valid_to = 'infinity' AND CASE WHEN d.deleted THEN d.id END IS NULL
        ORDER BY d.external_id LIMIT 1
    ) d
    UNION ALL
    SELECT k.org_id, k.kind, k.external_id, o.id
    FROM unnest(%(orgs)b::uuid[], %(kinds)b::text[], %(texts)b::text[]) AS k (org_id, kind, external_id) CROSS JOIN LATERAL (
        SELECT o.id FROM opportunities o
        WHERE k.kind = 'opportunity' AND o.org_id = k.org_id AND o.external_id >= k.external_id AND o.external_id <= k.external_id
            AND o.valid_to = 'infinity' AND CASE WHEN o.deleted THEN o.id END IS NULL
        ORDER BY o.external_id LIMIT 1
    ) o
"""
_LAST_DELETED = """
    SELECT id FROM opportunities
    WHERE org_id = %(org_id)s AND external_id = %(external_id)s AND valid_to = 'infinity' AND deleted
    ORDER BY valid_from DESC, id DESC LIMIT 1
"""
_BY_EMAIL = """
    SELECT k.org_id, k.email, d.id, d.role FROM unnest(%(orgs)b::uuid[], %(emails)b::text[]) AS k (org_id, email)
    JOIN directory d ON d.kind = 'user' AND d.lookup = k.email AND d.org_id = k.org_id
        AND d.valid_to = 'infinity' AND NOT d.deleted AND d.active
"""
_DEALS = {
    "account": """
        SELECT count(*) FROM opportunities o
        WHERE o.org_id = k.org_id AND o.account_id = k.id AND o.valid_to = 'infinity' AND NOT o.deleted
    """,
    "stakeholder": """
        SELECT count(*) FROM opportunities o
        WHERE o.org_id = k.org_id AND o.stakeholder_ids @> ARRAY[k.id] AND o.stakeholder_ids <> '{}'
          AND o.valid_to = 'infinity' AND NOT o.deleted
    """,
}
_DEALS_BY_STAGE = """
    SELECT stage, sum(n)::bigint FROM opportunity_counts
    WHERE org_id = %(org_id)s AND owner_id = '00000000-0000-0000-0000-000000000000' AND close_date = '-infinity'
    GROUP BY stage HAVING sum(n) > 0
"""
_OTHER_USERS = """
    SELECT count(*) FILTER (WHERE lookup = %(email)s), count(*) FILTER (WHERE role = 'admin' AND active)
    FROM directory
    WHERE org_id = %(org_id)s AND kind = 'user' AND id <> %(id)s AND valid_to = 'infinity' AND NOT deleted
"""
_TOKENS_OF_OTHER_ADMINS = """
    SELECT count(*) FROM directory t
    JOIN directory u ON u.id = t.parent_id AND u.valid_to = 'infinity' AND u.active AND u.role = 'admin'
    WHERE t.org_id = %(org_id)s AND t.kind = 'token' AND t.valid_to = 'infinity' AND NOT t.deleted AND t.active
      AND coalesce(t.role, 'admin') = 'admin' AND (t.expires_at IS NULL OR t.expires_at > clock_timestamp()) AND u.id <> %(user_id)s
"""

# Whoever revokes a token by means of one that was issued with it wants to keep using that one.
_ISSUED_TOKENS = """
    WITH RECURSIVE ending (id) AS (
        SELECT %(id)s::uuid
        UNION
        SELECT t.id FROM ending e JOIN directory t
        ON t.issued_with = e.id AND t.valid_to = 'infinity' AND t.id IS DISTINCT FROM %(kept_id)s::uuid
    ), good AS (
        SELECT t.id, e.id IS NOT NULL AS ends,
               coalesce(t.role, 'admin') = 'admin' AND (t.expires_at IS NULL OR t.expires_at > clock_timestamp())
               AND EXISTS (SELECT 1 FROM directory u WHERE u.id = t.parent_id AND u.valid_to = 'infinity' AND u.active
                           AND u.role = 'admin') AS admin
        FROM directory t LEFT JOIN ending e ON e.id = t.id
        WHERE t.org_id = %(org_id)s AND t.kind = 'token' AND t.valid_to = 'infinity' AND NOT t.deleted AND t.active
    )
    SELECT coalesce(array_agg(id ORDER BY id) FILTER (WHERE ends), '{}'),
           coalesce(bool_or(ends AND admin) AND NOT bool_or(NOT ends AND admin), false)
    FROM good
"""


def _one(cursor: SqlCursor) -> int:
    row = cursor.fetchone()
    return int(row[0]) if row else 0
