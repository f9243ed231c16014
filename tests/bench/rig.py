"""What a benchmark runs on, started when first asked for and stopped at the end: databases, servers, loops."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from tests.bench import accounting, databases, load, servers
from tests.bench.servers import Server
from tests.bench.workload import CONNECTIONS, ROOT, Workload, windows

GROWTH = 10
"""How many times more deals the large database holds."""
LONGEST_SECONDS = 60.0
"""Of a sample, however slow the machine is."""


@dataclass(frozen=True)
class Sample:
    """One measurement. ``cpu`` is microseconds per request of each process tree; ``p50`` and ``p99`` are in ms."""

    value: float
    unit: str
    p50: float | None = None
    p99: float | None = None
    cpu: Mapping[str, float] = field(default_factory=dict)


class Rig:
    def __init__(
        self,
        stack: ExitStack,
        server_url: str,
        logs: Path,
        *,
        deals: int,
        seconds: float,
        report: Callable[[str], None],
    ) -> None:
        self.stack = stack
        self.server_url = server_url
        self.logs = logs
        self.deals = deals
        self.seconds = seconds
        self.report = report
        self.running: dict[str, int] = {"PostgreSQL": servers.postmaster(server_url)}
        """The process trees there are, by name."""

    def prepare(self, *, large: bool) -> None:
        """Load what must be loaded, and copy what will be written to while nobody is connected to the template."""
        self.small_name = databases.template(self.server_url, self.deals, self.report)
        self.url = databases.copy(self.server_url, self.small_name, "bench_ours")
        self.rebuilt_url = databases.copy(self.server_url, self.small_name, "bench_rebuilt")
        self.moved_url = databases.copy(self.server_url, self.small_name, "bench_moved")
        self.outbound_urls = {
            "embedded": databases.copy(self.server_url, self.small_name, "bench_outbound"),
            "apache": databases.copy(self.server_url, self.small_name, "bench_outbound_apache"),
        }
        if large:
            self.large_name = databases.template(self.server_url, self.deals * GROWTH, self.report)

    def conditions(self) -> str:
        """What the figures depend on, for whoever reads them later."""
        with databases.connect(self.url) as connection:
            names = ("server_version", "fsync", "synchronous_commit", "shared_buffers")
            values = {name: connection.execute(f"SHOW {name}").fetchone() for name in names}
        text = ", ".join(f"{name} {value[0]}" for name, value in values.items() if value)
        return f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}; {self.deals:,} deals; PostgreSQL {text}"

    def _start(self, name: str, server: Any) -> Server:
        started: Server = self.stack.enter_context(server)
        self.running[name] = started.pid
        self.report(f"{name} runs on port {started.port}")
        return started

    @cached_property
    def work(self) -> Workload:
        return self._workload(self.url)

    @cached_property
    def ours(self) -> Server:
        return self._start("ours", servers.ours(self.url, self.logs, "ours"))

    @cached_property
    def peer_work(self) -> Workload:
        """Of its own, because its deals move at another pace."""
        return self._workload(databases.at(self.server_url, self.small_name))

    @cached_property
    def peer(self) -> Server:
        self.report("copying the data to the peer")
        url = databases.peer(self.server_url, databases.at(self.server_url, self.small_name), "bench_peer")
        return self._start("peer", servers.peer(url, self.logs))

    @cached_property
    def difference(self) -> str:
        """What the peer answers and ours does not, before either was written to; empty if they answer alike."""
        requests = [self.work.get(f"{ROOT}?{window.query}") for window in windows(self.work.today)]
        requests += [self.work.get(f"{ROOT}{id_}/") for id_ in self.work.ids[:50]]
        requests += [self.work.forecast(3), self.work.forecast(12)]
        for data in requests:
            what = data.split(b" ", 2)[1].decode()
            ours, theirs = (load.fetch(server.port, data) for server in (self.small, self.peer))
            if not ours[0] == theirs[0] == 200:
                return f"{what}: {ours} and {theirs}"
            if found := _missing(json.loads(theirs[1]), json.loads(ours[1]), what):
                return found
        return ""

    @cached_property
    def small(self) -> Server:
        """Ours on the template itself, for reads that are compared with ``large``."""
        url = databases.at(self.server_url, self.small_name)
        return self._start("ours, small", servers.ours(url, self.logs, "small"))

    @cached_property
    def large(self) -> Server:
        url = databases.at(self.server_url, self.large_name)
        return self._start("ours, large", servers.ours(url, self.logs, "large"))

    @cached_property
    def small_work(self) -> Workload:
        return self._workload(databases.at(self.server_url, self.small_name))

    @cached_property
    def large_work(self) -> Workload:
        return self._workload(databases.at(self.server_url, self.large_name))

    @cached_property
    def written_url(self) -> str:
        """A copy of the large database, to be written to."""
        url = databases.copy(self.server_url, self.large_name, "bench_written")
        self.stack.callback(self._drop, "bench_written")
        return url

    def _drop(self, name: str) -> None:
        with databases.connect(self.server_url) as connection:
            databases.drop(connection, name)

    @cached_property
    def written_work(self) -> Workload:
        return self._workload(self.written_url)

    @cached_property
    def raw(self) -> Server:
        return self._start("raw ASGI", servers.asgi("tests.bench.raw_asgi:app", self.logs, {}))

    @cached_property
    def stack_alone(self) -> Server:
        """Our application in one worker, as the raw one, with a route that does no SQL."""
        server = servers.asgi("tests.bench.stack_asgi:create", self.logs, {"DATABASE_URL": self.url}, "--factory")
        return self._start("our stack", server)

    @cached_property
    def loops(self) -> list[subprocess.Popen[str]]:
        return [self.stack.enter_context(_Loop(self.url)) for _ in range(servers.WORKERS)]

    def _workload(self, url: str) -> Workload:
        with databases.connect(url) as connection:
            return Workload(connection)

    def hit(
        self,
        server: Server,
        requests: Iterator[bytes],
        *,
        expect: bytes = b"200",
        connections: int = CONNECTIONS,
        seconds: float | None = None,
    ) -> Sample:
        """The rate of a server under load."""
        roots = {"server": server.pid, "PostgreSQL": self.running["PostgreSQL"]}

        def take(time: float) -> Sample | None:
            before = accounting.cpu(roots)
            result = load.run(server.port, requests, connections=connections, seconds=time, expect=expect)
            after = accounting.cpu(roots)
            if not result.latencies:
                return None
            cpu = {name: (after[name] - before[name]) / result.completed * 1e6 for name in roots}
            return Sample(result.rate, "/s", result.p50 * 1e3, result.p99 * 1e3, cpu)

        return long_enough(seconds or self.seconds, take)

    def pgbench(self, script: str, connections: int) -> Sample:
        """Transactions per second of pgbench on the database of ours."""
        path = self.logs / "pgbench.sql"
        path.write_text(script)
        command = [
            databases.pgbench(),
            "--no-vacuum",
            "--protocol=prepared",
            f"--file={path}",
            f"--client={connections}",
        ]

        def take(time: float) -> Sample | None:
            given = [f"--jobs={servers.WORKERS}", f"--time={round(time)}", self.url]
            before = accounting.cpu(self.running)["PostgreSQL"]
            output = subprocess.run([*command, *given], check=True, capture_output=True, text=True).stdout
            used = accounting.cpu(self.running)["PostgreSQL"] - before
            return of_pgbench(output, used)

        return long_enough(max(1, self.seconds), take)

    def loop(self) -> Sample:
        """Pages per second of the list's SELECT in one bare loop per core."""
        roots = {"PostgreSQL": self.running["PostgreSQL"]} | {f"loop {n}": p.pid for n, p in enumerate(self.loops)}

        def take(time: float) -> Sample | None:
            before = accounting.cpu(roots)
            for process in self.loops:
                assert process.stdin is not None
                process.stdin.write(f"{time}\n")
                process.stdin.flush()
            done = 0
            for process in self.loops:
                assert process.stdout is not None
                done += int(process.stdout.readline())
            after = accounting.cpu(roots)
            if not done:
                return None
            used = {name: (after[name] - before[name]) / done * 1e6 for name in roots}
            loops = sum(value for name, value in used.items() if name != "PostgreSQL")
            return Sample(
                done / time, "/s", 1e3 * len(self.loops) * time / done, None, {"loops": loops, "PostgreSQL": used["PostgreSQL"]}
            )

        return long_enough(self.seconds, take)


def long_enough(seconds: float, take: Callable[[float], Sample | None]) -> Sample:
    """A sample in which something was done. The time of a sample begins before its clients are connected, and a machine may be so
    slow that it is over before any of them has an answer: then the next one is given twice as long."""
    while seconds <= LONGEST_SECONDS:
        if (sample := take(seconds)) is not None:
            return sample
        seconds *= 2
    raise TimeoutError(f"nothing was done within {seconds / 2:g} s: this machine is too slow, or too busy, to measure on")


def of_pgbench(output: str, used: float) -> Sample | None:
    """What pgbench prints, with the CPU of PostgreSQL; nothing if its time was over before any transaction ended: then it prints
    no rate."""
    done = re.search(r"transactions actually processed: (\d+)", output)
    rate, latency = (re.search(rf"^{name} = ([\d.]+)", output, re.MULTILINE) for name in ("tps", "latency average"))
    if done is None or not int(done[1]) or rate is None or latency is None:
        return None
    return Sample(float(rate[1]), "/s", float(latency[1]), None, {"PostgreSQL": used / int(done[1]) * 1e6})


def _missing(theirs: Any, ours: Any, where: str) -> str:
    """What the peer answers and ours does not, links aside; stakeholders and lists of objects by id."""
    if isinstance(theirs, dict) and isinstance(ours, dict):
        for name, value in theirs.items():
            if name in ("next", "previous"):
                continue
            if name not in ours:
                return f"{where}.{name} is not in ours"
            if found := _missing(value, ours[name], f"{where}.{name}"):
                return found
        return ""
    if isinstance(theirs, list) and isinstance(ours, list) and len(theirs) == len(ours):
        if where.endswith(".stakeholders"):
            theirs, ours = (sorted(values, key=lambda value: str(value["id"])) for values in (theirs, ours))
        pairs = enumerate(zip(theirs, ours, strict=True))
        return next((text for n, (a, b) in pairs if (text := _missing(a, b, f"{where}[{n}]"))), "")
    return "" if theirs == ours else f"{where}: the peer answers {theirs!r}, ours {ours!r}"


class _Loop:
    """A bare loop's process. It ends when its input does."""

    def __init__(self, url: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.bench.bare", url],
            cwd=databases.ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True,
        )  # fmt: skip

    def __enter__(self) -> subprocess.Popen[str]:
        assert self._process.stdout is not None
        if self._process.stdout.readline() != "ready\n":
            raise RuntimeError("the bare loop did not start")
        return self._process

    def __exit__(self, *_: object) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()
