"""A PostgreSQL with a standby that has everything before a client hears of it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import psycopg

from app.dev.postgres import Postgres, inhabitants, owner, signal_all
from app.process import ports
from app.process.children import wait_until
from tests.support.namespace import Namespace
from tests.support.processes import ROOT

SECONDS = 60
WIRE = 1


class Pair:
    """``url`` names both, and asks for the one that takes writes. ``place`` is where clients find the primary, if not where it
    listens."""

    def __init__(self, primary: Postgres, standby: Postgres, place: str | None = None) -> None:
        self.primary, self.standby = primary, standby
        hosts = f"{place or f'127.0.0.1:{primary.port}'},127.0.0.1:{standby.port}"
        self.url = f"postgresql://postgres:{primary.access.password}@{hosts}/postgres?target_session_attrs=read-write"

    def in_step(self) -> bool:
        with psycopg.connect(self.primary.url) as connection:
            return connection.execute("SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'sync'").fetchone() == (1,)

    def promote(self) -> None:
        with psycopg.connect(self.standby.url, autocommit=True) as connection:
            assert connection.execute("SELECT pg_promote()").fetchone() == (True,)

    def stop_the_primary(self) -> None:
        """As a machine that hangs: its system still takes what is sent, and nobody answers."""
        seen: list[int] = []
        while seen != (seen := sorted(inhabitants(self.primary.name))):
            signal_all(seen, signal.SIGSTOP)

    def fence(self) -> None:
        """The old primary never comes back."""
        signal_all(inhabitants(self.primary.name), signal.SIGKILL)


@contextmanager
def replicated(folder: Path, apart: Namespace | None = None) -> Iterator[Pair]:
    """``apart`` is where clients have to go to reach the primary, by its first wire; the standby has a way of its own."""
    with ExitStack() as stack:

        def start(name: str, **options: str) -> Postgres:
            server = Postgres.start(folder / name, options=options)
            stack.callback(server.stop)
            return server

        Postgres.start(folder / "primary").stop()
        subprocess.run(["cp", "-Rp", str(folder / "primary"), str(folder / "standby")], check=True)
        signal_file = folder / "standby" / "postgres" / "standby.signal"
        signal_file.touch()
        socket = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="opportunities-")))
        os.chown(socket, -1 if (user := owner(folder / "primary" / "postgres")) is None else user, -1)
        primary = start("primary", synchronous_standby_names="*", unix_socket_directories=str(socket))
        place = None if apart is None else stack.enter_context(_way_to(socket / f".s.PGSQL.{primary.port}", apart))
        source = f"host=127.0.0.1 port={primary.port} user=postgres password={primary.access.password} application_name=standby"
        pair = Pair(primary, start("standby", primary_conninfo=source), place)
        assert wait_until(pair.in_step, SECONDS), pair.standby.log.read_text()
        yield pair


@contextmanager
def _way_to(socket: Path, apart: Namespace) -> Iterator[str]:
    """An address in a namespace behind which is a socket, which namespaces do not separate."""
    apart.wire(WIRE)
    host, port = apart.inside(WIRE), ports.free_port()
    command = [*apart.command, sys.executable, "-m", "tests.support.passing_on", host, str(port), str(socket)]
    process = subprocess.Popen(command, cwd=ROOT)
    try:
        yield f"{host}:{port}"
    finally:
        process.kill()
        process.wait()
