"""A token bucket for every API token, in this process alone. Refuses to wait: who asks too fast is told when to come
again."""

from __future__ import annotations

import math
from collections.abc import Callable
from time import monotonic
from uuid import UUID

from app.problems import Refused

MAX_BUCKETS = 10_000


class RateLimit:
    """``rate`` requests a second on average and two seconds' worth at once."""

    def __init__(self, rate: float, clock: Callable[[], float] = monotonic) -> None:
        self._rate = rate
        self._burst = max(1.0, 2 * rate)
        self._clock = clock
        self._buckets: dict[UUID, tuple[float, float]] = {}

    def take(self, token_id: UUID) -> None:
        """Count a request. Raises ``Refused`` with how many seconds to wait."""
        now = self._clock()
        left, at = self._buckets.get(token_id, (self._burst, now))
        left = min(self._burst, left + (now - at) * self._rate)
        if left < 1:
            self._buckets[token_id] = left, now
            seconds = math.ceil((1 - left) / self._rate)
            raise Refused(
                429,
                "too_many_requests",
                f"At most {self._rate:g} requests a second with one token; wait {seconds} s.",
                {"retry-after": str(seconds)},
            )
        if len(self._buckets) >= MAX_BUCKETS and token_id not in self._buckets:
            self._forget(now)
        self._buckets[token_id] = left - 1, now

    def _forget(self, now: float) -> None:
        """Let go of the buckets that are full again; of all where none is."""
        full = self._burst / self._rate
        self._buckets = {key: value for key, value in self._buckets.items() if now - value[1] < full}
        if len(self._buckets) >= MAX_BUCKETS:
            self._buckets.clear()
