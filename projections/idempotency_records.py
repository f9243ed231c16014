"""The first responses to requests with an ``Idempotency-Key``, kept in the transaction of their events.

Not a read model: no event has the response. Refuses a key that comes with another request; keeps nothing longer than ``HOURS``.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import NamedTuple
from uuid import UUID

from domain.errors import KeyReused
from domain.sql_cursor import Param, SqlCursor

HOURS = 24


class Key(NamedTuple):
    """Whose key it is; ``text`` is what the client chose."""

    org_id: UUID
    actor_id: UUID
    text: str


class Kept(NamedTuple):
    """A response; ``fingerprint`` is that of its request."""

    fingerprint: bytes
    stream_id: UUID
    version: int
    body: str


def find(cursor: SqlCursor, keys: Sequence[Key]) -> Callable[[], dict[Key, Kept]]:
    """Request the responses that were already given. Calling the result reads them."""
    if not keys:
        return dict
    cursor.execute(
        f"""
        SELECT i.org_id, i.actor_id, i.key, i.fingerprint, i.stream_id, i.version, i.body
        FROM idempotency i
        JOIN unnest(%(org_ids)b::uuid[], %(actor_ids)b::uuid[], %(keys)b::text[]) AS k (org_id, actor_id, key)
            USING (org_id, actor_id, key)
        WHERE i.created_at > clock_timestamp() - interval '{HOURS} hours'
        """,
        _key_columns(keys),
        binary=True,
    )
    return lambda: {
        Key(org_id, actor_id, text): Kept(bytes(fingerprint), stream_id, version, body or "")
        for org_id, actor_id, text, fingerprint, stream_id, version, body in cursor.fetchall()
    }


def await_turn(cursor: SqlCursor, key: Key) -> None:
    """Make others with the same key wait until this transaction ends; for transactions that do not hold the log's lock."""
    cursor.execute(
        "SELECT pg_advisory_xact_lock(hashtextextended(concat_ws('/', %(org_id)s::uuid, %(actor_id)s::uuid, %(text)s::text), 0))",
        key._asdict(),
    )


def require_same(key: Key, kept: bytes, fingerprint: bytes) -> None:
    """Raises ``KeyReused`` if the response kept is for another request than that of ``fingerprint``."""
    if kept != fingerprint:
        raise KeyReused(f"The Idempotency-Key {key.text!r} was used for another request: use a new key.")


def keep(cursor: SqlCursor, answers: Mapping[Key, Kept]) -> None:
    """Keep new responses, and delete some expired ones."""
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
        SELECT * FROM unnest(%(org_ids)b::uuid[], %(actor_ids)b::uuid[], %(keys)b::text[], %(fingerprints)b::bytea[],
            %(stream_ids)b::uuid[], %(versions)b::bigint[], %(bodies)b::text[])
        ON CONFLICT (org_id, actor_id, key) DO UPDATE SET
            fingerprint = excluded.fingerprint, stream_id = excluded.stream_id, version = excluded.version,
            body = excluded.body, created_at = clock_timestamp()
        """,
        {
            **_key_columns(answers),
            "fingerprints": [kept.fingerprint for kept in answers.values()],
            "stream_ids": [kept.stream_id for kept in answers.values()],
            "versions": [kept.version for kept in answers.values()],
            "bodies": [kept.body for kept in answers.values()],
        },
    )


def _key_columns(keys: Collection[Key]) -> dict[str, Param]:
    org_ids, actor_ids, names = zip(*keys, strict=True)
    return {"org_ids": list(org_ids), "actor_ids": list(actor_ids), "keys": list(names)}
