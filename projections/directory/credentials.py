"""Finds orgs, users and tokens across all orgs, for the operator at the command line."""

from __future__ import annotations

from uuid import UUID

from domain.sql_cursor import SqlCursor
from domain.text import caseless, normal


def user(cursor: SqlCursor, email: str, org_id: UUID | None = None) -> list[tuple[UUID, UUID]]:
    """(org, user) of every active user with this email; of one org if given."""
    cursor.execute(
        """
        SELECT org_id, id FROM directory
        WHERE kind = 'user' AND lookup = %(email)s AND valid_to = 'infinity' AND active AND NOT deleted
          AND (%(org_id)s::uuid IS NULL OR org_id = %(org_id)s)
        ORDER BY created_at
        """,
        {"email": caseless(normal(email)), "org_id": org_id},
    )
    return cursor.fetchall()


def token(cursor: SqlCursor, *, hashed: str | None = None, token_id: UUID | None = None) -> tuple[UUID, UUID] | None:
    """(org, token) by the SHA-256 of the token or by its id."""
    cursor.execute(
        """
        SELECT org_id, id FROM directory
        WHERE kind = 'token' AND valid_to = 'infinity' AND NOT deleted AND (lookup = %(hash)s OR id = %(id)s)
        """,
        {"hash": hashed, "id": token_id},
    )
    return cursor.fetchone()


def organizations(cursor: SqlCursor) -> list[UUID]:
    cursor.execute("SELECT id FROM directory WHERE kind = 'organization' AND valid_to = 'infinity' ORDER BY created_at, id")
    return [id_ for (id_,) in cursor.fetchall()]
