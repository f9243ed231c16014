"""Starts what is measured, each on a port of its own, and stops all of it at the end, an interrupted one too.

Ours and the raw ASGI application run under the same server with the same options; the peer under gunicorn with one
synchronous worker per core, and ours with as many.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from app.process import children, ports
from tests.bench import accounting, databases, load

WORKERS = os.cpu_count() or 1


class Server(NamedTuple):
    port: int
    pid: int
    """The root of its process tree."""


@contextmanager
def ours(url: str, logs: Path, name: str, *, workers: int = WORKERS, folder: Path = databases.ROOT) -> Iterator[Server]:
    """``folder`` is the checkout whose code and environment it is."""
    port = ports.free_port()
    command = databases.opportunities("serve", "--database-url", url, "--port", str(port), "--workers", str(workers), folder=folder)
    with _running(command, port, logs / f"{name}.log", "/health/ready", {}, folder=folder) as server:
        yield server


@contextmanager
def peer(url: str, logs: Path) -> Iterator[Server]:
    port = ports.free_port()
    command = [sys.executable, "-m", "gunicorn", "tests.bench.peer.wsgi", "--bind", f"127.0.0.1:{port}"]
    command += ["--workers", str(WORKERS), "--worker-class", "sync", "--timeout", "120"]
    with _running(command, port, logs / "peer.log", "/", databases.peer_environment(url), 404) as server:
        yield server


@contextmanager
def worker(logs: Path, environment: Mapping[str, str], *arguments: str) -> Iterator[subprocess.Popen[bytes]]:
    """A verb of ours that works until it is told to stop. Refuses one that ends badly."""
    log = logs / f"{arguments[0]}.log"
    with log.open("wb") as output:
        command = databases.opportunities(*arguments)
        process = children.spawn(command, cwd=databases.ROOT, env={**os.environ, **environment}, output=output)
        try:
            yield process
        finally:
            code = children.stop(process)
    if code:
        raise RuntimeError(f"{command!r} ended with {code}:\n{log.read_text()[-2000:]}")


@contextmanager
def asgi(application: str, logs: Path, environment: Mapping[str, str], *options: str) -> Iterator[Server]:
    """An ASGI application in one worker, under the server and options of ours."""
    port = ports.free_port()
    command = [sys.executable, "-m", "uvicorn", application, "--host", "127.0.0.1", "--port", str(port)]
    command += ["--loop", "uvloop", "--http", "httptools", "--ws", "none", "--no-access-log", "--no-server-header"]
    command += ["--no-proxy-headers", "--log-level", "warning", *options]
    with _running(command, port, logs / f"{application.partition(':')[0]}.log", "/health/live", environment) as server:
        yield server


@contextmanager
def _running(
    command: list[str],
    port: int,
    log: Path,
    path: str,
    environment: Mapping[str, str],
    status: int = 200,
    folder: Path = databases.ROOT,
) -> Iterator[Server]:
    with log.open("wb") as output:
        process = children.spawn(command, cwd=folder, env={**os.environ, **environment}, output=output)
        try:
            _await(process, port, log, path, status)
            yield Server(port, process.pid)
        finally:
            children.stop(process)


def _await(process: subprocess.Popen[bytes], port: int, log: Path, path: str, status: int) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise RuntimeError(f"{process.args!r} ended with {process.returncode}:\n{log.read_text()[-2000:]}")
        try:
            if load.fetch(port, load.request("GET", path, {}))[0] == status:
                return
        except OSError:
            pass
        time.sleep(0.1)
    raise RuntimeError(f"{process.args!r} is not ready after a minute:\n{log.read_text()[-2000:]}")


def postmaster(url: str) -> int:
    """The process id of the PostgreSQL server, which must run on this machine."""
    with databases.connect(url) as connection:
        row = connection.execute("SELECT pg_backend_pid()").fetchone()
        assert row is not None
        return accounting.parent(row[0])
