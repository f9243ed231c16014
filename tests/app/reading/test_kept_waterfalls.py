"""A waterfall from sums that are kept is the one from the log as it is now, in every process."""

from __future__ import annotations

import asyncio
from contextlib import closing
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import psycopg
import pytest

from app.writing.committer import Committer
from domain import exchange_rate, opportunity, user
from projections import rebuild
from projections.conditions import Condition
from projections.forecast import balances, by_owner, owners, waterfall
from projections.forecast.balances import Bounds
from projections.forecast.entries import WaterfallQuery
from projections.forecast.kept_waterfall import KeptWaterfall
from projections.forecast.money import encode
from projections.forecast.waterfall_answer import answer
from tests.support.commands import Company
from tests.support.figures import SEEDS, Life, Process, with_processes

TODAY = date(2026, 5, 5)
LATER = datetime(2100, 1, 1, tzinfo=UTC)
STARTS = (datetime(2025, 6, 1, tzinfo=UTC), datetime(2026, 1, 20, 7, tzinfo=UTC), datetime(2026, 3, 31, 23, tzinfo=UTC))
ENDS = (LATER, LATER, datetime(2026, 4, 10, 12, tzinfo=UTC))
CONDITIONS: list[tuple[Condition, ...]] = [(), (), (Condition("owner_email", "in", ("admin@acme.example", "rep@acme.example")),)]
BOUNDS = (Bounds(), Bounds(date(2026, 2, 1), date(2026, 5, 31)), Bounds(date(2026, 1, 10)))


async def told(process: Process, asked: WaterfallQuery) -> bytes:
    kept = KeptWaterfall(asked)
    row = await process.row(kept)
    return await asyncio.to_thread(lambda: encode(kept.answer(row)))


def from_the_log(url: str, asked: WaterfallQuery) -> bytes:
    """Computed, with the end as an instant like any other."""
    question = replace(asked, until_now=False)
    with psycopg.connect(url, autocommit=True, options="-c timezone=UTC") as connection:
        connection.execute("SET ROLE opportunities_reader")
        connection.execute("SELECT set_config('app.org_id', %s, false)", (str(asked.org_id),))
        statement = waterfall.changes(question)
        row = connection.execute(statement.text.encode(), statement.params).fetchone()
    assert row is not None
    return encode(answer(question, row))


@pytest.mark.parametrize("seed", SEEDS)
def test_a_waterfall_from_kept_sums_is_the_one_from_the_log(seed: int, database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    recent = timedelta(days=(365, 60, -1_000_000)[seed])
    monkeypatch.setattr(by_owner, "RECENT", recent)
    monkeypatch.setattr(balances, "RECENT", recent)
    steps, number = ((12, 6), (25, 14), (25, 14))[seed]
    with closing(Committer(database_url)) as committer:
        company = Company(committer)
        life = Life(company, seed + 20)
        asked = [any_question(company, life) for _ in range(number)]

        async def scenario(*processes: Process) -> None:
            for step in range(steps):
                for _ in range(life.random.randrange(1, 6)):
                    await asyncio.to_thread(life.go_on)
                if step in (steps // 3, steps * 2 // 3):
                    await asyncio.to_thread(rebuild.rebuild, database_url, [("forecast", "exchange_rates")[step > steps // 2]])
                for each in life.random.choices(asked, k=number // 2):
                    limited = replace(each, groups_limit=life.random.choice((1, 2, 50)))
                    found = await told(life.random.choice(processes), limited)
                    assert found == await asyncio.to_thread(from_the_log, database_url, limited), limited
            told_how = [each for process in processes for each in process.told]
            assert min(told_how.count("kept"), told_how.count("computed")) > steps // 2

        with_processes(database_url, company, scenario)


def any_question(company: Company, life: Life) -> WaterfallQuery:
    choose = life.random
    end = choose.choice(ENDS)
    return question(
        company,
        choose.choice(STARTS),
        end,
        bounds=choose.choice(BOUNDS),
        currency=choose.choice((None, None, "EUR")),
        conditions=choose.choice(CONDITIONS),
        group_by=choose.choice((None, "owner")),
        until_now=end == LATER,
    )


def question(company: Company, start: datetime = STARTS[0], end: datetime = LATER, **more: Any) -> WaterfallQuery:
    found = WaterfallQuery(company.id, start, end, TODAY, **{"until_now": True, **more})
    cut = found.bounds.cut_months("b.day")
    return replace(found, bounds=Bounds()) if found.filtered and cut else found


def test_what_one_process_writes_the_others_show_at_once(shared_database_url: str, company: Company) -> None:
    async def scenario(*processes: Process) -> None:
        asked = question(company, group_by="owner")
        deal = company.deal(amount=Decimal(5), close_date=TODAY)
        for process in processes:
            assert b'"created":5' in await told(process, asked)
        company.do(opportunity.Update(amount=Decimal(7)), deal)
        for process in processes:
            assert b'"increased":2' in await told(process, asked)
            assert process.told == ["computed", "kept"]

    with_processes(shared_database_url, company, scenario)


def test_what_is_imported_for_earlier_is_in_the_start(shared_database_url: str, company: Company) -> None:
    async def scenario(process: Process) -> None:
        asked = question(company, STARTS[2], datetime(2026, 4, 10, tzinfo=UTC), until_now=False)
        for day in (STARTS[0], asked.end - timedelta(days=1), asked.end + timedelta(days=1)):
            await told(process, asked)
            made = opportunity.Create(name="Deal", account_id=company.account_id, amount=Decimal(5), close_date=TODAY)
            company.do(made, occurred_at=day)
        found = await told(process, asked)
        assert b'"start":5,"created":5' in found
        assert found == from_the_log(shared_database_url, asked)
        assert process.told == ["computed", "kept", "kept", "kept"]

    with_processes(shared_database_url, company, scenario, 1)


def test_another_rate_or_another_address_of_an_owner_has_it_computed_again(shared_database_url: str, company: Company) -> None:
    async def scenario(process: Process) -> None:
        asked = question(company, group_by="owner")
        company.deal(amount=Decimal(5), currency="EUR", close_date=TODAY)
        assert b'"unconverted":[{' in await told(process, asked)
        quote = exchange_rate.Set(currency="EUR", valid_from=STARTS[0].date(), rate=Decimal("1.2"))
        company.do(quote, exchange_rate.stream_id(company.id, "EUR"), occurred_at=STARTS[0])
        assert b'"created":6' in await told(process, asked)
        company.do(user.Update(email="another@acme.example"), company.admin.actor.user_id)
        assert b"another@acme.example" in await told(process, asked)
        assert process.told == ["computed", "kept", "computed", "kept", "computed"]

    with_processes(shared_database_url, company, scenario, 1)


def test_the_sums_kept_are_for_any_number_of_groups_and_what_is_too_much_is_not_kept(
    shared_database_url: str, company: Company, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario(process: Process) -> None:
        for who in (company.admin, company.user("rep")):
            company.deal(amount=Decimal(5), close_date=TODAY, owner_id=who.actor.user_id)
        asked = [question(company, group_by="owner", groups_limit=limit) for limit in (1, 2)]
        kept = [await told(process, each) for each in asked]
        assert process.told == ["computed", "kept"]
        assert (b'"others"' in kept[0], b'"others"' in kept[1]) == (True, False)
        monkeypatch.setattr(owners, "MOST_CELLS", 1)
        many = [await told(process, replace(each, start=STARTS[1])) for each in (*asked, *asked)]
        assert process.told[2:] == ["computed"] * 4
        monkeypatch.undo()
        assert many == [from_the_log(shared_database_url, replace(each, start=STARTS[1])) for each in (*asked, *asked)]

    with_processes(shared_database_url, company, scenario, 1)


def test_sums_that_nobody_has_made_yet_are_made_of_all_that_came_before(shared_database_url: str, company: Company) -> None:
    """Who asked is gone before the answer was rendered, again and again."""

    async def scenario(process: Process) -> None:
        asked = question(company)
        for _ in range(4):
            company.deal(amount=Decimal(5), close_date=TODAY)
            await process.row(KeptWaterfall(asked))
        assert b'"created":20' in await told(process, asked)
        assert process.told == ["computed", *["kept"] * 4]

    with_processes(shared_database_url, company, scenario, 1)
