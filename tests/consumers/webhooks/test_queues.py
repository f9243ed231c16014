"""When each endpoint next has something to send: a claim looks at those that are due, and none is put off too long."""

from __future__ import annotations

import asyncio
import random
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from uuid import UUID

import psycopg
from psycopg import AsyncConnection
from uuid_utils.compat import uuid7

from app.process import children
from consumers import database
from consumers.webhooks import deliveries
from consumers.webhooks.deliveries import Row, Settled
from consumers.webhooks.sender import LISTEN
from domain.webhook_endpoint import Update
from tests.support.commands import Company
from tests.support.domain import uuid
from tests.support.receiver import Receiver
from tests.support.webhooks import endpoint, execute, queue, sending, states

URL = "http://127.0.0.1:9/hooks"

TOO_LATE = """
    SELECT d.endpoint_id FROM webhook_deliveries d LEFT JOIN webhook_queues q USING (endpoint_id)
    JOIN directory e ON e.id = d.endpoint_id AND e.valid_to = 'infinity' AND e.active AND NOT e.deleted
    WHERE d.status = 'pending' AND (q.due_at IS NULL OR q.due_at > claimable_at(d.due_at, d.leased_until))
"""
"""Deliveries to active endpoints that can be claimed before anybody looks at their endpoint."""
READ = "SELECT sum(seq_tup_read + idx_tup_fetch)::int FROM pg_stat_xact_user_tables WHERE relname LIKE 'webhook_%'"
"""Statement for how many rows this transaction has looked at."""
CHANGES = (
    "status = 'delivered', leased_until = NULL, settled_at = clock_timestamp()",
    "leased_until = NULL",
    "leased_until = NULL, due_at = clock_timestamp() + interval '10 ms'",
    "leased_until = NULL, due_at = clock_timestamp() + interval '1 hour'",
)
"""What may become of a claimed delivery."""


class Claims:
    """Claims as a sender makes them, on a connection of its own."""

    def __init__(self, url: str) -> None:
        self._url = url

    def claim(self, *, free: int = 100) -> tuple[list[UUID], int]:
        """The deliveries claimed, and how many rows of the queue were looked at for it."""

        async def run() -> tuple[list[UUID], int]:
            options = "-c enable_seqscan=off"
            async with await AsyncConnection.connect(self._url, options=options) as connection, connection.cursor() as cursor:
                await cursor.execute("SET ROLE opportunities_writer")
                claimed = await deliveries.claim(cursor, [], fast_free=free, slow_free=free, lease=25.0)
                await cursor.execute(READ)
                row = await cursor.fetchone()
                assert row is not None
                return [one.id for one in claimed], row[0]

        return asyncio.run(run())


def put_off(url: str, number: int) -> None:
    """Deliveries that wait for tomorrow, of so many endpoints of their own."""
    execute(
        url,
        """
        INSERT INTO webhook_deliveries (id, org_id, endpoint_id, event_id, type, body, due_at)
        SELECT gen_random_uuid(), %s, gen_random_uuid(), 'evt_' || n, 'opportunity.won', '{}', clock_timestamp() + interval '1 day'
        FROM generate_series(1, %s) n
        """,
        uuid(1),
        number,
    )


def test_endpoints_that_wait_for_tomorrow_cost_a_claim_nothing(database_url: str, company: Company) -> None:
    hooks = endpoint(company, URL)
    queue(database_url, company, hooks)
    claimed, alone = Claims(database_url).claim()
    assert len(claimed) == 1
    put_off(database_url, 20_000)
    queue(database_url, company, hooks)
    claimed, among_many = Claims(database_url).claim()
    assert len(claimed) == 1
    assert among_many <= alone + 10
    nothing, idle = Claims(database_url).claim()
    assert nothing == []
    assert idle <= alone


def test_what_is_queued_and_not_committed_while_its_endpoint_is_put_off_is_claimed_once_it_is(
    database_url: str, company: Company
) -> None:
    hooks = endpoint(company, URL)
    claims = Claims(database_url)
    (first,) = queue(database_url, company, hooks)
    with database.connect(database_url, "test") as connection, connection.transaction(), connection.cursor() as cursor:
        late = Row(uuid7(), company.id, hooks, "evt_late", "opportunity.won", uuid7(), 1, "{}")
        deliveries.queue(cursor, [late])
        assert claims.claim()[0] == [first]
        assert claims.claim()[0] == []
    assert execute(database_url, TOO_LATE) == []
    assert claims.claim()[0] == [late.id]


def test_who_tells_senders_later_commits_without_a_notification(database_url: str, company: Company) -> None:
    """For which it would wait until everybody's that notify are on disk."""
    hooks = endpoint(company, URL)
    with psycopg.connect(database_url, autocommit=True) as sender:
        sender.execute(LISTEN)
        with database.connect(database_url, "test") as consumer, consumer.cursor() as cursor:
            consumer.execute(deliveries.TELLS_LATER)
            deliveries.queue(cursor, [Row(uuid7(), company.id, hooks, "evt_1", "opportunity.won", uuid7(), 1, "{}")])
            consumer.execute(f"NOTIFY {deliveries.CHANNEL}, 'later'")
        assert [one.payload for one in sender.notifies(timeout=10, stop_after=1)] == ["later"]


def test_settling_that_was_planned_while_nothing_was_queued_looks_at_few_rows_of_a_long_queue(
    database_url: str, company: Company
) -> None:
    hooks = endpoint(company, URL)

    async def run() -> int:
        async with await AsyncConnection.connect(database_url, options="-c enable_seqscan=off") as connection:
            cursor = connection.cursor()
            for number in range(10):
                (waiting,) = queue(database_url, company, hooks)
                put_off(database_url, 2_000 if number == 9 else 0)
                await connection.commit()
                done = Settled(waiting, company.id, hooks, "delivered", 0.0, datetime.now(UTC), 1, "delivered", 200, "", None)
                await deliveries.settle(cursor, [done])
            await cursor.execute(READ)
            ((read,),) = await cursor.fetchall()
            return int(read)

    assert asyncio.run(run()) < 50


def test_an_endpoint_that_goes_on_after_a_pause_is_looked_at_within_seconds(database_url: str, company: Company) -> None:
    hooks = endpoint(company, URL, active=False)
    (held,) = queue(database_url, company, hooks)
    claims = Claims(database_url)
    assert claims.claim()[0] == []
    company.do(Update(active=True), hooks)
    ((seconds,),) = execute(
        database_url,
        "SELECT extract(epoch FROM due_at - clock_timestamp())::float FROM webhook_queues WHERE endpoint_id = %s",
        hooks,
    )
    assert seconds <= deliveries.HELD_SECONDS
    execute(database_url, "UPDATE webhook_queues SET due_at = clock_timestamp() WHERE endpoint_id = %s", hooks)
    assert claims.claim()[0] == [held]


def test_no_endpoint_is_put_off_past_a_delivery_whatever_happens_at_once(database_url: str, company: Company) -> None:
    """Two who queue, two who claim, settle, let leases end and give back, on few endpoints."""
    hooks = [endpoint(company, URL) for _ in range(4)]
    end = time.monotonic() + 3

    def queueing(chance: random.Random) -> None:
        with database.connect(database_url, "test") as connection:
            while time.monotonic() < end:
                with connection.transaction(), connection.cursor() as cursor:
                    chosen = chance.sample(hooks, chance.randint(1, 4))
                    new = [Row(uuid7(), company.id, each, uuid7().hex, "opportunity.won", uuid7(), 1, "{}") for each in chosen]
                    deliveries.queue(cursor, new)

    def claiming(chance: random.Random) -> None:
        claims = Claims(database_url)
        while time.monotonic() < end:
            claimed, _ = claims.claim(free=chance.randint(1, 6))
            with database.connect(database_url, "test") as connection, connection.cursor() as cursor:
                for id_ in claimed:
                    cursor.execute(f"UPDATE webhook_deliveries SET {chance.choice(CHANGES)} WHERE id = %s".encode(), (id_,))

    with ThreadPoolExecutor(4) as pool:
        works = [pool.submit(work, random.Random(seed)) for seed, work in enumerate((queueing, queueing, claiming, claiming))]
        while time.monotonic() < end:
            assert execute(database_url, TOO_LATE) == []
        for work in works:
            work.result()
    assert execute(database_url, TOO_LATE) == []
    assert execute(database_url, "SELECT count(*) > 5 FROM webhook_deliveries WHERE status = 'delivered'") == [(True,)]


def test_an_endpoint_that_cannot_be_disabled_keeps_no_attempt_from_being_settled(
    database_url: str, company: Company, receiver: Receiver
) -> None:
    gone, other = endpoint(company, receiver.url("/status/410")), endpoint(company, receiver.url("/other"))
    nobody = psycopg.conninfo.make_conninfo(database_url, port=9)
    with sending(database_url, commands_url=nobody):
        queue(database_url, company, gone, 2)
        queue(database_url, company, other, 3)
        receiver.wait(3, "/other")
        assert children.wait_until(lambda: {each.status for each in states(database_url, other)} == {"delivered"}, 10)
        assert children.wait_until(lambda: {each.status for each in states(database_url, gone)} == {"dead"}, 10)


def test_an_idle_sender_asks_rarely_and_sends_at_once_what_comes(database_url: str, company: Company, receiver: Receiver) -> None:
    hooks = endpoint(company, receiver.url("/idle"))
    queue(database_url, company, hooks)
    asked = (
        "SELECT query_start FROM pg_stat_activity WHERE application_name = 'opportunities sender' AND datname = current_database()"
    )
    with sending(database_url):
        receiver.wait(1, "/idle")
        assert children.wait_until(lambda: states(database_url, hooks)[0].status == "delivered", 10)
        seen = set()
        until = time.monotonic() + 2
        while time.monotonic() < until:
            seen |= set(execute(database_url, asked))
        assert 1 <= len(seen) <= 4
        began = time.monotonic()
        queue(database_url, company, hooks)
        receiver.wait(2, "/idle")
        assert time.monotonic() - began < deliveries.HELD_SECONDS / 2
