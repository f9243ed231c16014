"""A forecast from sums that are kept is the forecast from the deals themselves, in every process."""

from __future__ import annotations

import asyncio
from contextlib import closing
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import psycopg
import pytest

from app.writing.committer import Committer
from domain import account, exchange_rate, opportunity
from projections import rebuild
from projections.conditions import Condition
from projections.forecast import by_owner, current, deal_sums, kept_forecast, known_groups
from projections.forecast.balances import Bounds
from projections.forecast.current import ForecastQuery
from projections.forecast.groups import CARDS, GroupBy
from projections.forecast.kept_forecast import KeptForecast
from projections.forecast.kept_groups import KeptGroups
from projections.forecast.money import encode
from projections.opportunities import list_query
from projections.opportunities.list_query import OpportunityListQuery
from tests.support.commands import Company
from tests.support.figures import SEEDS, Life, Process, with_processes

TODAY = date(2026, 5, 5)
CONDITIONS: list[tuple[Condition, ...]] = [
    (),
    (Condition("search", "icontains", ("acme",)),),
    (Condition("tags", "all", ("red",)),),
    (Condition("stage", "in", ("discovery", "won")),),
    (Condition("owner_email", "in", ("admin@acme.example",)),),
    (Condition("amount", "gte", (Decimal(50),)),),
]
GROUPS: tuple[GroupBy | None, ...] = (None, "owner", "stage", "account", "tag")
BOUNDS = (Bounds(), Bounds(date(2026, 2, 1), date(2026, 5, 31)), Bounds(date(2026, 1, 10), date(2026, 6, 20)))
INSTANTS = (None, None, datetime(2026, 2, 15, tzinfo=UTC), datetime(2026, 4, 1, tzinfo=UTC), datetime(2100, 1, 1, tzinfo=UTC))


async def forecast(process: Process, asked: ForecastQuery, conditions: tuple[Condition, ...]) -> bytes:
    deals = OpportunityListQuery(asked.org_id, conditions, as_of=asked.as_of)
    if asked.group_by in CARDS:
        groups = KeptGroups(asked, deals)
        row = await process.row(groups)
        return await asyncio.to_thread(lambda: encode(groups.answer(row)))
    kept = KeptForecast(asked, deals)
    return encode(current.answer(asked, kept.answered(await process.row(kept))))


def from_deals(url: str, asked: ForecastQuery, conditions: tuple[Condition, ...]) -> bytes:
    deals = OpportunityListQuery(asked.org_id, conditions, as_of=asked.as_of)
    where = list_query.where(deals)
    groups, question = KeptGroups(asked, deals), replace(asked, where=where)
    with psycopg.connect(url, autocommit=True, options="-c timezone=UTC") as connection:
        connection.execute("SET ROLE opportunities_reader")
        connection.execute("SELECT set_config('app.org_id', %s, false)", (str(asked.org_id),))
        if asked.group_by in CARDS:
            statement = groups.from_scratch(deal_sums.from_deals(where, asked.bounds, asked.group_by))
        else:
            statement = current.forecast(question)
        row = connection.execute(statement.text.encode(), statement.params).fetchone()
    assert row is not None
    if asked.group_by not in CARDS:
        return encode(current.answer(question, row))
    groups.parts(row[2:])
    return encode(groups.answer(row[2:]))


@pytest.mark.parametrize("seed", SEEDS)
def test_a_forecast_from_kept_sums_is_the_one_from_deals(seed: int, database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept_forecast, "MOVE", 8)
    monkeypatch.setattr(known_groups, "SPARE", {"account": seed, "owner": 2 - seed})
    monkeypatch.setattr(by_owner, "RECENT", timedelta(days=(365, 60, -1_000_000)[seed]))
    with closing(Committer(database_url)) as committer:
        company = Company(committer)
        life = Life(company, seed)
        choose = life.random

        async def scenario(*processes: Process) -> None:
            for step in range(40):
                for _ in range(choose.randrange(1, 6)):
                    await asyncio.to_thread(life.go_on)
                if step in (15, 30):
                    await asyncio.to_thread(rebuild.rebuild, database_url, [("opportunities", "exchange_rates")[step == 30]])
                for _ in range(8):
                    asked = ForecastQuery(
                        company.id,
                        TODAY,
                        choose.choice(BOUNDS),
                        choose.choice(INSTANTS),
                        choose.choice((None, "EUR", "JPY")),
                        group_by=choose.choice(GROUPS),
                        groups_limit=choose.choice((1, 2, 50)),
                    )
                    conditions = choose.choice(CONDITIONS[:3] if step % 2 else CONDITIONS)
                    found = await forecast(choose.choice(processes), asked, conditions)
                    assert found == await asyncio.to_thread(from_deals, database_url, asked, conditions), (asked, conditions)
            told = [each for process in processes for each in process.told]
            assert min(told.count("kept"), told.count("computed")) > 30

        with_processes(database_url, company, scenario)


@pytest.mark.parametrize("seed", SEEDS)
def test_the_groups_kept_are_those_of_the_deals(seed: int, database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same questions again and again, of so few groups each that others become large enough to be shown, and smaller again."""
    monkeypatch.setattr(known_groups, "SPARE", {"account": seed, "owner": 2 - seed})
    with closing(Committer(database_url)) as committer:
        company = Company(committer)
        life = Life(company, seed + 10)
        life.accounts += [company.do(account.Create(name=f"Account {n}")).stream_id for n in range(5)]

        async def scenario(*processes: Process) -> None:
            for _ in range(60):
                for _ in range(life.random.randrange(1, 4)):
                    await asyncio.to_thread(life.go_on)
                for more in ({}, {"bounds": BOUNDS[2], "currency": "EUR"}, {"as_of": INSTANTS[3]}):
                    group_by: GroupBy = life.random.choice(("account", "account", "owner"))
                    question = asked(company, group_by=group_by, groups_limit=life.random.choice((1, 2)), **more)
                    found = await forecast(
                        life.random.choice(processes), question, conditions := life.random.choice(CONDITIONS[:2])
                    )
                    assert found == await asyncio.to_thread(from_deals, database_url, question, conditions), (question, conditions)
            told = [each for process in processes for each in process.told]
            assert told.count("kept") > told.count("computed") > 5

        with_processes(database_url, company, scenario)


def asked(company: Company, **more: Any) -> ForecastQuery:
    return ForecastQuery(company.id, TODAY, **more)


def test_a_rate_of_another_day_has_the_sums_computed_again(shared_database_url: str, company: Company) -> None:
    """Won deals are valued at the rate of their day, so the days between rates are summed apart."""

    async def scenario(process: Process) -> None:
        question = asked(company, group_by="stage")
        for day in (5, 25):
            deal = company.deal(currency="EUR", amount=Decimal(1))
            won = opportunity.ChangeStage(stage="won", actual_amount=Decimal(100), actual_close_date=date(2026, 3, day))
            company.do(won, deal)
        for valid_from, rate in ((date(2026, 1, 1), "1.1"), (date(2026, 3, 15), "2")):
            quote = exchange_rate.Set(currency="EUR", valid_from=valid_from, rate=Decimal(rate))
            company.do(quote, exchange_rate.stream_id(company.id, "EUR"))
            found = await forecast(process, question, ())
            assert found == from_deals(shared_database_url, question, ())
            assert (b'"won":310' in found) == (rate == "2")
        assert process.told.count("computed") == 2

    with_processes(shared_database_url, company, scenario, 1)


def test_the_sums_kept_are_for_any_currency_day_and_number_of_groups(shared_database_url: str, company: Company) -> None:
    async def scenario(process: Process) -> None:
        company.deal(amount=Decimal(5))
        for more in ({}, {"currency": "EUR"}, {"groups_limit": 1}):
            assert await forecast(process, asked(company, group_by="stage", **more), ())
        assert process.told == ["computed", "kept", "kept"]

    with_processes(shared_database_url, company, scenario, 1)


def test_a_group_shows_its_name_of_now(shared_database_url: str, company: Company) -> None:
    async def scenario(process: Process) -> None:
        company.deal(amount=Decimal(5), close_date=TODAY)
        question = asked(company, group_by="account")
        assert b"Acme Corp" in await forecast(process, question, ())
        company.do(account.Update(name="Globex"), company.account_id)
        assert b"Globex" in await forecast(process, question, ())
        assert process.told == ["computed", "kept"]

    with_processes(shared_database_url, company, scenario, 1)


def test_more_sums_than_may_be_kept_are_computed_each_time(shared_database_url: str, company: Company) -> None:
    async def scenario(process: Process) -> None:
        question = asked(company, group_by="account")
        for n in range(3):
            made: UUID = company.do(account.Create(name=f"Account {n}")).stream_id
            company.do(opportunity.Create(name="Deal", account_id=made, amount=Decimal(n)))
        expected = from_deals(shared_database_url, question, ())
        assert await forecast(process, question, ()) == expected
        assert await asyncio.gather(*(forecast(process, question, ()) for _ in range(3))) == [expected] * 3
        assert process.told == ["computed"] * 4

    with_processes(shared_database_url, company, scenario, 1, max_bytes=8_000)


def test_an_org_without_deals_has_its_sums_kept_too(shared_database_url: str, company: Company) -> None:
    async def scenario(process: Process) -> None:
        question = asked(company, group_by="tag")
        for _ in range(2):
            assert await forecast(process, question, ()) == from_deals(shared_database_url, question, ())
        assert process.told == ["computed", "kept"]
        company.deal(tags=("red",), close_date=TODAY)
        assert b"red" in await forecast(process, question, ())

    with_processes(shared_database_url, company, scenario, 1)
