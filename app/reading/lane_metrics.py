"""What is measured of reads: per lane the connections in use and the questions that wait, and the time of each kind of question."""

from __future__ import annotations

from prometheus_client import Gauge, Histogram, Summary

from projections.questions import LaneName, Question

_seconds = Histogram(
    "read_question_seconds",
    "Time that a question took in the database, by kind, without its wait for a connection.",
    ("lane", "question"),
    buckets=(0.0025, 0.01, 0.05, 0.25, 1, 5, 15),
)
_waits = Summary(
    "read_wait_seconds", "Waits for a connection of the lane; a question that finds one free is not counted.", ("lane",)
)
_in_use = Gauge(
    "read_connections_in_use", "Connections of the lane that are answering a question.", ("lane",), multiprocess_mode="livesum"
)
_waiting = Gauge(
    "read_questions_waiting", "Questions that wait for a connection of the lane.", ("lane",), multiprocess_mode="livesum"
)


class LaneMetrics:
    def __init__(self, lane: LaneName) -> None:
        self._lane = lane
        self._children: dict[str, Histogram] = {}
        self.in_use = _in_use.labels(lane)
        self.waiting = _waiting.labels(lane)
        self.waits = _waits.labels(lane)

    def observe(self, question: Question, seconds: float) -> None:
        child = self._children.get(question.name)
        if child is None:
            child = self._children[question.name] = _seconds.labels(self._lane, question.name)
        child.observe(seconds)
