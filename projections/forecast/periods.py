"""The events between two instants in as few parts as the sums of the forecast have: whole months, whole days, and the rest."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from typing import Any, NamedTuple

Params = dict[str, Any]


class Days(NamedTuple):
    """SQL conditions that hold for the same days: on the ``period`` of sums, and on ``occurred_at`` in the ledger."""

    periods: str
    instants: str


class Events(NamedTuple):
    """SQL conditions on rows ``b`` that together hold for each event once: on the ``period`` of sums by month, for whole days, and
    on ``occurred_at`` in the ledger."""

    months: list[str]
    days: list[Days]
    instants: list[str]
    params: Params


def events(name: str, after: datetime | None, until: datetime | None) -> Events:
    """The events after one instant, up to and including another; None has no end. Parameters begin with ``name``."""
    found = Events([], [], [], {})
    first, last = after and utc(after).date(), until and utc(until).date()
    if after:
        found.params[f"{name}_after"] = after
    if until:
        found.params[f"{name}_until"] = until
    if first and first == last:
        found.instants.append(f"b.occurred_at > %({name}_after)s::timestamptz AND b.occurred_at <= %({name}_until)s::timestamptz")
        return found
    if first:
        later = ""
        if first < date.max:
            found.params[f"{name}_midnight"] = datetime.combine(first + timedelta(days=1), time(), UTC)
            later = f" AND b.occurred_at < %({name}_midnight)s::timestamptz"
        found.instants.append(f"b.occurred_at > %({name}_after)s::timestamptz{later}")
    if last:
        found.params[f"{name}_last"] = datetime.combine(last, time(), UTC)
        found.instants.append(f"b.occurred_at >= %({name}_last)s::timestamptz AND b.occurred_at <= %({name}_until)s::timestamptz")
    _whole(found, name, (first + timedelta(days=1) if first < date.max else date.max) if first else None, last)
    return found


def _whole(found: Events, name: str, start: date | None, end: date | None) -> None:
    """The days from ``start`` to before ``end``: whole months as such."""
    months_start = start and (start if start.day == 1 else following(start))
    months_end = end and end.replace(day=1)
    if start and end and months_start and months_end and months_start > months_end:
        found.days.extend(_days(found.params, f"{name}_days", start, end))
        return
    if start and months_start:
        found.days.extend(_days(found.params, f"{name}_head", start, months_start))
    if months_start is None or months_end is None or months_start < months_end:
        found.months.append(_between("b.period", "date", found.params, f"{name}_months", months_start, months_end))
    if end and months_end:
        found.days.extend(_days(found.params, f"{name}_tail", months_end, end))


def _days(params: Params, name: str, start: date, end: date) -> Iterator[Days]:
    if start < end:
        instants = (datetime.combine(day, time(), UTC) for day in (start, end))
        yield Days(
            _between("b.period", "date", params, name, start, end),
            _between("b.occurred_at", "timestamptz", params, f"{name}_at", *instants),
        )


def _between(column: str, type_: str, params: Params, name: str, start: date | None, end: date | None) -> str:
    """SQL for a range without its end; without an end it is infinity."""
    terms = [f"{column} < 'infinity'"] if end is None else [f"{column} < %({name}_to)s::{type_}"]
    if start:
        params[f"{name}_from"] = start
        terms.append(f"{column} >= %({name}_from)s::{type_}")
    if end:
        params[f"{name}_to"] = end
    return " AND ".join(terms)


def utc(at: datetime) -> datetime:
    return at.astimezone(UTC)


def following(day: date) -> date:
    """The first day of the next month; for the last possible month, its last day."""
    first = day.replace(day=1)
    return date.max if first == date.max.replace(day=1) else (first + timedelta(days=31)).replace(day=1)
