"""A list is the one that the database would render, whatever a process has kept of the records that it embeds."""

from __future__ import annotations

import asyncio
import tracemalloc
from collections.abc import Awaitable, Callable, Iterator
from contextlib import closing, suppress
from functools import partial
from random import Random
from threading import Event, Thread
from typing import Any
from uuid import UUID

import msgspec
import psycopg
import pytest

from app.reading import embedded_cards
from app.reading.embedded_cards import MAX_BYTES, EmbeddedCards
from app.reading.read_pool import Identity, ReadPool
from app.writing.committer import Committer
from app.writing.token_secrets import hashed
from domain import account, contact, opportunity, user
from domain.errors import DomainError
from projections.conditions import Condition, Order
from projections.directory import cards
from projections.opportunities import list_query, queries
from projections.opportunities.list_query import OpportunityListQuery
from projections.rebuild import rebuild
from tests.support.commands import Company


class Process:
    """What a process of the API keeps."""

    def __init__(self, url: str, max_bytes: int) -> None:
        self.reads = ReadPool(url)
        self.cards = EmbeddedCards(max_bytes)

    async def page(self, identity: Identity, query: OpportunityListQuery, limit: int = 100) -> bytes | None:
        """With the cards that it has, or gets."""
        items, _ = await self.cards.row(self.reads, identity, partial(queries.page, query, limit))
        return items  # type: ignore[no-any-return]

    async def plain(self, identity: Identity, query: OpportunityListQuery, limit: int = 100) -> bytes | None:
        items, _ = await self.reads.row(identity, *queries.page(query, limit))
        return items  # type: ignore[no-any-return]


def processes(url: str, company: Company, scenario: Callable[..., Awaitable[None]], *max_bytes: int) -> None:
    """Run a scenario with processes that keep so many bytes each."""

    async def run() -> None:
        made = [Process(url, most) for most in max_bytes]
        try:
            identity = await made[0].reads.identity(hashed(company.admin.token))
            await scenario(identity, *made)
        finally:
            for one in made:
                await one.reads.close()

    asyncio.run(run())


class Records:
    """An org of a few of each kind, to which something is done at random."""

    def __init__(self, company: Company, random: Random) -> None:
        self.company = company
        self.random = random
        self.users: list[Any] = [company.admin.actor.user_id, company.user("rep").actor.user_id]
        self.accounts = [company.do(account.Create(name=f"100% {n}")).stream_id for n in range(4)]
        self.contacts = [company.do(contact.Create(first_name="Jo", last_name=f'"{n}" (b)')).stream_id for n in range(5)]
        self.deals = [company.deal(f"%(s)b {n}", **self._others()) for n in range(6)]
        self.deleted: set[UUID] = set()

    def _others(self) -> dict[str, Any]:
        people = self.random.sample(self.contacts, self.random.choice((0, 1, 1, 2, 3)))
        return {"owner_id": self.random.choice(self.users), "stakeholder_ids": tuple(people)}

    def change(self) -> None:
        random = self.random
        kinds = [random.choice(self.accounts), random.choice(self.contacts), random.choice(self.deals)]
        update: Any = random.choice(
            (
                account.Update(name=f"Account %d {random.random()}"),
                contact.Update(last_name=f"Doe {random.random()}"),
                opportunity.Update(account_id=random.choice(self.accounts), **self._others()),
            )
        )
        chosen = kinds[(account.Update, contact.Update, opportunity.Update).index(type(update))]
        self._try(update, chosen)
        if random.random() < 0.3:
            self._try(user.Update(email=f"rep{random.random()}@acme.example"), self.users[1])
        one = random.choice([*self.deals, *self.accounts, *self.contacts])
        if one in self.deleted:
            self._try(opportunity.Restore(), one)
            self.deleted.discard(one)
        elif one in self.deals:
            self._try(opportunity.Delete(), one)
            self.deleted.add(one)
        else:  # refused while a live deal has it
            self._try(account.Delete() if one in self.accounts else contact.Delete(), one)

    def _try(self, command: Any, id_: UUID) -> None:
        with suppress(DomainError):
            self.company.do(command, id_)


@pytest.mark.parametrize("seed", range(4))
def test_whatever_is_done_each_process_lists_what_the_database_would(shared_database_url: str, company: Company, seed: int) -> None:
    random = Random(seed)
    records = Records(company, random)

    async def scenario(identity: Identity, *made: Process) -> None:
        full = False
        for _ in range(60):
            records.change()
            for process in random.sample(made, random.randint(0, len(made))):
                conditions = random.choice(((), (Condition("owner", "in", (random.choice(records.users),)),)))
                order = random.choice((list_query.DEFAULT_ORDER, (Order("updated_at", False),)))
                query = OpportunityListQuery(company.id, conditions, order)
                listed = await process.page(identity, query)
                assert listed == await process.plain(identity, query)
                full = full or b"stakeholders" in (listed or b"")
        assert full

    processes(shared_database_url, company, scenario, MAX_BYTES, MAX_BYTES, 0)


def test_cards_of_one_page_are_of_one_moment_though_names_change_all_the_time(shared_database_url: str, company: Company) -> None:
    """One record gets a number as its name, then the other the same one, and so on."""
    person = company.do(contact.Create(first_name="Jo", last_name="0")).stream_id
    company.do(account.Update(name="0"), company.account_id)
    for _ in range(3):
        company.deal(stakeholder_ids=(person,))
    stop, number = Event(), 0

    def rename() -> None:
        nonlocal number
        while not stop.is_set():
            number += 1
            company.do(account.Update(name=str(number)), company.account_id)
            company.do(contact.Update(last_name=str(number)), person)

    async def scenario(identity: Identity, *made: Process) -> None:
        seen = set()

        async def look(process: Process) -> None:
            for _ in range(60):
                items = await process.page(identity, OpportunityListQuery(company.id))
                deals = msgspec.json.decode(b"[%s]" % (items or b""))
                pairs = {(int(deal["account"]["name"]), int(deal["stakeholders"][0]["last_name"])) for deal in deals}
                assert len(pairs) == 1
                ((first, second),) = pairs
                assert first - second in (0, 1)
                seen.add(first)

        await asyncio.gather(*(look(process) for process in made for _ in range(4)))
        assert len(seen) > 5

    thread = Thread(target=rename)
    thread.start()
    try:
        processes(shared_database_url, company, scenario, MAX_BYTES, 0)
    finally:
        stop.set()
        thread.join()


class Meanwhile(ReadPool):
    """Something happens between one of the next answers of the database and its arrival."""

    answers = 0
    happens: Callable[[], Awaitable[Any]]

    async def row(self, *asked: Any) -> tuple[Any, ...]:
        found = await super().row(*asked)
        self.answers -= 1
        if self.answers == 0:
            await self.happens()
        return found


@pytest.mark.parametrize(("known", "answers"), [(True, 1), (False, 1), (True, 2)])
def test_an_answer_that_others_overtake_has_no_newer_cards(
    shared_database_url: str, company: Company, known: bool, answers: int
) -> None:
    deal = company.deal()
    company.do(contact.Create(first_name="Jo", last_name="Newest"))

    async def scenario(identity: Identity, process: Process) -> None:
        query = OpportunityListQuery(company.id)
        await process.reads.close()
        process.reads = reads = Meanwhile(shared_database_url)

        async def change() -> None:
            company.do(opportunity.Update(next_step="Later"), deal)
            company.do(account.Update(name="Later"), company.account_id)
            if known:
                await process.page(identity, query)

        if known:
            await process.page(identity, query)
        if answers == 2:  # the second one is of a card that is missing
            person = company.do(contact.Create(first_name="Jo", last_name="Missing")).stream_id
            company.do(opportunity.Update(stakeholder_ids=(person,)), deal)
        before = await process.plain(identity, query)
        reads.happens, reads.answers = change, answers
        listed = await process.page(identity, query)
        assert listed in (before, await process.plain(identity, query))

    processes(shared_database_url, company, scenario, MAX_BYTES)


def test_more_changes_than_one_answer_tells_are_all_seen(shared_database_url: str, company: Company) -> None:
    people = [company.do(contact.Create(first_name="Jo", last_name=f"{n}")).stream_id for n in range(cards.MOST + 20)]
    company.deal(stakeholder_ids=(people[0], people[-1]))

    async def scenario(identity: Identity, process: Process) -> None:
        query = OpportunityListQuery(company.id)
        await process.page(identity, query)
        for n, person in enumerate(people):
            company.do(contact.Update(first_name=f"New {n}"), person)
        listed = await process.page(identity, query)
        assert listed == await process.plain(identity, query)
        assert b"New 0" in (listed or b"")

    processes(shared_database_url, company, scenario, MAX_BYTES)


@pytest.fixture
def alone(database_url: str) -> Iterator[Company]:
    """The only org of a database."""
    with closing(Committer(database_url)) as committer:
        yield Company(committer)


def test_what_a_rebuild_mends_is_seen_at_once(database_url: str, alone: Company) -> None:
    alone.deal()

    async def scenario(identity: Identity, *made: Process) -> None:
        query = OpportunityListQuery(alone.id)
        with psycopg.connect(database_url) as owner:
            owner.execute("UPDATE directory SET card = replace(card, 'Acme Corp', 'Broken') WHERE kind = 'account'")
        for process in made:
            assert b"Broken" in (await process.page(identity, query) or b"")
        await asyncio.to_thread(rebuild, database_url, ["directory"])
        for process in made:
            assert b"Acme Corp" in (await process.page(identity, query) or b"")

    processes(database_url, alone, scenario, MAX_BYTES, MAX_BYTES)


def test_what_a_program_writes_that_knows_nothing_of_cards_is_seen(database_url: str, alone: Company) -> None:
    """As version 3 of the directory was written: each version with its position."""
    alone.deal()

    async def scenario(identity: Identity, process: Process) -> None:
        query = OpportunityListQuery(alone.id)
        assert b"Acme Corp" in (await process.page(identity, query) or b"")
        with psycopg.connect(database_url) as owner:
            owner.execute("UPDATE directory SET valid_to = now() WHERE id = %s", (alone.account_id,))
            owner.execute(
                """
                INSERT INTO directory SELECT (json_populate_record(d, json_build_object(
                    'version', d.version + 1, 'card', replace(d.card, 'Acme Corp', 'Initech'), 'valid_from', d.valid_to,
                    'valid_to', 'infinity', 'position', nextval('opportunities_events_notification_id_seq')))).*
                FROM directory d WHERE id = %s
                """,
                (alone.account_id,),
            )
        assert b"Initech" in (await process.page(identity, query) or b"")

    processes(database_url, alone, scenario, MAX_BYTES)


def test_what_is_kept_is_bounded_in_bytes(shared_database_url: str, company: Company) -> None:
    people = [company.do(contact.Create(first_name="Jo" * 20, last_name=f"{n}")).stream_id for n in range(120)]
    deals = [company.deal(stakeholder_ids=people[n : n + 20]) for n in range(0, len(people), 20)]
    most = 40_000  # some 100 of the 120

    async def scenario(identity: Identity, process: Process) -> None:
        tracemalloc.start()
        try:
            for _ in range(3):
                for id_ in deals:
                    query = OpportunityListQuery(company.id, (Condition("account", "in", (company.account_id,)),))
                    company.do(opportunity.Update(next_step=str(id_)), id_)
                    assert await process.page(identity, query, 1) == await process.plain(identity, query, 1)
            kept = tracemalloc.take_snapshot().filter_traces([tracemalloc.Filter(True, embedded_cards.__file__)])
        finally:
            tracemalloc.stop()
        assert 0 < sum(trace.size for trace in kept.traces) < most

    processes(shared_database_url, company, scenario, most)
