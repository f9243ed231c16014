"""A PostgreSQL with a standby that has everything before a client hears of it."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import psycopg

from app.dev.postgres import Postgres
from app.process.children import wait_until

SECONDS = 60


class Pair:
    """``url`` names both, and asks for the one that takes writes."""

    def __init__(self, primary: Postgres, standby: Postgres) -> None:
        self.primary, self.standby = primary, standby
        hosts = f"127.0.0.1:{primary.port},127.0.0.1:{standby.port}"
        self.url = f"postgresql://postgres:{primary.access.password}@{hosts}/postgres?target_session_attrs=read-write"

    def in_step(self) -> bool:
        with psycopg.connect(self.primary.url) as connection:
            return connection.execute("SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'sync'").fetchone() == (1,)

    def promote(self) -> None:
        with psycopg.connect(self.standby.url, autocommit=True) as connection:
            assert connection.execute("SELECT pg_promote()").fetchone() == (True,)


@contextmanager
def replicated(folder: Path) -> Iterator[Pair]:
    with ExitStack() as stack:

        def start(name: str, **options: str) -> Postgres:
            server = Postgres.start(folder / name, options=options)
            stack.callback(server.stop)
            return server

        Postgres.start(folder / "primary").stop()
        subprocess.run(["cp", "-Rp", str(folder / "primary"), str(folder / "standby")], check=True)
        signal_file = folder / "standby" / "postgres" / "standby.signal"
        signal_file.touch()
        primary = start("primary", synchronous_standby_names="*")
        source = f"host=127.0.0.1 port={primary.port} user=postgres password={primary.access.password} application_name=standby"
        pair = Pair(primary, start("standby", primary_conninfo=source))
        assert wait_until(pair.in_step, SECONDS), pair.standby.log.read_text()
        yield pair
