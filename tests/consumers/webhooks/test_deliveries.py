"""The queue: one row for an endpoint and an event, and an end to what has had its time."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from uuid import UUID

import psycopg
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from psycopg import AsyncConnection
from uuid_utils.compat import uuid7

from consumers import database
from consumers.webhooks import deliveries
from consumers.webhooks import sweep as sweeping
from consumers.webhooks.deliveries import Row, Settled
from domain.webhook_endpoint import Update
from tests.support.commands import Company
from tests.support.domain import uuid
from tests.support.webhooks import endpoint, execute, queue

URL = "http://127.0.0.1:9/hooks"
KEEP = timedelta(days=30)


def row(endpoint_id: UUID, event: str, id_: UUID | None = None) -> Row:
    return Row(id_ or uuid7(), uuid(1), endpoint_id, event, "opportunity.won", uuid(2), 1, "{}")


def at(instant: datetime) -> UUID:
    """An id of that time."""
    return UUID(int=int(instant.timestamp() * 1000) << 80 | uuid7().int & (1 << 80) - 1)


def sweep(url: str) -> None:
    async def run() -> None:
        async with await AsyncConnection.connect(url, autocommit=True) as connection, connection.cursor() as cursor:
            await cursor.execute("SET ROLE opportunities_writer")
            await sweeping.sweep(cursor, KEEP)

    asyncio.run(run())


@settings(max_examples=25, deadline=None)
@given(batches=st.lists(st.lists(st.tuples(st.integers(1, 3), st.integers(1, 4)), max_size=8), max_size=5))
def test_whatever_is_queued_again_there_is_one_row_for_an_endpoint_and_an_event(
    shared_database_url: str, batches: list[list[tuple[int, int]]]
) -> None:
    with database.connect(shared_database_url, "test") as connection, connection.cursor() as cursor:
        cursor.execute("DELETE FROM webhook_deliveries WHERE org_id = %s", (uuid(1),))
        seen: set[tuple[int, int]] = set()
        for batch in batches:
            rows = [row(uuid(1_000 + place), f"evt_{event}") for place, event in batch]
            assert deliveries.queue(cursor, rows) == len(set(batch) - seen)
            seen |= set(batch)
        found = cursor.execute("SELECT count(*) FROM webhook_deliveries WHERE org_id = %s", (uuid(1),)).fetchone()
        assert found == (len(seen),)


def test_what_is_queued_again_by_hand_keeps_its_bytes(database_url: str, company: Company) -> None:
    hooks = endpoint(company, URL)
    with database.connect(database_url, "test") as connection, connection.cursor() as cursor:
        first = row(hooks, "evt_1")
        deliveries.queue(cursor, [first])
        other = Row(uuid7(), company.id, hooks, "evt_1", "opportunity.won", None, 1, '{"other":"bytes"}')
        assert deliveries.queue_again(cursor, [other, row(hooks, "evt_2")], undelivered=False) == 2
        cursor.execute("UPDATE webhook_deliveries SET status = 'delivered' WHERE event_id = 'evt_1'")
        assert deliveries.queue_again(cursor, [other], undelivered=True) == 0
        found = cursor.execute("SELECT id, body FROM webhook_deliveries WHERE event_id = 'evt_1'").fetchall()
    assert found == [(first.id, "{}")]


def test_what_is_settled_goes_when_it_has_been_kept_with_its_attempts(database_url: str, company: Company) -> None:
    hooks = endpoint(company, URL)
    now = datetime.now(UTC)
    old, young, again, waiting = (at(now - timedelta(days=days)) for days in (31, 29, 31, 31))
    with database.connect(database_url, "test") as connection, connection.cursor() as cursor:
        deliveries.queue(cursor, [row(hooks, str(id_), id_) for id_ in (old, young, again, waiting)])
        statement = "UPDATE webhook_deliveries SET status = %s, settled_at = clock_timestamp() - %s WHERE id = %s"
        cursor.execute(statement, ("delivered", timedelta(days=31), old))
        cursor.execute(statement, ("dead", timedelta(days=29), young))
        cursor.execute(statement, ("delivered", timedelta(days=1), again))
        cursor.execute(
            "INSERT INTO webhook_attempts SELECT id, 1, org_id, now(), 1, 'delivered', 200, '', NULL FROM webhook_deliveries"
        )
    sweep(database_url)
    assert {id_ for (id_,) in execute(database_url, "SELECT id FROM webhook_deliveries")} == {young, again, waiting}
    assert execute(database_url, "SELECT count(*) FROM webhook_attempts") == [(3,)]


def test_what_was_held_for_as_long_is_dead_and_what_waits_for_an_active_endpoint_is_not(
    database_url: str, company: Company
) -> None:
    paused, active = endpoint(company, URL), endpoint(company, URL)
    for hooks in (paused, active):
        queue(database_url, company, hooks, 2)
    company.do(Update(active=False), paused)
    execute(database_url, "UPDATE webhook_deliveries SET created_at = created_at - interval '31 days' WHERE position = 0")
    sweep(database_url)
    rows = execute(database_url, "SELECT endpoint_id, position, status FROM webhook_deliveries ORDER BY endpoint_id, position")
    assert rows == [(paused, 0, "dead"), (paused, 1, "pending"), (active, 0, "pending"), (active, 1, "pending")]


def test_dead_letters_go_as_well(database_url: str) -> None:
    for days in (31, 29):
        execute(
            database_url,
            """
            INSERT INTO dead_letters (topic, partition, "offset", digest, headers, error, at)
            VALUES ('t', 0, %s, '', '{}', 'x', clock_timestamp() - %s)
            """,
            days,
            timedelta(days=days),
        )
    sweep(database_url)
    assert execute(database_url, 'SELECT "offset" FROM dead_letters') == [(29,)]


def test_the_reader_sees_the_deliveries_of_one_org_and_no_keys(database_url: str, company: Company) -> None:
    other = Company(company.committer, "Other")
    for each in (company, other):
        queue(database_url, each, endpoint(each, URL))
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("SET ROLE opportunities_reader")
        connection.execute("SELECT set_config('app.org_id', %s, false)", (str(company.id),))
        assert connection.execute("SELECT org_id FROM webhook_deliveries").fetchall() == [(company.id,)]
        for statement in ("SELECT * FROM webhook_keys", "DELETE FROM webhook_deliveries", "SELECT * FROM dead_letters"):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute(statement)


def test_what_came_of_an_attempt_is_settled_durably_on_a_connection_whose_leases_are_not(
    database_url: str, company: Company
) -> None:
    hooks = endpoint(company, URL)
    (waiting,) = queue(database_url, company, hooks)
    done = Settled(waiting, company.id, hooks, "delivered", 0.0, datetime.now(UTC), 1, "delivered", 200, "", None)

    async def run() -> list[tuple[str]]:
        options = "-c synchronous_commit=local"
        async with (
            await AsyncConnection.connect(database_url, autocommit=True, options=options) as connection,
            connection.cursor() as cursor,
        ):
            await cursor.execute("SET synchronous_commit = off")
            async with connection.transaction():
                await deliveries.settle(cursor, [done])
                return await (await cursor.execute("SHOW synchronous_commit")).fetchall()

    assert asyncio.run(run()) == [("local",)]
