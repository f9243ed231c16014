"""Every acknowledged write survives kill -9 of the API and of PostgreSQL, none happens twice, and the read models equal the log."""

from __future__ import annotations

import os
import signal
import threading
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from http.client import HTTPException
from itertools import count
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
import pytest

from app.dev.postgres import Postgres
from app.migrations import migrate
from app.writing.committer import Committer
from app.writing.provisioning import Provisioned, create_org
from projections.rebuild import verify
from tests.support.server import Server

pytestmark = [pytest.mark.e2e]

WRITERS = 6
BETWEEN_CRASHES = 25
OPPORTUNITIES = "/api/opportunities/"


class Load:
    """Writers that create deals, move them on and log on them, and remember what was acknowledged.

    Every request has an Idempotency-Key and is repeated under it until it is answered, as a careful client does.
    """

    def __init__(self, server: Server, org: Provisioned, account_id: str) -> None:
        self._server = server
        self._org = org
        self._account_id = account_id
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._work) for _ in range(WRITERS)]
        self._progress = threading.Condition()
        self.created: set[str] = set()
        self.moved: set[str] = set()
        self.logged: set[str] = set()
        self.faults: list[str] = []

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def more(self, number: int) -> None:
        """Wait until that many more deals were created."""
        with self._progress:
            goal = len(self.created) + number
            arrived = self._progress.wait_for(lambda: self.faults or len(self.created) >= goal, timeout=60)
        assert arrived, "nothing is written any more"
        assert not self.faults

    def _work(self) -> None:
        while not self._stop.is_set():
            name = uuid4().hex
            body = {"name": name, "account_id": self._account_id, "amount": "100"}
            if (record := self._insist(OPPORTUNITIES, body, 201)) is None:
                return
            self._acknowledged(self.created, name)
            deal = f"{OPPORTUNITIES}{record['id']}/"
            if self._insist(f"{deal}transition/", {"stage": "proposal"}, 200) is None:
                return
            self._acknowledged(self.moved, name)
            if self._insist(f"{deal}activities/", {"type": "note", "subject": name}, 201) is None:
                return
            self._acknowledged(self.logged, name)

    def _acknowledged(self, names: set[str], name: str) -> None:
        with self._progress:
            names.add(name)
            self._progress.notify_all()

    def _insist(self, path: str, body: dict[str, str], expected: int) -> dict[str, Any] | None:
        """The record, or None when told to stop without an answer."""
        key = uuid4().hex
        for attempt in count():
            if attempt and self._stop.wait(0.05):
                return None
            try:
                with self._server.client(self._org.token) as client:
                    reply = client.post(path, body, Idempotency_Key=key)
            except (OSError, HTTPException):
                continue
            if reply.status == expected:
                answer: dict[str, Any] = reply.json()
                return answer
            if reply.status != 503:
                with self._progress:
                    self.faults.append(f"{path} {reply.status} {reply.body[:300]!r}")
                    self._progress.notify_all()
                return None
        raise AssertionError("unreachable")


def check(url: str, load: Load) -> None:
    with psycopg.connect(url) as connection:
        deals = connection.execute("SELECT name, stage FROM opportunities WHERE valid_to = 'infinity' AND NOT deleted").fetchall()
        subjects = connection.execute("SELECT name FROM directory WHERE kind = 'activity'").fetchall()
        gaps = connection.execute(
            "SELECT originator_id FROM opportunities_events GROUP BY 1 HAVING max(originator_version) <> count(*)"
        ).fetchall()
    stages: dict[str, str] = dict(deals)
    logged = Counter(name for (name,) in subjects)
    assert len(deals) == len(stages), "a creation happened twice"
    assert load.created <= stages.keys(), "an acknowledged creation is lost"
    assert {stages[name] for name in load.moved} == {"proposal"}, "an acknowledged transition is lost"
    assert load.logged <= logged.keys(), "an acknowledged activity is lost"
    assert set(logged.values()) == {1}, "an activity was logged twice"
    assert not gaps, "versions have gaps"
    assert verify(url) == []


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
