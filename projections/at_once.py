"""Statements that do not depend on each other, on several connections at a time."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, suppress
from queue import SimpleQueue
from typing import Any

import psycopg
from psycopg import Connection

from projections.shadow_schema import Statement, connect

CANCEL_SECONDS = 5.0


def run_at_once(
    control: Connection[Any], url: str, number: int, statements: Iterable[Statement], params: Mapping[str, Any] | None = None
) -> None:
    """Run statements that do not depend on each other, so many at a time."""
    if number == 1:
        for statement in statements:
            control.execute(statement, params)
        return
    with ExitStack() as stack:
        connections = [stack.enter_context(closing(connect(url))) for _ in range(number)]
        idle: SimpleQueue[Connection[Any]] = SimpleQueue()
        for connection in connections:
            connection.autocommit = True
            idle.put(connection)
        pool = stack.enter_context(ThreadPoolExecutor(number))
        futures = [pool.submit(_run, idle, statement, params) for statement in statements]
        try:
            for future in futures:
                future.result()
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            for connection in connections:
                with suppress(psycopg.Error):
                    connection.cancel_safe(timeout=CANCEL_SECONDS)
            raise


def _run(idle: SimpleQueue[Connection[Any]], statement: Statement, params: Mapping[str, Any] | None) -> None:
    connection = idle.get()
    try:
        connection.execute(statement, params)
    finally:
        idle.put(connection)
