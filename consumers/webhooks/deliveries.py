"""The queue of deliveries: one row for each endpoint and event, leased to a sender until it is settled.

All times are the database's, so senders on several machines agree.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from math import inf
from typing import Any, NamedTuple
from uuid import UUID

import msgspec
from msgspec import Struct
from psycopg import AsyncCursor, Cursor

from consumers.webhooks.concurrency import Allowance
from consumers.webhooks.schedule import Outcome, Status

_encode = msgspec.json.encode
HELD_SECONDS = 5.0
"""After this long at most, what was queued for an inactive endpoint goes out once it is active again."""
CHANNEL = "webhook_deliveries"
"""Notified when something is due before a sleeping sender would look again."""
TELLS_LATER = "SET app.tells_senders = 'later'"
"""Statement by which a connection undertakes to ``TELL`` senders itself after its commit. A notification inside the transaction
would make its commit wait for those of others that notify, and all who write to the log do."""
TELL = f"NOTIFY {CHANNEL}"


class Row(Struct, frozen=True):
    """A delivery to be queued. ``body`` is exactly what is sent."""

    id: UUID
    org_id: UUID
    endpoint_id: UUID
    event_id: str
    type: str
    opportunity_id: UUID | None
    position: int | None
    body: str


class Claimed(NamedTuple):
    """A delivery leased to us, with its endpoint as it is now."""

    id: UUID
    org_id: UUID
    endpoint_id: UUID
    event_id: str
    body: str
    tries: int
    fast: bool
    endpoint: str


class Settled(Struct, frozen=True):
    """The result of an attempt, and the delivery's status after it."""

    id: UUID
    org_id: UUID
    endpoint_id: UUID
    status: Status
    delay: float
    at: datetime
    ms: int
    outcome: Outcome
    answered: int | None
    answer: str
    error: str | None


class Failing(NamedTuple):
    endpoint_id: UUID
    org_id: UUID
    since: datetime
    now: datetime


# Insert the rows of a JSON text, always in the same order, so that two writers cannot deadlock.
_NEW = """
    INSERT INTO webhook_deliveries (id, org_id, endpoint_id, event_id, type, opportunity_id, position, body)
    SELECT r.id, r.org_id, r.endpoint_id, r.event_id, r.type, r.opportunity_id, r.position, r.body
    FROM json_to_recordset(%s::json) AS r (id uuid, org_id uuid, endpoint_id uuid, event_id text, type text,
        opportunity_id uuid, position bigint, body text)
    ORDER BY r.endpoint_id, r.position, r.event_id
"""


def queue(cursor: Cursor[Any], rows: Sequence[Row]) -> int:
    """Queue what was never queued before; returns how many."""
    if not rows:
        return 0
    cursor.execute(f"{_NEW} ON CONFLICT (endpoint_id, event_id) DO NOTHING", (_encode(rows).decode(),), prepare=True)
    return cursor.rowcount


def queue_again(cursor: Cursor[Any], rows: Sequence[Row], *, undelivered: bool) -> int:
    """Queue all rows; those queued before keep their old bytes. If ``undelivered``, of these only the dead ones."""
    if not rows:
        return 0
    cursor.execute(
        f"""
        {_NEW}
        ON CONFLICT (endpoint_id, event_id) DO UPDATE SET
            status = 'pending', tries = 0, due_at = clock_timestamp(), settled_at = NULL
        WHERE webhook_deliveries.status = 'dead' OR NOT %s
        """,
        (_encode(rows).decode(), undelivered),
    )
    return cursor.rowcount


def redeliver(cursor: Cursor[Any], delivery_id: UUID) -> None:
    """Make a delivery due now, with all its tries ahead."""
    cursor.execute(
        """
        UPDATE webhook_deliveries SET status = 'pending', tries = 0, due_at = clock_timestamp(), settled_at = NULL
        WHERE id = %s
        """,
        (delivery_id,),
    )


# For each endpoint that is due, claim as many deliveries as it has room for. An endpoint that the sender does not know counts as
# fast, unless it failed last. An endpoint with nothing left to claim is put off until the next delivery is due or the first lease
# ends, or, if it is not active, for some seconds; but not if something came in that this statement does not see: ``changes``
# differs, or is locked by a transaction about to commit. Rows are reached by LATERAL, ``ANY (ARRAY(...))`` and scalar queries where
# a join would let the planner read a whole table.
_CLAIM = """
    WITH looked AS MATERIALIZED (
        SELECT q.endpoint_id, q.changes, coalesce((
            SELECT e.active AND NOT e.deleted FROM directory e WHERE e.id = q.endpoint_id AND e.valid_to = 'infinity'
        ), false) AS active
        FROM webhook_queues q WHERE q.due_at <= statement_timestamp()
    ), candidates AS (
        SELECT d.id, d.due_at, coalesce(k.fast, f.endpoint_id IS NULL) AS fast
        FROM looked w
        LEFT JOIN unnest(%(ids)s::uuid[], %(rooms)s::int[], %(fast)s::boolean[]) AS k (endpoint_id, room, fast)
            ON k.endpoint_id = w.endpoint_id
        LEFT JOIN webhook_failing f ON f.endpoint_id = w.endpoint_id
        CROSS JOIN LATERAL (
            SELECT q.id, q.due_at FROM webhook_deliveries q
            WHERE q.status = 'pending' AND q.endpoint_id = w.endpoint_id AND q.due_at <= statement_timestamp()
              AND (q.leased_until IS NULL OR q.leased_until <= statement_timestamp())
            ORDER BY q.due_at LIMIT coalesce(k.room, 1)
        ) d
        WHERE w.active
    ), chosen AS (
        (SELECT id, fast FROM candidates WHERE fast ORDER BY due_at LIMIT %(fast_free)s)
        UNION ALL
        (SELECT id, fast FROM candidates WHERE NOT fast ORDER BY due_at LIMIT %(slow_free)s)
    ), locked AS MATERIALIZED (
        SELECT q.id, c.fast FROM chosen c CROSS JOIN LATERAL (
            SELECT q.id FROM webhook_deliveries q
            WHERE q.id = c.id AND q.status = 'pending' AND (q.leased_until IS NULL OR q.leased_until <= statement_timestamp())
            FOR UPDATE SKIP LOCKED
        ) q
    ), resting AS (
        SELECT w.endpoint_id, w.changes,
               CASE WHEN w.active THEN least(lease.ends_at, next.due_at, 'infinity')
                    ELSE statement_timestamp() + make_interval(secs => %(held)s) END AS due_at
        FROM looked w
        CROSS JOIN LATERAL (
            SELECT min(coalesce(u.leased_until, statement_timestamp() + make_interval(secs => %(lease)s))) AS ends_at
            FROM (
                SELECT q.leased_until FROM webhook_deliveries q
                WHERE q.status = 'pending' AND q.endpoint_id = w.endpoint_id AND q.due_at <= statement_timestamp()
                ORDER BY q.due_at LIMIT 1000
            ) u
        ) lease
        LEFT JOIN LATERAL (
            SELECT q.due_at FROM webhook_deliveries q
            WHERE q.status = 'pending' AND q.endpoint_id = w.endpoint_id AND q.due_at > statement_timestamp()
            ORDER BY q.due_at LIMIT 1
        ) next ON true
        WHERE NOT w.active OR NOT EXISTS (
            SELECT 1 FROM webhook_deliveries q
            WHERE q.status = 'pending' AND q.endpoint_id = w.endpoint_id AND q.due_at <= statement_timestamp()
              AND (q.leased_until IS NULL OR q.leased_until <= statement_timestamp())
              AND q.id NOT IN (SELECT id FROM locked)
            ORDER BY q.due_at
        )
    ), unchanged AS (
        SELECT q.endpoint_id, r.due_at FROM resting r CROSS JOIN LATERAL (
            SELECT q.endpoint_id FROM webhook_queues q WHERE q.endpoint_id = r.endpoint_id AND q.changes = r.changes
            FOR UPDATE SKIP LOCKED
        ) q
    ), put_off AS (
        UPDATE webhook_queues q SET due_at = u.due_at FROM unchanged u
        WHERE q.endpoint_id = ANY (ARRAY(SELECT endpoint_id FROM unchanged)) AND q.endpoint_id = u.endpoint_id
    )
    UPDATE webhook_deliveries d SET leased_until = clock_timestamp() + make_interval(secs => %(lease)s)
    FROM locked l WHERE d.id = ANY (ARRAY(SELECT id FROM locked)) AND d.id = l.id
    RETURNING d.id, d.org_id, d.endpoint_id, d.event_id, d.body, d.tries, l.fast,
        (SELECT e.doc FROM directory e WHERE e.id = d.endpoint_id AND e.valid_to = 'infinity')
"""


async def claim(
    cursor: AsyncCursor[Any], rooms: Sequence[Allowance], *, fast_free: int, slow_free: int, lease: float
) -> list[Claimed]:
    """Lease due deliveries of active endpoints for ``lease`` seconds, the oldest first, as many as there is room for."""
    await cursor.execute(
        _CLAIM,
        {
            "ids": [room.endpoint_id for room in rooms],
            "rooms": [room.room for room in rooms],
            "fast": [room.fast for room in rooms],
            "fast_free": fast_free,
            "slow_free": slow_free,
            "lease": lease,
            "held": HELD_SECONDS,
        },
        prepare=True,
    )
    return [Claimed(*row) for row in await cursor.fetchall()]


async def seconds_until_due(cursor: AsyncCursor[Any]) -> float:
    """Seconds until an endpoint has something to send, if nothing new comes in; infinite if nothing is queued."""
    statement = "SELECT extract(epoch FROM min(due_at) - clock_timestamp())::float8 FROM webhook_queues WHERE due_at < 'infinity'"
    row = await (await cursor.execute(statement, prepare=True)).fetchone()
    return inf if row is None or row[0] is None else float(row[0])


_SETTLE = """
    WITH settled AS (
        SELECT * FROM json_to_recordset(%s::json) AS r (id uuid, org_id uuid, status text, delay double precision,
            at timestamptz, ms int, outcome text, answered int, answer text, error text)
    ), moved AS (
        UPDATE webhook_deliveries d SET
            attempts = d.attempts + 1,
            tries = d.tries + 1,
            leased_until = NULL,
            status = CASE WHEN d.status = 'pending' OR s.status = 'delivered' THEN s.status ELSE d.status END,
            due_at = CASE WHEN s.status = 'pending' THEN clock_timestamp() + make_interval(secs => s.delay) ELSE d.due_at END,
            settled_at = CASE WHEN s.status <> 'pending' THEN clock_timestamp() ELSE d.settled_at END
        FROM settled s WHERE d.id = ANY (ARRAY(SELECT id FROM settled)) AND d.id = s.id
        RETURNING d.id, d.attempts
    )
    INSERT INTO webhook_attempts (delivery_id, number, org_id, at, ms, outcome, status, answer, error)
    SELECT m.id, m.attempts, s.org_id, s.at, s.ms, s.outcome, s.answered, s.answer, s.error
    FROM moved m JOIN settled s USING (id)
"""


async def unsettled(cursor: AsyncCursor[Any], settled: Sequence[Settled]) -> list[Settled]:
    """Those that were not recorded. Waits for a transaction that may be recording them."""
    ids = sorted({each.id for each in settled})
    await cursor.execute("SELECT FROM webhook_deliveries WHERE id = ANY(%s::uuid[]) ORDER BY id FOR UPDATE", (ids,))
    await cursor.execute("SELECT delivery_id, at FROM webhook_attempts WHERE delivery_id = ANY(%s::uuid[])", (ids,))
    written = set(await cursor.fetchall())
    return [each for each in settled if (each.id, each.at) not in written]


async def settle(cursor: AsyncCursor[Any], settled: Sequence[Settled]) -> list[Failing]:
    """Record attempts durably, in a transaction. Returns the endpoints among them that fail, and since when."""
    await cursor.execute("SET LOCAL synchronous_commit TO DEFAULT")
    await cursor.execute(_SETTLE, (_encode(settled).decode(),), prepare=True)
    counts: dict[str, int] = {}
    for each in settled:
        counts[each.outcome] = counts.get(each.outcome, 0) + 1
    await cursor.execute(
        """
        INSERT INTO webhook_outcomes AS o SELECT * FROM unnest(%s::text[], %s::bigint[]) AS n (outcome, n) ORDER BY 1
        ON CONFLICT (outcome) DO UPDATE SET n = o.n + excluded.n
        """,
        (list(counts), list(counts.values())),
        prepare=True,
    )
    working = {each.endpoint_id for each in settled if each.outcome == "delivered"}
    failing = {each.endpoint_id: each for each in settled if each.endpoint_id not in working}
    if working:
        await cursor.execute("DELETE FROM webhook_failing WHERE endpoint_id = ANY(%s::uuid[])", (sorted(working),), prepare=True)
    return await _note_failing(cursor, failing) if failing else []


async def _note_failing(cursor: AsyncCursor[Any], failing: dict[UUID, Settled]) -> list[Failing]:
    """Note since when endpoints fail; a change of the endpoint starts the time again."""
    await cursor.execute(
        """
        INSERT INTO webhook_failing AS f (endpoint_id, org_id, since)
        SELECT * FROM unnest(%s::uuid[], %s::uuid[], %s::timestamptz[]) AS n (endpoint_id, org_id, at) ORDER BY 1
        ON CONFLICT (endpoint_id) DO UPDATE SET since = CASE
            WHEN f.since < (SELECT e.valid_from FROM directory e WHERE e.id = f.endpoint_id AND e.valid_to = 'infinity')
            THEN excluded.since ELSE f.since END
        RETURNING endpoint_id, org_id, since, clock_timestamp()
        """,
        (list(failing), [each.org_id for each in failing.values()], [each.at for each in failing.values()]),
        prepare=True,
    )
    return [Failing(*row) for row in await cursor.fetchall()]


async def release(cursor: AsyncCursor[Any], ids: Collection[UUID]) -> None:
    """Give back deliveries that were leased and not attempted to the end."""
    await cursor.execute("UPDATE webhook_deliveries SET leased_until = NULL WHERE id = ANY(%s::uuid[])", (list(ids),))


SHOW_LIFE = """
    INSERT INTO checkpoints (name, position) VALUES ('webhooks.sender', 0)
    ON CONFLICT (name) DO UPDATE SET updated_at = clock_timestamp()
"""
"""Statement by which a sender shows that it is working."""

GAUGES = "SELECT name, label, value FROM webhook_gauges()"
"""Statement for (name, label, value) of the Prometheus metrics."""

KEY = "SELECT key FROM webhook_keys"
"""Statement for the key that secrets are derived from."""


def key(cursor: Cursor[Any]) -> bytes:
    row = cursor.execute(KEY).fetchone()
    assert row is not None
    return bytes(row[0])
