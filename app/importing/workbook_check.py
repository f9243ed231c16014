"""What an archive that says it is a workbook would unpack to, told before it is opened, and which of its cells have no value.

Whoever opens a workbook makes room for the whole rectangle that a sheet's cells span, so one cell far away is enough to exhaust
memory. Each entry is unpacked once, which shows that it is as large as it says; sheets are read by an XML parser that is strict.
"""

from __future__ import annotations

import zipfile
from itertools import product
from posixpath import join, normpath
from string import ascii_uppercase
from typing import Any, BinaryIO
from xml.parsers import expat

from app.importing.faults import MAX_COLUMNS, Unreadable

MAX_UNPACKED = 512 * 1024**2
"""Bytes of a workbook once it is unpacked."""
MAX_CELLS = 10_000_000
"""Cells of the rectangle that a sheet fills: empty ones take memory too."""
MAX_ENTRIES = 5_000
MAX_ERRORS = 100_000
"""Cells of a sheet that show an error."""
INSTEAD = "Save the sheet as CSV, which may be larger."
AGAIN = "save it as XLSX again, or as CSV."
_BLOCK = 1024 * 1024
_OTHERS = {"xl/workbook.bin": "XLSB", "content.xml": "ODS"}
_SHEETS = ("worksheet", "macrosheet", "dialogsheet", "chartsheet")
_ROWS = b"sheetData"

Errors = dict[tuple[int, int], str]
"""By row and column from 1: what a cell shows instead of a value, such as #DIV/0!; of a sheet ``MAX_ERRORS`` and one more."""
NO_VALUE = ""
"""What a cell shows whose formula was never worked out."""


def check(file: BinaryIO) -> dict[str, Errors]:
    """By name of the sheet, its cells that show an error. Raises ``Unreadable`` unless the workbook fits into memory, whatever it
    says of itself."""
    file.seek(0)
    try:
        with zipfile.ZipFile(file) as archive:
            return _checked(archive)
    except (zipfile.BadZipFile, zipfile.LargeZipFile, NotImplementedError, RuntimeError, EOFError, OSError) as error:
        raise Unreadable(f"This is no workbook that can be read ({error}): {AGAIN}") from None
    except Exception as error:
        if isinstance(error, Unreadable):
            raise
        raise Unreadable(f"This is no workbook that can be read: {AGAIN}") from error


def _checked(archive: zipfile.ZipFile) -> dict[str, Errors]:
    entries = archive.infolist()
    if len(entries) > MAX_ENTRIES or sum(entry.file_size for entry in entries) > MAX_UNPACKED:
        raise Unreadable(f"Unpacked, the workbook has more than {MAX_UNPACKED // 1024**2} MB. {INSTEAD}")
    for entry in entries:
        if found := _OTHERS.get(entry.filename.lower()):
            raise Unreadable(f"This is a workbook of the kind {found}: save it as XLSX, or as CSV.")
    contents = {entry.filename.lower(): _read(archive, entry) for entry in entries}
    book, targets = contents.get("xl/workbook.xml"), contents.get("xl/_rels/workbook.xml.rels")
    if book is None or targets is None:
        return {}
    paths = {name: targets.targets.get(id_, "") for name, id_ in book.sheets.items()}
    return {name: contents[path].errors for name, path in paths.items() if path in contents}


def _read(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> _Content:
    content = _Content()
    tail, rows = b"", False
    with archive.open(entry) as unpacked:
        while block := unpacked.read(_BLOCK):
            rows = rows or _ROWS in tail + block
            tail = block[-len(_ROWS) :]
            content.see(block)
    content.end()
    if rows and not (content.well_formed and content.root in _SHEETS):  # a reader that is less strict may find a sheet in it
        raise Unreadable(f"This is no workbook that can be read ({entry.filename[:80]!r} is no sheet): {AGAIN}")
    return content


class _Content:
    """What an entry holds: of a sheet its extent and its ``errors``, of a workbook its ``sheets`` (name → id), of relations their
    ``targets`` (id → path)."""

    def __init__(self) -> None:
        self.errors: Errors = {}
        self.sheets: dict[str, str] = {}
        self.targets: dict[str, str] = {}
        self.root = ""
        self.well_formed = True
        self._row = self._column = self._height = self._width = self._cells = 0
        self._attributes: list[str] = []
        self._unclear = False
        self._text: str | None = None
        self._parser = parser = expat.ParserCreate()
        parser.ordered_attributes = True
        parser.buffer_text = True
        parser.StartElementHandler = self._begin
        parser.StartDoctypeDeclHandler = _refuse_declaration

    def see(self, data: bytes) -> None:
        """Raises ``Unreadable`` if a sheet is too large."""
        self._parse(data, last=False)

    def end(self) -> None:
        self._parse(b"", last=True)
        if self._unclear:
            self._close_cell()

    def _parse(self, data: bytes, *, last: bool) -> None:
        if not self.well_formed:
            return
        try:
            self._parser.Parse(data, last)
        except expat.ExpatError:
            self.well_formed = False
        self._require_small()

    def _require_small(self) -> None:
        if self._width > MAX_COLUMNS:
            raise Unreadable(f"The sheet has {self._width} columns; a file has at most {MAX_COLUMNS}: leave some out.")
        if max(self._cells, self._height * self._width) > MAX_CELLS:
            raise Unreadable(f"The sheet fills more than {MAX_CELLS:,} cells. {INSTEAD}")

    def _begin(self, name: str, attributes: list[str]) -> None:
        self.root = _local(name)
        elements = {"workbook": self._sheet, "Relationships": self._relation}
        self._parser.StartElementHandler = self._element if self.root in _SHEETS else elements.get(self.root)

    def _sheet(self, name: str, attributes: list[str]) -> None:
        if _local(name) == "sheet":
            found = {_local(key): value for key, value in _pairs(attributes)}
            self.sheets[found.get("name", "")] = found.get("id", "")

    def _relation(self, name: str, attributes: list[str]) -> None:
        found = dict(_pairs(attributes))
        self.targets[found.get("Id", "")] = normpath(join("/xl", found.get("Target", ""))).lower().lstrip("/")

    def _element(self, name: str, attributes: list[str]) -> None:
        """Called for every element of a sheet, tens of millions of times, so what is usual comes first."""
        if name in ("v", "is"):
            if self._unclear:
                self._text = ""
                self._parser.CharacterDataHandler = self._more
        elif name == "c":
            self._begin_cell(attributes)
        elif name == "f":
            self._unclear = True
        elif name == "row":
            if self._unclear:
                self._close_cell()
            place = _attribute(attributes, "r")
            self._row, self._column = (_placed(place)[0] if place else self._row + 1), 0
        elif ":" in name:
            self._element(_local(name), attributes)

    def _begin_cell(self, attributes: list[str]) -> None:
        if self._unclear:
            self._close_cell()
        self._attributes = attributes
        self._unclear = "e" in attributes
        self._cells += 1
        place = attributes[1] if attributes and attributes[0] == "r" else _attribute(attributes, "r")
        if place:
            self._row, self._column = _placed(place)
        else:
            self._column += 1
        if self._row > self._height:
            self._height = self._row
        if self._column > self._width:
            self._width = self._column

    def _more(self, text: str) -> None:
        self._text = (self._text or "") + text

    def _close_cell(self) -> None:
        """Look at the cell that ends here, which has a formula or shows an error."""
        self._unclear = False
        self._parser.CharacterDataHandler = None
        text, self._text = self._text, None
        type_ = _attribute(self._attributes, "t")
        if len(self.errors) > MAX_ERRORS:
            return
        if type_ == "e":
            self.errors[self._row, self._column] = (text or "#VALUE!").strip()[:40]
        elif not text and not (type_ == "str" and text is not None):
            self.errors[self._row, self._column] = NO_VALUE


def _refuse_declaration(*_: Any) -> None:
    """What it declares might unfold to anything; workbooks declare nothing."""
    raise expat.ExpatError


def _local(name: str) -> str:
    return name.rpartition(":")[2]


def _pairs(attributes: list[str]) -> zip[tuple[str, str]]:
    return zip(attributes[::2], attributes[1::2], strict=True)


def _attribute(attributes: list[str], name: str) -> str:
    return attributes[attributes.index(name) + 1] if name in attributes[::2] else ""


def _placed(place: str) -> tuple[int, int]:
    """Row and column of a place such as B3, or 3. Raises ``Unreadable`` if it is none."""
    letters = place.rstrip("0123456789")
    digits = place[len(letters) :]
    if letters not in _columns or not 0 < len(digits) <= 7:
        raise Unreadable(f"This is no workbook that can be read (it has a cell at {place[:20]!r}): {AGAIN}")
    return int(digits), _columns[letters]


_columns = {"": 0}
for _length in (1, 2, 3):
    for _letters in product(ascii_uppercase, repeat=_length):
        _columns["".join(_letters)] = len(_columns)
