"""What a file with history says before its events: which format it has, the people and the rules of its org."""

from __future__ import annotations

from typing import BinaryIO
from uuid import UUID

import msgspec
from msgspec import Struct, field

from app.exporting.event_lines import FORMAT, VERSION, End, EventLine, Field, Header, Line, Person, Rules
from app.importing.event_file import BYTE_ORDER_MARK, numbered
from app.importing.faults import MAX_BYTES, Unreadable
from domain.fields import MAX_EMAIL, line_error

MAX_HEAD = 100_000
"""Lines before the first event."""


class _First(Struct):
    format: str = ""
    version: int = 0


_first = msgspec.json.Decoder(_First).decode


class Head(Struct):
    """What comes before the events; ``lines`` is how much that is."""

    header: Header
    people: dict[UUID, Person] = field(default_factory=dict)
    rules: Rules | None = None
    fields: list[Field] = field(default_factory=list)
    lines: int = 1


def is_one(file: BinaryIO) -> bool:
    """Whether a file begins as one with history does."""
    return _header_of(file) is not None


def _header_of(file: BinaryIO) -> _First | None:
    file.seek(0)
    text = file.readline(64 * 1024).removeprefix(BYTE_ORDER_MARK)
    if FORMAT.encode() not in text:
        return None
    try:
        found = _first(text)
    except (msgspec.MsgspecError, RecursionError):
        return None
    return found if found.format == FORMAT else None


def head(file: BinaryIO) -> Head:
    """What the file says before its events. Raises ``Unreadable``."""
    if file.seek(0, 2) > MAX_BYTES:
        raise Unreadable(f"The file has more than {MAX_BYTES // 1024**3} GB: export it in parts, by filters.")
    first = _header_of(file)
    if first is not None and first.version != VERSION:
        raise Unreadable(f"This file has version {first.version} of the format; this program reads version {VERSION}.", 1)
    lines = numbered(file)
    _, header = next(lines, (1, None))
    if not isinstance(header, Header):
        raise Unreadable("The first line must be the header.", 1)
    found = Head(header)
    for number, line in lines:
        if isinstance(line, EventLine | End):
            return found
        _take(found, number, line)
    return found


def _take(found: Head, number: int, line: Line) -> None:
    found.lines = number
    if number > MAX_HEAD:
        raise Unreadable(f"There are more than {MAX_HEAD:,} lines before the first event.", number)
    match line:
        case Person():
            if message := line_error(line.email, MAX_EMAIL):
                raise Unreadable(f"The user's email: {message}", number)
            found.people[line.id] = line
        case Rules():
            found.rules = line
        case Field():
            found.fields.append(line)
        case _:
            raise Unreadable("A second header.", number)
