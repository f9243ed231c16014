"""A worker of ours at work in a thread, with its log to look into."""

from __future__ import annotations

import threading
from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager
from typing import Any

from structlog.testing import capture_logs

from app.cli.explanations import describe
from consumers import loop
from consumers.relay import Relay
from consumers.webhooks.fan_out import FanOut

Lines = list[MutableMapping[str, Any]]


@contextmanager
def looping(worker: Relay | FanOut, stop: threading.Event) -> Iterator[Lines]:
    """Its log."""
    thread = threading.Thread(target=lambda: loop.run(worker, stop, describe=describe))
    with capture_logs() as lines:
        thread.start()
        try:
            yield lines
        finally:
            stop.set()
            thread.join()
            worker.close()


def failures(lines: Lines, field: str) -> list[str]:
    """What is said of each step that failed."""
    return [line[field] for line in lines if line["event"] == "step.failed"]
