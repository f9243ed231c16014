"""A token bucket per user or address, in this process alone. A request over the limit is refused at once with ``Retry-After``."""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Callable, Hashable
from time import monotonic

from app.http.problems import Refused

MAX_BUCKETS = 10_000


class RateLimit:
    """``rate`` requests a second on average, in bursts of up to two seconds' worth. ``what`` names what is counted."""

    def __init__(self, rate: float, what: str, clock: Callable[[], float] = monotonic) -> None:
        self._rate = rate
        self._what = what
        self._burst = max(1.0, 2 * rate)
        self._clock = clock
        self._buckets: OrderedDict[Hashable, tuple[float, float]] = OrderedDict()

    def take(self, who: Hashable) -> None:
        """Count a request. Raises ``Refused`` with the number of seconds to wait."""
        now = self._clock()
        left, at = self._buckets.pop(who, (self._burst, now))
        left = min(self._burst, left + (now - at) * self._rate)
        if len(self._buckets) >= MAX_BUCKETS:  # the least recently used one is the fullest
            self._buckets.popitem(last=False)
        self._buckets[who] = left - 1 if left >= 1 else left, now
        if left < 1:
            seconds = math.ceil((1 - left) / self._rate)
            raise Refused(
                429,
                "too_many_requests",
                f"At most {self._rate:g} {self._what} a second; wait {seconds} s.",
                {"retry-after": str(seconds)},
            )
