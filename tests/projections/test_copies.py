"""What a rebuild copies is what a write leaves, however the log is cut into chunks."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from decimal import Decimal
from itertools import groupby
from typing import Any
from uuid import UUID

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec import Struct, structs

from projections import shadow_schema
from projections.copies import Copies
from projections.forecast import folding
from projections.registry import READ_MODELS
from projections.shadow_schema import SCHEMA
from projections.terms import Word
from tests.projections.cursors import Cursors, cursors_of
from tests.projections.forecast.books import Books, Happening
from tests.projections.test_projection import stories


@pytest.fixture(scope="module")
def cursors(shared_database_url: str) -> Iterator[Cursors]:
    with cursors_of("write", shared_database_url) as cursors:
        yield cursors


@pytest.fixture(scope="module")
def connection(shared_database_url: str) -> Iterator[psycopg.Connection[Any]]:
    with closing(shadow_schema.connect(shared_database_url)) as connection:
        yield connection


def differences(connection: psycopg.Connection[Any], org_id: UUID) -> dict[str, list[str]]:
    """Rows of an org that only one of the two schemas has, by table, but for those that mean nothing. What is folded
    hangs on the log, which the books have none of."""
    found: dict[str, list[str]] = {}
    for model in READ_MODELS:
        for table in set(model.tables) - set(folding.TABLES):
            mine = f"WHERE org_id = %(org_id)s AND NOT ({model.zero_rows.get(table, 'false')})"
            written, copied = f"(SELECT * FROM public.{table} {mine})", f"(SELECT * FROM {SCHEMA}.{table} {mine})"
            only = f"({written} EXCEPT ALL {copied}) UNION ALL ({copied} EXCEPT ALL {written})"
            if texts := connection.execute(f"SELECT x::text FROM ({only}) x".encode(), {"org_id": org_id}).fetchall():
                found[table] = [text for (text,) in texts]
    return found


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(story=stories(), chunk=st.sampled_from([1, 2, 3, 100]))
def test_what_is_copied_is_what_was_written(
    cursors: Cursors, connection: psycopg.Connection[Any], story: list[Happening], chunk: int
) -> None:
    books = Books(cursors).record(story)
    connection.execute(f"CREATE SCHEMA {SCHEMA}".encode())
    try:
        shadow_schema.create(connection, READ_MODELS)
        by_stream = sorted(books.history, key=lambda change: (change.after.id, change.after.version))
        half = [change.after.id for change in by_stream][len(by_stream) // 2]
        for _, share in groupby(by_stream, key=lambda change: change.after.id < half):  # as two workers would
            changes = list(share)
            copies = Copies(connection)
            for start in range(0, len(changes), chunk):
                for model in READ_MODELS:
                    model.fill(copies, changes[start : start + chunk])
                copies.write()
            copies.end()
        for model in READ_MODELS:
            for statement in model.sums:
                connection.execute(statement.encode(), {"position": 0})
        copied = connection.execute("SELECT count(*) FROM directory WHERE org_id = %s", (books.org_id,)).fetchone()
        assert differences(connection, books.org_id) == {}
    finally:
        connection.rollback()
    assert copied is not None
    assert copied[0] > 0


class Everything(Struct):
    """A column of every type that a read model has."""

    a_text: str
    nothing: str | None
    a_number: int
    an_amount: Decimal
    a_truth: bool
    an_instant: datetime | str
    always: datetime | str
    an_id: UUID
    texts: tuple[str, ...]
    none_of_many: tuple[str, ...]
    ids: tuple[UUID, ...]
    numbers: list[int]
    an_object: dict[str, Any]
    maybe: dict[str, str] | None


AWKWARD = 'a\tb\nc\\d"e{f},g\r\\.\\N'


def test_every_value_arrives_as_it_is(connection: psycopg.Connection[Any]) -> None:
    at = datetime(2026, 2, 28, 12, 30, 0, 123456, tzinfo=UTC)
    row = Everything(
        *(AWKWARD, None, 2**62, Decimal("12.50"), True, at, "infinity", UUID(int=7)),
        *((AWKWARD, "", "NULL"), (), (UUID(int=7), UUID(int=8)), [1, -(2**62)], {"ä": AWKWARD, "n": 0.1}, None),
    )
    types = "text, text, bigint, numeric, bool, timestamptz, timestamptz, uuid, text[], text[], uuid[], bigint[], jsonb, jsonb"
    columns = ", ".join(f"{name} {kind}" for name, kind in zip(Everything.__struct_fields__, types.split(", "), strict=True))
    connection.execute(f"CREATE TEMPORARY TABLE everything ({columns})".encode())
    try:
        copies = Copies(connection)
        copies.insert("everything", [row])
        copies.write()
        shown = ", ".join(name if name != "always" else "always::text" for name in Everything.__struct_fields__)
        found = connection.execute(f"SELECT {shown} FROM everything".encode()).fetchall()
    finally:
        connection.rollback()
    expected = [list(value) if isinstance(value, tuple) else value for value in structs.astuple(row)]
    assert found == [tuple(expected)]


def test_a_word_is_copied_once_by_each_worker_and_kept_once(connection: psycopg.Connection[Any]) -> None:
    word = Word(UUID(int=1), "name", "acme", 7)
    other = Word(UUID(int=1), "name", "globex", 8)
    connection.execute(f"CREATE SCHEMA {SCHEMA}".encode())
    try:
        shadow_schema.create(connection, READ_MODELS)
        for _ in range(2):
            copies = Copies(connection)
            copies.words("directory_words", [word, other, word])
            copies.end()
        count = "SELECT term, count(*) FROM directory_words GROUP BY 1 ORDER BY 1"
        assert connection.execute(count).fetchall() == [(7, 2), (8, 2)]
        (directory,) = (model for model in READ_MODELS if model.name == "directory")
        for statement in directory.sums:
            connection.execute(statement.encode(), {"position": 0})
        assert connection.execute(count).fetchall() == [(7, 1), (8, 1)]
    finally:
        connection.rollback()
