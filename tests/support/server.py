"""The API as a real process on a free port, and a client of it, which uses only HTTP and signals."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from http.client import HTTPConnection, HTTPException
from types import TracebackType
from typing import Any, NamedTuple, Self

START_SECONDS = 60
PROGRAM = ("app.cli",)


class Reply(NamedTuple):
    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


class Client:
    """One keep-alive connection with a token. Raises ``OSError`` or ``HTTPException`` when the server is gone."""

    def __init__(self, port: int, token: str | None) -> None:
        self._connection = HTTPConnection("127.0.0.1", port, timeout=30)
        self._token = token

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._connection.close()

    def request(self, method: str, path: str, body: Any = None, **headers: str) -> Reply:
        """``headers`` by their names with underscores: ``If_Match="3"``."""
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        if self._token:
            sent.setdefault("Authorization", f"Bearer {self._token}")
        raw = None
        if body is not None:
            raw = body if isinstance(body, bytes) else json.dumps(body).encode()
            sent.setdefault("Content-Type", "application/json")
        try:
            self._connection.request(method, path, raw, sent)
            response = self._connection.getresponse()
            return Reply(response.status, {k.lower(): v for k, v in response.getheaders()}, response.read())
        except (OSError, HTTPException):
            self._connection.close()
            raise

    def get(self, path: str, **headers: str) -> Reply:
        return self.request("GET", path, **headers)

    def post(self, path: str, body: Any = None, **headers: str) -> Reply:
        return self.request("POST", path, body, **headers)

    def patch(self, path: str, body: Any = None, **headers: str) -> Reply:
        return self.request("PATCH", path, body, **headers)

    def put(self, path: str, body: Any = None, **headers: str) -> Reply:
        return self.request("PUT", path, body, **headers)

    def delete(self, path: str, **headers: str) -> Reply:
        return self.request("DELETE", path, **headers)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Server:
    """``opportunities serve`` on a database that is migrated already. ``program`` is what it is run by, as after ``python -m``."""

    def __init__(
        self,
        database_url: str,
        *,
        workers: int = 1,
        port: int | None = None,
        environ: Mapping[str, str] = {},
        program: Sequence[str] = PROGRAM,
    ) -> None:
        self.port = port or free_port()
        self._command = [sys.executable, "-m", *program, "serve", "--port", str(self.port), "--workers", str(workers)]
        self._environment = {**os.environ, "DATABASE_URL": database_url, **environ}
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self.process = subprocess.Popen(self._command, env=self._environment, stdout=subprocess.DEVNULL, start_new_session=True)
        deadline = time.monotonic() + START_SECONDS
        while not self.ready():
            if self.process.poll() is not None:
                raise RuntimeError(f"serve ended with {self.process.returncode}")
            if time.monotonic() > deadline:
                raise TimeoutError("serve was not ready in time")
            time.sleep(0.05)

    def ready(self) -> bool:
        try:
            with Client(self.port, None) as client:
                return client.get("/health/ready").status == 200
        except (OSError, HTTPException):
            return False

    def kill(self) -> None:
        """kill -9 of the whole process group, as a power cut would."""
        assert self.process is not None
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def stop(self) -> int:
        """SIGTERM; the exit status."""
        assert self.process is not None
        if self.process.poll() is None:
            self.process.terminate()
        return self.process.wait(timeout=30)

    def client(self, token: str) -> Client:
        return Client(self.port, token)


@contextmanager
def serving(database_url: str, *, workers: int = 1, program: Sequence[str] = PROGRAM, **environ: str) -> Iterator[Server]:
    server = Server(database_url, workers=workers, environ=environ, program=program)
    server.start()
    try:
        yield server
    finally:
        if server.process is not None and server.process.poll() is None:
            server.stop()
