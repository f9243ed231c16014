"""The files of imports: received in parts, and read again as files."""

from __future__ import annotations

import io
from typing import Any
from uuid import UUID

from psycopg import Connection, Cursor

PART = 1024 * 1024
"""Bytes of every part but the last."""


def add(cursor: Cursor[Any], org_id: UUID, import_id: UUID, file: int, number: int, data: bytes) -> None:
    cursor.execute(
        "INSERT INTO import_parts (import_id, file, number, org_id, data) VALUES (%s, %s, %s, %s, %b)",
        (import_id, file, number, org_id, data),
    )


class StoredFile(io.RawIOBase):
    """A file whose parts are read one at a time."""

    def __init__(self, connection: Connection[Any], import_id: UUID, file: int, size: int) -> None:
        super().__init__()
        self._connection = connection
        self._key = import_id, file
        self._size = size
        self._at = 0
        self._part = -1
        self._data = b""

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence]
        self._at = max(0, base + offset)
        return self._at

    def tell(self) -> int:
        return self._at

    def readinto(self, buffer: Any) -> int:
        if self._at >= self._size:
            return 0
        part, start = divmod(self._at, PART)
        if part != self._part:
            self._data, self._part = self._load(part), part
        data = self._data[start : start + len(buffer)]
        buffer[: len(data)] = data
        self._at += len(data)
        return len(data)

    def _load(self, part: int) -> bytes:
        row = self._connection.execute(
            "SELECT data FROM import_parts WHERE import_id = %s AND file = %s AND number = %s", (*self._key, part), binary=True
        ).fetchone()
        if row is None:
            raise FileNotFoundError("The file of this import is not kept any more.")
        return bytes(row[0])


def part(import_id: UUID, org_id: UUID, file: int, number: int) -> tuple[str, dict[str, Any]]:
    """The statement for a part, as the org sees it."""
    text = (
        "SELECT data FROM import_parts WHERE import_id = %(id)s AND org_id = %(org_id)s AND file = %(file)s AND number = %(number)s"
    )
    return text, {"id": import_id, "org_id": org_id, "file": file, "number": number}
