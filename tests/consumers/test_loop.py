"""The loop of a worker: it finishes its step, and an error ends nothing."""

from __future__ import annotations

import threading

import pytest

from consumers import loop


class Steps:
    """A worker whose steps are given: whether there is more, or an error."""

    def __init__(self, stop: threading.Event, *steps: bool | Exception) -> None:
        self.stop = stop
        self.left = list(steps)
        self.waits = 0

    def step(self) -> bool:
        step = self.left.pop(0)
        if not self.left:
            self.stop.set()
        if isinstance(step, Exception):
            raise step
        return step

    def wait(self, seconds: float) -> None:
        self.waits += 1


def test_it_waits_only_where_nothing_is_left_to_do() -> None:
    stop = threading.Event()
    worker = Steps(stop, True, True, False, True, False)
    loop.run(worker, stop)
    assert (worker.left, worker.waits) == ([], 1)


def test_an_error_is_told_and_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop, "BACKOFF_SECONDS", 0)
    stop = threading.Event()
    told: list[Exception] = []
    first, second = ValueError("first"), KeyError("second")

    def describe(error: Exception) -> str:
        told.append(error)
        return str(error)

    worker = Steps(stop, first, True, second, False)
    loop.run(worker, stop, describe=describe)
    assert (told, worker.left) == ([first, second], [])
