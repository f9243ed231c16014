"""The rows of an import in batches, as they are planned; of a table, whatever its format."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple, Protocol

from psycopg import Connection

from app.importing import stored_history
from app.importing.deal_plan import DealPlanner
from app.importing.deals import Deal
from app.importing.directory_plan import DirectoryPlanner
from app.importing.options import Kind
from app.importing.plan import Planned, Sender, in_order
from app.importing.source import Reader, Source
from app.importing.vocabulary import Vocabulary
from projections.imports.jobs import Job


class Rows(NamedTuple):
    """A batch: its rows as they are planned, up to a line. ``good`` are those that can be planned again."""

    good: Sequence[Any]
    bad: list[Planned]
    last: int
    cells: Mapping[int, list[Any]]
    planned: list[Planned]


class Feed(Protocol):
    def begin(self) -> Iterator[None]:
        """What comes before the first batch, in steps. Raises ``Unreadable``."""

    def next(self, most: int) -> Rows:
        """The next batch, of so many rows at most, without any at the end."""

    def again(self, rows: Rows) -> Rows:
        """A batch planned again, because what it refers to may not be there."""


class TableRows:
    def __init__(self, connection: Connection[Any], source: Source, sender: Sender, vocabulary: Vocabulary, now: datetime) -> None:
        self._connection, self._source, self._vocabulary, self._now = connection, source, vocabulary, now
        self._planner: DealPlanner | DirectoryPlanner
        if source.job.kind == "opportunities":
            self._planner = DealPlanner(sender, source.options, vocabulary)
        else:
            self._planner = DirectoryPlanner(kind_of(source.job), sender, source.options)

    def begin(self) -> Iterator[None]:
        source = self._source
        yield from stored_history.read_in(self._connection, source, self._vocabulary, self._now)
        table = source.table()
        self._reader = Reader(kind_of(source.job), table, source.options, self._vocabulary, self._now)
        self._rows = source.rows(table)

    def next(self, most: int) -> Rows:
        good, bad, last = self._reader.batch(self._rows, most)
        return Rows(good, bad, last, self._reader.cells, in_order(self._plan(good), bad))

    def again(self, rows: Rows) -> Rows:
        self._planner.forget()
        return rows._replace(planned=in_order(self._plan(rows.good), rows.bad))

    def _plan(self, good: Sequence[Any]) -> list[Planned]:
        with self._connection.cursor() as cursor:
            if isinstance(self._planner, DirectoryPlanner):
                return self._planner.plan(cursor, good)
            keys = {key for one in good if isinstance(one, Deal) and (key := one.values.get("external_id"))}
            return self._planner.plan(cursor, good, stored_history.find(self._connection, self._source, keys))


def kind_of(job: Job) -> Kind:
    kinds: dict[str, Kind] = {one: one for one in ("opportunities", "accounts", "contacts", "users")}
    return kinds[job.kind]
