"""Whoever queues a command gets the answer to that one; the queue is bounded, and drained at the end."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import psycopg
import pytest
from prometheus_client import REGISTRY

from app.process.children import wait_until
from app.process.failures import Unavailable
from app.writing.bulk import Bulk
from app.writing.command_queue import CommandQueue
from app.writing.envelope import Outcome
from domain.errors import Invalid
from tests.support.commands import Company, holding_the_log, named


def test_every_caller_of_the_writer_gets_the_answer_to_its_own_command(company: Company) -> None:
    async def scenario() -> list[Any]:
        writer = CommandQueue(company.committer)
        writer.start()
        names = [f"Deal {n:03}" if n % 7 else "" for n in range(300)]
        calls = [writer.execute(company.envelope(company.creation(name))) for name in names]
        answers = await asyncio.gather(*calls, return_exceptions=True)
        await writer.close()
        return list(zip(names, answers, strict=True))

    for name, answer in asyncio.run(scenario()):
        if name:
            assert json.loads(answer.body)["name"] == name
        else:
            assert isinstance(answer, Invalid)


def test_calls_of_many_commands_are_done_in_smaller_parts_while_others_write(company: Company) -> None:
    def bulk(number: int) -> Bulk:
        return Bulk([[company.envelope(company.creation(f"Deal {n}"), render=False)] for n in range(number)], lambda results: None)

    async def scenario() -> tuple[int, int]:
        writer = CommandQueue(company.committer)
        writer.start()
        for _ in range(3):
            await writer.execute_bulk(bulk(20))
        alone = writer.pace.size
        await writer.execute(company.envelope(company.creation("One")))
        beside = writer.pace.size
        await writer.close()
        return alone, beside

    alone, beside = asyncio.run(scenario())
    assert beside < alone


def measured(name: str) -> float:
    return REGISTRY.get_sample_value(name) or 0.0


def test_a_full_queue_is_unavailable_and_what_is_queued_is_still_done(shared_database_url: str, company: Company) -> None:
    def waits_for_the_log() -> bool:
        with psycopg.connect(shared_database_url) as connection:
            found = connection.execute(
                """
                SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted
                  AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
                """
            ).fetchone()
        return found == (1,)

    async def scenario() -> list[Any]:
        writer = CommandQueue(company.committer, capacity=3)
        writer.start()
        with holding_the_log(shared_database_url):
            calls = [asyncio.create_task(writer.execute(company.envelope(company.creation("Deal 0"))))]
            assert await asyncio.to_thread(wait_until, waits_for_the_log, 30)
            calls += [asyncio.create_task(writer.execute(company.envelope(company.creation(f"Deal {n}")))) for n in range(1, 6)]
            rejected, _ = await asyncio.wait(calls, return_when=asyncio.FIRST_COMPLETED)
            assert {type(call.exception()) for call in rejected} == {Unavailable}
            assert await asyncio.to_thread(wait_until, lambda: measured("write_commands_waiting") == 3, 30)
            assert measured("write_commands_refused_total") == refused + 2
            calls[1].cancel()  # a caller that hangs up does not take its command back
        answers = await asyncio.gather(*calls, return_exceptions=True)
        await writer.close()
        assert await asyncio.to_thread(wait_until, lambda: measured("write_commands_waiting") == 0, 30)
        return list(answers)

    refused = measured("write_commands_refused_total")
    answers = asyncio.run(scenario())
    assert [type(answer) for answer in answers] == [
        Outcome,
        asyncio.CancelledError,
        Outcome,
        Outcome,
        Unavailable,
        Unavailable,
    ]
    assert named(shared_database_url, company) == ["Deal 0", "Deal 1", "Deal 2", "Deal 3"]


def test_a_writer_that_closes_finishes_what_is_queued_and_takes_no_more(shared_database_url: str, company: Company) -> None:
    async def scenario() -> list[Any]:
        writer = CommandQueue(company.committer)
        writer.start()
        calls = [asyncio.create_task(writer.execute(company.envelope(company.creation(f"Deal {n}")))) for n in range(5)]
        await asyncio.sleep(0)  # let them queue
        await writer.close()
        with pytest.raises(Unavailable):
            await writer.execute(company.envelope(company.creation("Late")))
        return await asyncio.gather(*calls)

    assert [answer.status for answer in asyncio.run(scenario())] == ["created"] * 5
    assert named(shared_database_url, company) == [f"Deal {n}" for n in range(5)]
