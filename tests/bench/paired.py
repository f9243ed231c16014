"""Two checkouts side by side: what a commit changed in the cost of a request.

``python -m tests.bench.paired --base FOLDER``, where FOLDER is another checkout with its own environment (``make setup``). Each
side has its own PostgreSQL, database and server with one worker, made by its own code. Both answer the same requests at 8
connections in slices of less than a second, in turn, so that what the machine does beside them touches both alike; a ratio is
the median of the pairs. Two runs of it agree to about 3 %; whole runs one after the other only to 10 %.
"""

from __future__ import annotations

import statistics
import subprocess
from argparse import ArgumentParser
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg

from app.dev.postgres import Postgres
from tests.bench import accounting, databases, load, servers
from tests.bench.run import TUNING
from tests.bench.servers import Server
from tests.bench.workload import CONNECTIONS, Workload

_LOAD = """
import sys
from tests.bench import databases
print(databases.template(sys.argv[1], int(sys.argv[2]), lambda text: print(text, file=sys.stderr)))
"""
KINDS = ("create", "transition", "list", "detail", "forecast")


@dataclass
class Slice:
    rate: float
    server: float
    """CPU of the server's processes per request, in microseconds."""
    database: float


@dataclass
class Side:
    """A checkout, running."""

    connection: psycopg.Connection[Any]
    server: Server
    requests: dict[str, Iterator[bytes]]
    slices: dict[str, list[Slice]] = field(default_factory=lambda: {kind: [] for kind in KINDS})

    def take(self, kind: str, seconds: float) -> Slice:
        """Ask for a moment, and account for it."""
        found = self.connection.execute("SELECT pid FROM pg_stat_activity WHERE application_name LIKE 'opportunities %'")
        roots = {"server": self.server.pid, **{f"postgres {pid}": pid for (pid,) in found}}
        before = accounting.cpu(roots)
        expected = b"201" if kind == "create" else b"200"
        took = load.run(self.server.port, self.requests[kind], connections=CONNECTIONS, seconds=seconds, expect=expected)
        used = {name: (after - before[name]) * 1e6 / took.completed for name, after in accounting.cpu(roots).items()}
        return Slice(took.rate, used.pop("server"), sum(used.values()))


def start(stack: ExitStack, name: str, folder: Path, data: Path, deals: int) -> Side:
    data.mkdir(parents=True, exist_ok=True)
    postgres = Postgres.start(data, options=TUNING)
    stack.callback(postgres.stop)
    command = [databases.python(folder), "-c", _LOAD, postgres.url, str(deals)]
    loaded = subprocess.run(command, cwd=folder, check=True, stdout=subprocess.PIPE, text=True)
    url = databases.at(postgres.url, loaded.stdout.split()[-1])
    connection = stack.enter_context(databases.connect(url))
    server = stack.enter_context(servers.ours(url, data, name, workers=1, folder=folder))
    work = Workload(connection)
    requests = {
        "create": work.creates(),
        "transition": work.transitions(),
        "list": work.lists(),
        "detail": work.details(),
        "forecast": load.same(work.forecast(12)),
    }
    return Side(connection, server, requests)


def report(kind: str, base: Sequence[Slice], new: Sequence[Slice]) -> str:
    pairs = list(zip(base, new, strict=True))
    rate = statistics.median(after.rate / before.rate for before, after in pairs)
    cpu = statistics.median((after.server + after.database) / (before.server + before.database) for before, after in pairs)
    return f"{kind:<11} rate {rate:.3f}  CPU {cpu:.3f}    base {_medians(base)}    new {_medians(new)}"


def _medians(slices: Sequence[Slice]) -> str:
    rate, server, database = (statistics.median(getattr(one, name) for one in slices) for name in ("rate", "server", "database"))
    return f"{rate:,.0f}/s {server:,.0f} + {database:,.0f} µs"


def main() -> None:
    parser = ArgumentParser(prog="python -m tests.bench.paired", description=__doc__)
    parser.add_argument("--base", type=Path, required=True, metavar="FOLDER", help="the other checkout")
    parser.add_argument("--only", action="append", choices=KINDS, metavar="NAME", help=f"only this: {', '.join(KINDS)}")
    parser.add_argument("--deals", type=int, default=20_000)
    parser.add_argument("--pairs", type=int, default=25)
    parser.add_argument("--seconds", type=float, default=0.7, help="of a slice")
    parser.add_argument("--data-dir", type=Path, default=databases.ROOT / ".data" / "paired", help="kept for the next run")
    options = parser.parse_args()
    kinds = options.only or KINDS
    with ExitStack() as stack:
        folders = (("base", options.base.resolve()), ("new", databases.ROOT))
        base, new = (start(stack, name, folder, options.data_dir / name, options.deals) for name, folder in folders)
        for number in range(options.pairs + 1):
            for kind in kinds:
                for side in (base, new) if number % 2 else (new, base):
                    took = side.take(kind, options.seconds)
                    if number:  # the first warms up
                        side.slices[kind].append(took)
        for kind in kinds:
            print(report(kind, base.slices[kind], new.slices[kind]), flush=True)


if __name__ == "__main__":
    main()
