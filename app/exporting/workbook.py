"""XLSX with typed cells and a header that stays in sight, written as a stream.

xlsxwriter makes the workbook with its header and styles. A worksheet's rows it would keep until all are there; so ours go into its
archive as they come, as it would have written them.
"""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, date, datetime
from functools import partial
from typing import Any, Protocol
from xml.sax.saxutils import escape

import xlsxwriter

from app.exporting.sheets import Column, Type

MAX_ROWS = 1_048_575
"""Of a sheet, beside its header."""
MAX_CELLS = 30_000_000
"""So that a sheet stays within the two gigabytes that every reader of ZIP archives knows."""
MAX_COLUMNS = 16_384
MAX_TEXT = 32_767
"""Characters of a cell."""
EXACT_DIGITS = 15
"""Of the numbers that a spreadsheet can have."""
SHEET = "xl/worksheets/sheet1.xml"
_EPOCH = datetime(1899, 12, 30, tzinfo=UTC)
_DAY_ONE = date(1900, 3, 1)
"""Before it, Excel's days are off by one, and then there are none."""
_SAMPLE = re.compile(rb'(.*)<row r="2"[^>]*><c [^>]*s="(\d+)">.*?<c [^>]*s="(\d+)">.*?</row>(.*)', re.DOTALL)
"""A sheet with a header and a row of a date and an instant."""
_DIMENSION = re.compile(rb"<dimension [^>]*/>")
_UNWRITABLE = re.compile("[\x00-\x08\x0b-\x1f\ufffe\uffff\ud800-\udfff]|_x[0-9a-fA-F]{4}_")


class Table(Protocol):
    """The header, of which the ``custom`` columns come last, and an item's cells."""

    @property
    def names(self) -> Sequence[str]: ...

    @property
    def columns(self) -> Sequence[Column]: ...

    @property
    def custom(self) -> Sequence[str]: ...

    def cells(self, item: bytes) -> list[Any]: ...


class Workbook:
    media_type = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"

    def __init__(self, sheet: Table, title: str) -> None:
        self._sheet = sheet
        self._letters = [_letters(number) for number in range(1, len(sheet.names) + 1)]
        types: list[Type] = [one.type for one in sheet.columns]
        self._pieces = _Pieces()
        self._archive = zipfile.ZipFile(self._pieces, "w", zipfile.ZIP_DEFLATED, compresslevel=1)
        head, styles, self._tail = _empty(sheet, title, self._archive)
        writers: dict[Type, Callable[[str, Any], str]] = {
            "whole": _number, "money": _money, "date": partial(_date, styles[0]), "instant": partial(_instant, styles[1]),
        }  # fmt: skip
        self._writers = [writers.get(one, _text) for one in types] + [_any] * len(sheet.custom)
        self._entry = self._archive.open(_entry(), "w")
        self._entry.write(head)
        self._row = 1

    def begin(self) -> bytes:
        return self._pieces.taken()

    def rows(self, items: Iterable[bytes]) -> bytes:
        self._entry.write("".join([self._line(self._sheet.cells(item)) for item in items]).encode("utf-8", "replace"))
        return self._pieces.taken()

    def end(self) -> bytes:
        self._entry.write(self._tail)
        self._entry.close()
        self._archive.close()
        return self._pieces.taken()

    def _line(self, cells: list[Any]) -> str:
        self._row += 1
        row = str(self._row)
        written = [
            write(letters + row, cell)
            for letters, write, cell in zip(self._letters, self._writers, cells, strict=True)
            if cell is not None
        ]
        return f'<row r="{row}">{"".join(written)}</row>'


class _Pieces(io.RawIOBase):
    """What an archive writes, until it is taken. It cannot be sought, so the archive says the size of an entry after it."""

    def __init__(self) -> None:
        self._written: list[bytes] = []

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self._written.append(bytes(data))
        return len(data)

    def taken(self) -> bytes:
        data = b"".join(self._written)
        self._written.clear()
        return data


def _empty(sheet: Table, title: str, archive: zipfile.ZipFile) -> tuple[bytes, tuple[str, str], bytes]:
    """Write all of a workbook with nothing but a header into an archive, but for its sheet: what of this comes before the rows, the
    styles of dates and instants, and what comes after the rows."""
    file = io.BytesIO()
    workbook = xlsxwriter.Workbook(file, {"in_memory": True})
    page = workbook.add_worksheet(title)
    page.freeze_panes(1, 0)
    bold = workbook.add_format({"bold": True})
    for number, name in enumerate(sheet.names):
        page.write_string(0, number, name, bold)
    for number, form in enumerate(("yyyy-mm-dd", "yyyy-mm-dd hh:mm:ss")):
        page.write_number(1, number, 1, workbook.add_format({"num_format": form}))
    workbook.close()
    with zipfile.ZipFile(file) as made:
        for name in made.namelist():
            if name != SHEET:
                archive.writestr(name, made.read(name))
        found = _SAMPLE.fullmatch(made.read(SHEET))
    assert found is not None
    head, day, instant, tail = found.groups()
    return _DIMENSION.sub(b"", head), (day.decode(), instant.decode()), tail


def _entry() -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo(SHEET)
    entry.compress_type = zipfile.ZIP_DEFLATED
    return entry


def _letters(number: int) -> str:
    letters = ""
    while number:
        number, rest = divmod(number - 1, 26)
        letters = chr(65 + rest) + letters
    return letters


def _text(place: str, cell: Any) -> str:
    text = str(cell)
    if len(text) > MAX_TEXT:
        text = text[: MAX_TEXT - 1] + "…"
    text = escape(_UNWRITABLE.sub(_written, text))
    return f'<c r="{place}" t="inlineStr"><is><t xml:space="preserve">{text}</t></is></c>'


def _written(match: re.Match[str]) -> str:
    """What XML cannot have, as Excel writes it; a text that looks like it, so that it stays."""
    found = match[0]
    return f"_x005F{found}" if len(found) > 1 else f"_x{ord(found):04X}_"


def _number(place: str, cell: Any) -> str:
    return f'<c r="{place}"><v>{cell}</v></c>'


def _money(place: str, cell: str) -> str:
    """A number; as text what a spreadsheet's numbers would round."""
    digits = cell.replace(".", "").lstrip("0")
    return _number(place, cell) if len(digits) <= EXACT_DIGITS else _text(place, cell)


def _date(style: str, place: str, cell: str) -> str:
    day = date.fromisoformat(cell)
    if day < _DAY_ONE:
        return _text(place, cell)
    return f'<c r="{place}" s="{style}"><v>{(day - _EPOCH.date()).days}</v></c>'


def _instant(style: str, place: str, cell: str) -> str:
    at = datetime.fromisoformat(cell)
    return f'<c r="{place}" s="{style}"><v>{(at - _EPOCH).total_seconds() / 86_400:.11f}</v></c>'


def _any(place: str, cell: Any) -> str:
    if isinstance(cell, bool):
        return f'<c r="{place}" t="b"><v>{cell:d}</v></c>'
    if isinstance(cell, int | float):
        digits = repr(cell).lstrip("-").replace(".", "").lstrip("0")
        return _number(place, repr(cell)) if len(digits) <= EXACT_DIGITS + 2 or isinstance(cell, float) else _text(place, cell)
    return _text(place, cell)
