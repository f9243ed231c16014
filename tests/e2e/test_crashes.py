"""Every acknowledged write survives kill -9 of the API and of PostgreSQL, none happens twice, and the read models equal the log."""

from __future__ import annotations

import threading
from collections.abc import Callable
from http.client import HTTPException
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest

from app.committer import Committer
from app.embedded import Postgres
from app.migrations import migrate
from app.provision import Provisioned, create_org
from projections.rebuild import verify
from tests.support.server import Server

pytestmark = [pytest.mark.e2e]

WRITERS = 6


class Load:
    """Writers that create deals and move them on, and remember what was acknowledged and what was only tried.

    Every request has an Idempotency-Key and is repeated under it until it is answered, as a careful client does.
    """

    def __init__(self, server: Server, org: Provisioned, account_id: str) -> None:
        self._server = server
        self._org = org
        self._account_id = account_id
        self._stop = threading.Event()
        self.created: dict[str, str] = {}
        self.moved: set[str] = set()
        self.faults: list[str] = []
        self._lock = threading.Lock()
        self._threads = [threading.Thread(target=self._work) for _ in range(WRITERS)]
        self.progress = threading.Condition()

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def wait_for(self, number: int) -> None:
        """Until that many deals were created in all."""
        with self.progress:
            assert self.progress.wait_for(lambda: len(self.created) >= number, timeout=60)

    def _work(self) -> None:
        while not self._stop.is_set():
            name = uuid4().hex
            body = {"name": name, "account_id": self._account_id, "amount": "100"}
            record = self._insist("/api/opportunities/", body, 201)
            if record is None:
                return
            with self.progress:
                self.created[name] = record["id"]
                self.progress.notify_all()
            if self._insist(f"/api/opportunities/{record['id']}/transition/", {"stage": "proposal"}, 200) is None:
                return
            with self._lock:
                self.moved.add(name)

    def _insist(self, path: str, body: dict[str, str], expected: int) -> dict[str, str] | None:
        """The record, or None when told to stop without an answer."""
        key = uuid4().hex
        while True:
            try:
                with self._server.client(self._org.token) as client:
                    reply = client.post(path, body, Idempotency_Key=key)
            except (OSError, HTTPException):
                if self._stop.wait(0.05):
                    return None
                continue
            if reply.status == expected:
                answer: dict[str, str] = reply.json()
                return answer
            if reply.status != 503:
                self.faults.append(f"{path} {reply.status} {reply.body[:300]!r}")
                return None
            if self._stop.wait(0.05):
                return None


def check(url: str, load: Load) -> None:
    assert not load.faults
    with psycopg.connect(url) as connection:
        names = [row[0] for row in connection.execute(
            "SELECT name FROM opportunities WHERE valid_to = 'infinity' AND NOT deleted"
        )]  # fmt: skip
        stages = dict(connection.execute(
            "SELECT name, stage FROM opportunities WHERE valid_to = 'infinity' AND NOT deleted"
        ).fetchall())  # fmt: skip
        gaps = connection.execute(
            "SELECT originator_id FROM opportunities_events GROUP BY 1 HAVING max(originator_version) <> count(*)"
        ).fetchall()
    assert len(names) == len(set(names)), "a write happened twice"
    assert set(load.created) <= set(names), "an acknowledged write is lost"
    assert all(stages[name] == "proposal" for name in load.moved), "an acknowledged transition is lost"
    assert not gaps, "versions have gaps"
    assert verify(url) == []


def run(url: str, crash: Callable[[Server], None], crashes: int) -> None:
    migrate(url)
    committer = Committer(url)
    org = create_org(committer, "Crash Ltd", "USD", "admin@crash.example")
    committer.close()
    server = Server(url)
    server.start()
    try:
        with server.client(org.token) as client:
            account = client.post("/api/accounts/", {"name": "Acme"}).json()
        load = Load(server, org, account["id"])
        load.start()
        try:
            for number in range(1, crashes + 1):
                load.wait_for(number * 40)
                crash(server)
            load.wait_for((crashes + 1) * 40)
        finally:
            load.stop()
        check(url, load)
    finally:
        server.stop()


def test_writes_survive_kill_9_of_the_api(database_url: str) -> None:
    def crash(server: Server) -> None:
        server.kill()
        server.start()

    run(database_url, crash, crashes=4)


def test_writes_survive_kill_9_of_postgresql(tmp_path: Path) -> None:
    postgres = Postgres.start(tmp_path / "data")
    try:
        url = postgres.url

        def crash(server: Server) -> None:
            assert postgres.process is not None
            postgres.process.kill()
            postgres.restart()
            assert postgres.url == url

        run(url, crash, crashes=3)
    finally:
        postgres.stop()
