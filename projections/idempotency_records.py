"""The first answers to requests with an ``Idempotency-Key``, kept in the transaction of the events they tell of.

Not a read model: no event says what was answered. Refuses to keep anything beyond ``HOURS``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple
from uuid import UUID

from psycopg import Cursor

HOURS = 24

Key = tuple[UUID, UUID, str]
"""Org, actor, and the key that the client chose."""


class Kept(NamedTuple):
    """An answer; ``fingerprint`` is of the request it was given to."""

    fingerprint: bytes
    stream_id: UUID
    version: int
    body: str


def find(cursor: Cursor[Any], keys: Sequence[Key]) -> Callable[[], dict[Key, Kept]]:
    """Ask for those of the answers that were given already; they come when they are called for."""
    if not keys:
        return dict
    cursor.execute(
        f"""
        SELECT i.org_id, i.actor_id, i.key, i.fingerprint, i.stream_id, i.version, i.body
        FROM idempotency i
        JOIN unnest(%b::uuid[], %b::uuid[], %b::text[]) AS k (org_id, actor_id, key) USING (org_id, actor_id, key)
        WHERE i.created_at > clock_timestamp() - interval '{HOURS} hours'
        """,
        _columns(keys),
        binary=True,
    )
    return lambda: {
        (org_id, actor_id, key): Kept(bytes(fingerprint), stream_id, version, body or "")
        for org_id, actor_id, key, fingerprint, stream_id, version, body in cursor.fetchall()
    }


def keep(cursor: Cursor[Any], answers: dict[Key, Kept]) -> None:
    """Keep new answers, and let go of some that have had their time."""
    if not answers:
        return
    cursor.execute(
        f"""
        DELETE FROM idempotency WHERE ctid = ANY (ARRAY(
            SELECT ctid FROM idempotency WHERE created_at < clock_timestamp() - interval '{HOURS} hours' LIMIT 100))
        """
    )
    cursor.execute(
        """
        INSERT INTO idempotency (org_id, actor_id, key, fingerprint, stream_id, version, body)
        SELECT * FROM unnest(%b::uuid[], %b::uuid[], %b::text[], %b::bytea[], %b::uuid[], %b::bigint[], %b::text[])
        ON CONFLICT (org_id, actor_id, key) DO UPDATE SET
            fingerprint = excluded.fingerprint, stream_id = excluded.stream_id, version = excluded.version,
            body = excluded.body, created_at = clock_timestamp()
        """,
        _columns([(*key, *kept) for key, kept in answers.items()]),
    )


def _columns(rows: Sequence[tuple[Any, ...]]) -> tuple[list[Any], ...]:
    return tuple(list(column) for column in zip(*rows, strict=True))
