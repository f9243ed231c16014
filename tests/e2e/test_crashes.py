"""Every acknowledged write survives kill -9 of the API and of PostgreSQL, none happens twice, and the read models equal the log."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import psycopg
import pytest

from app.dev.postgres import Postgres
from app.migrations import migrate
from app.writing.committer import Committer
from app.writing.provisioning import create_org
from tests.support.crashing import Load, check
from tests.support.server import Server

pytestmark = [pytest.mark.e2e]

BETWEEN_CRASHES = 25


def survive(url: str, crashes: list[Callable[[Server], None]], *, workers: int = 1) -> None:
    """Crash in the middle of a load of writes, so many times, and look what is there in the end."""
    migrate(url)
    with closing(Committer(url)) as committer:
        org = create_org(committer, "Crash Ltd", "USD", "admin@crash.example")
    server = Server(url, workers=workers)
    server.start()
    try:
        with server.client(org.token) as client:
            account = client.post("/api/accounts/", {"name": "Acme"}).json()
        load = Load(server, org, account["id"])
        load.start()
        try:
            for crash in crashes:
                load.more(BETWEEN_CRASHES)
                crash(server)
            load.more(BETWEEN_CRASHES)
        finally:
            load.stop()
        check(url, load)
    finally:
        server.stop()


def kill_all(server: Server) -> None:
    server.kill()
    server.start()


def kill_a_worker(server: Server) -> None:
    """One of several processes of the API; the others go on, and it is started again."""
    assert server.process is not None
    pid = server.process.pid
    children = [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    workers = [child for child in children if b"spawn_main" in Path(f"/proc/{child}/cmdline").read_bytes()]
    assert len(workers) == 2
    os.kill(workers[0], signal.SIGKILL)


def test_writes_survive_kill_9_of_the_api(database_url: str) -> None:
    survive(database_url, [kill_all] * 2)


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="finds the workers in /proc")
def test_writes_survive_kill_9_of_one_and_of_all_of_several_processes(database_url: str) -> None:
    survive(database_url, [kill_a_worker, kill_all], workers=2)


def test_writes_survive_kill_9_of_postgresql(tmp_path: Path) -> None:
    postgres = Postgres.start(tmp_path / "data")

    def kill_the_server(_: Server) -> None:
        url = postgres.url
        assert postgres.process is not None
        postgres.process.kill()
        postgres.restart()
        assert postgres.url == url

    def kill_the_writers_backend(_: Server) -> None:
        """Upon which PostgreSQL ends all sessions and recovers."""
        with psycopg.connect(postgres.url) as connection:
            (pid,) = connection.execute(
                "SELECT pid FROM pg_stat_activity WHERE application_name = 'opportunities writer'"
            ).fetchone() or (0,)
        os.kill(pid, signal.SIGKILL)

    try:
        survive(postgres.url, [kill_the_server, kill_the_writers_backend])
    finally:
        postgres.stop()
