"""One connection of the event loop: what is asked is answered, and what goes wrong is told to whoever asked."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, date, datetime
from decimal import Decimal
from uuid import UUID

import psycopg
import pytest

from app.reading import read_connection as readers
from app.reading.read_connection import ReadConnection
from consumers.webhooks import delivery_log
from projections import exchange_rates
from projections.conditions import SqlStatement
from projections.directory import queries as directory_queries
from projections.opportunities import list_query
from projections.opportunities import queries as opportunity_queries


def reading(url: str, scenario: Callable[[ReadConnection], Awaitable[None]]) -> None:
    async def run() -> None:
        reader = ReadConnection(await psycopg.AsyncConnection.connect(url, autocommit=True, options="-c timezone=UTC"))
        try:
            await scenario(reader)
        finally:
            await reader.close()
            assert reader.closed

    asyncio.run(run())


def test_parameters_are_found_by_name_however_often_and_in_whatever_order(shared_database_url: str) -> None:
    text = "100 % of \"it\" 'Zoë' 🎉"
    values = {
        "text": text,
        "number": 2**40,
        "money": Decimal("-12.50"),
        "id": UUID(int=7),
        "day": date(2026, 2, 28),
        "at": datetime(2026, 2, 28, 12, 30, 0, 5, UTC),
        "yes": True,
        "nothing": None,
        "days": [date(2026, 1, 1), date(2026, 1, 2)],
        "ids": [UUID(int=1)],
    }
    columns = ", ".join(f"%({name})s AS {name}" for name in reversed(values))

    async def scenario(reader: ReadConnection) -> None:
        rows = await reader.rows(f"SELECT {columns}, %(text)s::text || '%%', 7 %% 4", values | {"unused": 1})
        assert rows == [(*reversed(values.values()), text + "%", 3)]

    reading(shared_database_url, scenario)


def test_an_answer_that_comes_in_many_parts_and_a_question_larger_than_the_socket_are_whole(shared_database_url: str) -> None:
    text = "x" * 20_000_000

    async def scenario(reader: ReadConnection) -> None:
        assert await reader.rows("SELECT n, repeat('y', 1000) FROM generate_series(1, 3000) n", {}) == [
            (n, "y" * 1000) for n in range(1, 3001)
        ]
        assert await reader.rows("SELECT length(%(text)s::text), %(text)s::text", {"text": text}) == [(len(text), text)]

    reading(shared_database_url, scenario)


def test_an_error_is_the_statements_own_and_the_connection_goes_on(shared_database_url: str) -> None:
    async def scenario(reader: ReadConnection) -> None:
        for _ in range(2):
            with pytest.raises(psycopg.errors.UndefinedTable, match="no_such_table"):
                await reader.rows("SELECT * FROM no_such_table", {})
            with pytest.raises(psycopg.errors.DivisionByZero):
                await reader.rows("SELECT 1 / %(zero)s::int", {"zero": 0})
            with pytest.raises(psycopg.DataError):
                await reader.rows("SELECT %(text)s::text", {"text": "a\0b"})
            assert await reader.rows("SELECT 1 / %(zero)s::int", {"zero": 1}) == [(1,)]

    reading(shared_database_url, scenario)


def test_statements_beyond_those_it_keeps_prepared_are_prepared_anew(
    shared_database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(readers, "MAX_PREPARED", 5)

    async def scenario(reader: ReadConnection) -> None:
        for _ in range(2):
            for number in range(12):
                assert await reader.rows(f"SELECT {number} + %(more)s::int", {"more": 1}) == [(number + 1,)]
        ((prepared,),) = await reader.rows("SELECT count(*) FROM pg_prepared_statements", {})
        assert prepared <= 5

    reading(shared_database_url, scenario)


def test_statements_that_are_used_again_and_again_stay_prepared_whatever_else_is_asked(
    shared_database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(readers, "MAX_PREPARED", 5)

    async def scenario(reader: ReadConnection) -> None:
        asked = "SELECT /* this one */ (SELECT prepare_time FROM pg_prepared_statements WHERE statement LIKE '%%this one%%')"
        ((first,),) = await reader.rows(asked, {})
        for number in range(30):
            await reader.rows(f"SELECT {number}", {})
            assert await reader.rows(asked, {}) == [(first,)]

    reading(shared_database_url, scenario)


def test_a_list_walked_by_page_is_one_statement_however_many_pages_there_are(shared_database_url: str) -> None:
    org_id = UUID(int=1)
    pages: list[Callable[[int], SqlStatement]] = [
        lambda n: opportunity_queries.page(list_query.OpportunityListQuery(org_id), 50, 50 * n),
        lambda n: directory_queries.page(directory_queries.DirectoryListQuery(org_id, "account"), 50, 50 * n),
        lambda n: exchange_rates.page(org_id, 50, 50 * n),
        lambda n: delivery_log.page(org_id, org_id, (), 50, 50 * n).rows,
    ]

    async def scenario(reader: ReadConnection) -> None:
        for page in pages:
            for number in range(300):
                await reader.rows(*page(number)[:2])
        ((prepared,),) = await reader.rows("SELECT count(*) FROM pg_prepared_statements", {})
        assert prepared <= 2 * len(pages) + 1  # first pages have their own

    reading(shared_database_url, scenario)


def test_a_connection_that_is_ended_while_it_answers_or_while_it_is_idle_is_closed(shared_database_url: str) -> None:
    async def while_it_answers(reader: ReadConnection) -> None:
        with pytest.raises(psycopg.OperationalError):
            await reader.rows("SELECT pg_terminate_backend(pg_backend_pid())", {})
        assert reader.closed

    async def while_it_is_idle(reader: ReadConnection) -> None:
        ((pid,),) = await reader.rows("SELECT pg_backend_pid()", {})
        with psycopg.connect(shared_database_url, autocommit=True) as other:
            other.execute("SELECT pg_terminate_backend(%s, 5000)", (pid,))
        with pytest.raises(psycopg.OperationalError):
            await reader.rows("SELECT 1", {})
        assert reader.closed

    reading(shared_database_url, while_it_answers)
    reading(shared_database_url, while_it_is_idle)
