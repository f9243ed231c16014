"""The live feed: many subscribers of one org, deals edited at a steady rate, and a client that reads lists beside them.

A run fails if a subscriber did not get every event once, in order.
"""

from __future__ import annotations

import time
from functools import cache, cached_property
from itertools import cycle, islice
from typing import NamedTuple

from app.process import children
from tests.bench import accounting, databases, load, servers
from tests.bench.rig import Rig, Sample
from tests.bench.steady import Steady
from tests.bench.workload import ROOT
from tests.support.subscribers import subscribed

SUBSCRIBERS = 500
EDITS, LISTS = 200, 50
"""A second."""
SPANS = 3
"""How many times longer than other measures it takes, to have enough lists for a p99."""
DEALS = 100
AFTERWARDS_SECONDS = 30


class Lived(NamedTuple):
    lag: Sample
    list: Sample
    alone: Sample
    growth: Sample
    left: Sample


class Live:
    """A server of its own, on the database that the others write to as well."""

    def __init__(self, rig: Rig) -> None:
        self._rig = rig
        self._seconds = SPANS * rig.seconds
        self._server = rig.stack.enter_context(servers.ours(rig.url, rig.logs, "live"))
        rig.running["live"] = self._server.pid

    @cached_property
    def lived(self) -> Lived:
        self._edits(1.0)  # the edits of a second, and lists, so that what they need is there before memory is looked at
        self._lists(1.0).took()
        alone = self._lists(self._seconds).took()
        before, start = self._memory(), self._last()
        token = self._rig.work.loaded.token
        with subscribed(self._server.port, SUBSCRIBERS, [token], start) as subscribers:
            roots = {"server": self._server.pid, "PostgreSQL": self._rig.running["PostgreSQL"], "subscribers": subscribers.pid}
            used = accounting.cpu(roots)
            lists = self._lists(self._seconds)
            self._edits(self._seconds)
            beside, peak = lists.took(), self._memory()
            got = subscribers.got(self._last())
            deliveries = SUBSCRIBERS * len(got.positions)
            cpu = {name: (now - used[name]) / deliveries * 1e6 for name, now in accounting.cpu(roots).items()}
        expected = self._positions(start)
        if got.positions != expected or got.different:
            raise RuntimeError(f"{got.different} subscribers differ; the first got {len(got.positions)} of {len(expected)} events")
        children.wait_until(lambda: self._memory() < before + (peak - before) / 2, AFTERWARDS_SECONDS)
        lag = Sample(got.lags["p99"] * 1e3, "ms", got.lags["p50"] * 1e3, got.lags["p99"] * 1e3, cpu)
        return Lived(
            lag, _late(beside), _late(alone), Sample(peak - before, "MiB"), Sample(max(0.0, self._memory() - before), "MiB")
        )

    def _lists(self, seconds: float) -> Steady:
        return Steady(self._server.port, LISTS, list(islice(self._rig.work.lists(), round(LISTS * seconds))))

    def _edits(self, seconds: float) -> None:
        """Edit deals in turn, never to what they are already."""
        work, mark = self._rig.work, time.time_ns()
        ids = cycle(work.ids[:DEALS])
        requests = [
            load.request("PATCH", f"{ROOT}{next(ids)}/", work.headers, {"custom_fields": {"edited": f"{mark}/{number}"}})
            for number in range(round(EDITS * seconds))
        ]
        Steady(self._server.port, EDITS, requests).took()

    def _memory(self) -> float:
        return sum(one.private for one in accounting.memory(self._server.pid))

    def _last(self) -> int:
        return self._positions(0)[-1]

    def _positions(self, after: int) -> list[int]:
        statement = "SELECT notification_id FROM opportunities_events WHERE org_id = %s AND notification_id > %s ORDER BY 1"
        with databases.connect(self._rig.url) as connection:
            return [row[0] for row in connection.execute(statement, (self._rig.work.loaded.org_id, after))]


def _late(took: list[float]) -> Sample:
    found = load.Load(1.0, len(took), tuple(took))
    return Sample(found.p99 * 1e3, "ms", found.p50 * 1e3, found.p99 * 1e3)


@cache
def of(rig: Rig) -> Live:
    return Live(rig)
