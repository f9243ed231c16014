"""How long a run will take, before it begins: what must be loaded, how many samples of how many seconds, and how fast the machine
is. A rough figure: it is there so that nobody starts by accident what takes an hour.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence

import psycopg

from tests.bench import databases, live, loader, outbound
from tests.bench.measures import Measure

LOADED, REBUILT, RELAYED, TAKEN, TOLD, MOVED = 1_500, 10_000, 9_000, 4_000, 20_000, 2_000
"""A second on the README's machine: deals loaded, and events that are rebuilt, relayed, taken by the webhooks, exported with all
history, and taken over by another org."""
EVENTS = 4
"""Of a deal, with what belongs to it."""
START, QUESTIONS = 30.0, 10.0
"""Seconds for databases and servers to start, and for the cold or the warm questions of a group."""
REFERENCE = 0.012
"""Seconds that ``_work`` takes on the README's machine while it is quiet."""


def to_load(server_url: str, deals: int) -> int:
    """How many deals of a template are not there yet."""
    try:
        with databases.connect(databases.at(server_url, databases.template_name(deals))) as connection:
            return max(0, deals - loader.loaded(connection).deals)
    except psycopg.Error:  # no such database, or nothing in it
        return deals


def seconds(measures: Sequence[Measure], rounds: int, span: float, deals: int, loading: int) -> float:
    """Of a run on the README's machine: ``rounds`` samples of ``span`` seconds of each side, and ``loading`` deals before."""
    events = deals * EVENTS
    once: dict[str, float] = {}  # what several measures have together
    total = START + loading / LOADED
    for one in measures:
        sides = 1 if one.other is None else 2
        times = min(rounds, one.rounds or rounds)
        kind = one.name.partition("-")[0]
        if kind == "ask":
            total += QUESTIONS
        elif kind == "rebuild":
            total += times * sides * events / REBUILT
        elif kind == "history":
            once["told"] = events / TOLD
            once["moved"] = events / MOVED if one.name == "history-import" else once.get("moved", 0.0)
        elif kind == "live":
            once[kind] = 2 * live.SPANS * span + live.AFTERWARDS_SECONDS
        elif kind == "relay":
            once[kind] = events / RELAYED
        elif kind in ("webhooks", "close"):
            once["relay"], once["webhooks"] = events / RELAYED, events / TAKEN
            total += times * outbound.CLOSE_SPANS * span if one.name == "close" else 0
        else:
            total += times * sides * span
    return total + sum(once.values())


def slowness(clock: Callable[[], float] = time.perf_counter) -> float:
    """How many times longer than the README's machine this one takes for the same work, as busy as it is; 1 at least."""

    def work() -> float:
        began = clock()
        for number in range(2_000):
            json.loads(json.dumps({"name": f"Deal {number}", "amount": number, "tags": ["new-business", "expansion"]}))
        return clock() - began

    return max(1.0, sorted(work() for _ in range(5))[2] / REFERENCE)


def told(measures: Sequence[Measure], rounds: int, span: float, deals: int, loading: int, slower: float) -> str:
    minutes = seconds(measures, rounds, span, deals, loading) * slower / 60
    parts = [f"{len(measures)} measures in {rounds} rounds: about {max(1, round(minutes))} minutes"]
    if loading:
        parts.append(f"of them {max(1, round(loading / LOADED * slower / 60))} to load {loading:,} deals, which are kept")
    if slower > 1.5:
        parts.append(f"this machine is {slower:.1f} times slower than the README's, or busy")
    if any(one.large for one in measures):
        parts.append("--no-large leaves the large database out")
    return "; ".join(parts)
