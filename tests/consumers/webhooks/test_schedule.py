"""What comes after an attempt."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consumers.webhooks.schedule import DELAYS, JITTER, MAX_RETRY_AFTER, Next, following, of_status, retry_after

NOW = datetime(2026, 3, 1, 10, tzinfo=UTC)


def test_the_first_try_is_at_once_and_the_last_after_three_days() -> None:
    assert DELAYS[0] == 0
    assert timedelta(days=3) < timedelta(seconds=sum(DELAYS)) < timedelta(days=4)
    assert all(earlier < later for earlier, later in pairwise(DELAYS))


def test_a_delivery_is_dead_after_the_last_try_and_done_after_a_good_one() -> None:
    assert following(len(DELAYS), "server_error", None, 0.5) == Next("dead")
    assert following(len(DELAYS), "delivered", None, 0.5) == Next("delivered")
    assert following(1, "gone", None, 0.5) == Next("dead")


@given(tries=st.integers(1, len(DELAYS) - 1), chance=st.floats(0, 1))
def test_delays_grow_and_are_spread_by_a_fifth(tries: int, chance: float) -> None:
    status, delay = following(tries, "timeout", None, chance)
    assert status == "pending"
    assert DELAYS[tries] * (1 - JITTER) <= delay <= DELAYS[tries] * (1 + JITTER)


@given(tries=st.integers(1, len(DELAYS) - 1), chance=st.floats(0, 1), asked=st.floats(0, 1e9))
def test_nobody_is_asked_again_before_the_time_they_said_within_bounds(tries: int, chance: float, asked: float) -> None:
    _, delay = following(tries, "client_error", asked, chance)
    assert delay >= min(asked, MAX_RETRY_AFTER)
    assert delay <= MAX_RETRY_AFTER * (1 + JITTER)


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        (None, None),
        ("7", 7),
        (" 120 ", 120),
        ("Sun, 01 Mar 2026 10:01:00 GMT", 60),
        ("Sun, 01 Mar 2026 09:00:00 GMT", 0),
        ("soon", None),
        ("-1", None),
        ("1.5", None),
        ("9" * 400, None),
        ("٣", None),
        ("", None),
    ],
)
def test_a_retry_after_has_seconds_or_a_date(header: str | None, seconds: float | None) -> None:
    assert retry_after(header, NOW) == seconds


def test_only_a_2xx_is_a_delivery() -> None:
    assert [of_status(status) for status in (200, 299, 300, 301, 400, 410, 429, 500, 599)] == [
        "delivered", "delivered", "redirect", "redirect", "client_error", "gone", "client_error", "server_error", "server_error",
    ]  # fmt: skip
