"""What is asked of both servers: the very same requests for reads, and unending new deals and moves for writes.

Reads go round over many filters and records, so that nothing is answered from a cache of one answer.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from datetime import date, timedelta
from itertools import count, cycle, pairwise
from random import Random
from typing import Any, NamedTuple
from uuid import UUID

import psycopg

from tests.bench import load
from tests.bench.history import OPEN
from tests.bench.loader import Loaded, loaded

ROOT = "/api/opportunities/"
CONNECTIONS = 8
_NEXT = dict(pairwise((*OPEN, "won", OPEN[0])))


class Window(NamedTuple):
    """A filter of the list: one stage, close dates of three months."""

    stage: str
    first: date
    last: date

    @property
    def query(self) -> str:
        return f"stage={self.stage}&close_date__gte={self.first}&close_date__lte={self.last}"


def windows(today: date) -> list[Window]:
    """Each open stage with three-month ranges that begin in each of the coming weeks."""
    starts = [today + timedelta(days=7 * week) for week in range(1, 13)]
    return [Window(stage, start, start + timedelta(days=91)) for start in starts for stage in OPEN]


def months(today: date, ahead: int) -> tuple[date, date]:
    """The first and last day of ``ahead`` whole months, half of them past."""
    index = today.year * 12 + today.month - 1 - ahead // 2
    first, end = (date(i // 12, i % 12 + 1, 1) for i in (index, index + ahead))
    return first, end - timedelta(days=1)


class Workload:
    """The requests for one server and database."""

    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        self.loaded: Loaded = loaded(connection)
        self.today = self.loaded.loaded_at.date()
        self.headers = {"authorization": f"Bearer {self.loaded.token}"}
        random = Random(1)
        live = "FROM opportunities WHERE valid_to = 'infinity' AND NOT deleted"
        self.ids: list[UUID] = _column(connection, f"SELECT id {live} ORDER BY id")
        random.shuffle(self.ids)
        rows = connection.execute(f"SELECT id, stage {live} AND status = 'open' ORDER BY id").fetchall()
        random.shuffle(rows)
        self._open: deque[tuple[UUID, str]] = deque(rows)
        current = "FROM directory WHERE valid_to = 'infinity' AND NOT deleted AND kind ="
        self.accounts: list[UUID] = _column(connection, f"SELECT id {current} 'account' ORDER BY id")
        self.owners: list[UUID] = _column(connection, f"SELECT id {current} 'user' AND role = 'rep' ORDER BY id")
        self._contacts: list[UUID] = _column(connection, f"SELECT id {current} 'contact' ORDER BY id")
        self._random = random
        self._numbers = count(1)

    def get(self, path: str) -> bytes:
        return load.request("GET", path, self.headers)

    def lists(self) -> Iterator[bytes]:
        return cycle([self.get(f"{ROOT}?{window.query}") for window in windows(self.today)])

    def details(self) -> Iterator[bytes]:
        return cycle([self.get(f"{ROOT}{id_}/") for id_ in self.ids[:2000]])

    def forecast(self, ahead: int) -> bytes:
        first, last = months(self.today, ahead)
        return self.get(f"{ROOT}forecast/?close_date__gte={first}&close_date__lte={last}")

    def deals(self) -> Iterator[dict[str, object]]:
        random = self._random
        for number in self._numbers:
            yield {
                "name": f"Bench deal {number}",
                "account_id": random.choice(self.accounts),
                "amount": f"{random.randint(1000, 90_000)}.00",
                "currency": "USD",
                "stage": OPEN[number % len(OPEN)],
                "close_date": self.today + timedelta(days=random.randint(1, 200)),
                "stakeholder_ids": [random.choice(self._contacts)],
                "tags": ["inbound"],
                "custom_fields": {"competitor": "incumbent_vendor"},
            }

    def creates(self) -> Iterator[bytes]:
        for body in self.deals():
            yield load.request("POST", ROOT, self.headers, body)

    def transitions(self) -> Iterator[bytes]:
        """Every open deal in turn to its next stage, won in the end, then reopened; never two in flight about one."""
        while True:
            id_, stage = self._open.popleft()
            body: dict[str, object] = {"stage": _NEXT[stage]}
            if _NEXT[stage] == "won":
                body |= {"actual_amount": "1000.00", "actual_close_date": self.today}
            self._open.append((id_, _NEXT[stage]))
            yield load.request("POST", f"{ROOT}{id_}/transition/", self.headers, body)


def _column(connection: psycopg.Connection[Any], text: str) -> list[Any]:
    return [row[0] for row in connection.execute(text)]
