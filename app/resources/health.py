"""Whether this process lives and whether it can serve. It is not ready while it stops, or with a schema of another version."""

from __future__ import annotations

import asyncio
from typing import Literal

from litestar import get
from msgspec import Struct, json

from app.http import shared
from app.http.operations import describe
from app.http.problems import Refused
from app.http.request_context import Http
from app.http.response import JsonResponse
from app.process.failures import Unavailable

PING_SECONDS = 5.0
"""How long the readers and the writer may take to get an answer from the database."""
NOBODY_CACHES = ((b"cache-control", b"no-store"),)


class Health(Struct, frozen=True):
    status: Literal["ok"]


class Readiness(Health, frozen=True, omit_defaults=True):
    """``warnings`` are about what an operator should fix although this process can serve."""

    warnings: list[str] = []


@get("/health/live", opt=describe("Operations", "Whether the process lives", answer=Health))
async def get_live() -> JsonResponse:
    return JsonResponse(json.encode(Health("ok")), headers=NOBODY_CACHES)


@get(
    "/health/ready",
    opt=describe(
        "Operations",
        "Whether the process can serve",
        description="Not ready while the database is unavailable or of another version, or when the process is about to stop.",
        answer=Readiness,
        errors=(503,),
    ),
)
async def get_ready(request: Http) -> JsonResponse:
    if shared.from_request(request).draining.is_set():
        raise Refused(503, "draining", "This process is about to stop.", {"retry-after": "1"})
    await asyncio.gather(_reads(request), shared.from_request(request).command_queue.ping(PING_SECONDS))
    await shared.from_request(request).schema.check()
    warning = shared.from_request(request).read_pool.clock.warning()
    return JsonResponse(json.encode(Readiness("ok", [warning] if warning else [])), headers=NOBODY_CACHES)


async def _reads(request: Http) -> None:
    try:
        async with asyncio.timeout(PING_SECONDS):
            await shared.from_request(request).read_pool.ping()
    except TimeoutError as error:
        raise Unavailable("The database does not answer.") from error


HANDLERS = (
    get_live,
    get_ready,
)
