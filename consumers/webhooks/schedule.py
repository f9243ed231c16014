"""What follows an attempt: done, a retry after a delay, or giving up. Pure: time and chance are parameters."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Literal, NamedTuple

Outcome = Literal[
    "delivered",  # 2xx
    "gone",  # 410: the endpoint wants no more
    "redirect",  # 3xx, which is not followed
    "client_error",  # 4xx
    "server_error",  # 5xx
    "timeout",
    "unresolved",  # host not found
    "unreachable",  # connection refused or broken
    "tls",
    "broken",  # the response is not HTTP
    "refused",  # by our own rules on destinations
]
Status = Literal["pending", "delivered", "dead"]

DELAYS = (0.0, 5.0, 300.0, 1_800.0, 7_200.0, 18_000.0, 36_000.0, 50_400.0, 72_000.0, 86_400.0)
"""Seconds before each try, about three days in all."""
JITTER = 0.2
MAX_RETRY_AFTER = 86_400.0
FAILING = timedelta(days=5)
"""An endpoint that has only failed for so long is disabled."""


class Next(NamedTuple):
    """The delivery's status after an attempt; if pending, it is due again in ``delay`` seconds."""

    status: Status
    delay: float = 0.0


def in_words() -> str:
    """The delays between tries in words: 5 s, 5 min, …, 20 h and 24 h."""
    units = ((3_600, "h"), (60, "min"), (1, "s"))
    said = [next(f"{delay / size:g} {unit}" for size, unit in units if delay >= size) for delay in DELAYS[1:]]
    return f"{', '.join(said[:-1])} and {said[-1]}"


def following(tries: int, outcome: Outcome, retry_after: float | None, chance: float) -> Next:
    """The next step after try number ``tries``, from 1. ``chance``, from 0 to 1, spreads retries in time."""
    if outcome == "delivered":
        return Next("delivered")
    if outcome == "gone" or tries >= len(DELAYS):
        return Next("dead")
    delay = DELAYS[tries] * (1 + JITTER * (2 * chance - 1))
    if retry_after is not None:
        # Never before the time that the receiver asked for.
        delay = max(delay, min(retry_after, MAX_RETRY_AFTER) * (1 + JITTER * chance))
    return Next("pending", delay)


def from_status(status: int) -> Outcome:
    if 200 <= status < 300:
        return "delivered"
    if status == 410:
        return "gone"
    if 300 <= status < 400:
        return "redirect"
    return "client_error" if 400 <= status < 500 else "server_error"


_SECONDS = re.compile(r"\d{1,9}", re.ASCII)


def retry_after(header: str | None, now: datetime) -> float | None:
    """Seconds from a ``Retry-After``, given in seconds or as a date; None if it cannot be parsed."""
    if header is None:
        return None
    text = header.strip()
    if _SECONDS.fullmatch(text):
        return float(text)
    try:
        until = parsedate_to_datetime(text)
    except (ValueError, OverflowError):
        return None
    return max(0.0, ((until if until.tzinfo else until.replace(tzinfo=UTC)) - now).total_seconds())
