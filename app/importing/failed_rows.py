"""The failed rows of a file as a file of the same format, with a column that says why."""

from __future__ import annotations

import codecs
import csv
import io
from collections.abc import Sequence

import msgspec

from app.importing.table import Form

REASON = "import_error"


class FailedRows:
    """Workbooks are given back as CSV, which every program opens that opens those."""

    def __init__(self, form: Form | None, columns: Sequence[str]) -> None:
        self._columns = columns
        self._lines = form is not None and form.format == "ndjson"
        separated = form is not None and form.format == "csv"
        self._separator = (form.separator if form and separated else None) or ","
        # What the rows hold can be written in the encoding that they were read from; of a message, it may be a question mark.
        self.charset = (form.encoding if form and separated else None) or "utf-8"
        self._encode = codecs.getincrementalencoder(self.charset)("replace").encode
        self.extension = "ndjson" if self._lines else "csv"
        self.media_type = "application/x-ndjson" if self._lines else "text/csv"

    def head(self) -> bytes:
        return b"" if self._lines else self._separated([*self._columns, REASON])

    def row(self, cells: Sequence[str], message: str) -> bytes:
        if self._lines:
            return msgspec.json.encode(dict(zip(self._columns, cells, strict=False)) | {REASON: message}) + b"\n"
        missing = [""] * (len(self._columns) - len(cells))
        return self._separated([*cells[: len(self._columns)], *missing, message])

    def _separated(self, cells: Sequence[str]) -> bytes:
        file = io.StringIO(newline="")
        csv.writer(file, delimiter=self._separator).writerow(cells)
        return self._encode(file.getvalue())
