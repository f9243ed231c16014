"""The workers of a rebuild: processes, because what a rebuild costs is mostly Python, or this process where one is enough."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing
from multiprocessing import Pipe
from multiprocessing.connection import Connection, wait
from typing import Any

from domain.event_store import Span
from projections.filling import Filling, Share
from projections.projection import Projection
from projections.shadow_schema import RebuildError

MOST = 8
"""Each worker has a connection, and PostgreSQL as much to do as the worker."""
WORTHWHILE = 20_000
"""Events for which it pays to start processes."""
SPAN = 10_000
"""Events that a worker is given at a time."""
LEAST_SPANS = 4
"""Of each worker, so that all end at about the same time."""


def number(events: int) -> int:
    """How many workers a log of so many events is for, on this machine."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(cores, MOST) if events >= WORTHWHILE else 1


def spans(events: int, workers: int) -> int:
    """In how many parts to read so many events."""
    return max(events // SPAN, LEAST_SPANS * workers if workers > 1 else 1)


def fill(
    url: str, models: Sequence[Projection], upto: int, parts: Sequence[Span], workers: int, done: Callable[[int], None]
) -> None:
    """Fill the empty tables from the streams of all parts; ``done`` is told of events as they are copied.

    Raises what a worker raised, and ``RebuildError`` if one was ended.
    """
    if workers > 1:
        with ExitStack() as stack:
            share = Share(url, [model.name for model in models], upto)
            _drive([stack.enter_context(closing(Worker(share))) for _ in range(workers)], iter(parts), done)
        return
    with closing(Filling(url, models, upto)) as filling:
        for part in parts:
            done(filling.fill(part))
        filling.commit()


class Worker:
    """A process that fills tables. It does not outlive us: when we are gone it finds nobody to answer to."""

    def __init__(self, share: Share) -> None:
        self.pipe, theirs = Pipe()
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "projections.filling", str(theirs.fileno())],
                stdin=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                start_new_session=True,  # Ctrl-C is for us, and we end it
            )
        self.pipe.send(share)

    def take_up(self, part: Span | None) -> None:
        """Give it a part to fill, or None to commit what it has filled."""
        try:
            self.pipe.send(part)
        except ConnectionError:
            raise RebuildError(self._end()) from None

    def answer(self) -> int | None:
        """The number of events copied, None when all is committed."""
        try:
            answer: int | Exception | None = self.pipe.recv()
        except (EOFError, ConnectionError):
            raise RebuildError(self._end()) from None
        if isinstance(answer, Exception):
            raise answer
        return answer

    def _end(self) -> str:
        code = self._process.wait()
        how = signal.Signals(-code).name if code < 0 else f"exit code {code}"
        return f"Nothing was changed: a worker of the rebuild was ended ({how}). If memory ran out, use fewer: --workers 1."

    def close(self) -> None:
        self.pipe.close()
        self._process.kill()
        self._process.wait()


def _drive(workers: Sequence[Worker], parts: Iterator[Span], done: Callable[[int], None]) -> None:
    """Give each worker a part whenever it has none, and let all commit at the end."""
    working: dict[Connection[Any, Any], Worker] = {worker.pipe: worker for worker in workers}
    for worker in workers:
        worker.take_up(next(parts, None))
    while working:
        for pipe in wait(list(working)):
            worker = working[pipe]  # type: ignore[index]
            events = worker.answer()
            if events is None:
                del working[worker.pipe]
                continue
            done(events)
            worker.take_up(next(parts, None))
