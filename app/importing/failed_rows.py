"""The failed rows of a file as a file of the same format, with a column that says why; of one with history, the lines of the
records that failed."""

from __future__ import annotations

import codecs
import csv
import io
import re
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple, Protocol

import msgspec
from msgspec import Raw

from app.exporting.workbook import Workbook
from app.importing.table import Form

REASON = "import_error"
MAX_TITLE = 31
_decode = msgspec.json.Decoder(list[str | int | float | bool | None]).decode
_NOT_IN_TITLES = re.compile(r"[\[\]:*?/\\']")


class Failed(NamedTuple):
    """A row as it was kept, JSON, what is wrong with it, and in which line."""

    cells: str | None
    message: str
    line: int

    def all(self, width: int) -> list[Any]:
        """As many cells as the file has columns, then the reason."""
        cells = _decode(self.cells) if self.cells else []
        return [*cells[:width], *[""] * (width - len(cells)), self.message]


class FailedRows(Protocol):
    """``begin`` comes first, ``end`` last."""

    extension: str
    content_type: str

    def begin(self) -> bytes: ...

    def rows(self, rows: Iterable[Failed]) -> bytes: ...

    def end(self) -> bytes: ...


def written(form: Form | None, columns: Sequence[str]) -> FailedRows:
    """In the format that the file has."""
    if form is not None and form.format == "history":
        return _Events()
    if form is not None and form.format == "ndjson":
        return _Lines(columns)
    if form is not None and form.format == "xlsx":
        return _Book(columns, form.sheet or "")
    return _Separated(columns, form)


class _Lines:
    extension, content_type = "ndjson", "application/x-ndjson; charset=utf-8"

    def __init__(self, columns: Sequence[str]) -> None:
        self._names = [*columns, REASON]

    def begin(self) -> bytes:
        return b""

    def rows(self, rows: Iterable[Failed]) -> bytes:
        width = len(self._names) - 1
        found = (dict(zip(self._names, row.all(width), strict=True)) for row in rows)
        return b"".join(msgspec.json.encode(one) + b"\n" for one in found)

    def end(self) -> bytes:
        return b""


class _Events:
    """The line that is wrong says why, the others of its record are as they came. Of a record that is too long there is none."""

    extension, content_type = _Lines.extension, _Lines.content_type

    def begin(self) -> bytes:
        return b""

    def rows(self, rows: Iterable[Failed]) -> bytes:
        return b"".join(map(self._record, rows))

    def end(self) -> bytes:
        return b""

    def _record(self, row: Failed) -> bytes:
        kind, id_, *given = _decode(row.cells) if row.cells else ("", "")
        numbered = zip(given[::2], given[1::2], strict=True)
        lines = [(number, msgspec.json.decode(str(text), type=dict[str, Raw])) for number, text in numbered]
        if not lines:
            lines = [(row.line, {"kind": _raw(kind), "id": _raw(id_)})]
        for number, line in lines:
            if number == row.line:
                line[REASON] = _raw(row.message)
        return b"".join(msgspec.json.encode(line) + b"\n" for _, line in lines)


def _raw(value: Any) -> Raw:
    return Raw(msgspec.json.encode(value))


class _Separated:
    extension = "csv"

    def __init__(self, columns: Sequence[str], form: Form | None) -> None:
        self._names = [*columns, REASON]
        self._separator = (form and form.separator) or ","
        # What the rows hold can be written in the encoding that they were read from; of a message, it may be a question mark.
        charset = (form and form.encoding) or "utf-8"
        self._encode = codecs.getincrementalencoder(charset)("replace").encode
        self.content_type = f"text/csv; charset={charset}"

    def begin(self) -> bytes:
        return self._lines([self._names])

    def rows(self, rows: Iterable[Failed]) -> bytes:
        return self._lines(row.all(len(self._names) - 1) for row in rows)

    def end(self) -> bytes:
        return b""

    def _lines(self, lines: Iterable[Sequence[Any]]) -> bytes:
        file = io.StringIO(newline="")
        csv.writer(file, delimiter=self._separator).writerows(lines)
        return self._encode(file.getvalue())


class _Sheet:
    """Cells of any type, as they were kept."""

    columns = ()

    def __init__(self, names: Sequence[str]) -> None:
        self.names = self.custom = tuple(names)

    def cells(self, item: bytes) -> list[Any]:
        return [None if cell == "" else cell for cell in msgspec.json.decode(item)]


class _Book:
    extension, content_type = "xlsx", Workbook.media_type

    def __init__(self, columns: Sequence[str], title: str) -> None:
        self._width = len(columns)
        title = _NOT_IN_TITLES.sub(" ", title).strip()[:MAX_TITLE] or "failed"
        self._book = Workbook(_Sheet([*columns, REASON]), title)

    def begin(self) -> bytes:
        return self._book.begin()

    def rows(self, rows: Iterable[Failed]) -> bytes:
        return self._book.rows(msgspec.json.encode(row.all(self._width)) for row in rows)

    def end(self) -> bytes:
        return self._book.end()
