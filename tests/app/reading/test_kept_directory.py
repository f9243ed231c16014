"""A kept count of accounts or contacts equals one computed from scratch, in every process."""

from __future__ import annotations

import asyncio
import random
from contextlib import closing
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import psycopg
import pytest

from app.writing.committer import Committer
from domain import account, contact
from domain.errors import DomainError
from projections import rebuild
from projections.conditions import Condition
from projections.directory import queries
from projections.directory.counts import CountedRecords
from projections.directory.queries import DirectoryListQuery
from tests.support.commands import Company
from tests.support.figures import SEEDS, Process, with_processes

NAMES = ("Acme", "Söhne (UK)", "Globex-Corp", "Ann", "anna b")
FILTERS: list[tuple[str, tuple[Condition, ...]]] = [
    ("account", (Condition("search", "icontains", ("acme",)),)),
    ("account", (Condition("name", "icontains", ("söhne",)),)),
    ("account", (Condition("search", "icontains", ("o",)), Condition("created_at", "gte", (datetime(2026, 1, 1, tzinfo=UTC),)))),
    ("contact", (Condition("search", "icontains", ("ann",)),)),
    ("contact", (Condition("email", "isnull", (True,)),)),
    ("contact", (Condition("account", "isnull", (True,)),)),
    ("contact", (Condition("account", "in", (UUID(int=1),)),)),
]


class People:
    """Random commands on accounts and contacts."""

    def __init__(self, company: Company, seed: int) -> None:
        self.company, self.random = company, random.Random(seed)
        self.accounts, self.contacts = [company.account_id], list[UUID]()

    def go_on(self) -> None:
        choose, name = self.random, self.random.choice(NAMES)
        person: dict[str, Any] = {
            "first_name": name, "email": choose.choice((None, f"p{choose.randrange(10**9)}@acme.example")),
            "account_id": choose.choice((None, self.accounts[0])),
        }  # fmt: skip
        one = choose.choice(self.contacts) if self.contacts else None
        try:
            match choose.randrange(7):
                case 0:
                    self.accounts.append(self.company.do(account.Create(name=name)).stream_id)
                case 1:
                    self.company.do(account.Update(name=name), choose.choice(self.accounts))
                case 2 if len(self.accounts) > 2:
                    self.company.do(account.Delete(), self.accounts.pop())
                case 3 if one is not None:
                    self.company.do(contact.Update(**person), one)
                case 4 if one is not None:
                    self.company.do(contact.Delete(), one)
                    self.contacts.remove(one)
                case _:
                    self.contacts.append(self.company.do(contact.Create(last_name="Doe", **person)).stream_id)
        except DomainError:
            pass  # such as another change that changes nothing

    def asked(self) -> DirectoryListQuery:
        kind, conditions = self.random.choice(FILTERS)
        own = tuple(each._replace(values=(self.accounts[0],)) if each.operator == "in" else each for each in conditions)
        return DirectoryListQuery(self.company.id, kind, own)


def counted(url: str, query: DirectoryListQuery) -> int:
    """By looking at every record."""
    meets = queries.meets(query)
    text = f"SELECT count(*) FROM directory d WHERE d.kind = '{query.kind}' AND {queries.LIVE} AND {meets.text}"
    with psycopg.connect(url, autocommit=True) as connection:
        row = connection.execute(text.encode(), meets.params).fetchone()
    assert row is not None
    return int(row[0])


@pytest.mark.parametrize("seed", SEEDS)
def test_a_kept_count_is_the_count(seed: int, database_url: str) -> None:
    with closing(Committer(database_url)) as committer:
        people = People(Company(committer), seed)

        async def scenario(*processes: Process) -> None:
            for step in range(60):
                for _ in range(people.random.randrange(1, 5)):
                    await asyncio.to_thread(people.go_on)
                if step == 30:
                    await asyncio.to_thread(rebuild.rebuild, database_url, ["directory"])
                for _ in range(5):
                    query, process = people.asked(), people.random.choice(processes)
                    _, n = await process.row(CountedRecords(query, 5))
                    assert n == await asyncio.to_thread(counted, database_url, query), query
            told = [each for process in processes for each in process.told]
            assert told.count("kept") > 100
            assert told.count("computed") >= len(FILTERS)

        with_processes(database_url, people.company, scenario)
