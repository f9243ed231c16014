"""The state of the log for ``/metrics``: its epoch, and who has stopped because it went back. Left out if the database does not
answer."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from typing import Any

import psycopg
from prometheus_client.metrics_core import GaugeMetricFamily, Metric

from app.http import metrics
from app.process.failures import Unavailable
from app.reading.read_pool import ReadPool
from consumers import stops

SECONDS = 3.0


async def exposition(reads: ReadPool) -> bytes:
    """The lines for Prometheus; none without an answer in ``SECONDS``."""
    try:
        async with asyncio.timeout(SECONDS):
            rows: Any = await reads.gauges(stops.GAUGES, {})
    except (Unavailable, TimeoutError, psycopg.Error):
        return b""
    return metrics.exposition(_families(rows))


def _families(rows: Sequence[tuple[str, str, float]]) -> Iterator[Metric]:
    """From (metric, the label's value, number)."""
    stopped = GaugeMetricFamily("log_went_back", "1 if this part has stopped because the log went back.", labels=["part"])
    for name, label, value in rows:
        if name == "epoch_position":
            yield GaugeMetricFamily("log_epoch_position", "The first position of the log's present epoch.", value)
        else:
            stopped.add_metric([label], min(value, 1.0))
    yield stopped
