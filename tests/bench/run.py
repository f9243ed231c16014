"""``make bench``: what the product costs beside an idiomatic peer and beside the limits of its parts, in one run.

How to read it. Every line is a measure: ours, the other side, their ratio and the bar that the ratio must hold. All of
them take turns within a round, and there are several rounds; the ratio is taken within each round and its median
printed, so what the machine does beside them touches both sides alike. Rates are at 8 connections in a closed loop unless the
line says otherwise (commands that wait together share a transaction, so what a create costs depends on how many there are);
latencies (ms) are the median of one request at a time. Below each stand p50, p99 and the CPU of every process tree per
request, in microseconds from /proc: of rate and CPU, the CPU repeats better on a busy machine.

The load client, PostgreSQL and the servers share the machine. Ours and the peer use one PostgreSQL, the same deals
(the peer's copied from ours by SQL) and the same JSON, which is compared before anything is measured. Both answer a
write when it is on disk; the peer changes a row, ours appends an event, updates its read models and keeps all history.

What goes out is measured on a database of its own, with the verbs of the command line as processes, the embedded broker and a
receiver of ours: a relay takes the whole log to an empty topic, a webhook process takes it from there, then deals are closed at
a steady rate, each request at its time whatever is still under way, and a queue that is full at once is sent. These lines stand
for themselves or compare a process with itself; their microseconds are per event, close or delivery. Alone they ask for
``--only``; the lines on closes need the relay's and the webhooks' first, and make them where they are not asked for.

The first run loads 100,000 deals, and 1,000,000 to see growth, through the domain, and keeps them in the data folder
for the next; how long all of it will take is said first, and ``--no-large`` does without the large database. On a slow machine a
sample takes longer until there is something to count. The exit code is 1 if a bar is missed.
"""

from __future__ import annotations

import json
import math
import os
import re
import signal
import statistics
import sys
import time
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from itertools import groupby
from pathlib import Path

from app.dev.postgres import Postgres
from tests.bench import accounting, databases, expected
from tests.bench.measures import APACHE, MEASURES, Measure
from tests.bench.rig import GROWTH, Rig, Sample

WARM_UP = 0.3
TUNING = {"shared_buffers": "2GB", "max_wal_size": "4GB", "random_page_cost": "1.1"}
"""Of the embedded server, for ours and the peer alike: everything in memory, as an operator would have it."""


@dataclass
class Row:
    """A measure's rounds. ``figure`` is the median ratio, or the median of ours where there is no other side."""

    measure: Measure
    ours: list[Sample] = field(default_factory=list)
    other: list[Sample] = field(default_factory=list)
    failure: str = ""

    @property
    def figure(self) -> float:
        if self.failure:
            return math.nan
        if not self.other:
            return statistics.median(sample.value for sample in self.ours)
        pairs = zip(self.ours, self.other, strict=True)
        return statistics.median(self.measure.ratio(ours, other) for ours, other in pairs)

    @property
    def passes(self) -> bool:
        return not self.failure and self.measure.passes(self.figure)


def measure(rig: Rig, measures: Sequence[Measure], rounds: int) -> list[Row]:
    """Warm everything up, then let the measures take turns; who goes first alternates."""
    rows = [Row(one) for one in measures]
    seconds, rig.seconds = rig.seconds, min(WARM_UP, rig.seconds)
    for row in rows:
        if row.measure.other is not None:
            _round(rig, row, backwards=True)
            row.ours.clear()
            row.other.clear()
    rig.seconds = seconds
    for number in range(rounds):
        for row in rows:
            if row.measure.rounds is None or number < row.measure.rounds:
                _round(rig, row, backwards=number % 2 == 1)
        rig.report(f"round {number + 1} of {rounds} done")
    return rows


def _round(rig: Rig, row: Row, *, backwards: bool) -> None:
    """One sample of each side. A measure that fails is not tried again, and does not keep the others from theirs."""
    sides = [(row.measure.ours, row.ours), (row.measure.other, row.other)]
    try:
        for take, taken in reversed(sides) if backwards else sides:
            if take is not None and not row.failure:
                taken.append(take(rig))
    except Exception as error:  # noqa: BLE001  whatever it is, it is told in the table
        row.failure = f"{type(error).__name__}: {error}"
        rig.report(f"{row.measure.name} failed: {row.failure[:2000]}")


def table(rows: Sequence[Row]) -> str:
    lines = [f"{'measure':<46}{'ours':>16}{'other':>16}{'ratio':>10}{'bar':>10}  "]
    for row in rows:
        one = row.measure
        sign = "≥" if one.holds == "at least" else "≤"
        ratio = f"{row.figure:,.2f}" if row.other else ""
        verdict = "FAILED" if row.failure else "pass" if row.passes else "MISSED"
        lines.append(
            f"{one.what:<46}{_value(row.ours):>16}{_value(row.other):>16}{ratio:>10}{f'{sign} {one.bar:,g}':>10}  {verdict}"
        )
        if row.failure:
            lines.append(f"    {row.failure[:500]}")
            continue
        if cost := _cost(row.ours):
            lines.append(f"    ours   {cost}")
        if row.other:
            lines.append(f"    other  {_cost(row.other)}  — {one.against}")
    return "\n".join(lines)


def _value(samples: Sequence[Sample]) -> str:
    if not samples:
        return ""
    value = statistics.median(sample.value for sample in samples)
    return f"{value:,.{0 if value >= 100 else 2}f} {samples[0].unit}"


def _cost(samples: Sequence[Sample]) -> str:
    parts = []
    for name in ("p50", "p99"):
        known = [value for sample in samples if (value := getattr(sample, name)) is not None]
        if known:
            parts.append(f"{name} {statistics.median(known):.2f} ms")
    parts += [f"{name} {statistics.median(one.cpu[name] for one in samples):,.0f} µs" for name in samples[0].cpu]
    return ", ".join(parts)


def memory(rig: Rig) -> str:
    lines = [f"{'memory, MiB':<46}{'processes':>16}{'peak of one':>16}{'private now':>16}"]
    for name, pid in rig.running.items():
        found = accounting.memory(pid)
        lines.append(f"{name:<46}{len(found):>16}{_peak(found):>16,.0f}{sum(one.private for one in found):>16,.0f}")
        for command, alike in groupby(sorted(found, key=_command), key=_command):
            each = list(alike)
            private = max(one.private for one in each)
            lines.append(f"    {f'{len(each)} × {command}':<58}{_peak(each):>16,.0f}{private:>16,.0f}")
    return "\n".join(lines)


def _peak(processes: Sequence[accounting.Memory]) -> float:
    return max(one.peak for one in processes)


def _command(process: accounting.Memory) -> str:
    """What a process is, without what tells it from its like."""
    if process.command.startswith("postgres: "):
        return re.sub(r"^postgres: opportunities-\w+: | \S+\(\d+\).*", "", process.command)[:54]
    return re.sub(r"^\S*/", "", process.command)[:54]


def as_json(rows: Sequence[Row], rig: Rig) -> str:
    return json.dumps(
        {
            "cores": os.cpu_count(),
            "deals": rig.deals,
            "seconds": rig.seconds,
            "measures": [
                {
                    "name": row.measure.name,
                    "figure": None if row.failure else row.figure,
                    "failure": row.failure,
                    "bar": row.measure.bar,
                    "holds": row.measure.holds,
                    "passes": row.passes,
                    "ours": [asdict(sample) for sample in row.ours],
                    "other": [asdict(sample) for sample in row.other],
                }
                for row in rows
            ],
            "memory": {name: [asdict(one) for one in accounting.memory(pid)] for name, pid in rig.running.items()},
        },
        indent=1,
    )


@contextmanager
def postgres(url: str | None, folder: Path) -> Iterator[str]:
    """The URL of a server to make databases in: the one given, or an embedded, durable one of our own."""
    if url:
        yield url
        return
    server = Postgres.start(folder, options=TUNING)
    try:
        yield server.url
    finally:
        server.stop()


def arguments(given: Sequence[str] | None = None) -> Namespace:
    parser = ArgumentParser(prog="make bench", description="Measure the product. See the head of tests/bench/run.py.")
    names = [one.name for one in MEASURES]
    parser.add_argument("--only", action="append", choices=names, metavar="NAME", help=f"only this measure: {', '.join(names)}")
    sizes = parser.add_mutually_exclusive_group()
    sizes.add_argument("--large-only", action="store_true", help="only what needs the large database")
    sizes.add_argument("--no-large", action="store_true", help="not what needs the large database, which takes long to load")
    parser.add_argument(
        "--kafka", choices=["embedded", "apache"], default="embedded", help="apache: also what goes out over Apache Kafka itself"
    )
    parser.add_argument("--deals", type=int, default=100_000, help="in the small database; the large one has ten times as many")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=3, help="of each side of a measure in a round")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every sample there")
    parser.add_argument("--data-dir", type=Path, default=databases.ROOT / ".data" / "bench", help="kept for the next run")
    parser.add_argument("--database-url", help="a PostgreSQL server on this machine to use instead of an embedded one")
    return parser.parse_args(given)


def chosen(options: Namespace) -> list[Measure]:
    sizes = {True, False} - ({False} if options.large_only else set()) - ({True} if options.no_large else set())
    wanted = options.only or [one.name for one in MEASURES if options.kafka == "apache" or not one.name.startswith(APACHE)]
    return [one for one in MEASURES if one.name in wanted and one.large in sizes]


def _expect(options: Namespace, measures: Sequence[Measure], url: str) -> None:
    """Say how long it will take, before anything does."""
    sizes = [options.deals, options.deals * GROWTH] if any(one.large for one in measures) else [options.deals]
    loading = sum(expected.to_load(url, deals) for deals in sizes)
    _report(expected.told(measures, options.rounds, options.seconds, options.deals, loading, expected.slowness()))


def main(given: Sequence[str] | None = None) -> int:
    options = arguments(given)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    measures = chosen(options)
    if not measures:
        _report("nothing to measure: --only names what --large-only or --no-large leaves out")
        return 2
    options.data_dir.mkdir(parents=True, exist_ok=True)
    try:
        with ExitStack() as stack:
            url = stack.enter_context(postgres(options.database_url, options.data_dir))
            _expect(options, measures, url)
            began = time.monotonic()
            rig = Rig(stack, url, options.data_dir, deals=options.deals, seconds=options.seconds, report=_report)
            rig.prepare(large=any(one.large for one in measures))
            rows = measure(rig, measures, options.rounds)
            _report(f"it took {(time.monotonic() - began) / 60:.0f} minutes")
            print(rig.conditions(), table(rows), memory(rig), sep="\n\n")
            if options.json:
                options.json.write_text(as_json(rows, rig))
    except KeyboardInterrupt:
        _report("stopped")
        return 130
    return 0 if all(row.passes for row in rows) else 1


def _report(text: str) -> None:
    print(f"· {text}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
