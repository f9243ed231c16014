"""Sheets of XLSX files. A workbook is unpacked in memory, so how much it holds is looked at before it is opened."""

from __future__ import annotations

import re
import zipfile
from collections.abc import Iterator
from datetime import date, datetime, time, timedelta
from typing import Any, BinaryIO

from python_calamine import CalamineError, CalamineSheet, CalamineWorkbook, PasswordError, SheetVisibleEnum

from app.importing.faults import MAX_CELL, MAX_COLUMNS, Unreadable
from app.importing.separated import Row

MAX_UNPACKED = 512 * 1024**2
"""Bytes of a workbook once it is unpacked."""
MAX_CELLS = 10_000_000
"""Cells of the rectangle that a sheet fills: empty ones take memory too."""
MAX_ENTRIES = 5_000
_BLOCK = 1024 * 1024
_PLACED = re.compile(rb"""<(?:\w+:)?(c|row)(?=[\s/>])(?:[^>]*?\sr=["']([A-Z]{0,3})([0-9]{1,7})["'])?""")
INSTEAD = "Save the sheet as CSV, which may be larger."


def sheet_names(file: BinaryIO) -> list[str]:
    """The visible sheets. Raises ``Unreadable`` for what is no workbook, or one too large to be opened."""
    _check(file)
    with _open(file) as workbook:
        names = [one.name for one in workbook.sheets_metadata if one.visible == SheetVisibleEnum.Visible]
    if not names:
        raise Unreadable("The workbook has no visible sheet.")
    return names


def rows(file: BinaryIO, sheet: str) -> Iterator[Row]:
    """The rows that have any value. Call ``sheet_names`` first. Of a formula the value that it had when the file was saved."""
    with _open(file) as workbook:
        if sheet not in workbook.sheet_names:
            raise Unreadable(f"There is no sheet {sheet[:60]!r}; there are {', '.join(workbook.sheet_names[:20])}.")
        table = workbook.get_sheet_by_name(sheet)
        for number, cells in enumerate(_rows(table), 1):
            values = [_value(cell, number, column) for column, cell in enumerate(cells, 1)]
            if any(value not in ("", None) for value in values):
                yield Row(number, values)


def _rows(table: CalamineSheet) -> Iterator[list[Any]]:
    """All rows from the first one of the sheet on, and all columns. Of merged cells the first has the value."""
    if table.start is not None:
        missing = [""] * table.start[1]
        for cells in table.iter_rows():
            yield missing + list(cells)


def _value(cell: Any, line: int, column: int) -> Any:
    if isinstance(cell, str):
        if len(cell) > MAX_CELL:
            raise Unreadable(f"This cell has {len(cell)} characters; a cell has at most {MAX_CELL}.", line, str(column))
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
        raise Unreadable(f"This is no workbook that can be read ({error}): save it as XLSX again, or as CSV.") from None


def _check(file: BinaryIO) -> None:
    """Raises ``Unreadable`` unless the workbook fits into memory, whatever it says of itself."""
    file.seek(0)
    try:
        with zipfile.ZipFile(file) as archive:
            entries = archive.infolist()
            if len(entries) > MAX_ENTRIES or sum(entry.file_size for entry in entries) > MAX_UNPACKED:
                raise Unreadable(f"Unpacked, the workbook has more than {MAX_UNPACKED // 1024**2} MB. {INSTEAD}")
            for entry in entries:
                _check_entry(archive, entry)
    except (zipfile.BadZipFile, zipfile.LargeZipFile, NotImplementedError, RuntimeError, EOFError, OSError) as error:
        raise Unreadable(f"This is no workbook that can be read ({error}): save it as XLSX again, or as CSV.") from None
    except Exception as error:
        if isinstance(error, Unreadable):
            raise
        raise Unreadable("This is no workbook that can be read: save it as XLSX again, or as CSV.") from error


def _check_entry(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> None:
    """Unpack an entry: its checksum shows that it is as large as it says. Of a sheet, how large a rectangle it fills."""
    extent = _Extent() if entry.filename.lower().startswith("xl/worksheets/") else None
    tail = b""
    with archive.open(entry) as unpacked:
        while block := unpacked.read(_BLOCK):
            if extent is not None:
                text = tail + block
                # A tag that is cut off comes again with the next block.
                end = max(text.rfind(b"<"), 0) if len(block) == _BLOCK else len(text)
                extent.see(text[:end])
                tail = text[end:][:_BLOCK]


class _Extent:
    """The rectangle of a sheet's cells, as far as its text was seen. A cell may say where it is, or be the next one."""

    def __init__(self) -> None:
        self._row = self._column = self._height = self._width = self._cells = 0

    def see(self, text: bytes) -> None:
        """Raises ``Unreadable`` if the rectangle is too large."""
        for kind, letters, digits in _PLACED.findall(text):
            if kind == b"row":
                self._row, self._column = int(digits or self._row + 1), 0
                continue
            self._cells += 1
            self._row = int(digits or self._row)
            self._column = _number(letters) if letters else self._column + 1
            self._height, self._width = max(self._height, self._row), max(self._width, self._column)
        if self._width > MAX_COLUMNS:
            raise Unreadable(f"The sheet has {self._width} columns; a file has at most {MAX_COLUMNS}.")
        if max(self._cells, self._height * self._width) > MAX_CELLS:
            raise Unreadable(f"The sheet fills more than {MAX_CELLS:,} cells. {INSTEAD}")


def _number(letters: bytes) -> int:
    number = 0
    for letter in letters:
        number = number * 26 + letter - 64
    return number
