"""Connections of the processes that follow the log: in autocommit, with the rights of the writer, soon aware of a dead peer."""

from __future__ import annotations

from typing import Any

from psycopg import Connection

from projections import connections


def connect(url: str, name: str, *, statement_timeout_ms: int = 60_000) -> Connection[Any]:
    """Raises ``psycopg.OperationalError`` if there is no server."""
    connection = connections.connect(url, name, "", statement_timeout_ms=statement_timeout_ms)
    connection.prepare_threshold = 0
    connection.execute("SET ROLE opportunities_writer")
    return connection
