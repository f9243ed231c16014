"""Connections of the processes that follow the log: in autocommit, with the rights of the writer, soon aware of a dead peer."""

from __future__ import annotations

from typing import Any

import psycopg
from psycopg import Connection

ALIVE = "-c tcp_keepalives_idle=10 -c tcp_keepalives_interval=5 -c tcp_keepalives_count=3"


def connect(url: str, name: str, *, statement_timeout_ms: int = 60_000) -> Connection[Any]:
    """Raises ``psycopg.OperationalError`` if there is no server."""
    connection = psycopg.connect(
        url,
        autocommit=True,
        connect_timeout=5,
        application_name=f"opportunities {name}",
        keepalives_idle=10,
        keepalives_interval=5,
        keepalives_count=3,
        options=f"-c statement_timeout={statement_timeout_ms} -c search_path=public -c timezone=UTC -c jit=off {ALIVE}",
    )
    connection.prepare_threshold = 0
    connection.execute("SET ROLE opportunities_writer")
    return connection
