"""The state of the webhooks, for ``/metrics``: read from the database by whichever process is asked.

If the database does not answer, these metrics are left out and the others are served.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from typing import Any

import psycopg
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric

from app.http import metrics
from app.process.failures import Unavailable
from app.reading.read_pool import ReadPool
from consumers.webhooks import deliveries

SECONDS = 3.0
GAUGES = {
    "due": ("webhook_deliveries_due", "Deliveries that are due, of active endpoints.", ""),
    "overdue_seconds": ("webhook_deliveries_overdue_seconds", "How long the oldest of them has been due.", ""),
    "waiting": ("webhook_deliveries_waiting", "Deliveries that wait for their next try.", ""),
    "held": ("webhook_deliveries_held", "Deliveries held because their endpoint is paused or disabled.", ""),
    "dead": ("webhook_deliveries_dead", "Deliveries given up, as long as they are kept.", ""),
    "dead_letters": ("webhook_dead_letters", "Records of the topic that could not be processed.", ""),
    "lag": ("webhook_consumer_lag_records", "Records of the topic that the consumer still has to process.", "partition"),
    "unseen_seconds": ("webhook_unseen_seconds", "Seconds since the consumer, or the sender, was last seen running.", "part"),
}
ATTEMPTS = ("webhook_attempts", "Requests made, by outcome.", "outcome")


async def exposition(reads: ReadPool) -> bytes:
    """The lines for Prometheus; none without an answer in ``SECONDS``."""
    try:
        async with asyncio.timeout(SECONDS):
            rows: Any = await reads.gauges(deliveries.GAUGES, {})
    except (Unavailable, TimeoutError, psycopg.Error):
        return b""
    return metrics.exposition(_families(rows))


def _families(rows: Sequence[tuple[str, str, float]]) -> Iterator[Metric]:
    """From (metric, the label's value, number)."""

    def of(wanted: str) -> list[tuple[str, float]]:
        return [(label, value) for name, label, value in rows if name == wanted]

    for key, (name, meaning, label) in GAUGES.items():
        gauge = GaugeMetricFamily(name, meaning, labels=[label] if label else [])
        for value_of, value in of(key):
            gauge.add_metric([value_of] if label else [], value)
        yield gauge
    name, meaning, label = ATTEMPTS
    attempts = CounterMetricFamily(name, meaning, labels=[label])
    for outcome, value in of("attempts"):
        attempts.add_metric([outcome], value)
    yield attempts
