"""``opportunities dev`` as a person runs it, on a folder and a port. Tests see only what it prints and writes."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
from collections.abc import Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple

from app.dev import postgres
from app.process import children, ports
from tests.support.processes import ROOT, command, environment
from tests.support.server import Client

START_SECONDS = 90


class Ready(NamedTuple):
    base_url: str
    token: str
    org_id: str
    database_url: str
    kafka_bootstrap_servers: str


class Dev:
    def __init__(self, folder: Path, *options: str, env: Mapping[str, str] = {}) -> None:
        self.folder = folder
        self.port = ports.free_port()
        self.options = options
        self.env = env
        self.output = folder.with_name(folder.name + ".out")
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> Ready:
        """Start it and wait until it says that it is ready."""
        self.end()
        arguments = command("dev", "--port", str(self.port), "--data-dir", str(self.folder), *self.options)
        with self.output.open("wb") as output:
            self.process = process = subprocess.Popen(arguments, cwd=ROOT, env=environment(self.env), stdout=output, stderr=output)
        said = "Try:"
        done = children.wait_until(lambda: process.poll() is not None or said in self.printed(), START_SECONDS)
        assert done, self.printed()
        assert process.poll() is None, self.printed()
        return Ready(**json.loads((self.folder / "dev.json").read_text()))

    def printed(self) -> str:
        return self.output.read_text()

    def curls(self) -> list[list[str]]:
        """The commands it printed to try."""
        return [shlex.split(line) for line in self.printed().splitlines() if line.strip().startswith("curl ")]

    def stop(self) -> int:
        """SIGTERM, and the exit code."""
        assert self.process is not None
        self.process.terminate()
        return self.process.wait(30)

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def cpu_seconds(self) -> dict[str, float]:
        """What it has used of a core itself, and each verb that it runs."""
        assert self.process is not None
        pid = self.process.pid
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        used = {"dev": _cpu_seconds(pid)}
        for child in map(int, children):
            arguments = Path(f"/proc/{child}/cmdline").read_bytes().decode().rstrip("\0").split("\0")
            if "app.cli" in arguments:
                used[arguments[-1]] = _cpu_seconds(child)
        return used

    def brokers(self) -> list[int]:
        name = f"opportunities-broker-{sha256(str(self.folder).encode()).hexdigest()[:12]}"
        return postgres.inhabitants(name, "tansu")

    def left(self) -> list[str]:
        """What is still there of what it ran, once there was time to end."""
        name = f"opportunities-{sha256(str(self.folder / 'postgres').encode()).hexdigest()[:12]}"

        def found() -> list[str]:
            problem = ports.bind_problem("127.0.0.1", self.port)
            left = [f"postgres {pid}" for pid in postgres.inhabitants(name)] + [f"broker {pid}" for pid in self.brokers()]
            return left + ([problem] if problem else [])

        children.wait_until(lambda: not found(), 10)
        return found()

    def kill_postgres(self) -> None:
        os.kill(int((self.folder / "postgres" / "postmaster.pid").read_text().split()[0]), signal.SIGKILL)

    def end(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.stop()


def _cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def ask(ready: Ready, method: str, path: str, body: Any = None) -> Any:
    """The decoded answer to a request with the printed token."""
    with Client(int(ready.base_url.rpartition(":")[2]), ready.token) as client:
        reply = client.request(method, path, body)
    assert reply.status < 400, reply.body
    return reply.json()


def run(line: Sequence[str]) -> Any:
    """The decoded answer to a printed command."""
    done = subprocess.run(list(line), capture_output=True, text=True, check=True, timeout=30)
    return json.loads(done.stdout)
