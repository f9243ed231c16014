"""What is measured of writes: commands that wait for the writer, and those that its full queue turned away.

The number that waits is looked at a few times a second while there are any: no command pays for more than a question whether that
is arranged.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sized

from prometheus_client import Counter, Gauge

PUBLISH_SECONDS = 0.25

_waiting = Gauge("write_commands_waiting", "Commands that wait for the writer.", multiprocess_mode="livesum")
_refused = Counter("write_commands_refused", "Commands turned away with 503 because the queue of their process was full.")


class WriteMetrics:
    """Of the queue of one event loop, on which it must be used."""

    def __init__(self, queue: Sized) -> None:
        self._queue = queue
        self._due = False

    def refused(self) -> None:
        _refused.inc()

    def queued(self) -> None:
        if not self._due:
            self._due = True
            asyncio.get_running_loop().call_later(PUBLISH_SECONDS, self._publish)

    def _publish(self) -> None:
        """Until there are none: the last number published is that of an empty queue."""
        waiting = len(self._queue)
        _waiting.set(waiting)
        self._due = False
        if waiting:
            self.queued()
