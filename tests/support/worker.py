"""Verbs of the command line that work until they are stopped, as processes to be killed and started again, under a load."""

from __future__ import annotations

import os
import subprocess
import threading
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from http.client import HTTPException
from pathlib import Path
from typing import Any, Self
from uuid import uuid4

from app.writing.provisioning import Provisioned
from tests.support.processes import ROOT, command, environment
from tests.support.server import Server

WON = {"stage": "won", "actual_amount": "90", "actual_close_date": "2026-05-05"}


class Worker:
    """``opportunities <arguments>``, with these settings. Its log goes to a file, for whoever looks into a failure. ``within`` is
    what the command begins with, as for a network namespace."""

    def __init__(self, *arguments: str, env: Mapping[str, str], log: Path = Path(os.devnull), within: Sequence[str] = ()) -> None:
        self._command = [*within, *command(*arguments)]
        self._environ = environment(env)
        self._log = log
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with self._log.open("ab") as log:
            self.process = subprocess.Popen(self._command, cwd=ROOT, env=self._environ, stderr=log)

    def runs(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def kill(self) -> None:
        """kill -9."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def stop(self) -> int:
        """SIGTERM; the exit code."""
        assert self.process is not None
        self.process.terminate()
        return self.process.wait(30)


@contextmanager
def at_work(*arguments: str, env: Mapping[str, str]) -> Iterator[Worker]:
    worker = Worker(*arguments, env=env)
    worker.start()
    try:
        yield worker
    finally:
        code = worker.stop()
        assert code == 0, f"{arguments} ended with {code}"


class Load:
    """Writers over the API who make deals, move them on and close them, as long as it lasts.

    ``took`` has by ``label`` how long each answered write and the read after it took together.
    """

    def __init__(self, server: Server, org: Provisioned, writers: int = 2, pause: float = 0.02) -> None:
        self._server = server
        self._org = org
        self._pause = pause
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._work) for _ in range(writers)]
        self.took: defaultdict[str, list[float]] = defaultdict(list)
        self.label = ""

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _work(self) -> None:
        """Until told to stop, which shows in an answer without an id."""
        account = self.insist("POST", "/api/accounts/", {"name": uuid4().hex})
        while account:
            deal = self.insist("POST", "/api/opportunities/", {"name": uuid4().hex, "account_id": account["id"], "amount": "5"})
            if not deal:
                return
            for stage in ("qualification", "proposal"):
                self.insist("PATCH", f"/api/opportunities/{deal['id']}/", {"stage": stage})
            self.insist("POST", f"/api/opportunities/{deal['id']}/transition/", WON)
            self._stop.wait(self._pause)

    def insist(self, method: str, path: str, body: dict[str, str]) -> dict[str, Any]:
        """The answer, asked for until there is one; nothing once the load is to stop."""
        key = uuid4().hex
        while not self._stop.is_set():
            began = time.monotonic()
            try:
                with self._server.client(self._org.token) as client:
                    reply = client.request(method, path, body, Idempotency_Key=key)
                    read = client.get("/api/opportunities/?page_size=1")
            except (OSError, HTTPException):
                self._stop.wait(0.05)
                continue
            self.took[self.label].append(time.monotonic() - began)
            assert read.status in (200, 503), read.body
            if reply.status < 300:
                answer: dict[str, Any] = reply.json()
                return answer
            assert reply.status == 503, reply.body
            self._stop.wait(0.05)
        return {}
