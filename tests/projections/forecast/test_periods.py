"""Two instants, and the periods between them: together they hold every event once."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st

from projections.forecast.periods import Params, events
from tests.projections.cursors import Cursors

START = datetime(2025, 12, 30, tzinfo=UTC)
instants = st.one_of(st.none(), st.integers(0, 4 * 100).map(lambda quarters: START + timedelta(hours=6 * quarters)))

FIRST, LAST = datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)


@given(after=instants, until=instants)
@example(after=FIRST, until=LAST)
@example(after=None, until=LAST)
@example(after=LAST, until=None)
@example(after=FIRST, until=None)
@example(after=None, until=FIRST)
@example(after=LAST - timedelta(days=40), until=LAST)
def test_every_event_is_in_one_period(cursors: Cursors, after: datetime | None, until: datetime | None) -> None:
    if after and until and until < after:
        after, until = until, after
    found = events("e", after, until)
    times = [START + timedelta(hours=3 * n) for n in range(8 * 110)]
    counted = [
        *_times(cursors, found.months, found.params, "(date_trunc('month', b.occurred_at AT TIME ZONE 'UTC'))::date"),
        *_times(cursors, [days.periods for days in found.days], found.params, "(b.occurred_at AT TIME ZONE 'UTC')::date"),
        *_times(cursors, found.instants, found.params, "NULL::date"),
    ]
    assert sorted(counted) == [at for at in times if (after is None or at > after) and (until is None or at <= until)]
    in_days = _times(cursors, [days.instants for days in found.days], found.params, "NULL::date")
    assert in_days == _times(
        cursors, [days.periods for days in found.days], found.params, "(b.occurred_at AT TIME ZONE 'UTC')::date"
    )


def test_a_long_span_is_a_few_months_and_the_days_beside_them() -> None:
    found = events("e", datetime(2025, 3, 30, 12, tzinfo=UTC), datetime(2026, 6, 3, 12, tzinfo=UTC))
    assert (len(found.months), len(found.days), len(found.instants)) == (1, 2, 2)
    assert {date(2025, 4, 1), date(2026, 6, 1)} <= set(found.params.values())


def _times(cursors: Cursors, conditions: list[str], params: Params, period: str) -> list[datetime]:
    """The instants, every three hours, that a period with one of these conditions holds."""
    times: list[datetime] = []
    for condition in conditions:
        text = f"""
            SELECT b.occurred_at FROM (
                SELECT b.occurred_at, {period} AS period
                FROM generate_series(%(first)s::timestamptz, %(last)s::timestamptz, '3 hours') AS b (occurred_at)
            ) b WHERE {condition}
        """
        values: dict[str, Any] = {"first": START, "last": START + timedelta(hours=2637), **params}
        times += [at.astimezone(UTC) for (at,) in cursors.connection.execute(text.encode(), values)]
    return times
