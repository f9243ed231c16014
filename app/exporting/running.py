"""An export at work in a thread of its own, whose file an event loop reads as it grows."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from threading import Lock, Thread
from typing import Protocol

from app.exporting.export import Export, pieces
from app.exporting.snapshot import Snapshot
from app.exporting.spool import Spool


class Gone(Exception):
    """Nobody wants the file any more."""


class Packing(Protocol):
    """A stream that is compressed on its way."""

    def compress(self, data: bytes, /) -> bytes: ...

    def flush(self) -> bytes: ...


class Running:
    """``records`` is how many are in the file by now. The snapshot is held for ``seconds`` at most."""

    def __init__(self, url: str, export: Export, seconds: float, packing: Callable[[], Packing] | None = None) -> None:
        self.records = 0
        self._url, self._export, self._seconds, self._packing = url, export, seconds, packing
        self._spool = Spool()
        self._lock, self._stopped = Lock(), False
        self._snapshot: Snapshot | None = None
        self._thread = Thread(target=self._run, name="export", daemon=True)
        self._thread.start()

    async def read(self) -> bytes:
        """The next bytes of the file, empty at its end. Raises ``Invalid``, ``Unavailable``, ``Gone``."""
        return await self._spool.read()

    def abandon(self) -> None:
        """Let whoever reads know that it is in vain."""
        self._spool.end(Gone())

    async def stop(self) -> None:
        """End it, also in PostgreSQL."""
        await asyncio.shield(asyncio.to_thread(self._stop))

    def _stop(self) -> None:
        with self._lock:
            self._stopped = True
            if self._snapshot is not None:
                self._snapshot.cancel()
        self._spool.close()
        self._thread.join()

    def _run(self) -> None:
        try:
            self._write()
        except BaseException as error:  # noqa: BLE001 - the reader raises it
            self._spool.end(error)
        else:
            self._spool.end()

    def _write(self) -> None:
        packing = self._packing() if self._packing is not None else None
        snapshot = Snapshot(self._url, self._export.query.org_id, self._seconds)
        try:
            with self._lock:
                self._snapshot = snapshot
                if self._stopped:
                    return
            for piece in pieces(self._export, snapshot):
                self.records += piece.records
                if not self._spool.write(packing.compress(piece.data) if packing else piece.data, self._seconds):
                    return
        finally:
            with self._lock:
                self._snapshot = None
            snapshot.close()
        if packing:
            self._spool.write(packing.flush(), self._seconds)
