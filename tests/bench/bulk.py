"""Bulk calls: deals created 500 at a time, and what one client that does nothing else costs those who create one."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from tests.bench import load
from tests.bench.meanwhile import meanwhile
from tests.bench.rig import Rig, Sample
from tests.bench.workload import ROOT

OPERATIONS = 500
CONNECTIONS = 2
"""A process takes one call at a time; the second is read meanwhile."""
SINGLE_CONNECTIONS = 16


def calls(rig: Rig) -> Iterator[bytes]:
    deals = rig.work.deals()
    while True:
        operations = [{"op": "create", "data": next(deals)} for _ in range(OPERATIONS)]
        yield load.request("POST", f"{ROOT}bulk/", rig.work.headers, {"mode": "independent", "operations": operations})


def bulk(rig: Rig) -> Sample:
    """Operations per second."""
    prepared = [next(calls(rig)) for _ in range(40)]  # made beforehand: the client has none of the processors to itself
    found = rig.hit(rig.ours, iter(prepared * 1_000), connections=CONNECTIONS)
    cpu = {name: used / OPERATIONS for name, used in found.cpu.items()}
    return Sample(found.value * OPERATIONS, "operations/s", found.p50, found.p99, cpu)


def singles(rig: Rig) -> Sample:
    """One request for each deal."""
    return rig.hit(rig.ours, rig.work.creates(), expect=b"201", connections=SINGLE_CONNECTIONS)


def create_beside(rig: Rig) -> Sample:
    """The p99 of one create at a time while another client sends bulk calls."""
    with _sent(rig):
        return create_alone(rig)


def create_alone(rig: Rig) -> Sample:
    found = rig.hit(rig.ours, rig.work.creates(), expect=b"201", connections=1)
    assert found.p99 is not None
    return Sample(found.p99, "ms", found.p50, found.p99, found.cpu)


@contextmanager
def _sent(rig: Rig) -> Iterator[None]:
    """Meanwhile one client sends call after call."""
    prepared = [next(calls(rig)) for _ in range(5)]
    answered = 0

    def send(ended: threading.Event) -> None:
        nonlocal answered
        with load.client(rig.ours.port) as ask:
            while not ended.is_set():
                assert ask(prepared[answered % len(prepared)])[9:12] == b"200"
                answered += 1

    with meanwhile(send):
        yield
    rig.report(f"bulk calls meanwhile: {answered}")
