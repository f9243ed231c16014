"""A call of many operations, part by part."""

from __future__ import annotations

import asyncio
from uuid import UUID

import pytest
from msgspec.structs import replace

from app.http.bulk_call import BulkAnswer, Call
from app.process.failures import Unavailable
from app.writing.bulk import Bulk, BulkOutcome
from app.writing.envelope import Envelope
from domain import opportunity
from projections.idempotency_records import Key
from tests.support.commands import Company, named

PART = 50
NUMBER = 2 * PART + 20


class Executor:
    """A committer that is away after so many parts."""

    def __init__(self, company: Company, parts: int = 1_000) -> None:
        self._committer, self.parts = company.committer, parts

    async def execute(self, bulk: Bulk) -> BulkOutcome:
        self.parts -= 1
        if self.parts < 0:
            raise Unavailable("The database is away.")
        return self._committer.run_bulk(bulk)


def call(company: Company, commands: list[Envelope], key: str = "k") -> Call:
    found = Key(company.id, company.admin.actor.user_id or company.id, key)
    return Call("independent", commands, opportunity.Delete, (found, b"fingerprint"), lambda error: None, lambda: PART)


def run(one: Call, executor: Executor) -> BulkAnswer | str:
    return asyncio.run(one.run(executor.execute))


def creations(company: Company) -> list[Envelope]:
    return [company.envelope(company.creation(f"Deal {number:03}"), render=False) for number in range(NUMBER)]


def test_a_call_that_broke_off_goes_on_where_it_was_when_it_is_sent_again(company: Company, shared_database_url: str) -> None:
    commands = creations(company)
    first = run(call(company, commands), Executor(company, parts=1))
    assert isinstance(first, BulkAnswer)
    assert [result.status for result in first.results] == [201] * PART + [503] * (NUMBER - PART)
    assert (first.counts.created, first.counts.failed) == (PART, NUMBER - PART)
    again = creations(company)  # with other ids, as a request that is sent again has
    second = run(call(company, again), Executor(company))
    assert isinstance(second, BulkAnswer)
    assert [result.index for result in second.results] == list(range(NUMBER))
    assert [result.id for result in second.results] == [one.stream_id for one in [*commands[:PART], *again[PART:]]]
    assert second.counts.created == NUMBER
    assert named(shared_database_url, company) == [f"Deal {number:03}" for number in range(NUMBER)]
    assert isinstance(run(call(company, creations(company)), Executor(company)), str)
    assert len(named(shared_database_url, company)) == NUMBER


def test_an_operation_may_be_about_a_record_of_an_earlier_part(company: Company, shared_database_url: str) -> None:
    update = company.envelope(opportunity.Update(name="Renamed"), UUID(int=0), render=False)
    answer = run(call(company, [*creations(company), replace(update, ref=3)]), Executor(company))
    assert isinstance(answer, BulkAnswer)
    assert (answer.results[-1].status, answer.results[-1].id) == (200, answer.results[3].id)
    assert "Renamed" in named(shared_database_url, company)


def test_a_call_of_which_nothing_can_be_done_fails_as_a_whole(company: Company) -> None:
    with pytest.raises(Unavailable):
        run(call(company, creations(company)), Executor(company, parts=0))
