"""The next batch of an import, prepared in a thread while PostgreSQL works on the one before."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Generic, TypeVar

T = TypeVar("T")


class Ahead(Generic[T]):
    """``prepare`` makes one batch after the other, never two at a time. Close it before what ``prepare`` uses."""

    def __init__(self, prepare: Callable[[], T]) -> None:
        self._prepare = prepare
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="ahead")
        self._next: Future[T] | None = None

    def begin(self) -> None:
        """Begin the next batch, unless that is done or under way."""
        if self._next is None:
            self._next = self._pool.submit(self._prepare)

    def take(self) -> T:
        """The next batch. Raises what ``prepare`` raised."""
        self.begin()
        assert self._next is not None
        future, self._next = self._next, None
        return future.result()

    def close(self) -> None:
        """Wait for what is under way, and forget it."""
        self._pool.shutdown(cancel_futures=True)
