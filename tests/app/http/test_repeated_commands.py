"""The same request again is done once and answered alike, wherever and whenever it comes again."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import closing
from typing import Any

import psycopg
import pytest

from app.writing.committer import Committer
from app.writing.envelope import Outcome
from domain import opportunity
from domain.errors import Invalid, KeyReused
from tests.support.commands import ANOTHER, FINGERPRINT, Company, events_of, named, outcome


def test_a_repeated_request_gets_the_first_answer_to_the_byte(
    shared_database_url: str, company: Company, elsewhere: Committer
) -> None:
    command, key = company.creation("Once"), ("key-1", FINGERPRINT)
    first = company.do(command, idempotency=key)
    company.do(opportunity.Update(name="Changed since"), first.stream_id)
    before = events_of(shared_database_url, company)
    with closing(Committer(shared_database_url)) as restarted:
        for committer in (company.committer, elsewhere, restarted):
            again = outcome(committer.run([company.envelope(command, idempotency=key)])[0])
            assert again.replayed
            assert (again.stream_id, again.version, again.body) == (first.stream_id, first.version, first.body)
    company.do(opportunity.Delete(), first.stream_id)
    assert company.do(command, idempotency=key).body == first.body
    assert events_of(shared_database_url, company) == before + 1


def test_a_key_is_refused_with_another_request_and_free_for_another_user(company: Company) -> None:
    rep = company.user("rep")
    first = company.do(company.creation(), idempotency=("key", FINGERPRINT))
    with pytest.raises(KeyReused):
        company.do(company.creation("Other"), idempotency=("key", ANOTHER))
    theirs = company.do(company.creation(), by=rep, idempotency=("key", FINGERPRINT))
    assert theirs.stream_id != first.stream_id
    assert not theirs.replayed


def test_a_refused_request_does_not_use_up_its_key(company: Company) -> None:
    key = "key", FINGERPRINT
    with pytest.raises(Invalid):
        company.do(company.creation(""), idempotency=key)
    assert company.do(company.creation("Better"), idempotency=key).status == "created"


def test_a_key_is_forgotten_after_a_day(shared_database_url: str, company: Company) -> None:
    key = "key", FINGERPRINT
    first = company.do(company.creation(), idempotency=key)
    with psycopg.connect(shared_database_url) as connection:
        connection.execute("UPDATE idempotency SET created_at = created_at - interval '25 hours' WHERE org_id = %s", (company.id,))
    second = company.do(company.creation("Another day"), idempotency=("key", ANOTHER))
    assert second.stream_id != first.stream_id
    assert company.do(company.creation("Another day"), idempotency=("key", ANOTHER)).replayed


def test_the_same_request_twice_in_one_batch_has_one_effect(shared_database_url: str, company: Company) -> None:
    key = "key", FINGERPRINT
    first, second, other = company.committer.run(
        [
            company.envelope(company.creation("Twin"), idempotency=key),
            company.envelope(company.creation("Twin"), idempotency=key),
            company.envelope(company.creation("Other"), idempotency=("key", ANOTHER)),
        ]
    )
    assert outcome(first).body == outcome(second).body != ""
    assert [outcome(first).replayed, outcome(second).replayed] == [False, True]
    assert isinstance(other, KeyReused)
    assert named(shared_database_url, company) == ["Twin"]


def test_the_same_request_from_many_processes_at_once_has_one_effect(shared_database_url: str, company: Company) -> None:
    processes, keys = 5, 12
    start = threading.Barrier(processes)
    answers: list[list[Outcome]] = [[] for _ in range(processes)]

    def send(number: int) -> None:
        with closing(Committer(shared_database_url)) as committer:
            for n in range(keys):
                start.wait()
                envelope = company.envelope(company.creation(f"Deal {n:02}"), idempotency=(f"k{n}", FINGERPRINT))
                answers[number].append(outcome(committer.run([envelope])[0]))

    at_once(*[lambda number=number: send(number) for number in range(processes)])
    for same in zip(*answers, strict=True):
        assert len({(one.stream_id, one.body) for one in same}) == 1
        assert sorted(one.replayed for one in same) == [False] + [True] * (processes - 1)
    assert named(shared_database_url, company) == [f"Deal {n:02}" for n in range(keys)]


def at_once(*calls: Callable[[], Any]) -> None:
    """Run them in threads of their own; raises what one of them raised."""
    faults: list[BaseException] = []

    def guarded(call: Callable[[], Any]) -> None:
        try:
            call()
        except BaseException as fault:  # noqa: BLE001  told to the test below
            faults.append(fault)

    threads = [threading.Thread(target=guarded, args=(call,)) for call in calls]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if faults:
        raise faults[0]
