"""``/metrics`` for Prometheus.

With several processes (``PROMETHEUS_MULTIPROC_DIR`` set before start) any of them answers for all.
"""

from __future__ import annotations

import asyncio
import hmac
import os
from ipaddress import ip_address

from litestar import get
from litestar.response.base import ASGIResponse
from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, CollectorRegistry, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector

from app.http import request_context, shared
from app.http.operations import describe
from app.http.problems import CHALLENGE, Refused
from app.http.request_context import Http
from app.reading.read_pool import ReadPool
from app.resources import log_metrics, relay_metrics, schema_metrics, webhook_metrics

FORWARDED = (
    b"forwarded", b"x-forwarded", b"via", b"x-real-ip", b"x-client-ip", b"x-cluster-client-ip", b"x-original-", b"true-client-ip",
    b"cf-", b"cdn-loop", b"fastly-", b"x-envoy-", b"x-amz", b"x-azure-", b"x-cloud-trace-context", b"x-proxy",
)  # fmt: skip
"""Prefixes of the headers by which proxies reveal that they forward a request."""


@get(
    "/metrics",
    opt=describe(
        "Operations",
        "Metrics for Prometheus",
        description="For this machine, or with the token in `OPPORTUNITIES_METRICS_TOKEN`.",
        media_type="text/plain",
        answer=str,
        errors=(401, 403),
    ),
)
async def get_metrics(request: Http) -> ASGIResponse:
    _admit(request)
    registry = REGISTRY
    if "PROMETHEUS_MULTIPROC_DIR" in os.environ:
        registry = CollectorRegistry()
        MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    held = shared.from_request(request)
    schema, read = await asyncio.gather(schema_metrics.exposition(held.schema), _read(held.read_pool))
    return ASGIResponse(body=generate_latest(registry) + schema + read, media_type=CONTENT_TYPE_LATEST)


async def _read(reads: ReadPool) -> bytes:
    """What the database says, one question at a time: the others are for requests."""
    return b"".join([await part.exposition(reads) for part in (relay_metrics, webhook_metrics, log_metrics)])


def _admit(request: Http) -> None:
    """Raises ``Refused`` unless the client has the token, or, if none is set, is on this machine."""
    expected = shared.from_request(request).metrics_token
    if expected:
        given = (request_context.from_request(request).authorization or "").removeprefix("Bearer ")
        if not hmac.compare_digest(given.encode(), expected.encode()):
            raise Refused(401, "unauthenticated", "Send the metrics token: Authorization: Bearer <token>.", CHALLENGE)
    elif not _local(request):
        raise Refused(403, "forbidden", "Set OPPORTUNITIES_METRICS_TOKEN to read metrics from another machine.")


def _local(request: Http) -> bool:
    """Whether the client is on this machine, and not a proxy that forwards for somebody else."""
    if any(name.startswith(FORWARDED) for name, _ in request.scope["headers"]):
        return False
    client = request.scope.get("client")
    try:
        return client is None or ip_address(client[0]).is_loopback
    except ValueError:
        return False


HANDLERS = (get_metrics,)
