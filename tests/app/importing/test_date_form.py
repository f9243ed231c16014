"""Dates as people write them; which number is the day is told by the column."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.importing.date_form import Order, moment
from app.importing.date_orders import Orders


@pytest.mark.parametrize(
    ("cell", "order", "instant"),
    [
        ("2026-03-01", "mdy", "2026-03-01T00:00:00"),
        ("2026-03-01 10:30", "mdy", "2026-03-01T10:30:00"),
        ("2026-03-01T10:30:15.250Z", "mdy", "2026-03-01T10:30:15.250000"),
        ("2026-03-01T10:30:00+02:00", "mdy", "2026-03-01T08:30:00"),
        ("2026-03-01T10:30:00.000+0000", "mdy", "2026-03-01T10:30:00"),
        ("3/1/2026", "mdy", "2026-03-01T00:00:00"),
        ("3/1/2026", "dmy", "2026-01-03T00:00:00"),
        ("13/1/2026", "mdy", "2026-01-13T00:00:00"),
        ("1/13/2026", "dmy", "2026-01-13T00:00:00"),
        ("01.03.2026", "dmy", "2026-03-01T00:00:00"),
        ("1.3.26 7:05", "dmy", "2026-03-01T07:05:00"),
        ("10/31/2026 9:15 AM", "mdy", "2026-10-31T09:15:00"),
        ("10/31/2026 12:15 am", "mdy", "2026-10-31T00:15:00"),
        ("1 Mar 2026", "mdy", "2026-03-01T00:00:00"),
        ("Mar 1, 2026", "dmy", "2026-03-01T00:00:00"),
        ("01-MAR-69", "dmy", "2069-03-01T00:00:00"),
        ("20260301", "mdy", "2026-03-01T00:00:00"),
        (46082, "mdy", "2026-03-01T00:00:00"),
        (46082.5, "mdy", "2026-03-01T12:00:00"),
        ("46082", "mdy", "2026-03-01T00:00:00"),
        (date(2026, 3, 1), "mdy", "2026-03-01T00:00:00"),
    ],
)
def test_a_date_is_read(cell: Any, order: Order, instant: str) -> None:
    found = moment(cell, order, UTC, serials=True)
    assert found is not None
    assert found.instant == datetime.fromisoformat(instant).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    "cell",
    ["", "soon", "2026-13-01", "31/31/2026", "2026-02-30", "13:00", "3/1", "1/2/3/4", 7, "12", True, "13/1/2026 25:00", "9" * 80],
)
def test_what_is_no_date_is_none(cell: Any) -> None:
    assert moment(cell, "mdy", UTC, serials=True) is None


def test_a_time_without_a_zone_is_in_the_one_of_the_options() -> None:
    berlin = ZoneInfo("Europe/Berlin")
    found = moment("2026-07-01 00:30", "mdy", berlin)
    assert found is not None
    assert (found.instant, found.day, found.exact) == (datetime(2026, 6, 30, 22, 30, tzinfo=UTC), date(2026, 7, 1), True)


@pytest.mark.parametrize(
    ("cells", "order"),
    [
        (["3/13/2026", "1/2/2026"], "mdy"),
        (["13/3/2026", "1/2/2026"], "dmy"),
        (["1/2/2026"], None),
        (["13/3/2026", "3/13/2026", "2026-01-01"], None),
    ],
)
def test_a_column_shows_the_order_of_day_and_month(cells: list[str], order: Order | None) -> None:
    orders = Orders()
    for cell in cells:
        orders.see(cell)
    assert (orders.order, orders.dates) == (order, len(cells))


@given(st.dates(date(1970, 1, 1), date(2069, 12, 31)))
def test_every_day_is_read_back_in_every_form(day: date) -> None:
    forms: list[tuple[str, Order]] = [
        ("%Y-%m-%d", "ymd"),
        ("%m/%d/%Y", "mdy"),
        ("%d.%m.%Y", "dmy"),
        ("%d/%m/%y", "dmy"),
        ("%d %b %Y", "dmy"),
    ]
    for form, order in forms:
        found = moment(day.strftime(form), order, UTC)
        assert found is not None
        assert found.day == day
