"""What is measured of reads: per lane the connections in use and the questions that wait, and number and time by kind of question.

Counted in plain numbers and published a few times a second: metrics that several processes share cost some microseconds each time,
and every read would pay them.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict

from prometheus_client import Counter, Gauge

from projections.questions import LaneName, Question

PUBLISH_SECONDS = 0.25

_by_kind, _by_lane = ("lane", "question"), ("lane",)
_questions = Counter("read_questions", "Questions answered, by kind.", _by_kind)
_seconds = Counter("read_question_seconds", "Time they took in the database, without the wait for a connection.", _by_kind)
_waits = Counter("read_waits", "Questions that had to wait for a connection of their lane.", _by_lane)
_wait_seconds = Counter("read_wait_seconds", "How long they waited.", _by_lane)
_in_use = Gauge("read_connections_in_use", "Connections that are answering a question.", _by_lane, multiprocess_mode="livesum")
_waiting = Gauge("read_questions_waiting", "Questions that wait for a connection.", _by_lane, multiprocess_mode="livesum")


class LaneMetrics:
    """Of one lane of this process. Must be used on one event loop."""

    def __init__(self, lane: LaneName) -> None:
        self._lane = lane
        self._busy = self._queued = self._waits = 0
        self._waited = 0.0
        self._numbers: defaultdict[str, int] = defaultdict(int)
        self._times: defaultdict[str, float] = defaultdict(float)
        self._due = False
        self.publish()

    def queued(self) -> None:
        self._queued += 1
        self._publish_later()

    def unqueued(self, seconds: float) -> None:
        self._queued -= 1
        self._waits += 1
        self._waited += seconds
        self._publish_later()

    def began(self) -> None:
        self._busy += 1
        self._publish_later()

    def ended(self, question: Question, seconds: float) -> None:
        self._busy -= 1
        self._numbers[question.name] += 1
        self._times[question.name] += seconds
        self._publish_later()

    def _publish_later(self) -> None:
        if not self._due:
            self._due = True
            asyncio.get_running_loop().call_later(PUBLISH_SECONDS, self.publish)

    def publish(self) -> None:
        self._due = False
        _in_use.labels(self._lane).set(self._busy)
        _waiting.labels(self._lane).set(self._queued)
        _waits.labels(self._lane).inc(self._waits)
        _wait_seconds.labels(self._lane).inc(self._waited)
        for name, number in self._numbers.items():
            _questions.labels(self._lane, name).inc(number)
            _seconds.labels(self._lane, name).inc(self._times[name])
        self._waits, self._waited = 0, 0.0
        self._numbers.clear()
        self._times.clear()
