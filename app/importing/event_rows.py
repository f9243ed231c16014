"""The records of a file with history in batches, each a row."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec
from psycopg import Connection

from app.importing import event_file
from app.importing.event_file import Stream
from app.importing.event_head import Head
from app.importing.event_plan import EventPlanner
from app.importing.people import People
from app.importing.plan import Planned, Sender
from app.importing.rows import Rows
from app.importing.source import SIZE, Source
from app.importing.vocabulary import Vocabulary
from projections.imports import ids

EVENTS = 2_000
"""Of a batch, after which it ends; it also does after so many bytes as any other."""


KEPT = 64 * 1024
"""Bytes of a record that failed, beyond which its lines are not given back."""
_encode = msgspec.json.Encoder(order="deterministic", decimal_format="string").encode


class EventRows:
    def __init__(self, connection: Connection[Any], source: Source, sender: Sender, vocabulary: Vocabulary, head: Head) -> None:
        self._connection, self._source = connection, source
        with connection.cursor() as cursor:
            people = People(cursor, sender.org_id, head.people, source.options)
        self._planner = EventPlanner(sender, source.options, head, people, vocabulary.currency)

    def begin(self) -> Iterator[None]:
        job = self._source.job
        if not job.line:
            with self._connection.cursor() as cursor:
                ids.clear(cursor, job.id)
        self._streams = event_file.streams(self._source.file(), job.line)
        yield

    def next(self, most: int) -> Rows:
        found = self._batch(most)
        last = found[-1].last if found else 0
        return Rows(found, [], last, _Lines(found), self._plan(found))

    def again(self, rows: Rows) -> Rows:
        self._planner.forget()
        return rows._replace(planned=self._plan(list(rows.good)))

    def _batch(self, most: int) -> list[Stream]:
        found: list[Stream] = []
        events = size = 0
        for stream in self._streams:
            found.append(stream)
            events += len(stream.events)
            size += sum(len(line.data) for _, line in stream.events)
            if events >= EVENTS or len(found) >= most or size >= SIZE:
                break
        return found

    def _plan(self, streams: list[Stream]) -> list[Planned]:
        with self._connection.cursor() as cursor:
            return self._planner.plan(cursor, streams)


class _Lines(Mapping[int, list[Any]]):
    """What is kept of a record that fails, by its last line: its kind and id, and each of its lines after its number."""

    def __init__(self, found: Sequence[Stream]) -> None:
        self._found = {one.last: one for one in found}

    def __getitem__(self, last: int) -> list[Any]:
        one = self._found[last]
        events = one.events if sum(len(line.data) for _, line in one.events) <= KEPT else []
        return [one.kind, str(one.id), *(part for number, line in events for part in (number, _encode(line).decode()))]

    def __iter__(self) -> Iterator[int]:
        return iter(self._found)

    def __len__(self) -> int:
        return len(self._found)
