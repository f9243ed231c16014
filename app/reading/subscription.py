"""One subscriber of a live feed: a bounded buffer between the feed, which never waits, and a client that may be slow."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterable
from typing import NamedTuple

from app.reading.read_pool import Identity

MAX_BUFFER = 256 * 1024
"""Bytes buffered for a client before it gets no more. Subscribers share the bytes of an event."""
MAX_TAKEN = 32 * 1024
"""Bytes of several pieces that are sent at once."""


class Piece(NamedTuple):
    """Text of the stream from one position of the log to another."""

    first: int
    position: int
    text: bytes
    mark: str = ""
    """Of the event at ``position``, if that is in it."""


class Subscription:
    """Belongs to the task that creates it. ``position`` is the last one put into the buffer, ``sent`` the last one taken out.

    ``size`` is the number of bytes in the buffer. A ``live`` subscription gets new events as they come; before that it reads the
    past. ``mark`` is that of the event at ``sent``, if known. ``busy_since`` is when something was sent to the client that it has
    not taken yet.
    """

    __slots__ = (
        "_loop",
        "_pieces",
        "_task",
        "_waiting",
        "behind",
        "busy_since",
        "ended",
        "given_at",
        "identity",
        "live",
        "mark",
        "position",
        "sent",
        "size",
        "stalled",
    )

    def __init__(self, identity: Identity, after: int) -> None:
        self._loop = asyncio.get_running_loop()
        self._task = asyncio.current_task()
        self._waiting: asyncio.Future[None] | None = None
        self._pieces: deque[Piece] = deque()
        self.size = 0
        self.identity = identity
        self.position = self.sent = after
        self.mark = ""
        self.live = self.behind = self.stalled = self.ended = False
        self.busy_since: float | None = None
        self.given_at = self._loop.time()

    def push(self, piece: Piece) -> None:
        """Give a live subscriber a piece, unless it is past it. If it has part of it already, or its buffer is full, it must read
        the rest itself."""
        if self.position >= piece.position:
            return
        if self.position >= piece.first or (self._pieces and self.size + len(piece.text) > MAX_BUFFER):
            self.live = False
            self._wake()
        else:
            self.give((piece,), piece.position)

    def give(self, pieces: Iterable[Piece], position: int) -> None:
        """Add pieces to the buffer, up to a position."""
        for piece in pieces:
            self._pieces.append(piece)
            self.size += len(piece.text)
        self.position = max(self.position, position)
        self.given_at = self._loop.time()
        self._wake()

    def tell(self, text: bytes) -> None:
        """Give a live subscriber what is no event of the log, unless its buffer is full."""
        if self.live and self.size + len(text) <= MAX_BUFFER:
            self.give((Piece(self.position, self.position, text),), self.position)

    def take(self) -> bytes:
        """The next bytes to send; empty if there are none."""
        texts: list[bytes] = []
        size = 0
        while self._pieces and (not texts or size + len(self._pieces[0].text) <= MAX_TAKEN):
            piece = self._pieces.popleft()
            texts.append(piece.text)
            size += len(piece.text)
            if piece.position > self.sent:
                self.sent, self.mark = piece.position, piece.mark
        self.size -= size
        return texts[0] if len(texts) == 1 else b"".join(texts)

    def rewind(self) -> None:
        """Drop the buffer, which was for another role, so that it is read again."""
        self._clear()
        self.position = self.sent
        self.live = False
        self._wake()

    def end(self) -> None:
        """Send nothing more, not even what is buffered."""
        self._clear()
        self.ended = True
        self.live = False
        self._wake()

    def fall_behind(self) -> None:
        """End it and tell the client where to resume."""
        self.behind = True
        self.end()

    def cut(self) -> None:
        """End it without a word: the client reads nothing."""
        self.stalled = True
        self.end()
        if self._task is not None:
            self._task.cancel()

    async def changed(self) -> None:
        """Wait until there is something to take, or another reason to look."""
        self._waiting = self._loop.create_future()
        await self._waiting

    def _clear(self) -> None:
        self._pieces.clear()
        self.size = 0

    def _wake(self) -> None:
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(None)
