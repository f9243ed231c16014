"""A command has exactly one effect and its answer, or none and no promise, whatever happens to the connection."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import psycopg
import pytest
from psycopg import sql

from app.process.children import wait_until
from app.process.failures import Unavailable
from app.writing.committer import Committer
from app.writing.envelope import Envelope
from domain import account, opportunity
from domain.errors import Invalid
from tests.support.commands import FINGERPRINT, Company, holding_the_log, named, outcome, stream
from tests.support.proxy import AtCommit, Proxy, proxied


@pytest.fixture
def proxy(shared_database_url: str) -> Iterator[Proxy]:
    with proxied(shared_database_url) as proxy:
        yield proxy


@pytest.mark.parametrize(
    "cuts",
    [
        ("cut the answer",),
        ("cut after",),
        ("cut before",),
        ("cut before", "cut the answer"),
        ("cut before", "cut before"),
        ("pass", "cut the answer", "cut before"),
    ],
    ids=" then ".join,
)
def test_a_commit_that_breaks_off_has_exactly_one_effect_and_its_answer(
    shared_database_url: str, company: Company, proxy: Proxy, cuts: tuple[AtCommit, ...]
) -> None:
    deal = company.deal("Existing")
    with closing(Committer(proxy.url)) as committer:
        outcome(committer.run([company.envelope(company.creation("Warm"))])[0])
        proxy.at_commit.extend(cuts)
        for n in range(3):
            results = committer.run(
                [
                    company.envelope(company.creation(f"Deal {n}")),
                    company.envelope(opportunity.Update(name=f"Existing {n}"), deal),
                    company.envelope(opportunity.ChangeStage(stage="nowhere"), deal),
                ]
            )
            assert [json.loads(outcome(result).body)["name"] for result in results[:2]] == [
                f"Deal {n}",
                f"Existing {n}",
            ]
            assert isinstance(results[2], Invalid)
    assert not proxy.at_commit
    assert named(shared_database_url, company) == ["Deal 0", "Deal 1", "Deal 2", "Existing 2", "Warm"]
    assert [recorded.version for recorded in stream(shared_database_url, deal)] == [1, 2, 3, 4]


@pytest.mark.parametrize("cut", ["cut the answer", "cut after", "cut before"])
def test_who_joined_a_transaction_that_breaks_off_has_exactly_one_effect_and_an_answer_too(
    shared_database_url: str, company: Company, proxy: Proxy, cut: AtCommit
) -> None:
    with closing(Committer(proxy.url)) as committer:
        outcome(committer.run([company.envelope(company.creation("Warm"))])[0])
        proxy.at_commit.append(cut)
        joining = [company.envelope(company.creation("Joined")), company.envelope(company.creation(""))]

        def more(room: int) -> list[Envelope]:
            found, joining[:] = joining[:room], joining[room:]
            return found

        first, joined, refused = committer.run([company.envelope(company.creation("First"))], more)
        assert [json.loads(outcome(result).body)["name"] for result in (first, joined)] == ["First", "Joined"]
        assert isinstance(refused, Invalid)
    assert not proxy.at_commit
    assert named(shared_database_url, company) == ["First", "Joined", "Warm"]


def test_a_batch_lost_for_good_is_told_as_unavailable_and_has_no_effect(
    shared_database_url: str, company: Company, proxy: Proxy
) -> None:
    with closing(Committer(proxy.url)) as committer:
        proxy.at_commit.extend(["cut before"] * 3)
        (result,) = committer.run([company.envelope(company.creation("Lost"))])
        assert isinstance(result, Unavailable)
        assert named(shared_database_url, company) == []
        outcome(committer.run([company.envelope(company.creation("Found"))])[0])
    assert named(shared_database_url, company) == ["Found"]


def test_a_commit_that_cannot_be_looked_up_is_told_as_unavailable_and_can_be_sent_again_under_its_key(
    shared_database_url: str, company: Company, proxy: Proxy
) -> None:
    key = "key", FINGERPRINT
    with closing(Committer(proxy.url)) as committer:
        proxy.at_commit.append("away after")
        (result,) = committer.run([company.envelope(company.creation("Once"), idempotency=key)])
        assert isinstance(result, Unavailable)
        assert wait_until(lambda: named(shared_database_url, company) == ["Once"], 10)
        proxy.back()
        (again,) = committer.run([company.envelope(company.creation("Once"), idempotency=key)])
        assert outcome(again).replayed
    assert named(shared_database_url, company) == ["Once"]


def test_a_database_that_is_away_is_unavailable_and_comes_back_by_itself(
    shared_database_url: str, company: Company, proxy: Proxy
) -> None:
    with closing(Committer(proxy.url)) as committer:
        outcome(committer.run([company.envelope(company.creation("Before"))])[0])
        proxy.away()
        for _ in range(2):
            results = committer.run([company.envelope(company.creation("Meanwhile")) for _ in range(3)])
            assert [type(result) for result in results] == [Unavailable] * 3
        with pytest.raises(Unavailable):
            committer.run_as_one([company.envelope(company.creation("Meanwhile"))])
        proxy.back()
        outcome(committer.run([company.envelope(company.creation("After"))])[0])
        proxy.cut()  # while idle
        outcome(committer.run([company.envelope(company.creation("After a cut"))])[0])
    assert named(shared_database_url, company) == ["After", "After a cut", "Before"]


def test_what_was_committed_before_the_database_went_is_told_as_done(
    shared_database_url: str, company: Company, proxy: Proxy
) -> None:
    with closing(Committer(proxy.url)) as committer:
        proxy.at_commit.extend(["pass", "away before"])
        done, lost, late = committer.run(
            [
                company.envelope(company.creation("Done")),
                company.envelope(account.Create(name="Lost")),
                company.envelope(company.creation("Late")),
            ]
        )
        assert outcome(done).status == "created"
        assert [type(lost), type(late)] == [Unavailable, Unavailable]
    assert named(shared_database_url, company) == ["Done"]


@pytest.mark.parametrize("silence", ["hang", "hang within"], ids=["between batches of statements", "within one"])
def test_a_writer_that_falls_silent_gives_up_the_log_in_time(
    shared_database_url: str, company: Company, proxy: Proxy, silence: AtCommit
) -> None:
    with closing(Committer(proxy.url, statement_timeout_ms=500)) as silent:
        outcome(silent.run([company.envelope(company.creation("Before"))])[0])
        proxy.at_commit.append(silence)
        told: list[Any] = []
        thread = threading.Thread(target=lambda: told.extend(silent.run([company.envelope(company.creation("Hung"))])))
        thread.start()
        assert proxy.hanging.wait(30)
        with closing(Committer(shared_database_url, statement_timeout_ms=1_500)) as others:
            assert outcome(others.run([company.envelope(company.creation("Others"))])[0]).status == "created"
        thread.join(30)
    kept = [] if isinstance(told[0], Unavailable) else ["Hung"]  # as the log is free by then, or not
    assert named(shared_database_url, company) == ["Before", *kept, "Others"]


def test_a_log_that_stays_locked_is_unavailable_without_effect(shared_database_url: str, company: Company) -> None:
    with closing(Committer(shared_database_url, statement_timeout_ms=200)) as committer:
        with holding_the_log(shared_database_url):
            (result,) = committer.run([company.envelope(company.creation("Waiting"))])
        assert isinstance(result, Unavailable)
        outcome(committer.run([company.envelope(company.creation("After"))])[0])
    assert named(shared_database_url, company) == ["After"]


def test_a_server_that_has_become_a_standby_is_unavailable_until_there_is_a_primary(database_url: str) -> None:
    with closing(Committer(database_url)) as committer, psycopg.connect(database_url, autocommit=True) as operator:
        company = Company(committer)
        switch = sql.SQL("ALTER DATABASE {} SET default_transaction_read_only = {}")
        name = sql.Identifier(operator.info.dbname)
        operator.execute(switch.format(name, sql.SQL("on")))
        committer.close()
        (result,) = committer.run([company.envelope(company.creation("Meanwhile"))])
        assert isinstance(result, Unavailable)
        operator.execute("SET default_transaction_read_only = off")
        operator.execute(switch.format(name, sql.SQL("off")))
        outcome(committer.run([company.envelope(company.creation("After"))])[0])
    assert named(database_url, company) == ["After"]
