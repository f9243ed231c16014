"""What is measured of every request. Unknown methods share one label value, so that clients cannot invent label values."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

from prometheus_client import CollectorRegistry, Gauge, Histogram, generate_latest
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from app.reading.lane_metrics import PUBLISH_SECONDS

METHODS = frozenset({"GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE"})

_duration = Histogram(
    "http_request_duration_seconds",
    "Time from a request's first byte to its response's last, by route template; its count is the number of requests.",
    ("method", "route", "status"),
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
)
_in_flight = Gauge("http_requests_in_flight", "Requests in progress.", multiprocess_mode="livesum")
_children: dict[tuple[str, str, int], Any] = {}


def observe(method: str, route: str, status: int, seconds: float) -> None:
    key = (method, route, status)
    child = _children.get(key)
    if child is None:
        name = method if method in METHODS else "other"
        child = _children[key] = _duration.labels(name, route, str(status))
    child.observe(seconds)


class InFlight:
    """The requests in progress of one event loop, published a few times a second as what is measured of reads."""

    def __init__(self) -> None:
        self._number = 0
        self._due = False

    def add(self, number: int) -> None:
        self._number += number
        if not self._due:
            self._due = True
            asyncio.get_running_loop().call_later(PUBLISH_SECONDS, self._publish)

    def _publish(self) -> None:
        self._due = False
        _in_flight.set(self._number)


class _Families(Collector):
    def __init__(self, families: Iterable[Metric]) -> None:
        self._families = families

    def collect(self) -> Iterable[Metric]:
        return self._families


def exposition(families: Iterable[Metric]) -> bytes:
    """The lines for Prometheus of metrics that were read from the database: no process counts them."""
    registry = CollectorRegistry()
    registry.register(_Families(list(families)))
    return generate_latest(registry)
