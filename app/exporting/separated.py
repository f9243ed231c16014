"""CSV as RFC 4180 has it, in UTF-8, with cells that no spreadsheet runs."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable
from typing import Any

from app.exporting.sheets import Sheet

BOM = b"\xef\xbb\xbf"
"""By which Excel knows that a file is UTF-8."""
_STARTS = frozenset("=+-@\t\r'")
_RUNS = re.compile(r"'*[=+\-@\t\r]")
_NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?", re.ASCII)


def safe(cell: str) -> str:
    """A cell that a spreadsheet would run as a formula, behind an apostrophe. One that looks as if it had been put there gets
    another, so that an import can take one away."""
    if cell[0] in _STARTS and _RUNS.match(cell) and not _NUMBER.fullmatch(cell):
        return f"'{cell}"
    return cell


class Csv:
    """``raw`` leaves cells as they are."""

    media_type = "text/csv; charset=utf-8"

    def __init__(self, sheet: Sheet, *, raw: bool = False, bom: bool = False) -> None:
        self._sheet, self._raw, self._bom = sheet, raw, bom
        self._file = io.StringIO(newline="")
        self._write = csv.writer(self._file).writerows

    def begin(self) -> bytes:
        names = list(self._sheet.names)
        self._write([names if self._raw else [safe(name) for name in names]])
        return (BOM if self._bom else b"") + self._taken()

    def rows(self, items: Iterable[bytes]) -> bytes:
        cells = self._sheet.cells
        self._write([cells(item) for item in items] if self._raw else [_safe(cells(item)) for item in items])
        return self._taken()

    def end(self) -> bytes:
        return b""

    def _taken(self) -> bytes:
        text = self._file.getvalue()
        self._file.seek(0)
        self._file.truncate()
        return text.encode("utf-8", "replace")


def _safe(cells: list[Any]) -> list[Any]:
    for number, cell in enumerate(cells):
        if cell.__class__ is str:
            if cell and cell[0] in _STARTS:
                cells[number] = safe(cell)
        elif cell is True or cell is False:
            cells[number] = "true" if cell else "false"
    return cells
