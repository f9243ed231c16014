"""What is wrong with a file or with a row of it, by line and column, and the bounds of files."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct, structs

MAX_BYTES = 2 * 1024**3
"""Of a file, and of the files of an upload together."""
MAX_COLUMNS = 1_000
MAX_CELL = 32 * 1024
"""Characters of a cell."""
MAX_ROW = 4 * 1024 * 1024
"""Characters of a row."""
EMPTY = "The file is empty: send one with a header and rows."
SHOWN = 100
"""Characters of a value that a fault repeats."""


class Fault(Struct, frozen=True):
    """``line`` counts from 1, as an editor or a spreadsheet does; 0 is the whole file. ``column`` is the column's name."""

    line: int
    column: str
    value: str
    message: str

    @classmethod
    def at(cls, line: int, column: str, value: str, message: str) -> Fault:
        return cls(line, column, value if len(value) <= SHOWN else f"{value[:SHOWN]}…", message)


class Unreadable(Exception):
    """The file cannot be read from this line on."""

    def __init__(self, message: str, line: int = 0, column: str = "") -> None:
        super().__init__(message)
        self.fault = Fault(line, column, "", message)

    def in_column_of(self, names: Sequence[str]) -> Unreadable:
        """With the name of the column, where its number is known."""
        number = int(self.fault.column) if self.fault.column.isdigit() else 0
        if 0 < number <= len(names):
            self.fault = structs.replace(self.fault, column=names[number - 1])
        return self
