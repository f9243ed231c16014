"""What a day's writes leave behind in the tables that they rewrite: ``python -m tests.bench.bloat``.

A PostgreSQL with its own settings, autovacuum's among them, gets the writes of a busy day as fast as they go, which is harder on
autovacuum than a day. Told are, for each table that had updates, its size at the most, in the end, and without what is dead.
"""

from __future__ import annotations

import random
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg
from psycopg import sql

from app import logs
from app.dev.postgres import Postgres
from app.migrations import migrate
from app.writing.committer import MAX_BATCH, Committer
from domain import opportunity
from tests.support.commands import Company
from tests.support.receiver import receiving
from tests.support.webhooks import endpoint, queue, sending, until_attempted

DEALS = 5_000
UPDATES = 200_000
ROUND = 2_000
DELIVERIES = 100
"""Webhooks of each round."""
STAGES = ("qualification", "discovery", "proposal", "negotiation")


def main(updates: int = UPDATES) -> None:
    logs.configure("warning", "console")
    with tempfile.TemporaryDirectory(prefix="opportunities-bloat-") as folder:
        server = Postgres.start(Path(folder) / "data")
        try:
            migrate(server.url)
            with closing(Committer(server.url)) as committer, watching(server.url) as most:
                began = time.monotonic()
                work(server.url, Company(committer), updates)
            print(f"{updates} updates in {time.monotonic() - began:.0f} s")
            report(server.url, most)
        finally:
            server.stop()


def work(url: str, company: Company, updates: int) -> None:
    chance = random.Random(4)
    creations = [company.envelope(company.creation(amount=Decimal(1000))) for _ in range(DEALS)]
    deals = [done.stream_id for done in run(company, creations)]
    with receiving() as receiver, sending(url):
        hook = endpoint(company, receiver.url("/hooks"))
        for _ in range(0, updates, ROUND):
            run(company, [change(company, chance, chance.choice(deals)) for _ in range(ROUND)])
            queue(url, company, hook, DELIVERIES)
        until_attempted(url, hook, seconds=600)


def change(company: Company, chance: random.Random, deal: UUID) -> Any:
    """Most edits are of amounts and dates, some move a deal on."""
    if chance.random() < 0.3:
        return company.envelope(opportunity.ChangeStage(stage=chance.choice(STAGES)), deal)
    day = date(2027, chance.randint(1, 12), chance.randint(1, 28))
    return company.envelope(opportunity.Update(amount=Decimal(chance.randint(1, 99_999)), close_date=day), deal)


def run(company: Company, envelopes: Sequence[Any]) -> list[Any]:
    done: list[Any] = []
    for start in range(0, len(envelopes), MAX_BATCH // 8):
        done += company.committer.run(envelopes[start : start + MAX_BATCH // 8])
    faults = [one for one in done if isinstance(one, Exception)]
    assert not faults, faults[0]
    return done


@contextmanager
def watching(url: str) -> Iterator[dict[str, int]]:
    """The most bytes that each table, with its indexes, had at any time."""
    most: dict[str, int] = {}
    stop = threading.Event()

    def watch() -> None:
        with psycopg.connect(url, autocommit=True) as connection:
            while not stop.wait(1):
                for name, size in connection.execute("SELECT relname, pg_total_relation_size(relid) FROM pg_stat_user_tables"):
                    most[name] = max(most.get(name, 0), size)

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield most
    finally:
        stop.set()
        thread.join()


def report(url: str, most: dict[str, int]) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        rows = connection.execute(
            """
            SELECT relname, n_tup_upd, n_tup_hot_upd, n_tup_del, n_dead_tup, autovacuum_count, pg_total_relation_size(relid)
            FROM pg_stat_user_tables WHERE n_tup_upd + n_tup_del > 0 ORDER BY n_tup_upd + n_tup_del DESC
            """
        ).fetchall()
        print(
            f"{'table':28}{'updates':>9}{'HOT':>6}{'deletes':>9}{'dead':>8}{'vacuums':>9}{'most':>10}{'end':>10}{'full':>10}  KiB"
        )
        for name, updated, hot, deleted, dead, vacuums, size in rows:
            connection.execute(sql.SQL("VACUUM FULL {}").format(sql.Identifier(name)))
            (full,) = connection.execute("SELECT pg_total_relation_size(%s::regclass)", (name,)).fetchone() or (0,)
            sizes = "".join(f"{bytes_ >> 10:>10}" for bytes_ in (most.get(name, 0), size, full))
            share = f"{100 * hot // max(updated, 1)}%"
            print(f"{name:28}{updated:>9}{share:>6}{deleted:>9}{dead:>8}{vacuums:>9}{sizes}")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
