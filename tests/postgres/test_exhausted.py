"""PostgreSQL has no connection, no room or no moment left: clients see 503, and all goes on by itself when it has."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path

import psycopg
import pytest

from app.dev.postgres import Postgres
from app.migrations import migrate
from app.process.children import wait_until
from app.writing.committer import Committer
from app.writing.provisioning import Provisioned, create_org
from tests.support.crashing import Load, check
from tests.support.processes import opportunities
from tests.support.server import Server, serving
from tests.support.small_disk import small_disk

pytestmark = [pytest.mark.e2e, pytest.mark.long]


@contextmanager
def postgres(folder: Path, **options: str) -> Iterator[Postgres]:
    server = Postgres.start(folder, options=options)
    try:
        yield server
    finally:
        server.stop()


def organization(url: str) -> Provisioned:
    with closing(Committer(url)) as committer:
        return create_org(committer, "Acme", "USD", "admin@acme.example")


@contextmanager
def loaded(url: str, server: Server, org: Provisioned) -> Iterator[Load]:
    """A load of writes; in the end everything that was acknowledged is there, once."""
    with server.client(org.token) as client:
        load = Load(server, org, client.post("/api/accounts/", {"name": "Acme"}).json()["id"])
    load.start()
    try:
        load.more(25)
        yield load
        load.more(25)
    finally:
        load.stop()
    assert load.refusals() <= {"503 unavailable"}
    check(url, load)


def test_without_a_connection_left_clients_see_503_until_there_is_one(tmp_path: Path) -> None:
    with postgres(tmp_path / "data", max_connections="20", superuser_reserved_connections="0") as server:
        migrate(server.url)
        org = organization(server.url)
        with serving(server.url) as api, ExitStack() as others:
            for _ in range(20):
                with suppress(psycopg.OperationalError):
                    others.enter_context(psycopg.connect(server.url))
            told = opportunities("doctor", env={"DATABASE_URL": server.url})
            assert "PostgreSQL cannot be used: it has no connection left: raise its max_connections" in told.stdout
            statuses = many_reads(api, org)
            assert set(statuses) <= {(200, ""), (503, "unavailable")}
            assert (503, "unavailable") in statuses
            others.close()
            assert wait_until(lambda: set(many_reads(api, org)) == {(200, "")}, 60)


def many_reads(api: Server, org: Provisioned) -> list[tuple[int, str]]:
    """Statuses and codes of searches that come at once, and so need more than one connection."""

    def read(_: int) -> tuple[int, str]:
        with api.client(org.token) as client:
            reply = client.get("/api/opportunities/?search=acme&ordering=-amount")
        return reply.status, "" if reply.status == 200 else reply.json()["code"]

    with ThreadPoolExecutor(8) as pool:
        return list(pool.map(read, range(32)))


@pytest.mark.parametrize("what", ["data", "log"])
def test_a_full_disk_loses_nothing_that_was_acknowledged(tmp_path: Path, what: str) -> None:
    """PostgreSQL refuses a write whose data have no room, and ends if its log has none: then it is started again."""
    with ExitStack() as stack, small_disk(tmp_path / "disk", 200) as disk:
        folder = disk.folder / "data"
        with postgres(folder, max_wal_size="48MB", min_wal_size="32MB") as server:
            migrate(server.url)
        if what == "data":
            elsewhere = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="opportunities-")))
            if server.user is not None:
                os.chown(elsewhere, server.user, -1)
            log = elsewhere / "log"
            subprocess.run(["cp", "-Rp", str(server.cluster / "pg_wal"), str(log)], check=True)
            shutil.rmtree(server.cluster / "pg_wal")
            (server.cluster / "pg_wal").symlink_to(log)
        with postgres(folder, max_wal_size="48MB", min_wal_size="32MB") as server:
            org = organization(server.url)
            with serving(server.url) as api, loaded(server.url, api, org) as load:
                disk.fill()
                assert wait_until(lambda: "503 unavailable" in load.refusals(), 100), load.refusals()
                disk.make_room()
                if not wait_until(lambda: not server.alive(), 2):
                    load.more(25)
                else:
                    server.restart()


def until_refused(load: Load, since: float) -> None:
    assert wait_until(lambda: any(at > since and answer == "503 unavailable" for at, answer in list(load.answers)), 60)


def test_a_table_that_somebody_locks_keeps_nobody_waiting_for_longer_than_a_statement_may_take(tmp_path: Path) -> None:
    with postgres(tmp_path / "data") as server:
        migrate(server.url)
        org = organization(server.url)
        with (
            serving(server.url, OPPORTUNITIES_STATEMENT_TIMEOUT_MS="1000") as api,
            loaded(server.url, api, org) as load,
            psycopg.connect(server.url) as other,
        ):
            for statement in (
                "LOCK TABLE opportunities",
                "CREATE INDEX ON opportunities (name)",
                "LOCK TABLE opportunities_events",
            ):
                since = time.monotonic()
                other.execute(statement.encode())
                until_refused(load, since)
                began = time.monotonic()
                statuses = many_reads(api, org)
                assert time.monotonic() - began < 60
                assert set(statuses) <= {(200, ""), (503, "unavailable"), (429, "too_many_waiting")}
                other.rollback()
                load.more(25)
