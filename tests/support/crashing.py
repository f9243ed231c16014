"""A load of writes by careful clients while something crashes, and what must be true of it in the end."""

from __future__ import annotations

import threading
import time
from collections import Counter
from http.client import HTTPException
from itertools import count, pairwise
from typing import Any
from uuid import uuid4

import psycopg

from app.writing.provisioning import Provisioned
from projections.rebuild import verify
from tests.support.server import Server

WRITERS = 6
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
        self.answers: list[tuple[float, str]] = []
        """When which answer came: a status, with the code of a problem."""

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

    def gap(self) -> float:
        """The longest time in which no write succeeded."""
        times = sorted(at for at, answer in self.answers if answer < "300")
        return max((later - earlier for earlier, later in pairwise(times)), default=0.0)

    def refusals(self) -> set[str]:
        return {answer for _, answer in self.answers if answer >= "300"}

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
            code = "" if reply.status < 300 else f" {reply.json()['code']}"
            self.answers.append((time.monotonic(), f"{reply.status}{code}"))
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
