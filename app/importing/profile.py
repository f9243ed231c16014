"""What the columns of a file hold, learnt in one pass: samples, numbers or dates and how they are written, distinct texts, and the
lines below the table that are no rows of it."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from datetime import date, datetime
from itertools import islice
from typing import Any, Literal

from msgspec import Struct

from app.importing.date_form import Order
from app.importing.date_orders import Orders
from app.importing.decimal_marks import Marks
from app.importing.number_form import Mark
from app.importing.separated import Row
from app.importing.table import Table

Holds = Literal["text", "number", "date", "truth", "nothing"]
SAMPLES = 5
DISTINCT, DISTINCT_SIZE = 1_000, 50_000
"""Distinct texts that are counted, and characters of them; a column with more is no list of stages, owners or currencies."""
SAMPLE_SIZE = 100
LOOKED_AT = 5_000
"""Rows of which every cell is looked at; of later ones every twentieth."""
FOOTER = 12
"""Rows at the end among which what is no row is looked for."""
_TOTAL = re.compile(r"(grand |sub)?totals?|sum|summe|gesamt(summe)?|total général|totale|totaal|итого|count", re.IGNORECASE)
_TRUTHS = {"true", "false", "yes", "no", "ja", "nein", "oui", "non", "0", "1"}


class Column(Struct, frozen=True):
    """``distinct`` are its texts with their numbers; None if there are too many."""

    name: str
    holds: Holds
    filled: int
    samples: tuple[str, ...]
    distinct: dict[str, int] | None


class Profile(Struct, frozen=True):
    """``rows`` are those before ``footer_line``, from which on there are none; None if rows go to the end."""

    rows: int
    columns: tuple[Column, ...]
    footer_line: int | None
    mark: Mark | None
    order: Order | None
    ambiguous_dates: bool


class _Seen:
    def __init__(self, name: str) -> None:
        self.name = name
        self.filled = self.truths = 0
        self.marks, self.orders = Marks(), Orders()
        self.distinct: dict[str, int] | None = {}
        self.size = 0

    def see(self, cell: Any, *, closely: bool) -> None:
        self.filled += 1
        value = text_of(cell)
        if self.distinct is not None:
            self._count(value, self.distinct)
        if closely:
            self.truths += isinstance(cell, bool) or value.lower() in _TRUTHS
            self.orders.see(cell)
            if not isinstance(cell, date):
                self.marks.see(value)

    def _count(self, value: str, distinct: dict[str, int]) -> None:
        if value in distinct:
            distinct[value] += 1
            return
        distinct[value] = 1
        self.size += len(value)
        if len(distinct) > DISTINCT or self.size > DISTINCT_SIZE:
            self.samples = _samples(distinct)
            self.distinct = None

    def column(self) -> Column:
        samples = _samples(self.distinct) if self.distinct is not None else self.samples
        return Column(self.name, self._holds(), self.filled, samples, self.distinct)

    def _holds(self) -> Holds:
        looked_at = (
            self.marks.numbers + self.marks.others + (self.orders.dates if not self.marks.numbers + self.marks.others else 0)
        )
        if not self.filled or not looked_at:
            return "nothing"
        if self.orders.dates > 0.8 * looked_at:
            return "date"
        if self.truths > 0.95 * looked_at:
            return "truth"
        return "number" if self.marks.numbers > 0.8 * looked_at else "text"


def _samples(texts: Iterable[str]) -> tuple[str, ...]:
    return tuple(text[:SAMPLE_SIZE] for text in islice(texts, SAMPLES))


def profile(table: Table) -> Profile:
    seen = [_Seen(name) for name in table.columns]
    rows = 0
    held, footer = split_footer(table.rows(), len(table.columns))
    for row in held:
        rows += 1
        closely = rows <= LOOKED_AT or rows % 20 == 0
        for one, cell in zip(seen, row.cells, strict=False):
            if cell not in ("", None):
                one.see(cell, closely=closely)
    columns = tuple(one.column() for one in seen)
    dates = [one.orders for one, column in zip(seen, columns, strict=True) if column.holds == "date"]
    numbers = [one.marks for one, column in zip(seen, columns, strict=True) if column.holds == "number"]
    return Profile(
        rows=rows,
        columns=columns,
        footer_line=footer[0].line if footer else None,
        mark=_mark(numbers),
        order=_order(dates),
        ambiguous_dates=any(one.unordered and (_order(dates) is None or (one.dmy and one.mdy)) for one in dates),
    )


def _mark(columns: Sequence[Marks]) -> Mark | None:
    comma, point = sum(one.comma for one in columns), sum(one.point for one in columns)
    return None if comma == point else "," if comma > point else "."


def _order(columns: Sequence[Orders]) -> Order | None:
    dmy, mdy = sum(one.dmy for one in columns), sum(one.mdy for one in columns)
    return None if dmy == mdy else "dmy" if dmy > mdy else "mdy"


def split_footer(rows: Iterator[Row], width: int) -> tuple[Iterator[Row], list[Row]]:
    """The rows, and a list that has those at the end which are none of the table once all rows were read: totals, and remarks in
    one cell of several columns."""
    footer: list[Row] = []

    def kept() -> Iterator[Row]:
        last: deque[Row] = deque()
        for row in rows:
            last.append(row)
            if len(last) > FOOTER:
                yield last.popleft()
        while last and _is_footer(last[-1], width):
            footer.insert(0, last.pop())
        yield from last

    return kept(), footer


def _is_footer(row: Row, width: int) -> bool:
    texts = [text_of(cell) for cell in row.cells if cell not in ("", None)]
    if width >= 3 and len(texts) == 1:
        return True
    return bool(texts) and len(texts) <= width * 2 / 3 and _TOTAL.fullmatch(texts[0].rstrip(": ")) is not None


def text_of(cell: Any) -> str:
    """A cell as text, without space around it."""
    if isinstance(cell, str):
        return cell.strip()
    if isinstance(cell, float):
        return f"{cell:.15g}"
    if isinstance(cell, datetime):
        return cell.isoformat(" ")
    return "" if cell is None else str(cell)
