"""Every documented question at the size of the large database, while deals are written at a steady rate: the first answer of a new
server, and the median of the following ones.

A measure stands for a group of questions with one bar, and its figure is that of the slowest. The others are reported on the way.
"""

from __future__ import annotations

import statistics
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from functools import cache
from urllib.parse import quote

from tests.bench import load, servers
from tests.bench.meanwhile import meanwhile
from tests.bench.rig import Rig, Sample
from tests.bench.workload import ROOT, Workload, months, windows

WRITES = 50
"""Deals a second that are created meanwhile."""
TIMES = 15
PATIENCE = 60.0
"""Seconds after which a question is not repeated as often."""

Paths = Mapping[str, str]
FORECAST, CHANGES = f"{ROOT}forecast/", f"{ROOT}forecast/changes/"


def filters(work: Workload) -> Paths:
    """Each filter alone, some of two, and the orderings that an index gives."""
    window, person = windows(work.today)[0], work.owners[7]
    queries = [
        *(
            "",
            "stage=proposal",
            "status=won",
            f"owner={person}",
            f"account={work.accounts[7]}",
            "currency=GBP",
            "probability__gte=60",
        ),
        *("amount__gte=119990", "amount__lte=410", "tags=partner", "tags=nothing", "tags__all=partner,renewal", "cf_seats=77"),
        *("cf_competitor=globex", "cf_seats__gte=399", "cf_competitor__icontains=glob", "next_step__isnull=false", window.query),
        *("actual_close_date__isnull=true", "updated_at__gte=2100-01-01T00:00:00Z", "search=nothing", "search=zzqy"),
        *(
            "stage=proposal&tags=partner",
            f"owner={person}&search=annual",
            f"{window.query}&cf_seats=77",
            "cf_competitor=globex&cf_seats=77",
        ),
        *(f"ordering={name}" for name in ("created_at", "-updated_at", "close_date", "-close_date", "-amount", "amount", "name")),
    ]
    return {query or "plain": f"{ROOT}?{query}" for query in queries}


def other(work: Workload) -> Paths:
    """Other orderings, instants of the past, a common word."""
    past = _ago(work, 200)
    as_of = [f"as_of={past}{more}" for more in ("", "&stage=proposal", "&tags=partner", "&search=annual", "&ordering=amount")]
    queries = ["search=annual", "search=al", "next_step__icontains=call", "stage=proposal&next_step__icontains=call", *as_of]
    queries += [f"ordering={name}" for name in ("probability", "-stage", "status", "currency", "-probability,name")]
    return {query: f"{ROOT}?{query}" for query in queries}


def directory(work: Workload) -> Paths:
    accounts = ["", "search=nothing", "search=annual", "ordering=name", "ordering=-created_at", f"page={_late(len(work.accounts))}"]
    contacts = ["", "search=nothing", "search=anna", "ordering=last_name", "ordering=-created_at", "ordering=-email"]
    contacts.append(f"page={_late(2 * len(work.accounts))}")
    found = {f"accounts {query}": f"/api/accounts/?{query}" for query in accounts}
    return found | {f"contacts {query}": f"/api/contacts/?{query}" for query in contacts}


def deep(work: Workload) -> Paths:
    """By number, at three quarters of the list: page 15,000 of a million deals."""
    page = _late(work.loaded.deals)
    return {f"page={page}": f"{ROOT}?page={page}", "stage=proposal": f"{ROOT}?stage=proposal&page={page // 20}"}


def forecasts(work: Workload) -> Paths:
    first, last = months(work.today, 12)
    bounds = f"close_date__gte={first}&close_date__lte={last}"
    past = _ago(work, 200)
    queries = ["", "stage=proposal", f"owner={work.owners[7]}", "tags=partner", "cf_competitor=globex", f"as_of={past}"]
    queries += [f"group_by={name}" for name in ("owner", "account", "tag", "stage")]
    queries += [f"group_by=owner&as_of={past}", f"group_by=account&as_of={past}", f"stage=proposal&as_of={past}"]
    return {query or "plain": f"{FORECAST}?{bounds}&{query}" for query in queries}


def waterfalls(work: Workload) -> Paths:
    found = {}
    for days in (30, 300, 700):
        start = _ago(work, days)
        for more in ("", "&group_by=owner"):
            found[f"{days} days{more}"] = f"{CHANGES}?from={start}{more}"
    return found


def _late(rows: int) -> int:
    return max(1, rows * 3 // 4 // 50)


def _ago(work: Workload, days: int) -> str:
    return quote((work.loaded.loaded_at - timedelta(days=days)).isoformat())


GROUPS: Mapping[str, tuple[Callable[[Workload], Paths], float, float]] = {
    "filters": (filters, 20, 500),
    "other": (other, 60, 800),
    "directory": (directory, 20, 300),
    "deep": (deep, 100, 800),
    "forecasts": (forecasts, 30, 800),
    "waterfalls": (waterfalls, 60, 200),
}
"""The questions of a group, and the most milliseconds that they may take: warm, and cold."""


@cache
def _asked(rig: Rig, group: str) -> Mapping[str, tuple[float, float]]:
    """Cold and warm milliseconds of each question of a group."""
    found: dict[str, tuple[float, float]] = {}
    with servers.ours(rig.written_url, rig.logs, f"questions-{group}") as server, _writes(rig, server.port):
        for what, path in GROUPS[group][0](rig.written_work).items():
            data = rig.written_work.get(path)
            cold, *warm = _times(server.port, data)
            found[what] = cold, statistics.median(warm)
            rig.report(f"{group}: {what}: {cold:,.1f} ms, then {found[what][1]:,.1f}")
    return found


def _times(port: int, data: bytes) -> list[float]:
    """Milliseconds of the same question, one after the other on one connection's worker."""
    took: list[float] = []
    began = time.perf_counter()
    with load.client(port) as ask:
        while len(took) < 4 or (len(took) <= TIMES and time.perf_counter() - began < PATIENCE):
            asked = time.perf_counter()
            response = ask(data)
            took.append((time.perf_counter() - asked) * 1e3)
            if response[9:12] != b"200":
                raise RuntimeError(f"{data.splitlines()[0].decode()}: {response[:500].decode(errors='replace')}")
    return took


@contextmanager
def _writes(rig: Rig, port: int) -> Iterator[None]:
    """Deals are created at a steady rate meanwhile."""

    def write(ended: threading.Event) -> None:
        requests, began = rig.written_work.creates(), time.monotonic()
        with load.client(port) as ask:
            for number in range(1, 1 << 30):
                ask(next(requests))
                if ended.wait(max(0.0, began + number / WRITES - time.monotonic())):
                    return

    with meanwhile(write):
        yield


def cold(group: str) -> Callable[[Rig], Sample]:
    return lambda rig: Sample(max(first for first, _ in _asked(rig, group).values()), "ms")


def warm(group: str) -> Callable[[Rig], Sample]:
    return lambda rig: Sample(max(later for _, later in _asked(rig, group).values()), "ms")
