"""A file that one thread writes while an event loop reads it: what a slow client has not taken yet waits on disk, not in memory and
not in an open transaction."""

from __future__ import annotations

import asyncio
import tempfile
from collections import deque
from threading import Condition
from typing import IO

MEMORY = 256 * 1024
"""Bytes beyond which they go to disk."""
SEGMENT = 16 * 1024 * 1024
"""Bytes of a file; one that was read is gone."""
MAX_AHEAD = 2 * 1024**3
"""Bytes that may wait; then the writer does."""
TAKEN = 64 * 1024


class Spool:
    """Belongs to the event loop that makes it."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._room = Condition()
        self._arrived = asyncio.Event()
        self._pieces: deque[bytes] = deque()
        self._segments: deque[_Segment] = deque()
        self._waiting = 0
        self._ended = self._closed = False
        self._error: BaseException | None = None

    def write(self, data: bytes, seconds: float) -> bool:
        """Called by the thread. False if nobody reads any more, or if there was no room for so long."""
        if not data:
            return not self._closed
        with self._room:
            if not self._room.wait_for(lambda: self._closed or self._waiting < MAX_AHEAD, seconds) or self._closed:
                return False
            if not self._segments and self._waiting + len(data) <= MEMORY:
                self._pieces.append(data)
            else:
                if not self._segments or self._segments[-1].size >= SEGMENT:
                    self._segments.append(_Segment())
                self._segments[-1].write(data)
            self._waiting += len(data)
        self._tell()
        return True

    def end(self, error: BaseException | None = None) -> None:
        """Called by the thread: nothing comes after it. The reader gets the ``error`` at once."""
        self._ended, self._error = True, error
        self._tell()

    async def read(self) -> bytes:
        """The next bytes, empty at the end. Raises what the file ended with."""
        while True:
            self._arrived.clear()
            if self._error is not None:
                raise self._error
            ended = self._ended
            if data := self._take():
                return data
            if ended:
                return b""
            await self._arrived.wait()

    def close(self) -> None:
        with self._room:
            self._closed = True
            self._pieces.clear()
            while self._segments:
                self._segments.popleft().close()
            self._room.notify_all()

    def _take(self) -> bytes:
        with self._room:
            data = b""
            if self._pieces:
                data = self._pieces.popleft()
            elif self._segments:
                segment = self._segments[0]
                data = segment.read()
                if segment.taken == segment.size and (segment.size >= SEGMENT or len(self._segments) == 1):
                    self._segments.popleft().close()
            self._waiting -= len(data)
            self._room.notify_all()
            return data

    def _tell(self) -> None:
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._arrived.set)


class _Segment:
    def __init__(self) -> None:
        self._file: IO[bytes] = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115 - the spool closes it
        self.size = self.taken = 0

    def write(self, data: bytes) -> None:
        self._file.seek(self.size)
        self._file.write(data)
        self.size += len(data)

    def read(self) -> bytes:
        self._file.seek(self.taken)
        data = self._file.read(TAKEN)
        self.taken += len(data)
        return data

    def close(self) -> None:
        self._file.close()
