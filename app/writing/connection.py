"""The connection of a committer."""

from __future__ import annotations

from projections import connections
from projections.connections import Bounded

APPLICATION = "opportunities writer"


def connect(url: str, *, role: connections.Role | None = "writer", statement_timeout_ms: int = 15_000) -> Bounded:
    """A connection for writing, in autocommit. Raises ``psycopg.OperationalError`` if there is no server."""
    connection = connections.connect(
        url,
        "writer",
        # Every statement is by key: its plan is the same for all parameters and statistics, and planning costs more. The timeout
        # frees the log's lock if a writer falls silent in the middle of a transaction. In the middle of a statement it does not
        # look idle to the server; then the server ends it from PostgreSQL 17 on, and before that whoever waits does.
        {
            "idle_in_transaction_session_timeout": statement_timeout_ms,
            "plan_cache_mode": "force_generic_plan",
            **connections.BY_KEYS,
        },
        statement_timeout_ms=statement_timeout_ms,
        role=role,
    )
    if connection.info.server_version >= 170_000:
        connection.execute(f"SET transaction_timeout = {2 * statement_timeout_ms}")
    return connection
