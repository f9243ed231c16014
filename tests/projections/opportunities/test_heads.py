"""The first deals of a list that were kept, brought up to date, are those that looking at every deal gives."""

from __future__ import annotations

import asyncio
import json
from contextlib import closing
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest

from app.reading.keeper import Keeper
from app.reading.read_pool import Identity, ReadPool
from app.writing.committer import Committer
from app.writing.token_secrets import hashed
from domain import opportunity
from projections import kept, questions
from projections.conditions import Condition, Order, SqlStatement
from projections.kept import Figure
from projections.opportunities import heads, queries
from projections.opportunities.heads import FirstDeals
from projections.opportunities.list_query import OpportunityListQuery
from projections.rebuild import rebuild
from tests.app.reading.test_keeper import CONDITIONS, INSTANTS
from tests.support.commands import Company
from tests.support.figures import SEEDS, Life

ORDERS = (
    (Order("probability", True),),
    (Order("stage", False),),
    (Order("currency", True), Order("amount", False)),
    (Order("next_step", False),),
    (Order("close_date", True), Order("name", False)),
    (Order("actual_amount", True),),
    (Order("created_at", True),),
)
ORG = UUID(int=1)
PAGES: tuple[tuple[int, int, str | None], ...] = ((3, 0, None), (3, 3, None), (5, 0, ""), (40, 0, None), (1, 30, None))


class Told(FirstDeals):
    """Tells how it was asked for."""

    def statement(self, figure: Figure | None) -> SqlStatement:
        found = super().statement(figure)
        assert (found.question is questions.LIST_KEPT) == (figure is not None)
        TOLD.append("kept" if figure else "computed")
        return found


TOLD: list[str] = []


async def page(keeper: Keeper, identity: Identity, query: OpportunityListQuery, at: tuple[int, int, str | None]) -> Any:
    _, _, *row = await keeper.row(identity, Told(query, *at))
    return row


async def plain(reads: ReadPool, identity: Identity, query: OpportunityListQuery, at: tuple[int, int, str | None]) -> Any:
    limit, offset, cursor = at
    text = queries.page(query, limit, offset) if cursor is None else queries.cursor_page(query, limit, cursor)
    return list(await reads.row(identity, *text))


def asked(company: Company, life: Life) -> OpportunityListQuery:
    choose = life.random
    conditions = choose.choice([*CONDITIONS, (), ()])
    own = tuple(each._replace(values=(life.accounts[0],)) if each.field == "account" else each for each in conditions)
    return OpportunityListQuery(company.id, own, choose.choice(ORDERS), choose.choice((None, None, *INSTANTS)))


@pytest.mark.parametrize("head", [6, heads.HEAD])
@pytest.mark.parametrize("seed", SEEDS)
def test_a_page_of_kept_deals_is_the_page(seed: int, head: int, database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """In two processes, whose figures are behind by different numbers of events."""
    monkeypatch.setattr(heads, "HEAD", head)
    TOLD.clear()

    async def scenario(company: Company, life: Life) -> None:
        pools = [ReadPool(database_url) for _ in range(2)]
        keepers = [Keeper(reads) for reads in pools]
        identity = await pools[0].identity(hashed(company.admin.token))
        assert identity is not None
        queries_ = [asked(company, life) for _ in range(14)]
        for step in range(50):
            for _ in range(life.random.randrange(1, 4)):
                await asyncio.to_thread(life.go_on)
            if step in (20, 35):
                await asyncio.to_thread(rebuild, database_url, [("opportunities", "directory")[step == 35]])
            for query in life.random.sample(queries_, 6):
                at = life.random.choice([each for each in PAGES if sum(each[:2]) < head])
                found = await page(life.random.choice(keepers), identity, query, at)
                assert found == await plain(pools[0], identity, query, at), (query, at)
        for reads in pools:
            await reads.close()

    with closing(Committer(database_url)) as committer:
        company = Company(committer)
        asyncio.run(scenario(company, Life(company, seed)))
    assert TOLD.count("kept") > 100
    assert TOLD.count("computed") > 10


def test_a_list_whose_first_deals_leave_it_is_computed_again(
    shared_database_url: str, company: Company, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(heads, "HEAD", 4)
    monkeypatch.setattr(kept, "MOST", (100,))
    deals = [company.deal(f"Deal {n}", next_step=f"Step {n}") for n in range(9)]
    query = OpportunityListQuery(company.id, (), (Order("next_step", False),))

    async def scenario() -> None:
        reads = ReadPool(shared_database_url)
        keeper = Keeper(reads)
        identity = await reads.identity(hashed(company.admin.token))
        assert identity is not None
        for gone, how in ((0, ["computed"]), (1, ["kept"]), (2, ["kept"]), (3, ["kept", "computed"]), (4, ["kept"])):
            if gone:
                company.do(opportunity.Delete(), deals[gone - 1])
                company.do(opportunity.Update(probability=gone), deals[-1])  # those before it are not known
            TOLD.clear()
            items, count = await page(keeper, identity, query, (2, 0, None))
            names = [deal["name"] for deal in json.loads(f"[{items.decode()}]")]
            assert (names, count, TOLD) == ([f"Deal {gone}", f"Deal {gone + 1}"], 9 - gone, how)
        await reads.close()

    asyncio.run(scenario())


def test_pages_that_an_index_gives_and_far_ones_are_not_kept() -> None:
    def are_kept(*conditions: Condition, at: tuple[int, int, str | None] = (50, 0, None), **more: Any) -> bool:
        return heads.are_kept(OpportunityListQuery(ORG, conditions, **more), *at)

    dear = Condition("actual_amount", "gte", (Decimal(1),))
    assert are_kept(dear)
    assert are_kept(dear, at=(50, 0, ""))
    assert are_kept(order=(Order("probability", True),))
    assert are_kept(as_of=datetime(2026, 1, 1, tzinfo=UTC))
    assert not are_kept()
    assert not are_kept(dear, at=(50, 0, "eyJ"))
    assert not are_kept(dear, at=(50, heads.REACH, None))
