"""Whatever is done, imported history included: every sum that is kept is what the log adds up to, with rebuilds in between."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import closing
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from random import Random
from typing import Any, cast
from uuid import UUID

import psycopg
import pytest
from uuid_utils.compat import uuid7

from app.writing.committer import Committer
from app.writing.envelope import Envelope
from domain import exchange_rate, fold, opportunity
from domain.event import Command
from domain.opportunity.events import State
from projections.forecast import SUMS, SUMS_OF, Posting, postings, transfers
from projections.rebuild import rebuild, verify
from tests.projections.forecast.books import skip_to_a_fold
from tests.support.commands import Company, log

Key = tuple[object, ...]
Kept = dict[Key, dict[str, Decimal]]


@pytest.fixture
def company(database_url: str) -> Iterator[Company]:
    with closing(Committer(database_url)) as committer:
        yield Company(committer)


@pytest.mark.parametrize("seed", range(3))
def test_every_sum_is_what_the_log_adds_up_to(company: Company, database_url: str, seed: int) -> None:
    random = Random(seed)
    for currency in ("EUR", "GBP"):
        quote = exchange_rate.Set(currency=currency, valid_from=date(2025, 1, 1), rate=Decimal("1.1"))
        company.do(quote, exchange_rate.stream_id(company.id, currency))
    owners = [cast("UUID", each.actor.user_id) for each in (company.admin, company.user("rep"))]
    deals: list[UUID] = []
    for _ in range(4):
        near_a_fold(database_url, 5 + random.randrange(20))
        envelopes: list[Envelope] = []
        for _ in range(30):
            fresh = not deals or random.random() < 0.3
            if fresh:
                deals.append(uuid7())
            deal = deals[-1] if fresh else random.choice(deals)
            envelopes.append(
                company.envelope(creation(company, random) if fresh else later(random, owners), deal, occurred_at=past(random))
            )
        for start in range(0, len(envelopes), 7):
            company.committer.run(envelopes[start : start + 7])  # some are refused: a deal that is deleted, or won already
        assert kept(database_url) == added_up(database_url)
        rebuild(database_url, ["forecast"])
        assert kept(database_url) == added_up(database_url)
    assert verify(database_url) == []


def near_a_fold(url: str, positions: int) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        skip_to_a_fold(connection, positions)


def creation(company: Company, random: Random) -> Command:
    return company.creation(currency=random.choice(("USD", "EUR", "GBP", "JPY")), **fields(random))


def fields(random: Random) -> dict[str, Any]:
    close_date = date(2026, 1, 1) + timedelta(days=random.randrange(120)) if random.random() < 0.8 else None
    return {"amount": Decimal(random.randrange(10**6)), "close_date": close_date, "probability": random.choice((0, 20, 33, 90))}


def later(random: Random, owners: Sequence[UUID]) -> Command:
    match random.randrange(9):
        case 0:
            day = date(2026, 1, 1) + timedelta(days=random.randrange(120))
            return opportunity.ChangeStage(stage="won", actual_amount=Decimal(random.randrange(10**6)), actual_close_date=day)
        case 1:
            return opportunity.ChangeStage(stage="lost", lost_reason="price")
        case 2:
            return opportunity.ChangeStage(stage=random.choice(("discovery", "negotiation")))
        case 3:
            return opportunity.Delete()
        case 4:
            return opportunity.Restore()
        case 5:
            return opportunity.Update(owner_id=random.choice(owners))
        case 6:
            return opportunity.Update(owner_id=random.choice(owners), **fields(random))
    return opportunity.Update(**fields(random))


def past(random: Random) -> datetime | None:
    """Mostly history, which is written in another order than it happened in."""
    if random.random() < 0.2:
        return None
    return datetime(2025, 11, 25, tzinfo=UTC) + timedelta(hours=random.randrange(24 * 90))


def added_up(url: str) -> dict[str, Kept]:
    """The sums by name, from the whole log."""
    found: dict[str, Kept] = {name: defaultdict(lambda: defaultdict(Decimal)) for name in SUMS_OF}
    for recorded, before, after in fold.changes(log(url), {}):
        if not isinstance(after, State):
            continue
        on, old = recorded.meta.occurred_at.astimezone(UTC).date(), cast("State | None", before)
        for each in postings(old, after):
            month = each.day and each.day.replace(day=1)
            key = (each.currency, each.status)
            amounts, causes = _amounts(each), _causes(each)
            for grain, day in (("month", month), ("day", each.day)):
                if grain == "month" or day:
                    _add(found["forecast_balances"], (grain, None, day, *key), amounts)
                    _add(found["forecast_balances"], (grain, on.replace(day=1), day, *key), amounts | causes)
            _add(found["forecast_movements"], (on, each.day if each.status == "won" else month, *key), amounts | causes)
        for owner, each in (*transfers(old, after), *((after.owner_id, each) for each in postings(old, after))):
            month = each.day and each.day.replace(day=1)
            key = (each.currency, each.status)
            for grain, day in (("month", month), ("day", each.day)):
                if grain == "month" or (day and each.status == "won"):
                    place = (grain, on.replace(day=1), owner, day, *key)
                    _add(found["forecast_owners"], place, _amounts(each) | _causes(each))
                    _add(found["forecast_owned"], (grain, owner, day, *key), _amounts(each))
    return {table: _something(rows) for table, rows in found.items()}


def _amounts(each: Posting) -> dict[str, Decimal]:
    return {"unweighted": each.unweighted, "weighted": each.weighted, "n": Decimal(each.n)}


def _causes(each: Posting) -> dict[str, Decimal]:
    return {f"{each.cause}_unweighted": each.unweighted, f"{each.cause}_weighted": each.weighted}


def _add(rows: Kept, key: Key, amounts: dict[str, Decimal]) -> None:
    for name, amount in amounts.items():
        rows[key][name] += amount


def kept(url: str) -> dict[str, Kept]:
    """The sums by name, as they are read; None is infinity."""
    found: dict[str, Kept] = {}
    with psycopg.connect(url) as connection:
        for table, keys in (
            ("forecast_balances", "grain, nullif(period, 'infinity')"),
            ("forecast_movements", "period"),
            ("forecast_owners", "grain, period, owner_id"),
            ("forecast_owned", "grain, owner_id"),
        ):
            columns = (*SUMS, *SUMS_OF[table])
            sums = ", ".join(f"coalesce(sum({name}), 0)" for name in columns)
            group = f"{keys}, nullif(day, 'infinity'), currency, status"
            rows = connection.execute(f"SELECT {group}, {sums} FROM {table} GROUP BY {group}".encode()).fetchall()
            found[table] = _something(
                {row[: -len(columns)]: dict(zip(columns, map(Decimal, row[-len(columns) :]), strict=True)) for row in rows}
            )
    return found


def _something(rows: Kept) -> Kept:
    """Rows and sums that are not zero."""
    told = {key: {name: amount for name, amount in sums.items() if amount} for key, sums in rows.items()}
    return {key: sums for key, sums in told.items() if sums}
