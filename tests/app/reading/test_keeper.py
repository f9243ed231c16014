"""A kept figure equals one computed from scratch, in every process, and all of them have bounded room."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import closing
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import psycopg
import pytest

from app.writing.committer import Committer
from domain import account, opportunity
from projections import kept, rebuild
from projections.conditions import Condition, SqlStatement
from projections.opportunities import list_query
from projections.opportunities.counts import CountedPage
from projections.opportunities.list_query import OpportunityListQuery
from tests.support.commands import Company
from tests.support.figures import SEEDS, Life, Process, with_processes

PAST = datetime(2026, 3, 1, tzinfo=UTC)
CONDITIONS: list[tuple[Condition, ...]] = [
    (Condition("search", "icontains", ("acme",)),),
    (Condition("search", "icontains", ("re",)), Condition("stage", "in", ("discovery",))),
    (Condition("tags", "all", ("red",)),),
    (Condition("cf_region", "in", ("EMEA",), "text"), Condition("amount", "gte", (Decimal(50),))),
    (Condition("currency", "in", ("EUR",)),),
    (Condition("account", "in", (UUID(int=1),)),),
    (Condition("close_date", "isnull", (True,)),),
    (Condition("next_step", "icontains", ("call",)),),
    (Condition("created_at", "gte", (PAST,)),),
    (Condition("owner_email", "in", ("admin@acme.example",)), Condition("tags", "any", ("red", "blue"))),
    (Condition("owner_email", "in", ("new@acme.example", "rep@acme.example")), Condition("probability", "gte", (0,))),
]
INSTANTS = (datetime(2026, 1, 15, tzinfo=UTC), PAST, datetime(2100, 1, 1, tzinfo=UTC))


async def count(process: Process, query: OpportunityListQuery) -> int:
    _, n = await process.row(CountedPage(query, 5))
    return int(n)


def counted(url: str, query: OpportunityListQuery) -> int:
    """By looking at every deal."""
    where = list_query.where(query)
    text = f"SELECT count(*) FROM opportunities o WHERE {where.text}"
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("SET ROLE opportunities_reader")
        connection.execute("SELECT set_config('app.org_id', %s, false)", (str(query.org_id),))
        row = connection.execute(text.encode(), where.params).fetchone()
    assert row is not None
    return int(row[0])


def asked(company: Company, life: Life) -> list[OpportunityListQuery]:
    found = []
    for conditions in CONDITIONS:
        own = tuple(each._replace(values=(life.accounts[0],)) if each.field == "account" else each for each in conditions)
        found += [OpportunityListQuery(company.id, own, as_of=at) for at in (None, *INSTANTS)]
    return [*found, *(OpportunityListQuery(company.id, as_of=at) for at in INSTANTS)]


@pytest.mark.parametrize("seed", SEEDS)
def test_a_kept_count_is_the_count(seed: int, database_url: str) -> None:
    """Each step is asked for in one process or the other, so figures are behind by different numbers of events."""
    with closing(Committer(database_url)) as committer:
        company = Company(committer)
        life = Life(company, seed)

        async def scenario(*processes: Process) -> None:
            for step in range(40):
                for _ in range(life.random.randrange(1, 6)):
                    await asyncio.to_thread(life.go_on)
                if step in (15, 30):
                    await asyncio.to_thread(rebuild.rebuild, database_url, [("opportunities", "directory")[step == 30]])
                for query in life.random.sample(asked(company, life), 12):
                    process = life.random.choice(processes)
                    assert await count(process, query) == await asyncio.to_thread(counted, database_url, query), query
            told = [each for process in processes for each in process.told]
            assert told.count("kept") > 100
            assert told.count("computed") > 50

        with_processes(database_url, company, scenario)


def test_what_was_counted_in_tables_that_were_replaced_is_counted_again(database_url: str) -> None:
    """As after a rebuild by code that renders other rows."""
    with closing(Committer(database_url)) as committer, closing(psycopg.connect(database_url, autocommit=True)) as owner:
        company = Company(committer)
        for _ in range(3):
            company.deal(tags=("red",))
        query = OpportunityListQuery(company.id, (Condition("tags", "all", ("red",)),))

        async def scenario(process: Process) -> None:
            assert await count(process, query) == 3
            owner.execute("UPDATE opportunities SET tags = '{blue}' WHERE org_id = %s", (company.id,))
            owner.execute("DELETE FROM opportunity_terms WHERE org_id = %s", (company.id,))
            assert await count(process, query) == 3, "a figure is not computed again while its tables stay"
            rebuild.rebuild(database_url, ["opportunities"])
            owner.execute("UPDATE opportunities SET tags = '{blue}' WHERE org_id = %s AND version = 1", (company.id,))
            owner.execute("DELETE FROM opportunity_terms WHERE org_id = %s", (company.id,))
            assert await count(process, query) == 0

        with_processes(database_url, company, scenario, 1)


def test_it_is_counted_again_once_catching_up_takes_longer(
    shared_database_url: str, company: Company, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kept, "MOST", (3,))
    query = OpportunityListQuery(company.id, (Condition("currency", "in", ("USD",)),))

    async def scenario(process: Process) -> None:
        total = 0
        for number, how in ((1, ["computed"]), (3, ["kept"]), (4, ["kept", "computed"]), (0, ["kept"])):
            for _ in range(number):
                company.deal()
            total += number
            process.told.clear()
            assert await count(process, query) == total
            assert process.told == how

    with_processes(shared_database_url, company, scenario, 1)


def test_an_account_that_is_renamed_is_found_by_its_name_of_now(shared_database_url: str, company: Company) -> None:
    acme = OpportunityListQuery(company.id, (Condition("search", "icontains", ("acme",)),))

    async def scenario(process: Process) -> None:
        company.deal("Annual")
        assert await count(process, acme) == 1
        company.do(account.Update(custom_fields={"tier": "a"}), company.account_id)
        company.deal("Pilot")
        process.told.clear()
        assert await count(process, acme) == 2
        assert process.told == ["kept"]
        company.do(account.Update(name="Globex"), company.account_id)
        assert await count(process, acme) == 0

    with_processes(shared_database_url, company, scenario, 1)


def test_events_before_the_position_are_not_looked_at(database_url: str) -> None:
    with closing(Committer(database_url)) as committer, closing(psycopg.connect(database_url, autocommit=True)) as connection:
        company = Company(committer)
        for _ in range(20):
            committer.run([company.envelope(company.creation()) for _ in range(200)])
        connection.execute("ANALYZE opportunities_events")
        connection.execute("SET ROLE opportunities_reader")
        connection.execute("SELECT set_config('app.org_id', %s, false)", (str(company.id),))
        page = CountedPage(OpportunityListQuery(company.id, (Condition("currency", "in", ("USD",)),)), 5)
        computed = page.statement(None)
        row = connection.execute(computed.text.encode(), computed.params).fetchone()
        assert row is not None
        statement = page.statement(kept.Figure(row[0] - 2, row[1], (0,)))
        explain = b"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) " + statement.text.encode()
        row = connection.execute(explain, statement.params).fetchone()
        assert row is not None
    scans = [node for node in nodes(row[0][0]["Plan"]) if node.get("Relation Name") == "opportunities_events"]
    assert [scan["Actual Rows"] for scan in scans] == [2]
    assert sum(scan["Shared Hit Blocks"] + scan["Shared Read Blocks"] for scan in scans) < 12


def nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for part in plan.get("Plans", ()):
        yield from nodes(part)


def test_it_is_computed_once_for_all_who_ask_at_the_same_time(shared_database_url: str, company: Company) -> None:
    company.deal()
    query = OpportunityListQuery(company.id, (Condition("currency", "in", ("USD",)),))

    async def scenario(process: Process) -> None:
        assert await asyncio.gather(*(count(process, query) for _ in range(8))) == [1] * 8
        assert process.told.count("computed") == 1

    with_processes(shared_database_url, company, scenario, 1)


def test_who_waits_for_a_figure_gets_it_also_when_whoever_asked_first_is_gone(shared_database_url: str, company: Company) -> None:
    company.deal()
    query = OpportunityListQuery(company.id, (Condition("currency", "in", ("USD",)),))

    async def scenario(process: Process) -> None:
        tasks = [asyncio.create_task(count(process, query)) for _ in range(3)]
        await asyncio.sleep(0)
        tasks[0].cancel()
        assert await asyncio.gather(*tasks[1:]) == [1, 1]

    with_processes(shared_database_url, company, scenario, 1)


def test_figures_take_no_more_bytes_than_they_may(shared_database_url: str, company: Company) -> None:
    company.deal()

    async def scenario(process: Process) -> None:
        for n in range(40):
            await count(process, OpportunityListQuery(company.id, (Condition("amount", "gte", (Decimal(n),)),)))
            assert process.keeper.size <= 20_000
        assert 5 < len(process.keeper) < 40
        process.told.clear()
        await count(process, OpportunityListQuery(company.id, (Condition("amount", "gte", (Decimal(39),)),)))
        assert process.told == ["kept"], "the last used ones are kept"
        long = "x" * 6_000
        await count(process, OpportunityListQuery(company.id, (Condition("next_step", "icontains", (long,)),)))
        assert len(process.keeper) > 5, "one that takes a large part of the room is not kept"

    with_processes(shared_database_url, company, scenario, 1, max_bytes=20_000)


def test_a_count_is_of_the_position_that_comes_with_it(database_url: str) -> None:
    """While others write: each answer is what the log up to its position gives."""
    with closing(Committer(database_url)) as committer, closing(Committer(database_url)) as other:
        company = Company(committer)
        query = OpportunityListQuery(company.id, (Condition("tags", "any", ("red",)),))
        page = CountedPage(query, 5)
        found: list[tuple[int, int]] = []

        def write(committer: Committer) -> None:
            for n in range(120):
                creation = company.creation(tags=("red",) if n % 3 else ())
                (made,) = committer.run([company.envelope(creation)])
                if n % 4 == 0:
                    committer.run([company.envelope(opportunity.Delete(), made.stream_id)])  # type: ignore[union-attr]

        async def scenario(*processes: Process) -> None:
            writers = [asyncio.create_task(asyncio.to_thread(write, one)) for one in (committer, other)]
            while not all(task.done() for task in writers):
                for process in processes:
                    await process.keeper.row(process.identity, page)
                    figure = process.keeper._entries[page.key].figure
                    found.append((figure.position, figure.parts[0]))
            await asyncio.gather(*writers)

        with_processes(database_url, company, scenario)
        check(database_url, company, found)


def check(url: str, company: Company, found: Sequence[tuple[int, int]]) -> None:
    text = """
        SELECT count(*) FROM opportunities o WHERE o.org_id = %s AND o.position <= %s AND NOT o.deleted AND o.tags && '{red}'
            AND NOT EXISTS (SELECT FROM opportunities n WHERE n.id = o.id AND n.version > o.version AND n.position <= %s)
    """
    assert len(set(found)) > 20
    with psycopg.connect(url, autocommit=True) as connection:
        for position, n in set(found):
            row = connection.execute(text, (company.id, position, position)).fetchone()
            assert row == (n,), position


def test_the_statement_of_a_list_that_is_asked_for_again_is_made_once() -> None:
    def asked(stage: str, limit: int = 5) -> SqlStatement:
        conditions = (Condition("stage", "in", (stage,)),)
        return CountedPage(OpportunityListQuery(UUID(int=1), conditions), limit).from_counters(slots=True)

    assert asked("proposal") is asked("proposal")
    assert asked("proposal").params["p0"] != asked("negotiation").params["p0"]
    assert asked("proposal").text != asked("proposal", 6).text
