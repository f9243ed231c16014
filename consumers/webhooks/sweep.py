"""Removes old deliveries: settled long ago, or pending for an endpoint that is gone."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from psycopg import AsyncCursor

SWEEP = 5_000


async def sweep(cursor: AsyncCursor[Any], keep: timedelta) -> int:
    """Remove what has expired; returns the number of rows, some thousands at most.

    Deliveries that are pending for a deleted endpoint, or were held for that long, become dead.
    """
    await cursor.execute(
        """
        UPDATE webhook_deliveries SET status = 'dead', settled_at = clock_timestamp()
        WHERE status = 'pending' AND id IN (
            SELECT d.id FROM webhook_deliveries d
            LEFT JOIN directory e ON e.id = d.endpoint_id AND e.valid_to = 'infinity' AND NOT e.deleted
            WHERE d.status = 'pending' AND (e.id IS NULL OR (NOT e.active AND d.created_at < clock_timestamp() - %(keep)s))
            LIMIT %(most)s)
        """,
        {"keep": keep, "most": SWEEP},
    )
    # Ids are ordered by time: no earlier one is younger.
    await cursor.execute(
        """
        DELETE FROM webhook_deliveries WHERE id IN (
            SELECT d.id FROM webhook_deliveries d
            WHERE d.status <> 'pending' AND d.settled_at < clock_timestamp() - %(keep)s
              AND d.id < (lpad(to_hex((extract(epoch FROM clock_timestamp() - %(keep)s) * 1000)::bigint), 12, '0')
                          || '00000000000000000000')::uuid
            ORDER BY d.id LIMIT %(most)s)
        """,
        {"keep": keep, "most": SWEEP},
    )
    gone = cursor.rowcount
    await cursor.execute("DELETE FROM webhook_queues WHERE due_at = 'infinity'")
    await cursor.execute("DELETE FROM dead_letters WHERE at < clock_timestamp() - %s::interval", (keep,))
    return gone
