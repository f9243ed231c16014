"""Whether the database answers with the schema and the read models of this version, for ``/metrics``.

If the database does not answer, the metric is left out: that is how Prometheus tells the two apart.
"""

from __future__ import annotations

import asyncio

from prometheus_client.metrics_core import GaugeMetricFamily

from app.http import metrics
from app.http.problems import Refused
from app.http.shared import SchemaState
from app.process.failures import Unavailable

SECONDS = 3.0
NAME = "schema_current"
MEANING = "1 if the database has the schema and the read models of this version, else 0: run opportunities migrate."


async def exposition(schema: SchemaState) -> bytes:
    """The lines for Prometheus; none without an answer in ``SECONDS``."""
    current = True
    try:
        async with asyncio.timeout(SECONDS):
            await schema.check()
    except Refused:
        current = False
    except (Unavailable, TimeoutError):
        return b""
    return metrics.exposition([GaugeMetricFamily(NAME, MEANING, float(current))])
