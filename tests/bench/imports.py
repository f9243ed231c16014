"""Imports: deals with a past of two events each, imported and undone by a worker, and what both cost those who create one deal."""

from __future__ import annotations

import csv
import io
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from functools import cache
from itertools import count
from typing import Any
from uuid import uuid4

import msgspec

from tests.bench import bulk, load, servers
from tests.bench.meanwhile import meanwhile
from tests.bench.rig import Rig, Sample

PATH = "/api/imports/"
ROWS = 4_000
"""Of a file, which is some seconds of work."""
ACCOUNTS = 100
PATIENCE_SECONDS = 300.0
_BOUNDARY = "a-boundary-of-the-bench"


@cache
def of(rig: Rig) -> Imports:
    return Imports(rig)


class Imports:
    """Files are uploaded to the server that is measured, and a worker of its own works on them."""

    def __init__(self, rig: Rig) -> None:
        self._rig, self._port = rig, rig.ours.port
        self._numbers = count()
        self._done: list[str] = []
        """Imports that can be undone."""
        worker = rig.stack.enter_context(servers.worker(rig.logs, {"DATABASE_URL": rig.url}, "imports"))
        rig.running["imports"] = worker.pid

    def imported(self, rows: int = ROWS) -> float:
        """Rows per second, from the beginning of the run to its end, without the look at the file."""
        found = self._start(self._uploaded(rows), "start/")
        assert (found["state"], found["created"]) == ("done", rows), found
        self._done.append(found["id"])
        return rows / _seconds(found)

    def undone(self) -> float:
        if not self._done:
            self.imported()
        found = self._start(self._done.pop(), "undo/")
        assert found["state"] == "undone", found
        return int(found["rows"]) / _seconds(found)

    @contextmanager
    def running(self) -> Iterator[None]:
        """Meanwhile one import after the other runs."""
        lines = list[int]()
        first = self._uploaded(ROWS)

        def work(ended: threading.Event) -> None:
            id_ = first
            while not ended.is_set():
                self._ask("POST", f"{id_}/start/")
                self._await(id_, ("done",), ended)
                if ended.is_set():
                    self._ask("POST", f"{id_}/cancel/", (202, 409))
                found = self._await(id_, ("done", "cancelled"))
                lines.append(found["done"])
                self._done.append(id_)
                if not ended.is_set():
                    id_ = self._uploaded(ROWS)

        with meanwhile(work):
            yield
        self._rig.report(f"rows imported meanwhile: {sum(lines):,}")

    def _uploaded(self, rows: int) -> str:
        """An import that was looked at."""
        headers = {"content-type": f"multipart/form-data; boundary={_BOUNDARY}"}
        found = self._ask("POST", "", (201,), headers, _multipart(_file(self._rig, rows, next(self._numbers))))
        return str(self._await(found["id"], ("ready",))["id"])

    def _start(self, id_: str, verb: str) -> Any:
        self._ask("POST", f"{id_}/{verb}")
        return self._await(id_, ("done", "undone", "failed"))

    def _await(self, id_: str, states: tuple[str, ...], ended: threading.Event | None = None) -> Any:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while (found := self._ask("GET", f"{id_}/", (200,)))["state"] not in states:
            assert time.monotonic() < deadline, found
            if ended is not None and ended.wait(0.1):
                return found
            time.sleep(0.1)
        return found

    def _ask(
        self, method: str, path: str, statuses: tuple[int, ...] = (202,), headers: dict[str, str] | None = None, body: bytes = b""
    ) -> Any:
        lines = self._rig.work.headers | (headers or {}) | ({"content-length": str(len(body))} if body else {})
        head = "\r\n".join([f"{method} {PATH}{path} HTTP/1.1", "host: 127.0.0.1", *(f"{k}: {v}" for k, v in lines.items())])
        status, answer = load.fetch(self._port, head.encode() + b"\r\n\r\n" + body)
        assert status in statuses, answer
        return msgspec.json.decode(answer)


def _seconds(found: Any) -> float:
    started, finished = (datetime.fromisoformat(found[name]) for name in ("started_at", "finished_at"))
    return (finished - started).total_seconds()


def _file(rig: Rig, rows: int, number: int) -> bytes:
    """A deal a row, created some months ago and closed since: two events, in accounts that the first file creates."""
    text = io.StringIO(newline="")
    file = csv.writer(text)
    file.writerow(["Name", "Account", "External id", "Amount", "Currency", "Stage", "Close date", "Created", "Closed at"])
    tag = f"{uuid4().hex[:8]}-{number}"
    for row in range(rows):
        closed = rig.work.today - timedelta(days=1 + row % 180)
        created = closed - timedelta(days=30 + row % 60)
        file.writerow(
            [
                f"Import {row} expansion", f"Bench account {row % ACCOUNTS}", f"{tag}-{row}", f"{1_000 + row % 9_000}.50", "USD",
                "won" if row % 2 else "lost", closed, f"{created}T10:00:00Z", f"{closed}T10:00:00Z",
            ]
        )  # fmt: skip
    return text.getvalue().encode()


def _multipart(file: bytes) -> bytes:
    head = f'--{_BOUNDARY}\r\nContent-Disposition: form-data; name="'
    parts = [f'{head}kind"\r\n\r\nopportunities\r\n', f'{head}file"; filename="deals.csv"\r\n\r\n']
    return parts[0].encode() + parts[1].encode() + file + f"\r\n--{_BOUNDARY}--\r\n".encode()


def imported(rig: Rig) -> Sample:
    return Sample(of(rig).imported(), "rows/s")


def undone(rig: Rig) -> Sample:
    return Sample(of(rig).undone(), "rows/s")


def create_beside(rig: Rig) -> Sample:
    """The p99 of one create at a time while imports run."""
    with of(rig).running():
        return bulk.create_alone(rig)


def list_after(rig: Rig) -> Sample:
    """The p99 of pages right after an import."""
    of(rig).imported()
    return lists(rig)


def lists(rig: Rig) -> Sample:
    found = rig.hit(rig.ours, rig.work.lists(), connections=1)
    assert found.p99 is not None
    return Sample(found.p99, "ms", found.p50, found.p99, found.cpu)
