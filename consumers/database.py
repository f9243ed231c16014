"""Connections of the processes that follow the log: in autocommit, with the rights of the writer, with TCP keepalives."""

from __future__ import annotations

from typing import Any

from psycopg import Connection

from projections import connections

TIMEOUT_MS = 60_000
"""Reading a chunk of the log, or queueing the deliveries of many events, may take that long on a slow day."""


def connect(url: str, name: str, *, statement_timeout_ms: int = TIMEOUT_MS) -> Connection[Any]:
    """Raises ``psycopg.OperationalError`` if there is no server."""
    connection = connections.connect(url, name, statement_timeout_ms=statement_timeout_ms, role="writer")
    connection.prepare_threshold = 0
    return connection
