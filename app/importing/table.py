"""A file as a table, whatever its format: its form (format, encoding, separator, sheet, header row), its columns and its rows."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain, islice
from typing import Any, BinaryIO, Literal

from msgspec import Struct

from app.importing import encoding, json_lines, separated, spreadsheet
from app.importing.faults import EMPTY, MAX_BYTES, MAX_COLUMNS, Unreadable
from app.importing.separated import Row, up_to
from app.importing.text_lines import lines

Format = Literal["csv", "xlsx", "ndjson", "history"]
HEAD_ROWS, HEAD_SIZE = 30, 8 * 1024 * 1024
"""Rows among which the header is looked for, and characters of them."""
_BLOCK = 256 * 1024
_OTHERS = {
    "This is a web page or XML, whatever its name says: save it as XLSX, or as CSV.": re.compile(
        r"<(!doctype|html|head|body|meta|table|\?xml)\b", re.IGNORECASE
    ),
    "This is a JSON array: write an object a line (NDJSON), without brackets and commas between them.": re.compile(r"\[\s*(\{|$)"),
    "This is a PDF: save the table as XLSX, or as CSV.": re.compile(r"%PDF-"),
}
"""By how the first line of a text begins: what it is instead of a table."""


class Form(Struct, frozen=True, omit_defaults=True):
    """``header_row`` is the line or row of the header; 0 in NDJSON, which has none. ``history`` is our own file of events, which is
    no table."""

    format: Format
    encoding: str | None = None
    separator: str | None = None
    sheet: str | None = None
    sheets: tuple[str, ...] = ()
    header_row: int = 0


class Table:
    """The columns of a file and its rows, which are read as they are asked for, again each time."""

    def __init__(self, form: Form, columns: Sequence[str], rows: Callable[[], Iterator[Row]]) -> None:
        self.form = form
        self.columns = tuple(columns)
        self.rows = rows


def blocks(file: BinaryIO) -> Iterator[bytes]:
    """The file from its beginning."""
    file.seek(0)
    while block := file.read(_BLOCK):
        yield block


def understand(file: BinaryIO, given: Form | None = None) -> Table:
    """How the file is to be read; what ``given`` says is not guessed. Raises ``Unreadable``."""
    size = file.seek(0, 2)
    if not size:
        raise Unreadable(EMPTY)
    if size > MAX_BYTES:
        raise Unreadable(f"The file has more than {MAX_BYTES // 1024**3} GB: split it.")
    file.seek(0)
    head = file.read(8)
    if head.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        return _workbook(file, given)
    if head.startswith(b"\xd0\xcf\x11\xe0"):
        raise Unreadable("This is a workbook of Excel 97 to 2003, or one with a password: save it as XLSX.")
    return _text(file, given)


def _workbook(file: BinaryIO, given: Form | None) -> Table:
    book = spreadsheet.look(file)
    sheet = given.sheet if given and given.sheet else book.names[0]

    def read() -> Iterator[Row]:
        return spreadsheet.rows(file, sheet, book)

    header, columns = _header(read(), given)
    form = Form("xlsx", sheet=sheet, sheets=tuple(book.names), header_row=header)
    return Table(form, columns, lambda: _after(read(), header, columns))


def _text(file: BinaryIO, given: Form | None) -> Table:
    name = encoding.require_known(given.encoding) if given and given.encoding else encoding.detect(blocks(file))

    def text() -> Iterator[str]:
        return lines(encoding.decoded(blocks(file), name))

    first = next((stripped for line in text() if (stripped := line.strip("\ufeff \t\r\n"))), "")
    for what, begins in _OTHERS.items():
        if begins.match(first):
            raise Unreadable(what)
    if first.startswith("{") and (given is None or given.format == "ndjson"):
        return _ndjson(text, name)
    separator = given.separator if given and given.separator else separated.separator(text())

    def read() -> Iterator[Row]:
        return separated.rows(text(), separator)

    header, columns = _header(read(), given)
    form = Form("csv", encoding=name, separator=separator, header_row=header)
    return Table(form, columns, lambda: _after(read(), header, columns))


def _ndjson(text: Callable[[], Iterable[str]], name: str) -> Table:
    names: dict[str, None] = {}
    for line, cells in json_lines.records(text()):
        names.update(dict.fromkeys(cells))
        if len(names) > MAX_COLUMNS:
            raise Unreadable(f"The objects have more than {MAX_COLUMNS} different names up to here.", line)
    columns = list(names)

    def read() -> Iterator[Row]:
        return (Row(line, [cells.get(name) for name in columns]) for line, cells in json_lines.records(text()))

    return Table(Form("ndjson", encoding=name), columns, read)


def _header(rows: Iterator[Row], given: Form | None) -> tuple[int, list[str]]:
    """The line of the header and the names in it. Raises ``Unreadable``."""
    head: list[Row] = []
    try:
        head.extend(islice(up_to(HEAD_SIZE, rows, Row.size), HEAD_ROWS))
    except Unreadable as error:
        raise error.in_column_of(_names(_likely(head)) if head else ()) from None
    if not (given and given.header_row):
        if not head:
            raise Unreadable("The file has no row with a value: send one with a header and rows.")
        found: Row | None = _likely(head)
    else:
        found = next((row for row in chain(head, rows) if row.line >= given.header_row), None)
    if found is None or (given and given.header_row and found.line != given.header_row):
        raise Unreadable(f"There is no row {given and given.header_row} that could be the header: say another header_row.")
    return found.line, _names(found)


def _likely(head: Sequence[Row]) -> Row:
    """The first row that is as wide as most."""
    widths = [_width(row) for row in head]
    typical = sorted(widths)[len(widths) // 2]
    return next(row for row, width in zip(head, widths, strict=True) if width >= max(1, typical * 0.6))


def _width(row: Row) -> int:
    return sum(1 for cell in row.cells if cell not in ("", None))


def _names(header: Row) -> list[str]:
    """Names without space around them; columns without a name and further ones of the same name get a number."""
    cells = header.cells
    while cells and cells[-1] in ("", None):
        cells = cells[:-1]
    names: list[str] = []
    for number, cell in enumerate(cells, 1):
        name = " ".join(str(cell).split()) if cell not in ("", None) else f"Column {number}"
        repeated, count = name, 1
        while repeated in names:
            count += 1
            repeated = f"{name} ({count})"
        names.append(repeated)
    return names


def _after(rows: Iterator[Row], header: int, names: Sequence[str]) -> Iterator[Row]:
    """The rows after the header, all as wide as it. Values beyond it stay, so that whoever reads the row can complain."""
    width = len(names)
    try:
        for row in rows:
            if row.line > header:
                yield Row(row.line, row.cells + [""] * (width - len(row.cells)) if len(row.cells) < width else _cut(row, width))
    except Unreadable as error:
        raise error.in_column_of(names) from None


def _cut(row: Row, width: int) -> list[Any]:
    cells = list(row.cells)
    while len(cells) > width and cells[-1] in ("", None):
        cells.pop()
    return cells
