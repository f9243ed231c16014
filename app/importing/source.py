"""The files of an import, opened: the table, its rows as they are planned, and the deals' history."""

from __future__ import annotations

import io
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import datetime
from itertools import islice
from typing import Any, BinaryIO, cast

import msgspec
from psycopg import Connection

from app.importing import deals, directory_rows
from app.importing.cells import Cells
from app.importing.inspection import form_of
from app.importing.options import Kind, Options
from app.importing.plan import Planned, failing
from app.importing.profile import split_footer
from app.importing.separated import Row, up_to
from app.importing.table import Table, understand
from app.importing.vocabulary import Vocabulary
from app.writing.pace import MOST
from projections.imports.files import PART, StoredFile
from projections.imports.jobs import Job

ROWS, SIZE = MOST, 4 * 1024 * 1024
"""Rows of a batch, and characters of them."""


class Source:
    """Close it after use: workbooks are kept in a temporary file, because they are not read from the beginning to the end."""

    def __init__(self, connection: Connection[Any], job: Job) -> None:
        self.job = job
        self.options = msgspec.json.decode(job.options, type=Options)
        self._connection = connection
        self._stack = ExitStack()

    def file(self, number: int = 0) -> BinaryIO:
        stored = StoredFile(self._connection, self.job.id, number, self.job.files[number].size)
        file = cast("BinaryIO", io.BufferedReader(stored, PART))
        if file.read(2) != b"PK":
            return file
        copy = self._stack.enter_context(tempfile.TemporaryFile())  # noqa: SIM115 - the stack closes it
        file.seek(0)
        shutil.copyfileobj(file, copy, PART)
        return copy

    def table(self) -> Table:
        return understand(self.file(), form_of(self.options))

    def rows(self, table: Table) -> Iterator[Row]:
        """Those after the line that the import is at."""
        rows, _ = split_footer(table.rows(), len(table.columns))
        return (row for row in rows if row.line > self.job.line)

    def close(self) -> None:
        self._stack.close()


class Reader:
    """Rows as deals or as entries of the directory, or as failing."""

    def __init__(self, kind: Kind, table: Table, options: Options, vocabulary: Vocabulary, now: datetime) -> None:
        self._kind, self._vocabulary, self._now = kind, vocabulary, now
        self._cells = Cells(table.columns, options, table.form.format)
        self.cells: dict[int, list[Any]] = {}

    def read(self, row: Row) -> Any:
        if self._kind == "opportunities":
            found: Any = deals.read(self._cells, row, self._vocabulary, self._now)
        else:
            found = directory_rows.read(self._kind, self._cells, row, self._vocabulary, self._now)
        return found if found is not None else failing(row.line, self._cells.faults)

    def batch(self, rows: Iterator[Row], most: int) -> tuple[list[Any], list[Planned], int]:
        """Good rows, failing rows, and the last line."""
        taken = list(islice(up_to(SIZE, rows, Row.size), most))
        self.cells = {row.line: row.cells for row in taken}
        found = [self.read(row) for row in taken]
        last = max((one.line for one in found), default=0)
        return [one for one in found if not isinstance(one, Planned)], [one for one in found if isinstance(one, Planned)], last
