"""Sheets of XLSX files. A workbook is unpacked in memory, so ``workbook_check`` looks at how much it holds before it is opened."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import date, datetime, time, timedelta
from itertools import chain, repeat
from typing import Any, BinaryIO, NamedTuple

from python_calamine import CalamineError, CalamineSheet, CalamineWorkbook, PasswordError, SheetVisibleEnum

from app.importing import workbook_check
from app.importing.faults import MAX_CELL, MAX_ROW, Unreadable
from app.importing.separated import Row
from app.importing.workbook_check import AGAIN, MAX_ERRORS, NO_VALUE, Errors

WORK_OUT = "open the workbook in a spreadsheet program, save it, and send it again."


class Book(NamedTuple):
    """The names of the visible sheets, and the cells of each that show an error."""

    names: list[str]
    errors: dict[str, Errors]


def look(file: BinaryIO) -> Book:
    """Raises ``Unreadable`` for what is no workbook, or one too large to be opened."""
    errors = workbook_check.check(file)
    with _open(file) as workbook:
        names = [one.name for one in workbook.sheets_metadata if one.visible == SheetVisibleEnum.Visible]
    if not names:
        raise Unreadable("The workbook has no visible sheet.")
    return Book(names, errors)


def rows(file: BinaryIO, sheet: str, book: Book) -> Iterator[Row]:
    """The rows that have any value. Of a formula the value that it had when the file was saved."""
    with _open(file) as workbook:
        if sheet not in workbook.sheet_names:
            raise Unreadable(f"There is no sheet {sheet[:60]!r}; there are {', '.join(workbook.sheet_names[:20])}.")
        table = workbook.get_sheet_by_name(sheet)
        errors = _by_row(book.errors.get(sheet, {}))
        if len(book.errors.get(sheet, {})) > MAX_ERRORS:
            raise Unreadable(f"More than {MAX_ERRORS:,} cells of the sheet show an error, or no value: {WORK_OUT}", min(errors))
        beyond: Iterator[list[Any]] = repeat(
            [], max(0, max(errors, default=0) - (table.total_height if table.start is not None else 0))
        )
        for number, cells in enumerate(chain(_rows(table), beyond), 1):
            values = [_value(cell, number, column) for column, cell in enumerate(cells, 1)]
            if number in errors:
                _show(errors[number], values, number)
            if any(value not in ("", None) for value in values):
                found = Row(number, values)
                if (size := found.size()) > MAX_ROW:
                    raise Unreadable(f"This row has {size} characters; a row has at most {MAX_ROW}: shorten it.", number)
                yield found


def _show(errors: Sequence[tuple[int, str]], values: list[Any], number: int) -> None:
    """Put what cells show into a row. Raises ``Unreadable`` for a formula without a value."""
    for column, shown in errors:
        if shown == NO_VALUE:
            raise Unreadable(f"This cell has a formula and no value: {WORK_OUT}", number, str(column))
        values += [""] * (column - len(values))
        values[column - 1] = shown


def _by_row(errors: Errors) -> dict[int, list[tuple[int, str]]]:
    found: dict[int, list[tuple[int, str]]] = {}
    for (row, column), shown in errors.items():
        found.setdefault(row, []).append((column, shown))
    return found


def _rows(table: CalamineSheet) -> Iterator[list[Any]]:
    """All rows from the first one of the sheet on, and all columns. Of merged cells the first has the value."""
    if table.start is not None:
        missing = [""] * table.start[1]
        for cells in table.iter_rows():
            yield missing + list(cells)


def _value(cell: Any, line: int, column: int) -> Any:
    if isinstance(cell, str):
        if len(cell) > MAX_CELL:
            raise Unreadable(f"This cell has {len(cell)} characters; a cell has at most {MAX_CELL}: shorten it.", line, str(column))
        if "\0" in cell:
            raise Unreadable("This cell contains the NUL character, as no text has: remove it.", line, str(column))
        return cell.replace("\r\n", "\n").replace("_x000D_", "")
    if isinstance(cell, float) and cell.is_integer() and abs(cell) < 1e15:
        return int(cell)
    if isinstance(cell, time | timedelta):
        return str(cell)
    assert isinstance(cell, int | float | date | datetime)
    return cell


def _open(file: BinaryIO) -> CalamineWorkbook:
    file.seek(0)
    try:
        return CalamineWorkbook.from_filelike(file)
    except PasswordError:
        raise Unreadable("The workbook has a password: save it without one.") from None
    except (CalamineError, OSError, ValueError) as error:
        raise Unreadable(f"This is no workbook that can be read ({error}): {AGAIN}") from None
