"""Exports: what a deal of a CSV costs, what an export keeps in memory, and what lists of others take meanwhile."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from tests.bench import accounting, load
from tests.bench.meanwhile import meanwhile
from tests.bench.rig import Rig, Sample
from tests.bench.workload import ROOT

PATH = f"{ROOT}export/?format=csv"
PIECE = 1 << 18


def _read(rig: Rig, ended: threading.Event | None = None) -> int:
    """The bytes of an export, read as fast as they come and not kept."""
    size = 0
    with socket.create_connection(("127.0.0.1", rig.ours.port), timeout=600) as connection:
        headers = {**rig.work.headers, "connection": "close"}
        connection.sendall(load.request("GET", PATH, headers))
        while data := connection.recv(PIECE):
            size += len(data)
            if ended is not None and ended.is_set():
                break
    return size


def rate(rig: Rig) -> Sample:
    """Deals per second of processor time of whoever takes more, the server or PostgreSQL, which work at once: the rate that two
    free processors give, however busy these are."""
    roots = {"server": rig.ours.pid, "PostgreSQL": rig.running["PostgreSQL"]}
    before, began = accounting.cpu(roots), time.monotonic()
    assert _read(rig) > rig.deals * 100
    seconds, after = time.monotonic() - began, accounting.cpu(roots)
    used = {name: after[name] - before[name] for name in roots}
    rig.report(f"an export of {rig.deals:,} deals took {seconds:.1f} s")
    return Sample(rig.deals / max(used.values()), "deals/s", cpu={name: value / rig.deals * 1e6 for name, value in used.items()})


def growth(rig: Rig) -> Sample:
    """MiB that the server's processes have more at the peak of an export than before it, once one has been made."""
    _read(rig)
    before = sum(one.private for one in accounting.memory(rig.ours.pid))
    highest = before

    def look(ended: threading.Event) -> None:
        nonlocal highest
        while not ended.wait(0.2):
            highest = max(highest, sum(one.private for one in accounting.memory(rig.ours.pid)))

    with meanwhile(look):
        _read(rig)
    return Sample(highest - before, "MiB")


def lists_beside(rig: Rig) -> Sample:
    """The p99 of a list page while another client exports."""
    with _exported(rig):
        return lists_alone(rig)


def lists_alone(rig: Rig) -> Sample:
    found = rig.hit(rig.ours, rig.work.lists(), connections=1)
    assert found.p99 is not None
    return Sample(found.p99, "ms", found.p50, found.p99, found.cpu)


@contextmanager
def _exported(rig: Rig) -> Iterator[None]:
    """Meanwhile one client reads export after export."""

    def read(ended: threading.Event) -> None:
        while not ended.is_set():
            _read(rig, ended)

    with meanwhile(read):
        yield
