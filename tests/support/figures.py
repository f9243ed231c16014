"""Figures that several processes keep of one org, and random commands in it, now and in the past."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Hashable, Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest

from app.reading.keeper import Asked, Keeper
from app.reading.read_pool import Identity, ReadPool
from app.writing.token_secrets import hashed
from domain import account, exchange_rate, opportunity, user
from domain.errors import DomainError
from projections.conditions import SqlStatement
from projections.kept import Figure
from tests.support.commands import Company

SEEDS = (0, pytest.param(1, marks=pytest.mark.long), pytest.param(2, marks=pytest.mark.long))
"""Of random commands: one at every change, the others in the long tier."""


class Told:
    """A question that tells how it was asked."""

    def __init__(self, asked: Asked, told: list[str]) -> None:
        self._asked = asked
        self._told = told
        self.parts = asked.parts

    @property
    def key(self) -> Hashable:
        return self._asked.key

    def statement(self, figure: Figure | None) -> SqlStatement:
        self._told.append("kept" if figure else "computed")
        return self._asked.statement(figure)


class Process:
    """The reading part of one API process, as one token's user sees it. ``told`` is how questions were answered."""

    def __init__(self, reads: ReadPool, identity: Identity, **options: Any) -> None:
        self.identity = identity
        self.keeper = Keeper(reads, **options)
        self.told: list[str] = []

    async def row(self, asked: Asked) -> Sequence[Any]:
        return await self.keeper.row(self.identity, Told(asked, self.told))


def with_processes(url: str, company: Company, scenario: Callable[..., Awaitable[None]], number: int = 2, **options: Any) -> None:
    async def run() -> None:
        pools = [ReadPool(url) for _ in range(number)]
        try:
            identities = [await reads.identity(hashed(company.admin.token)) for reads in pools]
            assert all(identities)
            await scenario(*(Process(reads, who, **options) for reads, who in zip(pools, identities, strict=True) if who))
        finally:
            for reads in pools:
                await reads.close()

    asyncio.run(run())


class Life:
    """Random commands in an org, now or in the past."""

    def __init__(self, company: Company, seed: int) -> None:
        self.company = company
        self.random = random.Random(seed)
        self.deals: list[UUID] = []
        self.accounts = [company.account_id]
        self.owners = [company.admin.actor.user_id]
        self.at = datetime(2026, 1, 1, tzinfo=UTC)

    def go_on(self) -> None:
        choose = self.random
        at = None if choose.random() < 0.5 else self.at + timedelta(days=choose.randrange(120))
        deal = choose.choice(self.deals) if self.deals else None
        which = choose.randrange(14)
        try:
            if which < 4 or deal is None:
                made = self.company.do(opportunity.Create(name=self.name(), **self.fields()), occurred_at=at)
                self.deals.append(made.stream_id)
            elif which < 7:
                self.company.do(opportunity.Update(name=self.name(), **self.fields()), deal, occurred_at=at)
            elif which == 7:
                self.company.do(opportunity.Delete(), deal, occurred_at=at)
            elif which == 8:
                self.company.do(opportunity.Restore(), deal, occurred_at=at)
            elif which == 9:
                self.company.do(opportunity.ChangeStage(stage=choose.choice(("discovery", "proposal"))), deal, occurred_at=at)
            elif which == 10:
                self.company.do(self.closing(), deal, occurred_at=at)
            else:
                self.elsewhere(choose, at)
        except DomainError:
            pass  # such as a restoration of a deal that is there

    def elsewhere(self, choose: random.Random, at: datetime | None) -> None:
        which = choose.randrange(8)
        one = choose.choice(self.accounts)
        if which == 0:
            self.accounts.append(self.company.do(account.Create(name=self.name())).stream_id)
        elif which == 1:
            self.company.do(account.Update(name=self.name()), one)
        elif which == 2:
            self.company.do(account.Update(custom_fields={"tier": "a"}), one)
        elif which == 3:
            day, rate = date(2026, choose.randrange(1, 9), 15), choose.choice((Decimal("1.1"), Decimal("1.25")))
            quote = exchange_rate.Set(currency="EUR", valid_from=day, rate=rate)
            self.company.do(quote, exchange_rate.stream_id(self.company.id, "EUR"), occurred_at=at)
        elif which == 4 and len(self.owners) < 4:
            email = (None, "new@acme.example", "rep@acme.example", "third@acme.example")[len(self.owners)]
            self.owners.append(self.company.do(user.Create(email=str(email), name="N", role="rep")).stream_id)

    def closing(self) -> opportunity.ChangeStage:
        if self.random.random() < 0.3:
            return opportunity.ChangeStage(stage="lost", lost_reason="Price")
        day = date(2026, self.random.randrange(1, 9), self.random.randrange(1, 29))
        return opportunity.ChangeStage(stage="won", actual_amount=Decimal(self.random.randrange(100)), actual_close_date=day)

    def name(self) -> str:
        return self.random.choice(("Acme renewal", "Pilot", "Söhne (re)", "Globex", "acme"))

    def fields(self) -> dict[str, Any]:
        choose = self.random
        return {
            "account_id": choose.choice(self.accounts),
            "owner_id": choose.choice(self.owners),
            "amount": choose.choice((None, Decimal(10), Decimal(50), Decimal("72.5"))),
            "currency": choose.choice(("USD", "EUR")),
            "tags": choose.choice(((), ("red",), ("red", "blue"))),
            "custom_fields": choose.choice(({}, {"region": "EMEA"}, {"region": "APAC"})),
            "next_step": choose.choice((None, "Call them", "Write")),
            "close_date": choose.choice((None, date(2026, choose.randrange(1, 9), choose.choice((1, 15))))),
        }
