"""A read answers for a token that is good at that moment, shows one org, and survives the connections it runs on."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, date, datetime, timedelta
from time import monotonic
from typing import Any

import pytest
import time_machine

from app.process.failures import Unavailable
from app.reading.read_pool import Identity, ReadPool
from app.writing.token_secrets import hashed
from domain import token, user
from domain.errors import Unauthenticated
from projections import questions
from projections.directory import queries as directory_queries
from projections.forecast import current
from projections.forecast.current import ForecastQuery
from projections.opportunities import list_query
from projections.opportunities import queries as opportunity_queries
from tests.support.commands import Caller, Company
from tests.support.proxy import proxied


def reading(url: str, scenario: Callable[..., Awaitable[None]], processes: int = 2, **options: Any) -> None:
    """Run a scenario with the ``Reads`` of so many processes."""

    async def run() -> None:
        reads = [ReadPool(url, **options) for _ in range(processes)]
        try:
            await scenario(*reads)
        finally:
            for one in reads:
                await one.close()

    asyncio.run(run())


async def known(reads: ReadPool, caller: Caller) -> Identity:
    identity = await reads.identity(hashed(caller.token))
    assert identity is not None
    return identity


async def names(reads: ReadPool, identity: Identity) -> bytes:
    items, _ = await reads.row(identity, *opportunity_queries.page(list_query.OpportunityListQuery(identity.org_id), 50))
    return items or b""


def test_a_revoked_token_reads_nothing_from_that_moment_in_any_process(shared_database_url: str, company: Company) -> None:
    rep = company.user("rep")
    company.deal()

    async def scenario(*processes: ReadPool) -> None:
        identities = [await known(reads, rep) for reads in processes]
        company.do(token.Revoke(), rep.token_id)
        for reads, identity in zip(processes, identities, strict=True):
            with pytest.raises(Unauthenticated):
                await names(reads, identity)
            assert await reads.identity(identity.hash) is None

    reading(shared_database_url, scenario)


def test_a_user_who_is_not_active_any_more_reads_nothing(shared_database_url: str, company: Company) -> None:
    rep = company.user("rep")

    async def scenario(reads: ReadPool) -> None:
        identity = await known(reads, rep)
        company.do(user.Update(active=False), rep.actor.user_id)
        with pytest.raises(Unauthenticated):
            await names(reads, identity)
        company.do(user.Update(active=True), rep.actor.user_id)
        assert await names(reads, await known(reads, rep)) == b""

    reading(shared_database_url, scenario, processes=1)


def test_a_cheap_question_is_planned_once_on_a_connection(shared_database_url: str, company: Company) -> None:
    company.deal()

    async def scenario(reads: ReadPool) -> None:
        identity = await known(reads, company.admin)
        for _ in range(7):
            await reads.row(identity, *current.forecast(ForecastQuery(company.id, date(2026, 5, 1))))
        counted = "SELECT sum(custom_plans)::int, max(generic_plans)::int FROM pg_prepared_statements"
        assert tuple(await reads.row(identity, counted, {}, questions.RECORD)) == (0, 7)

    reading(shared_database_url, scenario, processes=1, connections=1)


def test_what_others_do_to_the_orgs_users_disturbs_nobody(shared_database_url: str, company: Company) -> None:
    company.deal("Mine")

    async def scenario(reads: ReadPool) -> None:
        identity = await known(reads, company.admin)
        company.user("rep")
        assert b"Mine" in await names(reads, identity)
        assert (await known(reads, company.admin)).epoch > identity.epoch

    reading(shared_database_url, scenario, processes=1)


def test_a_token_ends_when_it_expires(shared_database_url: str, company: Company) -> None:
    expires_at = datetime.now(UTC) + timedelta(hours=1)
    company.do(token.Issue(name="short", hash=hashed("secret"), prefix="opp_", expires_at=expires_at))

    async def scenario(reads: ReadPool) -> None:
        assert await reads.identity(hashed("secret")) is not None
        with time_machine.travel(expires_at, tick=True):  # not by this machine's clock
            assert await reads.identity(hashed("secret")) is not None
        reads.clock.tell(expires_at, monotonic())
        assert await reads.identity(hashed("secret")) is None

    reading(shared_database_url, scenario, processes=1)


def test_a_connection_that_served_one_org_shows_the_next_one_nothing_of_it(shared_database_url: str, company: Company) -> None:
    other = Company(company.committer, "Other")
    company.deal("Ours")
    other.deal("Theirs")
    everything = "SELECT string_agg(name, ' ' ORDER BY name) FROM opportunities WHERE valid_to = 'infinity'"

    async def scenario(reads: ReadPool) -> None:
        ours, theirs = await known(reads, company.admin), await known(reads, other.admin)
        for identity, seen in [(ours, "Ours"), (theirs, "Theirs")] * 3:
            assert await reads.row(identity, everything, {}) == (seen,)
            both = {"org_id": [ours.org_id, theirs.org_id]}
            sql = "SELECT org_id FROM directory WHERE org_id = ANY(%(org_id)s) GROUP BY org_id"
            assert await reads.rows(identity, sql, both) == [(identity.org_id,)]
        found = await asyncio.gather(*(reads.row(identity, everything, {}) for _ in range(10) for identity in (ours, theirs)))
        assert found == [("Ours",), ("Theirs",)] * 10

    reading(shared_database_url, scenario, processes=1, dear_connections=1)
    reading(shared_database_url, scenario, processes=1, dear_connections=6)


def test_a_database_that_is_away_is_unavailable_and_comes_back_by_itself(shared_database_url: str, company: Company) -> None:
    company.deal("Mine")

    with proxied(shared_database_url) as proxy:

        async def scenario(reads: ReadPool) -> None:
            identity = await known(reads, company.admin)
            await asyncio.gather(*(names(reads, identity) for _ in range(5)))
            proxy.cut()  # connections that died while idle are nobody's trouble
            assert b"Mine" in await names(reads, identity)
            proxy.away()
            for _ in range(2):
                with pytest.raises(Unavailable):
                    await names(reads, identity)
                with pytest.raises(Unavailable):
                    await reads.ping()
            proxy.back()
            assert b"Mine" in await names(reads, identity)
            await reads.ping()

        reading(proxy.url, scenario, processes=1)


def test_a_statement_that_takes_too_long_is_ended_and_the_connection_goes_on(shared_database_url: str, company: Company) -> None:
    async def scenario(reads: ReadPool) -> None:
        identity = await known(reads, company.admin)
        with pytest.raises(Unavailable):
            await reads.row(identity, "SELECT pg_sleep(30)", {})
        pid = await reads.row(identity, "SELECT pg_backend_pid()", {})
        with pytest.raises(Unavailable):
            await reads.row(identity, "SELECT pg_sleep(30)", {})
        assert await reads.row(identity, "SELECT pg_backend_pid()", {}) == pid

    reading(shared_database_url, scenario, processes=1, dear_connections=1, dear_timeout_ms=100)


def test_a_caller_that_hangs_up_takes_no_connection_with_it(shared_database_url: str, company: Company) -> None:
    async def scenario(reads: ReadPool) -> None:
        identity = await known(reads, company.admin)
        for _ in range(3):
            call = asyncio.create_task(reads.row(identity, "SELECT pg_sleep(30)", {}))
            await asyncio.wait([call], timeout=0.05)
            call.cancel()
            with pytest.raises(asyncio.CancelledError):
                await call
        statement = directory_queries.record(identity.org_id, "user", identity.user_id)
        assert len(await reads.rows(identity, *statement)) == 1

    reading(shared_database_url, scenario, processes=1, connections=1, dear_connections=1)


def test_a_reader_cannot_write(shared_database_url: str, company: Company) -> None:
    async def scenario(reads: ReadPool) -> None:
        identity = await known(reads, company.admin)
        with pytest.raises(Exception, match="permission denied"):
            await reads.rows(identity, "SELECT append_events('{}', '{}', '{}', '{}', '{}', 1)", {})

    reading(shared_database_url, scenario, processes=1)
