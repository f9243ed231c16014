"""What comes after an attempt."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consumers.webhooks.schedule import (
    DELAYS,
    FAILING,
    JITTER,
    MAX_RETRY_AFTER,
    Next,
    following,
    from_status,
    in_words,
    retry_after,
)

NOW = datetime(2026, 3, 1, 10, tzinfo=UTC)


def test_the_first_try_is_at_once_and_the_last_after_three_days() -> None:
    assert list(DELAYS) == [0, 5, 300, 1_800, 7_200, 18_000, 36_000, 50_400, 72_000, 86_400]
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
        ("Sun, 01 Mar 2026 12:01:00 +0200", 60),
        ("Sun, 01 Mar 2026 10:01:00 -0000", 60),
        ("9" * 9, 999_999_999),
        ("9" * 10, None),
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
    assert [from_status(status) for status in (200, 299, 300, 301, 400, 410, 429, 500, 599)] == [
        "delivered", "delivered", "redirect", "redirect", "client_error", "gone", "client_error", "server_error", "server_error",
    ]  # fmt: skip


def test_chance_spreads_the_next_attempts_around_their_time_and_behind_one_that_was_asked_for() -> None:
    assert [following(1, "timeout", None, chance).delay for chance in (0, 0.5, 1)] == [4, 5, 6]
    assert [following(1, "timeout", 100, chance).delay for chance in (0, 0.5, 1)] == pytest.approx([100, 110, 120])
    assert following(1, "timeout", 10**6, 0).delay == 86_400


@pytest.mark.parametrize(
    ("status", "outcome"),
    [
        (199, "server_error"), (200, "delivered"), (299, "delivered"), (300, "redirect"), (399, "redirect"), (400, "client_error"),
        (409, "client_error"), (411, "client_error"), (499, "client_error"), (500, "server_error"),
    ],
)  # fmt: skip
def test_a_status_is_judged_by_its_hundred(status: int, outcome: str) -> None:
    assert from_status(status) == outcome


def test_an_endpoint_may_fail_for_five_days() -> None:
    assert timedelta(days=5) == FAILING


def test_the_delays_are_told_as_people_say_them() -> None:
    assert in_words() == "5 s, 5 min, 30 min, 2 h, 5 h, 10 h, 14 h, 20 h and 24 h"
