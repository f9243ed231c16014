"""The token bucket: two seconds' worth at once, then its rate."""

from __future__ import annotations

from uuid import UUID

import pytest

from app.problems import Refused
from app.rate_limit import MAX_BUCKETS, RateLimit

ONE, OTHER = UUID(int=1), UUID(int=2)


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def waits(limit: RateLimit, token: UUID) -> int | None:
    try:
        limit.take(token)
    except Refused as refused:
        return int(refused.headers["retry-after"])
    return None


def test_two_seconds_worth_may_come_at_once_then_it_is_told_when_to_come_again() -> None:
    clock = Clock()
    limit = RateLimit(5, clock)
    assert [waits(limit, ONE) for _ in range(11)] == [None] * 10 + [1]
    clock.now = 0.4
    assert [waits(limit, ONE) for _ in range(3)] == [None, None, 1]


def test_one_token_does_not_slow_another() -> None:
    limit = RateLimit(1, Clock())
    while waits(limit, ONE) is None:
        pass
    assert waits(limit, OTHER) is None


def test_a_slow_rate_tells_how_long_to_wait() -> None:
    limit = RateLimit(0.1, Clock())
    assert [waits(limit, ONE), waits(limit, ONE)] == [None, 10]


@pytest.mark.parametrize("seconds", [0.0, 1000.0])
def test_buckets_do_not_pile_up(seconds: float) -> None:
    clock = Clock()
    limit = RateLimit(1, clock)
    for n in range(MAX_BUCKETS):
        limit.take(UUID(int=n))
    clock.now = seconds
    limit.take(UUID(int=MAX_BUCKETS))
    assert len(limit._buckets) < MAX_BUCKETS
