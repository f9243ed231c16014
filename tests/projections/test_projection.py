"""What a read model may count on, whatever it is and whoever brings it up to date."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from uuid import UUID

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec import structs

from domain import catalog, event_store
from domain.event import Event
from domain.fold import Change
from domain.sql_cursor import Param, SqlCursor
from projections.copies import Copies
from projections.registry import READ_MODELS
from tests.projections.cursors import Cursors, cursors_of
from tests.projections.forecast.books import Books, Happening
from tests.projections.forecast.test_properties import histories

GOLDEN = Path(__file__).parents[1] / "domain" / "golden"
START = datetime(2026, 1, 1, tzinfo=UTC)
FOLD = "forecast_fold"
TABLES = [table for model in READ_MODELS for table in model.tables if table != FOLD]
"""Those with rows of orgs."""


def golden() -> dict[str, list[Event]]:
    """An event of every stored name but those of deals and rates, by kind, the one a stream begins with first."""
    found: dict[str, list[Event]] = defaultdict(list)
    for path in sorted(GOLDEN.glob("*.json"), key=lambda path: path.name):
        name = path.stem.partition("+")[0]
        event = event_store.decode(name, path.read_bytes(), UUID(int=0), 1).event
        kind = catalog.kind_of_event(type(event))
        if kind not in ("opportunity", "exchange_rate", "organization"):
            found[kind].append(event)
    return dict(found)


RECORDS = golden()


def own(event: Event, number: int) -> Event:
    """The event, with an external id that no other record has."""
    given = getattr(event, "external_id", None)
    return structs.replace(event, external_id=f"{given} {number}") if isinstance(given, str) else event


@st.composite
def stories(draw: st.DrawFn) -> list[Happening]:
    """Deals and rates, and among them records of every other kind, each with some of what can happen to it."""
    records: list[Happening] = []
    for number, (first, *later) in enumerate(draw(st.lists(st.sampled_from(list(RECORDS.values())), min_size=1, max_size=6))):
        further = draw(st.lists(st.sampled_from(later), max_size=3)) if later else []
        events = [own(event, number) for event in (first, *further)]
        records += [Happening(UUID(int=number), event, START + timedelta(days=day)) for day, event in enumerate(events)]
    return [*records, *draw(histories())]


def rows(cursors: Cursors, org_id: UUID) -> dict[str, list[str]]:
    """What the read models have of an org, as text."""
    found: dict[str, list[str]] = {}
    for table in TABLES:
        shown = cursors.connection.execute(f"SELECT t::text FROM {table} t WHERE org_id = %s ORDER BY 1".encode(), (org_id,))
        found[table] = [text for (text,) in shown]
    return found


@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(story=stories(), batch=st.sampled_from([1, 4, 100]))
def test_a_history_leaves_the_same_rows_on_the_cursor_of_a_rebuild_and_on_that_of_a_write(
    both: list[Cursors], story: list[Happening], batch: int
) -> None:
    both[0].connection.execute(f"DELETE FROM {FOLD}".encode())
    books = Books(both[0]).record(story, batch)
    rebuilt = rows(both[0], books.org_id)
    assert all(rebuilt[table] for table in ("directory", "identity_epochs"))
    for table in TABLES:
        both[0].connection.execute(f"DELETE FROM {table} WHERE org_id = %s".encode(), (books.org_id,))
    both[0].connection.execute(f"DELETE FROM {FOLD}".encode())
    both[1].apply(books.history[:1])
    for start in range(1, len(books.history), batch):
        both[1].apply(books.history[start : start + batch])
    assert rows(both[1], books.org_id) == rebuilt


@pytest.fixture(scope="module")
def both(shared_database_url: str) -> Iterator[list[Cursors]]:
    with cursors_of("rebuild", shared_database_url) as first, cursors_of("write", shared_database_url) as second:
        yield [first, second]


VALUES: dict[str, tuple[str, Param]] = {
    "a_text": ("text", "Zoë's \\ 100 %"),
    "a_number": ("bigint", 2**62),
    "a_small_number": ("int", -7),
    "a_large_number": ("numeric", 2**64),
    "a_fraction": ("float8", 0.1),
    "a_truth": ("boolean", True),
    "an_amount": ("numeric", Decimal("12.50")),
    "a_day": ("date", date(2026, 2, 28)),
    "an_instant": ("timestamptz", datetime(2026, 2, 28, 12, 30, tzinfo=UTC)),
    "an_id": ("uuid", UUID(int=7)),
    "some_bytes": ("bytea", b"\0\xff"),
    "nothing": ("date", None),
    "texts": ("text[]", ["a", "", "NULL"]),
    "numbers": ("bigint[]", [1, 2**62]),
    "amounts": ("numeric[]", [Decimal("0.1")]),
    "days": ("date[]", [date(2026, 2, 28)]),
    "instants": ("timestamptz[]", [START]),
    "ids": ("uuid[]", [UUID(int=7), UUID(int=8)]),
    "none_of_many": ("uuid[]", []),
}


class Everything:
    """A read model with a column for every type of a parameter, written without casts, and read while it is applied."""

    name = "everything"
    version = 1
    tables: tuple[str, ...] = ("everything",)
    views: tuple[str, ...] = ()
    ddl = f"CREATE TABLE everything (org_id uuid, version int, {', '.join(f'{name} {kind}' for name, (kind, _) in VALUES.items())})"
    zero_rows: Mapping[str, str] = {}
    sums: tuple[str, ...] = ()

    def apply(self, cursor: SqlCursor, batch: Sequence[Change]) -> None:
        values = {name: value for name, (_, value) in VALUES.items()}
        names = ", ".join(values)
        placeholders = ", ".join(f"%({name})s" for name in values)
        for _, _, after in batch:
            org: dict[str, Param] = {"org_id": after.org_id}
            seen = cursor.execute("SELECT count(*), '%%' FROM everything WHERE org_id = %(org_id)s", org).fetchone()
            assert seen is not None
            cursor.execute(
                f"INSERT INTO everything (org_id, version, {names}) VALUES (%(org_id)s, %(version)s, {placeholders})",
                {**org, "version": seen[0] + 1, **values},
                prepare=True,
            )

    def conclude(self, cursor: SqlCursor, batch: Sequence[Change]) -> None:
        """There is nothing left to do."""

    def fill(self, copies: Copies, batch: Sequence[Change]) -> None:
        """No rebuild knows it."""


@pytest.fixture
def everything(shared_database_url: str) -> Iterator[Everything]:
    with psycopg.connect(shared_database_url, autocommit=True) as connection:
        connection.execute(Everything.ddl.encode())
        connection.execute("GRANT ALL ON everything TO opportunities_writer")
        yield Everything()
        connection.execute("DROP TABLE everything")


def test_a_read_model_may_pass_every_type_of_parameter(cursors: Cursors, everything: Everything) -> None:
    books = Books(cursors)
    for _ in range(2):
        cursors.apply(books.history, [everything])
    found = cursors.connection.execute(f"SELECT version, {', '.join(VALUES)} FROM everything ORDER BY version").fetchall()
    expected = tuple(value for _, value in VALUES.values())
    assert found == [(1, *expected), (2, *expected)]
