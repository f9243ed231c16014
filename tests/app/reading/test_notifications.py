"""Who waits for events is woken, and again after the database was silent; what came meanwhile is not missed."""

from __future__ import annotations

import asyncio
from collections.abc import MutableMapping
from time import monotonic
from typing import Any

import pytest
from structlog.testing import capture_logs

from app.process.children import wait_until
from app.reading import notifications as arrivals
from app.reading.notifications import Notifications
from tests.support.commands import Company, log
from tests.support.proxy import Proxy, proxied
from tests.support.server import serving
from tests.support.sse import Events

TIMEOUT_MS = 1_000
SECONDS = 2 * TIMEOUT_MS / 1000 + 2.5


async def woken(event: asyncio.Event) -> None:
    async with asyncio.timeout(20):
        await event.wait()
    event.clear()


async def noticed(lines: list[MutableMapping[str, Any]]) -> None:
    async with asyncio.timeout(60):
        await asyncio.to_thread(
            wait_until, lambda: ("arrivals.failed", "Silent") in [(one["event"], one.get("error")) for one in lines], 60
        )


def test_who_waits_is_woken_again_after_a_silence(
    shared_database_url: str, company: Company, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(arrivals, "LISTEN_SECONDS", 1.0)

    async def wait(proxy: Proxy) -> None:
        listening = Notifications(proxy.url, asyncio.Event(), statement_timeout_ms=TIMEOUT_MS)
        with capture_logs() as lines, listening.subscribe(company.id) as arrived:
            await woken(arrived)
            await asyncio.to_thread(company.deal)
            await woken(arrived)
            proxy.silent = True
            began = monotonic()
            await asyncio.to_thread(company.deal)
            await noticed(lines)
            assert monotonic() - began < SECONDS
            assert not arrived.is_set()
            proxy.silent = False
            await woken(arrived)
            await asyncio.to_thread(company.deal)
            await woken(arrived)
        await listening.close()

    with proxied(shared_database_url) as proxy:
        asyncio.run(wait(proxy))


def test_a_stream_goes_on_after_a_silence_with_every_event_once(shared_database_url: str, company: Company) -> None:
    with (
        proxied(shared_database_url) as proxy,
        serving(proxy.url, OPPORTUNITIES_STATEMENT_TIMEOUT_MS=str(TIMEOUT_MS)) as server,
        Events(server.port, company.admin.token) as stream,
    ):

        def happened(after: int) -> list[int]:
            found = [one.position for one in log(shared_database_url) if one.meta.org_id == company.id]
            return [position for position in found if position > after]

        company.deal("Before")
        (*_, last) = happened(0)
        told = stream.told()
        while next(told).id < last:
            pass
        proxy.silent = True
        for _ in range(3):
            company.deal("During")
        with server.client(company.admin.token) as client:  # so the readers have noticed
            assert client.get("/api/accounts/").status == 503
        proxy.silent = False
        assert [next(told).id for _ in range(3)] == happened(last)
        company.deal("After")
        assert next(told).id == happened(last)[3]
