"""Requests to the queue with an ``Idempotency-Key``: the first answer again, from the table that commands keep theirs in.

Refuses to judge what a key stands for beyond the fingerprint it is given.
"""

from __future__ import annotations

from typing import Any, NamedTuple
from uuid import UUID

from psycopg import Cursor

from domain.errors import KeyReused


class Key(NamedTuple):
    """Whose key it is, and the mark of the request it came with."""

    org_id: UUID
    actor_id: UUID
    key: str
    fingerprint: bytes


def answered(cursor: Cursor[Any], key: Key) -> str | None:
    """The answer already given, None for a first request; a second one at the same time waits for it. Raises ``KeyReused``."""
    place = (key.org_id, key.actor_id, key.key)
    cursor.execute("SELECT pg_advisory_xact_lock(hashtextextended(concat_ws('/', %s::uuid, %s::uuid, %s::text), 0))", place)
    cursor.execute(
        """
        SELECT fingerprint, body FROM idempotency
        WHERE org_id = %s AND actor_id = %s AND key = %s AND created_at > clock_timestamp() - interval '24 hours'
        """,
        place,
    )
    found = cursor.fetchone()
    if found is None:
        return None
    if bytes(found[0]) != key.fingerprint:
        raise KeyReused(f"The Idempotency-Key {key.key!r} was used for another request: take a new key.")
    return str(found[1])


def keep(cursor: Cursor[Any], key: Key, id_: UUID, body: str) -> None:
    cursor.execute(
        """
        INSERT INTO idempotency (org_id, actor_id, key, fingerprint, stream_id, version, body)
        VALUES (%s, %s, %s, %s, %s, 0, %s)
        ON CONFLICT (org_id, actor_id, key) DO UPDATE SET
            fingerprint = excluded.fingerprint, stream_id = excluded.stream_id, version = excluded.version,
            body = excluded.body, created_at = clock_timestamp()
        """,
        (*key, id_, body),
    )
