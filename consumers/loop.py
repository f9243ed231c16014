"""The loop of a process that works in steps until it is told to stop. SIGTERM does not interrupt a step."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from types import FrameType
from typing import Protocol

import structlog

log = structlog.get_logger("loop")

IDLE_SECONDS = 1.0
BACKOFF_SECONDS = 0.1
MAX_BACKOFF_SECONDS = 5.0


class Fatal(Exception):
    """An error that no waiting cures: the process ends with it."""


class Worker(Protocol):
    """``step`` does a bounded amount of work and says whether there may be more. ``wait`` returns when there may be work again,
    after so many seconds at the latest. After an error in ``step`` the next one starts afresh."""

    def step(self) -> bool: ...

    def wait(self, seconds: float) -> None: ...


def stop_on_signals() -> threading.Event:
    """An event that SIGTERM and SIGINT set. Call it in the main thread."""
    stop = threading.Event()

    def on_signal(number: int, frame: FrameType | None) -> None:
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, on_signal)
    return stop


def run(worker: Worker, stop: threading.Event, *, describe: Callable[[Exception], str] = str) -> None:
    """Work until ``stop`` is set. An error is logged; after each in a row the next try waits longer. Raises ``Fatal``."""
    errors = 0
    while not stop.is_set():
        try:
            busy = worker.step()
            errors = 0
            if not busy and not stop.is_set():
                worker.wait(IDLE_SECONDS)
        except Fatal:
            raise
        except Exception as error:  # noqa: BLE001  whatever it was, the log is still there and so is the work
            errors += 1
            seconds = min(BACKOFF_SECONDS * 2 ** (errors - 1), MAX_BACKOFF_SECONDS)
            log.warning("step.failed", error=type(error).__name__, reason=describe(error), tries=errors, again_in=seconds)
            stop.wait(seconds)
