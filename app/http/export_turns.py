"""The exports of a process: whose turn it is, and each at work until its client is served or gone."""

from __future__ import annotations

import sys
import zlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from app.exporting.export import Export
from app.exporting.running import Packing, Running
from app.http import export_metrics
from app.http.compression import GZIP_LEVEL, ZSTD_LEVEL
from app.http.export_metrics import Measured
from app.http.request_context import Encoding
from app.reading.read_pool import Identity, ReadPool
from app.reading.turns import Turns

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

MAX_WAITING = 1
"""Exports of a token that wait for its present one."""
_PACKINGS: dict[Encoding, Callable[[], Packing]] = {
    "gzip": lambda: zlib.compressobj(GZIP_LEVEL, zlib.DEFLATED, 31),
    "zstd": lambda: zstd.ZstdCompressor(level=ZSTD_LEVEL),
}


class Exports:
    """Those of a process: so many at once, one of them a token's. A snapshot is held for ``seconds`` at most."""

    def __init__(self, url: str, reads: ReadPool, places: int, seconds: float) -> None:
        self._url, self._reads, self._seconds = url, reads, seconds
        self._turns = Turns(places, 1, MAX_WAITING, "exports")

    @asynccontextmanager
    async def running(self, identity: Identity, export: Export, encoding: Encoding | None) -> AsyncIterator[Running]:
        """Raises ``TooManyWaiting``, ``Unauthenticated``, ``Unavailable``."""
        identity = await self._reads.current(identity)
        who = identity.org_id, identity.token_id
        if not self._turns.take(who):
            with export_metrics.waiting():
                await self._turns.wait(who)
        measured = Measured(export.format)
        records = 0
        try:
            running = Running(self._url, export, self._seconds, _PACKINGS[encoding] if encoding else None)
            try:
                yield running
            finally:
                records = running.records
                await running.stop()
        finally:
            measured.ended(records)
            self._turns.give_back(who, measured.seconds)
