"""A file with history, as ``app.exporting.event_lines`` has it, read stream by stream in bounded memory."""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO, NamedTuple
from uuid import UUID

import msgspec

from app.exporting.event_lines import End, EventLine, Line
from app.importing.faults import Unreadable
from domain.adoption import MAX_EVENTS

MAX_LINE = 16 * 1024 * 1024
"""Bytes of a line: an event of a deal with as many and as long custom fields as there may be has four."""
MAX_STREAM = 32 * 1024 * 1024
"""Bytes of a stream."""
BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_decode = msgspec.json.Decoder(Line).decode


class Stream(NamedTuple):
    """The events of a record with their lines. One that is ``too_long`` has none."""

    id: UUID
    kind: str
    first: int
    last: int
    events: list[tuple[int, EventLine]]
    too_long: bool = False


def numbered(file: BinaryIO, after: int = 0) -> Iterator[tuple[int, Line]]:
    """The lines after one, with their numbers. Raises ``Unreadable``."""
    file.seek(0)
    number = 0
    while raw := file.readline(MAX_LINE + 1):
        number += 1
        if len(raw) > MAX_LINE:
            raise Unreadable(f"This line has more than {MAX_LINE} bytes.", number)
        if number <= after:
            continue
        text = raw.removeprefix(BYTE_ORDER_MARK) if number == 1 else raw
        if not text.strip():
            continue
        try:
            yield number, _decode(text)
        except RecursionError:
            raise Unreadable("This line is nested too deep.", number) from None
        except msgspec.MsgspecError as error:
            raise Unreadable(f"This is no line of a file with history: {error}.", number) from None


class _Gathering:
    """A stream whose lines are coming."""

    def __init__(self, number: int, line: EventLine) -> None:
        self.id, self._kind, self._first = line.id, line.type.partition(".")[0], number
        self._events: list[tuple[int, EventLine]] = []
        self._size = self._last = 0
        self._too_long = False

    def add(self, number: int, line: EventLine) -> None:
        self._last = number
        self._size += len(line.data)
        if self._too_long or self._size > MAX_STREAM or len(self._events) >= MAX_EVENTS:
            self._too_long, self._events = True, []
        else:
            self._events.append((number, line))

    def stream(self) -> Stream:
        return Stream(self.id, self._kind, self._first, self._last, self._events, self._too_long)


def streams(file: BinaryIO, after: int = 0) -> Iterator[Stream]:
    """The streams after a line; one is the events of a record that are together.

    Raises ``Unreadable``, also at the end if it is missing or counts something else than there was.
    """
    gathering: _Gathering | None = None
    end: End | None = None
    number, records, events = after, 0, 0
    for number, line in numbered(file, after):
        if end is not None:
            raise Unreadable("There is a line after the last one.", number)
        if isinstance(line, EventLine):
            if gathering is None or gathering.id != line.id:
                if gathering is not None:
                    yield gathering.stream()
                gathering, records = _Gathering(number, line), records + 1
            gathering.add(number, line)
            events += 1
        elif isinstance(line, End):
            end = line
        elif gathering is not None or after:
            raise Unreadable("Only events and the end come after the first event.", number)
    _require_end(end, number, None if after else (records, events))
    if gathering is not None:
        yield gathering.stream()


def _require_end(end: End | None, number: int, counted: tuple[int, int] | None) -> None:
    if end is None:
        raise Unreadable("The file ends here without its last line: it was cut off. Export it again.", number)
    if counted is not None and (end.records, end.events) != counted:
        there = "{} records with {} events, and there are {} with {}".format(end.records, end.events, *counted)
        raise Unreadable(f"The last line counts {there}: lines are missing, or in another order.", number)
