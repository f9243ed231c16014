"""The limit of the list: its very SELECT in a loop on one synchronous psycopg connection, without HTTP.

``python -m tests.bench.bare URL`` reads a number of seconds per line and answers with the number of pages read in
them.
"""

from __future__ import annotations

import sys
import time
from itertools import cycle
from typing import Any

import psycopg
from psycopg.abc import Buffer
from psycopg.adapt import Loader

from projections.conditions import Condition, SqlStatement
from projections.opportunities import list_query
from projections.opportunities import queries as opportunity_queries
from tests.bench.loader import loaded
from tests.bench.workload import Window, windows


class _Bytes(Loader):
    def load(self, data: Buffer) -> bytes:
        return bytes(data)


def page(org_id: Any, window: Window) -> SqlStatement:
    """The statement of the API for this window's first page of 50 and its count."""
    conditions = (
        Condition("stage", "in", (window.stage,)),
        Condition("close_date", "gte", (window.first,)),
        Condition("close_date", "lte", (window.last,)),
    )
    return opportunity_queries.page(list_query.OpportunityListQuery(org_id, conditions), 50)


def main(url: str) -> None:
    with psycopg.connect(url, autocommit=True, options="-c search_path=public -c timezone=UTC -c jit=off") as connection:
        found = loaded(connection)
        connection.adapters.register_loader("varchar", _Bytes)
        connection.execute("SET ROLE opportunities_reader")
        connection.execute("SELECT set_config('app.org_id', %s, false)", (str(found.org_id),))
        pages = cycle([page(found.org_id, window) for window in windows(found.loaded_at.date())])
        cursor = connection.cursor()
        print("ready", flush=True)
        for line in sys.stdin:
            done, deadline = 0, time.perf_counter() + float(line)
            while time.perf_counter() < deadline:
                query = next(pages)
                cursor.execute(query.text, query.params, prepare=True)
                assert cursor.fetchone()
                done += 1
            print(done, flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
