"""What the supervisor keeps running: the API, the workers, and whatever else can say whether it is alive."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Mapping
from http.client import HTTPConnection, HTTPException
from subprocess import Popen
from typing import Any

import structlog

from app.process import children
from app.process.failures import Failure

HOST = "127.0.0.1"
START_SECONDS = 60
STEADY_SECONDS = 10
"""A process that lived shorter than this after each of ``MAX_DEATHS`` starts is not restarted again."""
MAX_DEATHS = 3

log = structlog.get_logger("dev")


class Supervised:
    """Something that is restarted when it dies, unless it cannot live."""

    def __init__(self, name: str, alive: Callable[[], bool], restart: Callable[[], None]) -> None:
        self.name = name
        self.alive = alive
        self.restart = restart
        self.since = time.monotonic()
        self.deaths = 0

    def look(self) -> None:
        if self.alive():
            return
        self.deaths = self.deaths + 1 if time.monotonic() - self.since < STEADY_SECONDS else 1
        if self.deaths > MAX_DEATHS:
            raise Failure(f"{self.name} keeps dying: its last output is above, or in the data folder.")
        log.warning("process.died", name=self.name)
        self.restart()
        self.since = time.monotonic()
        log.warning("process.restarted", name=self.name)


class Api:
    """``opportunities serve`` as a child."""

    def __init__(self, port: int, environ: Mapping[str, str]) -> None:
        self.port = port
        self.base_url = f"http://{HOST}:{port}"
        self.environ = {**environ, "OPPORTUNITIES_HOST": HOST, "OPPORTUNITIES_PORT": str(port)}
        self.process: Popen[bytes] | None = None

    def start(self) -> None:
        """Start it and wait until it answers."""
        self.process = children.spawn([sys.executable, "-m", "app.cli", "serve"], env=self.environ)
        if not children.wait_until(lambda: not self.alive() or self.ready(), START_SECONDS) or not self.alive():
            self.stop()
            raise Failure("The API did not start: the lines above say why.")

    def alive(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def ready(self) -> bool:
        try:
            return get(self.port, "/health/ready")[0] == 200
        except (OSError, HTTPException):
            return False

    def stop(self) -> None:
        if self.process is not None:
            children.stop(self.process)


class Worker:
    """A verb that works until it is stopped, as a child."""

    def __init__(self, verb: str, environ: Mapping[str, str]) -> None:
        self.verb = verb
        self.environ = environ
        self.process: Popen[bytes] | None = None

    def start(self) -> None:
        self.process = children.spawn([sys.executable, "-m", "app.cli", self.verb], env=self.environ)

    def alive(self) -> bool:
        """True also if we stopped it, so that it is not restarted."""
        return self.process is None or self.process.poll() is None

    def stop(self) -> None:
        if self.process is not None:
            children.stop(self.process)
            self.process = None


def get(port: int, path: str, token: str = "") -> tuple[int, Any]:
    """The status and the decoded body, or None for what is not JSON."""
    connection = HTTPConnection(HOST, port, timeout=5)
    try:
        connection.request("GET", path, headers={"Authorization": f"Bearer {token}"} if token else {})
        response = connection.getresponse()
        body = response.read()
    finally:
        connection.close()
    try:
        return response.status, json.loads(body)
    except ValueError:
        return response.status, None
