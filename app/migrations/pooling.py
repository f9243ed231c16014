"""How a pooler between us and PostgreSQL hands out its sessions. The product needs one that stays ours until we close it.

Roles, settings, notifications, prepared statements and the locks of relays and migrators belong to a session. A pooler that hands
sessions out by transaction mixes up those of its clients, in failures that name everything but the pooler.
"""

from __future__ import annotations

from contextlib import closing, suppress
from typing import Any

import psycopg
from psycopg import Connection

from app.migrations.prerequisites import Unmet
from projections import connections

LOOKS = 20
"""A busy pooler may give us the same session again by chance, one time in four where others work at it."""
WAIT_MS = 2_000
"""How long a second connection may take: the pool may have no session left for it."""
BY_TRANSACTION = (
    "A pooler in front of PostgreSQL hands out its sessions by transaction or statement, and the product needs its own for longer:"
    " set pool_mode = session for this database in PgBouncer, or name PostgreSQL itself in DATABASE_URL."
)


def check(url: str) -> None:
    """Raises ``Unmet`` if a pooler gives sessions for less than a connection. Nothing is set in the sessions that it gives.

    A pooler invents the process ids that it tells its clients. If ours is not the server's, another connection holds a transaction
    open meanwhile: by session, nobody ever gets the session of the other, and each stays with its own. Nothing is prepared: the
    next session would not have it.
    """
    with closing(connections.connect_plainly(url, "check", statement_timeout_ms=WAIT_MS)) as ours:
        mine = _session(ours)
        if mine == ours.info.backend_pid:
            return
        with suppress(psycopg.OperationalError), closing(_other(url)) as other:
            for _ in range(LOOKS):
                held = _begin(other)
                if mine in (held, None) or _session(ours) != mine:
                    raise Unmet(BY_TRANSACTION)
                other.execute("ROLLBACK", prepare=False)


def _other(url: str) -> Connection[Any]:
    return connections.connect_plainly(url, "check", statement_timeout_ms=WAIT_MS)


def _begin(connection: Connection[Any]) -> int | None:
    """The session that a transaction has, which is left open; None if the pooler has no transactions."""
    try:
        connection.execute("BEGIN", prepare=False)
    except psycopg.Error as error:
        if "statement pooling" in str(error):
            raise Unmet(BY_TRANSACTION) from error
        raise
    return _session(connection)


def _session(connection: Connection[Any]) -> int | None:
    row = connection.execute("SELECT pg_backend_pid()", prepare=False).fetchone()
    return row[0] if row else None
