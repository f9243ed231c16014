"""Locks by token that the processes of an API share: one for each two processors of the machine.

They are locks of bytes of a file. The kernel gives them back when a process ends, however it does.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from uuid import UUID

THREADS = 16
"""Of a process, that wait for locks. What waits beyond them waits for a thread first."""


class TokenLocks:
    """For one event loop. They keep processes apart, not the callers within one: of these, a token must have one at most."""

    def __init__(self, folder: str) -> None:
        # It stays open: who closes a file loses all locks that the process has of it.
        self._file = os.open(Path(folder, "token_locks"), os.O_RDWR | os.O_CREAT, 0o600)
        self._threads = ThreadPoolExecutor(THREADS, "token lock")

    async def take(self, token_id: UUID | None, unwanted: Callable[[], None]) -> None:
        """Wait for the token's lock. Who is cancelled gets it nevertheless: ``unwanted`` is called when it has come."""
        byte = _byte(token_id)
        try:
            fcntl.lockf(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, byte)
        except BlockingIOError:
            waiting = asyncio.get_running_loop().run_in_executor(self._threads, fcntl.lockf, self._file, fcntl.LOCK_EX, 1, byte)
            try:
                await asyncio.shield(waiting)
            except asyncio.CancelledError:
                waiting.add_done_callback(lambda _: unwanted())
                raise

    def give_back(self, token_id: UUID | None) -> None:
        fcntl.lockf(self._file, fcntl.LOCK_UN, 1, _byte(token_id))


def _byte(token_id: UUID | None) -> int:
    """Where in the file a token's lock is: at as many bytes as there are pairs of processors, each process at one of them."""
    number = token_id.int if token_id is not None else 0
    return (number & 0xFFFFFFFFFFFF) << 8 | os.getpid() % max(1, min(256, (os.cpu_count() or 1) // 2))
