"""Statements of a batch travel together, and fail together where they must."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import psycopg
import pytest
from psycopg.types.json import Jsonb

from app.writing.statements import StatementBatch
from projections import connections

IDS = [UUID(int=1), UUID(int=2**128 - 1)]


@pytest.fixture
def statements(shared_database_url: str) -> Iterator[StatementBatch]:
    with connections.connect(shared_database_url, "test", statement_timeout_ms=15_000) as connection:
        connection.execute("CREATE TEMP TABLE notes (n bigint PRIMARY KEY, text text)")
        yield StatementBatch(connection)


def rows(statements: StatementBatch) -> list[tuple[object, ...]]:
    return statements.connection.execute("SELECT n, text FROM notes ORDER BY n").fetchall()


def test_nothing_is_sent_before_an_answer_is_asked_for_and_then_all_of_it_in_order(statements: StatementBatch) -> None:
    first, second, third = statements.cursor(), statements.cursor(), statements.cursor()
    first.execute("INSERT INTO notes VALUES (%(n)s, %(text)s) RETURNING n", {"n": 1, "text": "one"})
    second.execute("UPDATE notes SET text = text || %(more)s RETURNING text", {"more": "!"})
    third.execute("SELECT count(*) FROM notes", binary=True)
    assert rows(statements) == []
    assert third.fetchall() == [(1,)]
    assert (first.fetchall(), second.fetchone()) == ([(1,)], ("one!",))
    statements.flush()
    assert rows(statements) == [(1, "one!")]


def test_what_is_sent_early_has_its_answers_together_with_the_rest(statements: StatementBatch) -> None:
    first, second = statements.cursor(), statements.cursor()
    first.execute("INSERT INTO notes VALUES (%(n)s, %(text)s) RETURNING n", {"n": 1, "text": "one"}, prepare=True)
    statements.send()
    statements.send()
    second.execute("INSERT INTO notes VALUES (%(n)s, %(text)s) RETURNING n", {"n": 2, "text": "two"}, prepare=True)
    assert (second.fetchall(), first.fetchall()) == ([(2,)], [(1,)])
    assert rows(statements) == [(1, "one"), (2, "two")]


def test_an_error_of_what_was_sent_early_is_raised_at_the_end_and_nothing_after_it_is_done(statements: StatementBatch) -> None:
    statements.cursor().execute("SELECT 1/0")
    statements.send()
    statements.cursor().execute("INSERT INTO notes VALUES (1, 'one')")
    with pytest.raises(psycopg.errors.DivisionByZero):
        statements.flush()
    assert rows(statements) == []


def test_a_connection_with_answers_under_way_is_not_used_again(statements: StatementBatch) -> None:
    statements.cursor().execute("INSERT INTO notes VALUES (1, 'one')")
    statements.send()
    statements.discard()
    assert statements.connection.closed


def test_a_cursor_answers_what_it_was_asked_last(statements: StatementBatch) -> None:
    cursor = statements.cursor()
    for number in range(3):
        cursor.execute("SELECT %(n)s::bigint", {"n": number}, binary=True)
    assert cursor.fetchall() == [(2,)]
    cursor.execute("SELECT 7 WHERE false")
    assert (cursor.fetchone(), cursor.fetchall()) == (None, [])


@pytest.mark.parametrize(
    ("value", "cast"),
    [
        ('Zoë\'s 100 % \\ "deal" 🎉', "text"),
        (2**62, "bigint"),
        (-5, "int"),
        (IDS[1], "uuid"),
        (b"\x00\xff", "bytea"),
        (None, "text"),
        (IDS, "uuid[]"),
        ([0, -(2**63), 2**63 - 1], "bigint[]"),
        (["", "NULL", 'a"b\\c,{}'], "text[]"),
        ([b"", b"\x00\\x"], "bytea[]"),
        ([], "uuid[]"),
        (2**63, "numeric"),
        (-(2**63), "bigint"),
        (1.5, "float8"),
        (True, "bool"),
        (Decimal("-12.50"), "numeric"),
        (date(2026, 2, 28), "date"),
        (datetime(2026, 2, 28, 23, 59, 59, 999_999, UTC), "timestamptz"),
        ([True, False], "bool[]"),
        ([Decimal("0.1"), Decimal("1e20")], "numeric[]"),
        ([date(2026, 2, 28), date.max], "date[]"),
        ([datetime(2026, 2, 28, tzinfo=UTC)], "timestamptz[]"),
        ([1, None], "bigint[]"),
        ([None, "a"], "text[]"),
        ([None], "uuid[]"),
        ([1, 2**63], "numeric[]"),
        (timedelta(days=1, seconds=5), "interval"),
        (Jsonb({"a": [1, None]}), "jsonb"),
    ],
)
@pytest.mark.parametrize("binary", [False, True])
def test_a_parameter_arrives_as_it_was_and_as_on_a_cursor_of_psycopgs(
    statements: StatementBatch, value: Any, cast: str, binary: bool
) -> None:
    cursor, psycopgs = statements.cursor(), statements.connection.cursor()
    expected = value.obj if isinstance(value, Jsonb) else value
    for placeholder in ("%(value)s", "%(value)b"):
        for each in (cursor, psycopgs):
            each.execute(f"SELECT {placeholder}::{cast}, {placeholder}::{cast}", {"value": value}, binary=binary)
            assert each.fetchone() == (expected, expected)


def test_a_percent_sign_is_written_twice_beside_parameters_and_once_without(statements: StatementBatch) -> None:
    for cursor in (statements.cursor(), statements.connection.cursor()):
        assert cursor.execute("SELECT '%s %%'").fetchone() == ("%s %%",)
        assert cursor.execute("SELECT '%% ' || %(text)s", {"text": "%(text)s"}).fetchone() == ("% %(text)s",)


def test_rows_are_fetched_once_and_only_of_a_statement_that_has_some(statements: StatementBatch) -> None:
    for cursor in (statements.cursor(), statements.connection.cursor()):
        cursor.execute("SELECT n FROM generate_series(1, 4) n")
        assert (cursor.fetchone(), cursor.fetchone(), cursor.fetchall()) == ((1,), (2,), [(3,), (4,)])
        assert (cursor.fetchone(), cursor.fetchall()) == (None, [])
        cursor.execute("TRUNCATE notes")
        with pytest.raises(psycopg.ProgrammingError):
            cursor.fetchall()


def test_a_value_it_does_not_know_and_nul_in_text_are_refused_before_anything_is_sent(statements: StatementBatch) -> None:
    unknown: Any
    for unknown in (object(), {"a": 1}):
        for cursor in (statements.cursor(), statements.connection.cursor()):
            with pytest.raises(psycopg.ProgrammingError, match="cannot adapt type"):
                cursor.execute("SELECT %(value)s", {"value": unknown})
    with pytest.raises(psycopg.DataError, match="NUL"):
        statements.cursor().execute("SELECT %(value)s", {"value": "a\0b"})
    assert statements.cursor().execute("SELECT 1").fetchall() == [(1,)]


def test_the_first_failure_is_raised_and_what_came_after_it_is_not_done(statements: StatementBatch) -> None:
    cursor, behind = statements.cursor(), statements.cursor()
    cursor.execute("BEGIN")
    cursor.execute("INSERT INTO notes VALUES (1)")
    cursor.execute("INSERT INTO notes VALUES (1)")
    behind.execute("SELECT upper(%(text)s)", {"text": "never"})
    cursor.execute("COMMIT")
    with pytest.raises(psycopg.errors.UniqueViolation, match="notes_pkey"):
        statements.flush()
    statements.connection.rollback()
    assert rows(statements) == []
    behind.execute("SELECT upper(%(text)s)", {"text": "now"})
    cursor.execute("INSERT INTO notes VALUES (2, %(text)s)", {"text": "again"})
    assert behind.fetchall() == [("NOW",)]
    assert rows(statements) == [(2, "again")]


def test_a_statement_that_does_not_parse_fails_alone_and_can_be_asked_again_when_it_does(statements: StatementBatch) -> None:
    later = "SELECT n FROM later"
    with pytest.raises(psycopg.errors.UndefinedTable):
        statements.cursor().execute(later).fetchall()
    statements.connection.execute("CREATE TEMP TABLE later AS SELECT 1::bigint AS n")
    assert statements.cursor().execute(later, binary=True).fetchall() == [(1,)]


def test_what_was_forgotten_is_not_sent(statements: StatementBatch) -> None:
    statements.cursor().execute("INSERT INTO notes VALUES (1)")
    statements.discard()
    statements.flush()
    assert rows(statements) == []


def test_more_than_the_sockets_hold_goes_both_ways_without_a_standstill(statements: StatementBatch) -> None:
    text = "x" * 1_000_000
    cursors = [
        statements.cursor().execute("SELECT %(n)s::text || %(text)s::text", {"n": str(number), "text": text})
        for number in range(30)
    ]
    statements.flush()
    assert [cursor.fetchone() == (f"{number}{text}",) for number, cursor in enumerate(cursors)] == [True] * 30


def test_a_lost_connection_is_an_operational_error_and_closed(shared_database_url: str, statements: StatementBatch) -> None:
    cursor = statements.cursor()
    cursor.execute("INSERT INTO notes VALUES (1)")
    with psycopg.connect(shared_database_url, autocommit=True) as other:
        other.execute("SELECT pg_terminate_backend(%s, 5000)", (statements.connection.info.backend_pid,))
    with pytest.raises(psycopg.OperationalError):
        statements.flush()
    assert statements.connection.closed


def test_a_connection_lost_in_the_middle_of_a_burst_is_an_operational_error(statements: StatementBatch) -> None:
    before, after = statements.cursor(), statements.cursor()
    before.execute("SELECT 1")
    statements.cursor().execute("SELECT pg_terminate_backend(pg_backend_pid())")
    after.execute("SELECT 2")
    with pytest.raises(psycopg.OperationalError):
        after.fetchall()
    assert statements.connection.closed
