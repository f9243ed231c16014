"""How far the relay is behind the log, for ``/metrics``: read from the database by whichever process is asked.

If the database does not answer, these metrics are left out and the others are served.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import psycopg
from prometheus_client.metrics_core import GaugeMetricFamily, Metric

from app.http import metrics
from app.process.failures import Unavailable
from app.reading.read_pool import ReadPool
from consumers import checkpoints
from consumers.checkpoints import Lag

SECONDS = 3.0
# Metric → which part of the lag it is, and its help text.
GAUGES = {
    "relay_lag_events": ("events", "Events that the relay still has to publish to Kafka (a million at most)."),
    "relay_lag_seconds": ("seconds", "Age of the oldest of them; 0 if there is none."),
    "relay_position": ("position", "The last position of the log that the relay has published."),
    "relay_unseen_seconds": ("unseen", "Seconds since a relay was last seen running; it reports every few seconds."),
}


async def exposition(reads: ReadPool) -> bytes:
    """The lines for Prometheus; none before a relay has ever run, or without an answer in ``SECONDS``."""
    try:
        async with asyncio.timeout(SECONDS):
            rows = await reads.gauges(checkpoints.LAG, {"name": checkpoints.RELAY})
    except (Unavailable, TimeoutError, psycopg.Error):
        return b""
    return metrics.exposition(_gauges(Lag(*rows[0])) if rows else ())


def _gauges(lag: Lag) -> Iterator[Metric]:
    for name, (field, meaning) in GAUGES.items():
        yield GaugeMetricFamily(name, meaning, getattr(lag, field))
