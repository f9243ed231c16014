"""Finds where a chunked body ends without keeping any of it, so that the parser never sees bytes of the next request.

Refuses what two readers could understand differently (RFC 9112, section 7.1), such as sizes that are not hexadecimal and lines that
do not end in CRLF. Lines, trailers and extensions have limits.
"""

from __future__ import annotations

import re
from collections.abc import Callable

MAX_LINE = 1_024
"""Bytes of a chunk's size line with its extensions, or of a line of the trailers."""
MAX_TRAILERS = 8_192

_SIZE = re.compile(rb"([0-9A-Fa-f]{1,8})[ \t]*(;[^\r\n\0]*)?")


class BadChunk(Exception):
    """What is wrong with the framing, in one sentence."""


class Chunks:
    """The framing of one body, fed in pieces of any length."""

    def __init__(self) -> None:
        self.ended = False
        self._line = b""
        self._step: Callable[[bytes | bytearray, int], int] = self._size_line
        self._left = 0
        self._trailers = 0

    def scan(self, data: bytes | bytearray, at: int) -> int:
        """The end of the body's part of ``data``, from ``at`` on. Raises ``BadChunk``."""
        while at < len(data) and not self.ended:
            at = self._step(data, at)
        return at

    def _read_line(self, data: bytes | bytearray, at: int) -> tuple[bytes | None, int]:
        """The line that ends in ``data``, without its CRLF; None if it is not complete yet."""
        end = data.find(b"\n", at)
        self._line += data[at : end + 1] if end >= 0 else data[at : at + MAX_LINE + 1]
        if len(self._line) > MAX_LINE:
            raise BadChunk("A line of the chunked body is too long.")
        if end < 0:
            return None, len(data)
        line, self._line = self._line, b""
        if not line.endswith(b"\r\n"):
            raise BadChunk("A line of the chunked body does not end in CRLF.")
        return line[:-2], end + 1

    def _size_line(self, data: bytes | bytearray, at: int) -> int:
        line, at = self._read_line(data, at)
        if line is not None:
            match = _SIZE.fullmatch(line)
            if match is None:
                raise BadChunk("A chunk's size is not a hexadecimal number.")
            self._left = int(match[1], 16) + 2  # including the CRLF after it
            self._step = self._content if self._left > 2 else self._trailer
        return at

    def _content(self, data: bytes | bytearray, at: int) -> int:
        taken = min(self._left, len(data) - at)
        self._left -= taken
        if not self._left:
            self._step = self._size_line
        return at + taken

    def _trailer(self, data: bytes | bytearray, at: int) -> int:
        line, at = self._read_line(data, at)
        if line is not None:
            self._trailers += len(line)
            if self._trailers > MAX_TRAILERS:
                raise BadChunk("The trailers of the chunked body are too long.")
            self.ended = not line
        return at
