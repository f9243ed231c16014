"""Text files with separated values: which character separates them, and the records with the lines at which they begin."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import Any, NamedTuple, TypeVar

from app.importing.faults import EMPTY, MAX_CELL, MAX_COLUMNS, MAX_ROW, Unreadable

T = TypeVar("T")
SEPARATORS = (",", ";", "\t", "|")
LOOKED_AT, LOOKED_AT_SIZE = 200, 1024 * 1024
"""Lines from which the separator is told, and characters of them."""
NUL = "This cell contains the NUL character, as no text has: remove it, or say the encoding if it is another, such as utf-16-le."


class Row(NamedTuple):
    line: int
    cells: list[Any]
    """Texts; of a spreadsheet or of NDJSON also numbers, dates and truth values. None and "" are empty."""

    def size(self) -> int:
        """Its characters."""
        return sum(len(cell) for cell in self.cells if cell.__class__ is str)


def separator(lines: Iterable[str]) -> str:
    """The character that separates the values of most records into equally many. Raises ``Unreadable`` if there is no record."""
    head = list(islice(up_to(LOOKED_AT_SIZE, lines, len), LOOKED_AT))
    if head and (named := _named(head[0])):
        return named
    if not any(line.strip("\r\n\ufeff ") for line in head):
        raise Unreadable(EMPTY)
    return max(SEPARATORS, key=lambda one: (_agreement(head, one), -SEPARATORS.index(one)))


def up_to(size: int, items: Iterable[T], size_of: Callable[[T], int]) -> Iterator[T]:
    """The items until together they have this size; one at least, if there is one."""
    for item in items:
        yield item
        size -= size_of(item)
        if size <= 0:
            return


def _named(line: str) -> str | None:
    """``sep=;``, with which spreadsheets begin a file."""
    text = line.strip("\r\n\ufeff")
    return text[4] if text.lower().startswith("sep=") and len(text) == 5 else None


def _agreement(head: Sequence[str], separator: str) -> float:
    """How much speaks for a separator: the share of records with the commonest number of values, if that is more than one."""
    widths: Counter[int] = Counter()
    try:
        for record in csv.reader(head, delimiter=separator):
            if any(record):
                widths[len(record)] += 1
    except csv.Error:
        pass
    several = {width: number for width, number in widths.items() if width > 1}
    if not several:
        return 0.0
    width = max(several, key=lambda one: (several[one], one))
    return several[width] / widths.total() + min(width, MAX_COLUMNS) / (10 * MAX_COLUMNS)


def rows(lines: Iterable[str], separator: str) -> Iterator[Row]:
    """The records that have any value. Raises ``Unreadable`` with the line and column from which there are none."""
    counted = _Counted(lines)
    reader = csv.reader(counted, delimiter=separator, strict=True)
    while True:
        begins = counted.number + 1
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            raise Unreadable(_explained(str(error), begins, counted.number), begins) from None
        if begins == 1 and cells:
            cells[0] = cells[0].removeprefix("\ufeff")
            if len(cells) <= 2 and _named(separator.join(cells)):
                continue
        if len(cells) > MAX_COLUMNS:
            raise Unreadable(f"This row has {len(cells)} columns; a file has at most {MAX_COLUMNS}: leave some out.", begins)
        if any(cells):
            _check(cells, begins)
            yield Row(begins, cells)


def _check(cells: list[str], line: int) -> None:
    whole = "".join(cells)
    if len(whole) <= MAX_CELL and "\0" not in whole:  # as nearly all are
        return
    if len(whole) > MAX_ROW:
        raise Unreadable(f"This row has {len(whole)} characters; a row has at most {MAX_ROW}: shorten it.", line)
    for number, cell in enumerate(cells, 1):
        if len(cell) > MAX_CELL:
            raise Unreadable(f"This cell has {len(cell)} characters; a cell has at most {MAX_CELL}: shorten it.", line, str(number))
        if "\0" in cell:
            raise Unreadable(NUL, line, str(number))


class _Counted:
    """Lines, with the number of the last one that was read."""

    def __init__(self, lines: Iterable[str]) -> None:
        self._lines = iter(lines)
        self.number = 0

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        line = next(self._lines)
        self.number += 1
        return line


def _explained(reason: str, begins: int, now: int) -> str:
    if "field larger" in reason or "unexpected end" in reason:
        return f"A quote that this row opens is not closed by line {now}: double the quotes inside a cell, or remove this one."
    if "expected after" in reason:
        return f"After a closing quote (line {now}) there is more before the next separator: double the quotes inside a cell."
    if "line contains NUL" in reason:
        return NUL
    return f"This row cannot be read: {reason}."
