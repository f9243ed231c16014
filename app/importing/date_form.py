"""Dates and times as people write them.

``2026-03-01``, ``2026-03-01 10:00``, ``2026-03-01T10:00:00.000Z``, ``3/1/2026 9:15 AM``, ``01.03.2026``, ``1 Mar 2026``, and the
serial numbers of spreadsheets.
"""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, time, timedelta, timezone, tzinfo
from functools import lru_cache
from typing import Any, Literal, NamedTuple

Order = Literal["ymd", "mdy", "dmy"]
SERIAL_START = datetime(1899, 12, 30)  # noqa: DTZ001 - a spreadsheet's days have no zone
SERIALS = range(20_000, 80_000)
"""Serial numbers of the years 1954 to 2119: what is outside is no date."""

_TIME = (
    r"(?:[T ,]+(?P<hour>\d{1,2}):(?P<minute>\d\d)(?::(?P<second>\d\d)(?:[.,](?P<fraction>\d{1,9}))?)?"
    r"\s*(?P<half>[AaPp]\.?[Mm]\.?)?\s*(?P<zone>Z|UTC|GMT|[+-]\d\d:?\d\d)?)?"
)
_YEAR_FIRST = re.compile(r"(?P<y>\d{4})[-/.](?P<m>\d{1,2})[-/.](?P<d>\d{1,2})" + _TIME, re.ASCII)
_COMPACT = re.compile(r"(?P<y>(?:19|20)\d\d)(?P<m>\d\d)(?P<d>\d\d)" + _TIME, re.ASCII)
NUMBERS = re.compile(r"(?P<a>\d{1,2})[-/.] ?(?P<b>\d{1,2})[-/.] ?(?P<y>\d{4}|\d\d)" + _TIME, re.ASCII)
_DAY_NAME = re.compile(r"(?P<d>\d{1,2})\.?[- ](?P<name>[A-Za-z]{3,9})\.?[-, ]+(?P<y>\d{4}|\d\d)" + _TIME, re.ASCII)
_NAME_DAY = re.compile(r"(?P<name>[A-Za-z]{3,9})\.? (?P<d>\d{1,2}),? (?P<y>\d{4})" + _TIME, re.ASCII)
SERIAL = re.compile(r"\d{5}(?:[.,]\d+)?", re.ASCII)
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
MAX_LENGTH = 48


class Moment(NamedTuple):
    """An instant in UTC, and the day that the cell names. ``exact`` if the cell has a time of day."""

    instant: datetime
    day: date
    exact: bool


def moment(cell: Any, order: Order, zone: tzinfo, *, serials: bool = False) -> Moment | None:
    """The instant in a cell of any kind; None if there is none in it. A day without time begins in ``zone`` at midnight."""
    if isinstance(cell, datetime):
        return _in_zone(cell, zone, exact=cell.time() != time())
    if isinstance(cell, date):
        return _in_zone(datetime.combine(cell, time()), zone, exact=False)
    if isinstance(cell, int | float) and not isinstance(cell, bool):
        return _serial(float(cell), zone)
    if not isinstance(cell, str) or len(text := cell.strip()) > MAX_LENGTH:
        return None
    return _read(text, order, zone, serials)


@lru_cache(maxsize=20_000)
def _read(text: str, order: Order, zone: tzinfo, serials: bool) -> Moment | None:
    found = _YEAR_FIRST.fullmatch(text) or _COMPACT.fullmatch(text)
    if found:
        return _moment(found, int(found["y"]), int(found["m"]), int(found["d"]), zone)
    if found := NUMBERS.fullmatch(text):
        first, second = int(found["a"]), int(found["b"])
        month, day = (second, first) if first > 12 or (order == "dmy" and second <= 12) else (first, second)
        return _moment(found, _year(found["y"]), month, day, zone)
    if (found := _DAY_NAME.fullmatch(text) or _NAME_DAY.fullmatch(text)) and (name := found["name"].lower()[:3]) in _MONTHS:
        return _moment(found, _year(found["y"]), _MONTHS.index(name) + 1, int(found["d"]), zone)
    if serials and SERIAL.fullmatch(text):
        return _serial(float(text.replace(",", ".")), zone)
    return None


def _year(text: str) -> int:
    """Of two digits one from 1970 to 2069."""
    year = int(text)
    return year if len(text) == 4 else year + (2000 if year < 70 else 1900)


def _moment(found: re.Match[str], year: int, month: int, day: int, zone: tzinfo) -> Moment | None:
    try:
        if found["hour"] is None:
            return _in_zone(datetime(year, month, day), zone, exact=False)  # noqa: DTZ001 - it gets its zone there
        hour = int(found["hour"])
        if found["half"]:
            if not 1 <= hour <= 12:
                return None
            hour = hour % 12 + (12 if found["half"][0] in "Pp" else 0)
        microsecond = int((found["fraction"] or "0").ljust(6, "0")[:6])
        at = datetime(
            year, month, day, hour, int(found["minute"]), int(found["second"] or 0), microsecond, _zone(found["zone"], zone)
        )
    except (ValueError, OverflowError):
        return None
    return _in_zone(at, zone, exact=True)


def _zone(text: str | None, zone: tzinfo) -> tzinfo:
    if text is None:
        return zone
    if text[0] not in "+-":
        return UTC
    offset = timedelta(hours=int(text[1:3]), minutes=int(text[-2:]))
    return timezone(-offset if text[0] == "-" else offset)


def _serial(number: float, zone: tzinfo) -> Moment | None:
    if int(number) not in SERIALS:
        return None
    seconds = round((number - int(number)) * 86_400)
    return _in_zone(SERIAL_START + timedelta(days=int(number), seconds=seconds), zone, exact=seconds != 0)


def _in_zone(at: datetime, zone: tzinfo, *, exact: bool) -> Moment | None:
    try:
        instant = (at if at.tzinfo else at.replace(tzinfo=zone)).astimezone(UTC)
    except (OverflowError, ValueError):
        return None
    return Moment(instant, at.date(), exact)
