"""One subscriber of a live feed: a bounded buffer between the feed, which never waits, and a client, who may be slow."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterable
from typing import NamedTuple

from app.reading.read_pool import Identity

MAX_BUFFER = 256 * 1024
"""Bytes that wait for a client before it is given no more. All who are sent the same share them."""
MAX_TAKEN = 32 * 1024
"""Where several pieces wait, so many bytes are sent at once."""


class Piece(NamedTuple):
    """Text of the stream from one position of the log to another."""

    first: int
    position: int
    text: bytes


class Subscription:
    """Of the task that makes it. ``position`` is the last one that went into the buffer, ``sent`` the last one that left it.

    ``size`` is how many bytes are in the buffer. A ``live`` one is given new events as they come; before that it asks for what
    is behind. ``busy_since`` is when the client was sent something that it has not taken so far.
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
        self.live = self.behind = self.stalled = self.ended = False
        self.busy_since: float | None = None
        self.given_at = self._loop.time()

    def push(self, piece: Piece) -> None:
        """Give a live subscriber a piece, unless it is beyond that. Where it has a part of it already, or its buffer is full, it
        has to ask for the rest."""
        if self.position >= piece.position:
            return
        if self.position >= piece.first or (self._pieces and self.size + len(piece.text) > MAX_BUFFER):
            self.live = False
            self._wake()
        else:
            self.give((piece,), piece.position)

    def give(self, pieces: Iterable[Piece], position: int) -> None:
        """Give what was asked for, up to a position."""
        for piece in pieces:
            self._pieces.append(piece)
            self.size += len(piece.text)
        self.position = max(self.position, position)
        self.given_at = self._loop.time()
        self._wake()

    def take(self) -> bytes:
        """What is to be sent next; empty where nothing waits."""
        texts: list[bytes] = []
        size = 0
        while self._pieces and (not texts or size + len(self._pieces[0].text) <= MAX_TAKEN):
            piece = self._pieces.popleft()
            texts.append(piece.text)
            size += len(piece.text)
            self.sent = max(self.sent, piece.position)
        self.size -= size
        return texts[0] if len(texts) == 1 else b"".join(texts)

    def rewind(self) -> None:
        """What waits was for another role: it is to be asked for again."""
        self._clear()
        self.position = self.sent
        self.live = False
        self._wake()

    def end(self) -> None:
        """Nothing more is sent, not even what waits."""
        self._clear()
        self.ended = True
        self.live = False
        self._wake()

    def fall_behind(self) -> None:
        """End it and tell the client where to go on."""
        self.behind = True
        self.end()

    def cut(self) -> None:
        """End it though the client takes nothing, not even that."""
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
