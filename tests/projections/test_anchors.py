"""A page that is found from a kept anchor is the page, whatever has happened since, in every process."""

from __future__ import annotations

import asyncio
from contextlib import closing
from uuid import UUID

import pytest

from app.writing.committer import Committer
from projections import anchors, questions, rebuild
from projections.conditions import Condition, Order, SqlStatement
from projections.directory import deep as directory_deep
from projections.directory import queries as directory
from projections.directory.deep import DeepRecords
from projections.directory.queries import DirectoryListQuery
from projections.kept import Figure
from projections.opportunities import deep, queries
from projections.opportunities.deep import DeepPage
from projections.opportunities.list_query import OpportunityListQuery
from tests.app.reading.test_kept_directory import People
from tests.support.commands import Company
from tests.support.figures import Life, Process, with_processes

ORG = UUID(int=1)
ORDERS = [(Order(field, descending),) for field in ("created_at", "amount", "close_date", "name") for descending in (False, True)]
STAGE = Condition("stage", "in", ("discovery",))
Asked = DeepPage | DeepRecords


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(anchors, "BLOCK", 4)
    monkeypatch.setattr(anchors, "REACH", 6)
    monkeypatch.setattr(questions, "DEEP", 4)


def plain(asked: Asked) -> SqlStatement:
    if isinstance(asked, DeepPage):
        return queries.page(asked.query, asked.limit, asked.offset)
    return directory.page(asked.query, asked.limit, asked.offset)


def test_a_deep_page_is_the_page(database_url: str) -> None:
    async def scenario(life: Life, people: People, *processes: Process) -> None:
        choose = life.random
        for _ in range(12):
            await asyncio.to_thread(life.go_on)
            await asyncio.to_thread(people.go_on)
        for step in range(40):
            await asyncio.to_thread(life.go_on if choose.random() < 0.6 else people.go_on)
            if step == 25:
                await asyncio.to_thread(rebuild.rebuild, database_url, ["opportunities", "directory"])
            for _ in range(4):
                process, at = choose.choice(processes), (choose.randrange(1, 4), choose.randrange(4, 14))
                asked: Asked
                if choose.random() < 0.7:
                    conditions = choose.choice(((), (STAGE,)))
                    asked = DeepPage(OpportunityListQuery(life.company.id, conditions, choose.choice(ORDERS)), *at)
                    assert deep.is_deep(asked.query, asked.offset)
                else:
                    order = (Order(choose.choice(("created_at", "name", "updated_at")), choose.random() < 0.5),)
                    kind = choose.choice(("account", "contact"))
                    asked = DeepRecords(DirectoryListQuery(life.company.id, kind, (), order), *at)
                    assert directory_deep.is_deep(asked.query, asked.offset)
                _, _, *found = await process.row(asked)
                assert found == list(await process.keeper._reads.row(process.identity, *plain(asked))), asked

        told = [each for process in processes for each in process.told]
        assert told.count("kept") > 15
        assert told.count("computed") > 10

    with closing(Committer(database_url)) as committer:
        company = Company(committer)
        life, people = Life(company, 1), People(company, 1)

        async def both(*processes: Process) -> None:
            await scenario(life, people, *processes)

        with_processes(database_url, company, both)


def test_what_is_passed_over_from_an_anchor_is_bounded(shared_database_url: str, company: Company) -> None:
    """Beyond, another one is found."""
    query = OpportunityListQuery(company.id, (), (Order("name", False),))
    for n in range(9):
        company.deal(f"Deal {n}")

    async def scenario(process: Process) -> None:
        async def asked(offset: int) -> tuple[int, list[str]]:
            process.told.clear()
            _, _, items, _ = await process.row(DeepPage(query, 1, offset))
            return int(items.partition(b'"name":"Deal ')[2][:1]), process.told

        assert await asked(4) == (4, ["computed"])
        await asyncio.to_thread(company.deal, "Before all others")
        assert await asked(5) == (4, ["kept"])
        for _ in range(4):
            await asyncio.to_thread(company.deal, "Before all others")
        assert await asked(7) == (2, ["kept", "computed"])

    with_processes(shared_database_url, company, scenario, number=1)


def test_lists_with_other_filters_orders_or_instants_have_no_anchor() -> None:
    search = Condition("search", "icontains", ("acme",))
    assert deep.is_deep(OpportunityListQuery(ORG, (STAGE,)), 4)
    assert not deep.is_deep(OpportunityListQuery(ORG, (STAGE,)), 3)
    assert not deep.is_deep(OpportunityListQuery(ORG, (search,)), 4)
    assert not deep.is_deep(OpportunityListQuery(ORG, (), (Order("probability", True),)), 4)
    assert not directory_deep.is_deep(DirectoryListQuery(ORG, "contact", (), (Order("email", True),)), 4)
    assert not directory_deep.is_deep(DirectoryListQuery(ORG, "user"), 4)
    assert DeepPage(OpportunityListQuery(ORG), 2, 4).statement(None).question is questions.LIST_DEEP
    figure = Figure(1, "", (4, f'["2026-01-01 00:00:00+00","{ORG}"]'))
    assert DeepPage(OpportunityListQuery(ORG), 2, 4).statement(figure).question is questions.LIST_DEEP_KEPT
