"""A command is decided on the latest state, has exactly one effect whatever happens to the connection, and harms no neighbour."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import pairwise
from typing import Any
from uuid import UUID

import psycopg
import pytest
import time_machine
from uuid_utils.compat import uuid7

from app.committer import Committer, Outcome, Unavailable
from app.processes import until
from app.writer import Writer
from domain import account, contact, event_store, opportunity, pipeline, token, user
from domain.errors import Conflict, Forbidden, Invalid, KeyReused, NotFound, Unauthenticated, VersionMismatch
from tests.support.commands import Company, log, outcome, state, stream
from tests.support.proxy import AtCommit, Proxy, proxied

FINGERPRINT, ANOTHER = b"f" * 32, b"a" * 32


@pytest.fixture
def company(shared_database_url: str) -> Iterator[Company]:
    with closing(Committer(shared_database_url)) as committer:
        yield Company(committer)


@pytest.fixture
def elsewhere(shared_database_url: str) -> Iterator[Committer]:
    """The committer of another process."""
    with closing(Committer(shared_database_url)) as committer:
        yield committer


def events_of(url: str, company: Company) -> int:
    return sum(recorded.meta.org_id == company.id for recorded in log(url))


def named(url: str, company: Company) -> list[str]:
    """The names of the org's live deals, each as often as there are such deals."""
    with psycopg.connect(url) as connection:
        rows = connection.execute(
            "SELECT name FROM opportunities WHERE org_id = %s AND valid_to = 'infinity' AND NOT deleted ORDER BY 1",
            (company.id,),
        ).fetchall()
    return [row[0] for row in rows]


# Decisions and versions


def test_a_command_is_decided_on_what_another_process_has_just_done(
    shared_database_url: str, company: Company, elsewhere: Committer
) -> None:
    deal = company.deal(amount=Decimal(100))
    for number in range(1, 6):
        update = opportunity.Update(amount=Decimal(number))
        outcome(elsewhere.run([company.submission(update, deal)])[0])
        done = company.do(opportunity.Update(name=f"Deal {number}"), deal)
        body = json.loads(done.body)
        assert (done.version, body["version"]) == (1 + 2 * number, 1 + 2 * number)
        assert (body["amount"], body["name"]) == (f"{number}.00", f"Deal {number}")
    assert [recorded.originator_version for recorded in stream(shared_database_url, deal)] == list(range(1, 12))


def test_a_rule_is_judged_by_a_policy_that_another_process_has_just_changed(company: Company, elsewhere: Committer) -> None:
    deal = company.deal()
    company.do(opportunity.ChangeStage(stage="proposal"), deal)
    strict = pipeline.Replace(stages=pipeline.DEFAULT.stages, transitions="no_backward")
    outcome(elsewhere.run([company.submission(strict, pipeline.stream_id(company.id))])[0])
    with pytest.raises(Conflict) as refusal:
        company.do(opportunity.ChangeStage(stage="discovery"), deal)
    assert refusal.value.extra["allowed_stages"] == ["negotiation", "won", "lost"]


def test_commands_on_one_deal_in_a_batch_see_each_other_and_answer_each_for_itself(company: Company) -> None:
    deal = uuid7()
    batch = [
        company.submission(command, deal)
        for command in (
            company.creation("One", amount=Decimal(10)),
            opportunity.ChangeStage(stage="proposal"),
            opportunity.Update(name="Two"),
            opportunity.Delete(),
            opportunity.Update(name="Three"),
            opportunity.Restore(),
        )
    ]
    created, moved, renamed, deleted, late, restored = company.committer.run(batch)
    shown = [json.loads(outcome(result).body) for result in (created, moved, renamed, restored)]
    assert [(one["version"], one["name"], one["stage"]) for one in shown] == [
        (1, "One", "discovery"),
        (2, "One", "proposal"),
        (3, "Two", "proposal"),
        (5, "Two", "proposal"),
    ]
    assert (outcome(deleted).version, outcome(deleted).body) == (4, "")
    assert isinstance(late, NotFound)
    assert [outcome(result).status for result in (created, moved, renamed)] == ["created", "changed", "changed"]


def test_a_batch_of_many_orgs_keeps_them_apart(company: Company) -> None:
    other = Company(company.committer, "Other")
    deal = company.deal()
    foreign, own, borrowed = company.committer.run(
        [
            other.submission(opportunity.Update(name="Taken"), deal),
            company.submission(opportunity.Update(name="Mine"), deal),
            other.submission(opportunity.Create(name="Borrowed", account_id=company.account_id)),
        ]
    )
    assert isinstance(foreign, NotFound)
    assert json.loads(outcome(own).body)["name"] == "Mine"
    assert isinstance(borrowed, Invalid)
    assert str(company.account_id) in borrowed.errors["account_id"][0]


def test_a_command_finds_no_record_of_another_kind(shared_database_url: str, company: Company) -> None:
    deal = company.deal()
    mistaken = [
        (account.Update(name="Now an account"), deal),
        (account.Delete(), company.admin.actor.user_id),
        (contact.Update(first_name="Jane"), company.account_id),
        (user.Update(name="Jane"), deal),
        (token.Revoke(), company.account_id),
        (opportunity.Update(name="Now a deal"), company.account_id),
        (opportunity.Delete(), company.admin.token_id),
    ]
    before = events_of(shared_database_url, company)
    for command, stream_id in mistaken:
        with pytest.raises(NotFound):
            company.do(command, stream_id)
    assert events_of(shared_database_url, company) == before


def test_if_match_lets_exactly_one_of_two_writers_through(shared_database_url: str, company: Company, elsewhere: Committer) -> None:
    deal = company.deal()
    first, second = company.committer.run(
        [company.submission(opportunity.Update(name=name), deal, expected_version=1) for name in ("A", "B")]
    )
    assert outcome(first).version == 2
    assert isinstance(second, VersionMismatch)
    assert second.extra == {"version": 2}
    (stale,) = elsewhere.run([company.submission(opportunity.Update(name="C"), deal, expected_version=1)])
    assert isinstance(stale, VersionMismatch)
    (fresh,) = elsewhere.run([company.submission(opportunity.Update(name="D"), deal, expected_version=2)])
    assert outcome(fresh).version == 3
    with pytest.raises(VersionMismatch):
        company.do(opportunity.Update(name="D"), deal, expected_version=2)
    assert state(shared_database_url, deal).name == "D"


def test_if_match_on_what_is_not_there_finds_nothing(company: Company) -> None:
    deal = company.deal()
    company.do(opportunity.Delete(), deal, expected_version=1)
    for stream_id in (deal, uuid7()):
        with pytest.raises(NotFound):
            company.do(opportunity.Update(name="Late"), stream_id, expected_version=1)


def test_a_command_that_changes_nothing_appends_nothing(shared_database_url: str, company: Company) -> None:
    made = company.do(company.creation("Same", amount=Decimal(24000), tags=("a", "b")))
    before = log(shared_database_url)
    for command in (
        opportunity.Update(name="Same", amount=Decimal("24000.00"), tags=("a", "b"), custom_fields={}),
        opportunity.ChangeStage(stage="discovery"),
        opportunity.Restore(),
        opportunity.Replace(name="Same", account_id=company.account_id, amount=Decimal(24000), tags=("a", "b")),
    ):
        again = company.do(command, made.stream_id)
        assert (again.status, again.version, again.body) == ("unchanged", 1, made.body)
    assert log(shared_database_url) == before


def test_what_occurred_never_goes_back_along_a_stream(shared_database_url: str, company: Company) -> None:
    now = datetime.now(UTC)
    deal = company.do(company.creation(), occurred_at=now - timedelta(days=300)).stream_id
    for days in (200, 250, 10, 100):
        company.do(opportunity.Update(name=f"{days} ago"), deal, occurred_at=now - timedelta(days=days))
    company.do(opportunity.Update(name="in the future"), deal, occurred_at=now + timedelta(days=1))
    with time_machine.travel(now - timedelta(hours=1), tick=True):  # a process whose clock is behind
        company.do(opportunity.Update(name="by a slow clock"), deal)
    events = stream(shared_database_url, deal)
    occurred = [recorded.meta.occurred_at for recorded in events]
    assert all(earlier <= later for earlier, later in pairwise(occurred))
    assert occurred[:5] == [now - timedelta(days=days) for days in (300, 200, 200, 10, 10)]
    assert occurred[5] == events[5].meta.recorded_at, "nothing occurs after it was recorded"
    assert occurred[6] == occurred[5]
    with psycopg.connect(shared_database_url) as connection:
        spans = connection.execute(
            "SELECT valid_from, valid_to FROM opportunities WHERE id = %s AND version < 7 ORDER BY version", (deal,)
        ).fetchall()
    assert spans == list(pairwise(occurred))


# The same request again


def test_a_repeated_request_gets_the_first_answer_to_the_byte(
    shared_database_url: str, company: Company, elsewhere: Committer
) -> None:
    command, key = company.creation("Once"), ("key-1", FINGERPRINT)
    first = company.do(command, idempotency=key)
    company.do(opportunity.Update(name="Changed since"), first.stream_id)
    before = events_of(shared_database_url, company)
    with closing(Committer(shared_database_url)) as restarted:
        for committer in (company.committer, elsewhere, restarted):
            again = outcome(committer.run([company.submission(command, idempotency=key)])[0])
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
            company.submission(company.creation("Twin"), idempotency=key),
            company.submission(company.creation("Twin"), idempotency=key),
            company.submission(company.creation("Other"), idempotency=("key", ANOTHER)),
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
                submission = company.submission(company.creation(f"Deal {n:02}"), idempotency=(f"k{n}", FINGERPRINT))
                answers[number].append(outcome(committer.run([submission])[0]))

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


# Neighbours


@pytest.mark.parametrize("place", [0, 7, 19])
@pytest.mark.parametrize(
    "poison",
    [
        {"command": opportunity.Create(name="\udc80", account_id=UUID(int=0))},  # no UTF-8, so no JSON
        {"idempotency": ("a key with \0", FINGERPRINT)},  # no text of the database's
    ],
    ids=["event", "key"],
)
def test_a_command_that_breaks_its_transaction_does_not_hurt_its_neighbours(
    shared_database_url: str, company: Company, poison: dict[str, Any], place: int
) -> None:
    batch = [company.submission(company.creation(f"Deal {n:02}")) for n in range(20)]
    fields = dict(poison)
    command = fields.pop("command", None)
    command = company.creation(command.name) if command else company.creation("Poison")
    batch.insert(place, company.submission(command, **fields))
    results = company.committer.run(batch)
    broken = results.pop(place)
    assert isinstance(broken, Exception)
    assert not isinstance(broken, Unavailable)
    assert [json.loads(outcome(result).body)["name"] for result in results] == [f"Deal {n:02}" for n in range(20)]
    assert named(shared_database_url, company) == [f"Deal {n:02}" for n in range(20)]
    assert company.do(company.creation("Later")).status == "created"


def test_all_or_nothing_leaves_nothing(shared_database_url: str, company: Company) -> None:
    before = events_of(shared_database_url, company)
    for refused in (company.creation(""), company.creation("\udc80")):
        with pytest.raises((Invalid, UnicodeEncodeError)):
            company.committer.run_as_one([company.submission(company.creation()), company.submission(refused)])
    assert events_of(shared_database_url, company) == before


def test_commands_of_all_kinds_in_one_run_build_on_each_other(company: Company) -> None:
    account_id, deal = uuid7(), uuid7()
    results = company.committer.run(
        [
            company.submission(company.creation("Before")),
            company.submission(account.Create(name="New"), account_id),
            company.submission(opportunity.Create(name="Deal", account_id=account_id), deal),
            company.submission(account.Update(name="Renamed"), account_id),
            company.submission(opportunity.Update(name="Deal 2"), deal),
            company.submission(account.Delete(), account_id),
        ]
    )
    assert [outcome(result).status for result in results[:5]] == ["created", "created", "created", "changed", "changed"]
    assert json.loads(outcome(results[4]).body)["account"] == {"id": str(account_id), "name": "Renamed"}
    refusal = results[5]
    assert isinstance(refusal, Conflict)
    assert refusal.code == "in_use"


def test_a_contact_may_go_though_a_live_deal_names_it_and_is_shown_no_more(company: Company) -> None:
    jane, omar = [company.do(contact.Create(first_name=name, last_name="Doe")).stream_id for name in ("Jane", "Omar")]
    deal = company.deal(stakeholder_ids=(jane, omar))
    company.do(contact.Delete(), jane)
    shown = json.loads(company.do(opportunity.Update(name="Renamed"), deal).body)
    assert [one["id"] for one in shown["stakeholders"]] == [str(omar)]


# Connections that break


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
        outcome(committer.run([company.submission(company.creation("Warm"))])[0])
        proxy.at_commit.extend(cuts)
        for n in range(3):
            results = committer.run(
                [
                    company.submission(company.creation(f"Deal {n}")),
                    company.submission(opportunity.Update(name=f"Existing {n}"), deal),
                    company.submission(opportunity.ChangeStage(stage="nowhere"), deal),
                ]
            )
            assert [json.loads(outcome(result).body)["name"] for result in results[:2]] == [
                f"Deal {n}",
                f"Existing {n}",
            ]
            assert isinstance(results[2], Invalid)
    assert not proxy.at_commit
    assert named(shared_database_url, company) == ["Deal 0", "Deal 1", "Deal 2", "Existing 2", "Warm"]
    assert [recorded.originator_version for recorded in stream(shared_database_url, deal)] == [1, 2, 3, 4]


def test_a_batch_lost_for_good_is_told_as_unavailable_and_has_no_effect(
    shared_database_url: str, company: Company, proxy: Proxy
) -> None:
    with closing(Committer(proxy.url)) as committer:
        proxy.at_commit.extend(["cut before"] * 3)
        (result,) = committer.run([company.submission(company.creation("Lost"))])
        assert isinstance(result, Unavailable)
        assert named(shared_database_url, company) == []
        outcome(committer.run([company.submission(company.creation("Found"))])[0])
    assert named(shared_database_url, company) == ["Found"]


def test_a_commit_that_cannot_be_looked_up_is_told_as_unavailable_and_can_be_sent_again_under_its_key(
    shared_database_url: str, company: Company, proxy: Proxy
) -> None:
    key = "key", FINGERPRINT
    with closing(Committer(proxy.url)) as committer:
        proxy.at_commit.append("away after")
        (result,) = committer.run([company.submission(company.creation("Once"), idempotency=key)])
        assert isinstance(result, Unavailable)
        assert until(lambda: named(shared_database_url, company) == ["Once"], 10)
        proxy.back()
        (again,) = committer.run([company.submission(company.creation("Once"), idempotency=key)])
        assert outcome(again).replayed
    assert named(shared_database_url, company) == ["Once"]


def test_a_database_that_is_away_is_unavailable_and_comes_back_by_itself(
    shared_database_url: str, company: Company, proxy: Proxy
) -> None:
    with closing(Committer(proxy.url)) as committer:
        outcome(committer.run([company.submission(company.creation("Before"))])[0])
        proxy.away()
        for _ in range(2):
            results = committer.run([company.submission(company.creation("Meanwhile")) for _ in range(3)])
            assert [type(result) for result in results] == [Unavailable] * 3
        with pytest.raises(Unavailable):
            committer.run_as_one([company.submission(company.creation("Meanwhile"))])
        proxy.back()
        outcome(committer.run([company.submission(company.creation("After"))])[0])
        proxy.cut()  # while idle
        outcome(committer.run([company.submission(company.creation("After a cut"))])[0])
    assert named(shared_database_url, company) == ["After", "After a cut", "Before"]


def test_what_was_committed_before_the_database_went_is_told_as_done(
    shared_database_url: str, company: Company, proxy: Proxy
) -> None:
    with closing(Committer(proxy.url)) as committer:
        proxy.at_commit.extend(["pass", "away before"])
        done, lost, late = committer.run(
            [
                company.submission(company.creation("Done")),
                company.submission(account.Create(name="Lost")),
                company.submission(company.creation("Late")),
            ]
        )
        assert outcome(done).status == "created"
        assert [type(lost), type(late)] == [Unavailable, Unavailable]
    assert named(shared_database_url, company) == ["Done"]


def test_a_writer_that_falls_silent_gives_up_the_log_in_time(shared_database_url: str, company: Company, proxy: Proxy) -> None:
    with closing(Committer(proxy.url, statement_timeout_ms=500)) as silent:
        outcome(silent.run([company.submission(company.creation("Before"))])[0])
        proxy.at_commit.append("hang")
        told: list[Any] = []
        thread = threading.Thread(target=lambda: told.extend(silent.run([company.submission(company.creation("Hung"))])))
        thread.start()
        assert proxy.hanging.wait(30)
        assert company.do(company.creation("Others")).status == "created"
        proxy.cut()
        thread.join()
        assert outcome(told[0]).status == "created"
    assert named(shared_database_url, company) == ["Before", "Hung", "Others"]


@contextmanager
def holding_the_log(url: str) -> Iterator[None]:
    """Somebody else is appending, and takes their time."""
    with psycopg.connect(url) as connection, connection.cursor() as cursor:
        event_store.lock(cursor)
        yield
        connection.rollback()


def test_a_log_that_stays_locked_is_unavailable_without_effect(shared_database_url: str, company: Company) -> None:
    with closing(Committer(shared_database_url, statement_timeout_ms=200)) as committer:
        with holding_the_log(shared_database_url):
            (result,) = committer.run([company.submission(company.creation("Waiting"))])
        assert isinstance(result, Unavailable)
        outcome(committer.run([company.submission(company.creation("After"))])[0])
    assert named(shared_database_url, company) == ["After"]


# Who may


def test_a_revoked_token_writes_nothing_from_that_moment_in_any_process(
    shared_database_url: str, company: Company, elsewhere: Committer
) -> None:
    rep = company.user("rep")
    own = outcome(elsewhere.run([company.submission(company.creation(), by=rep, idempotency=("k", FINGERPRINT))])[0])
    company.do(token.Revoke(), rep.token_id)
    before = events_of(shared_database_url, company)
    attempts = [
        company.submission(company.creation(), by=rep),
        company.submission(opportunity.Update(name="Still me"), own.stream_id, by=rep),
        company.submission(company.creation(), by=rep, idempotency=("k", FINGERPRINT)),  # kept, but not for them
        company.submission(contact.Create(first_name="Jane", last_name="Doe"), by=rep),
    ]
    assert [type(result) for result in elsewhere.run(attempts)] == [Unauthenticated] * 4
    assert events_of(shared_database_url, company) == before


def test_a_changed_role_counts_from_that_moment_in_any_process(company: Company, elsewhere: Committer) -> None:
    rep = company.user("rep")
    theirs = company.do(company.creation(), by=rep).stream_id
    others = company.deal()

    def tried(command: opportunity.Update, deal: UUID) -> Any:
        return elsewhere.run([company.submission(command, deal, by=rep)])[0]

    assert isinstance(tried(opportunity.Update(name="A"), others), Forbidden)
    company.do(user.Update(role="manager"), rep.actor.user_id)
    assert outcome(tried(opportunity.Update(name="B"), others)).version == 2
    company.do(user.Update(role="read_only"), rep.actor.user_id)
    assert isinstance(tried(opportunity.Update(name="C"), theirs), Forbidden)
    company.do(user.Update(active=False), rep.actor.user_id)
    assert isinstance(tried(opportunity.Update(name="D"), theirs), Unauthenticated)
    company.do(user.Update(active=True, role="rep"), rep.actor.user_id)
    assert outcome(tried(opportunity.Update(name="E"), theirs)).version == 2


def test_an_expired_token_writes_nothing(company: Company) -> None:
    expires_at = datetime.now(UTC) + timedelta(hours=1)
    issued = company.do(token.Issue(name="short", hash="0" * 64, prefix="opp_", expires_at=expires_at))
    assert company.do(company.creation(), token_id=issued.stream_id).status == "created"
    with time_machine.travel(expires_at, tick=True), pytest.raises(Unauthenticated):
        company.do(company.creation(), token_id=issued.stream_id)


def test_a_token_does_not_speak_for_another_user(company: Company) -> None:
    rep = company.user("rep")
    with pytest.raises(Unauthenticated):
        company.do(company.creation(), token_id=rep.token_id)


# The queue in front


def test_every_caller_of_the_writer_gets_the_answer_to_its_own_command(company: Company) -> None:
    async def scenario() -> list[Any]:
        writer = Writer(company.committer)
        writer.start()
        names = [f"Deal {n:03}" if n % 7 else "" for n in range(300)]
        calls = [writer.execute(company.submission(company.creation(name))) for name in names]
        answers = await asyncio.gather(*calls, return_exceptions=True)
        await writer.close()
        return list(zip(names, answers, strict=True))

    for name, answer in asyncio.run(scenario()):
        if name:
            assert json.loads(answer.body)["name"] == name
        else:
            assert isinstance(answer, Invalid)


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
        writer = Writer(company.committer, capacity=3)
        writer.start()
        with holding_the_log(shared_database_url):
            calls = [asyncio.create_task(writer.execute(company.submission(company.creation("Deal 0"))))]
            assert await asyncio.to_thread(until, waits_for_the_log, 30)
            calls += [asyncio.create_task(writer.execute(company.submission(company.creation(f"Deal {n}")))) for n in range(1, 6)]
            rejected, _ = await asyncio.wait(calls, return_when=asyncio.FIRST_COMPLETED)
            assert {type(call.exception()) for call in rejected} == {Unavailable}
            calls[1].cancel()  # a caller that hangs up does not take its command back
        answers = await asyncio.gather(*calls, return_exceptions=True)
        await writer.close()
        return list(answers)

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
        writer = Writer(company.committer)
        writer.start()
        calls = [asyncio.create_task(writer.execute(company.submission(company.creation(f"Deal {n}")))) for n in range(5)]
        await asyncio.sleep(0)  # let them queue
        await writer.close()
        with pytest.raises(Unavailable):
            await writer.execute(company.submission(company.creation("Late")))
        return await asyncio.gather(*calls)

    assert [answer.status for answer in asyncio.run(scenario())] == ["created"] * 5
    assert named(shared_database_url, company) == [f"Deal {n}" for n in range(5)]
