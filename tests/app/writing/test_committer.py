"""A command is decided on the latest state, by who may at that moment, and harms no neighbour."""

from __future__ import annotations

import json
from contextlib import closing
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import pairwise
from typing import Any
from uuid import UUID

import psycopg
import pytest
import time_machine
from uuid_utils.compat import uuid7

from app.process.children import wait_until
from app.process.failures import Unavailable
from app.writing.committer import MAX_BATCH, MAX_FAULTS, Committer
from app.writing.connection import APPLICATION
from app.writing.envelope import Envelope
from domain import account, contact, custom_field, opportunity, pipeline, token, user
from domain.errors import Conflict, Forbidden, Invalid, NotFound, Unauthenticated, VersionMismatch
from tests.support.commands import FINGERPRINT, Company, events_of, log, named, outcome, set_log_clock, state, stream

# Decisions and versions


def test_a_command_is_decided_on_what_another_process_has_just_done(
    shared_database_url: str, company: Company, elsewhere: Committer
) -> None:
    deal = company.deal(amount=Decimal(100))
    for number in range(1, 6):
        update = opportunity.Update(amount=Decimal(number))
        outcome(elsewhere.run([company.envelope(update, deal)])[0])
        done = company.do(opportunity.Update(name=f"Deal {number}"), deal)
        body = json.loads(done.body)
        assert (done.version, body["version"]) == (1 + 2 * number, 1 + 2 * number)
        assert (body["amount"], body["name"]) == (f"{number}.00", f"Deal {number}")
    assert [recorded.version for recorded in stream(shared_database_url, deal)] == list(range(1, 12))


def test_a_rule_is_judged_by_a_policy_that_another_process_has_just_changed(company: Company, elsewhere: Committer) -> None:
    deal = company.deal()
    company.do(opportunity.ChangeStage(stage="proposal"), deal)
    strict = pipeline.Replace(stages=pipeline.DEFAULT.stages, transitions="no_backward")
    outcome(elsewhere.run([company.envelope(strict, pipeline.stream_id(company.id))])[0])
    with pytest.raises(Conflict) as refusal:
        company.do(opportunity.ChangeStage(stage="discovery"), deal)
    assert refusal.value.extra["allowed_stages"] == ["negotiation", "won", "lost"]


def test_commands_on_one_deal_in_a_batch_see_each_other_and_answer_each_for_itself(company: Company) -> None:
    deal = uuid7()
    batch = [
        company.envelope(command, deal)
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
            other.envelope(opportunity.Update(name="Taken"), deal),
            company.envelope(opportunity.Update(name="Mine"), deal),
            other.envelope(opportunity.Create(name="Borrowed", account_id=company.account_id)),
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
        [company.envelope(opportunity.Update(name=name), deal, expected_versions={1}) for name in ("A", "B")]
    )
    assert outcome(first).version == 2
    assert isinstance(second, VersionMismatch)
    assert second.extra == {"version": 2}
    (stale,) = elsewhere.run([company.envelope(opportunity.Update(name="C"), deal, expected_versions={1})])
    assert isinstance(stale, VersionMismatch)
    (fresh,) = elsewhere.run([company.envelope(opportunity.Update(name="D"), deal, expected_versions={2})])
    assert outcome(fresh).version == 3
    with pytest.raises(VersionMismatch):
        company.do(opportunity.Update(name="D"), deal, expected_versions={2})
    assert state(shared_database_url, deal).name == "D"


def test_if_match_of_several_versions_lets_a_change_of_any_of_them_through(company: Company) -> None:
    deal = company.deal()
    for name, listed, version in (("A", {1, 2}, 2), ("B", {1, 2, 9}, 3), ("C", {2, 3}, 4)):
        assert company.do(opportunity.Update(name=name), deal, expected_versions=listed).version == version
    for listed in ({1, 3}, set[int]()):
        with pytest.raises(VersionMismatch, match=r"is at version 4, which If-Match does not list") as refusal:
            company.do(opportunity.Update(name="D"), deal, expected_versions=listed)
        assert refusal.value.extra == {"version": 4}


def test_if_match_on_what_is_not_there_finds_nothing(company: Company) -> None:
    deal = company.deal()
    company.do(opportunity.Delete(), deal, expected_versions={1})
    for stream_id in (deal, uuid7()):
        with pytest.raises(NotFound):
            company.do(opportunity.Update(name="Late"), stream_id, expected_versions={1})


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
    company.do(opportunity.Update(name="now"), deal)
    events = stream(shared_database_url, deal)
    occurred = [recorded.meta.occurred_at for recorded in events]
    assert all(earlier <= later for earlier, later in pairwise(occurred))
    assert occurred[:5] == [now - timedelta(days=days) for days in (300, 200, 200, 10, 10)]
    assert occurred[5] == events[5].meta.recorded_at, "nothing occurs after it was recorded"
    assert occurred[6] == events[6].meta.recorded_at > occurred[5]
    with psycopg.connect(shared_database_url) as connection:
        spans = connection.execute(
            "SELECT valid_from, valid_to FROM opportunities WHERE id = %s AND version < 7 ORDER BY version", (deal,)
        ).fetchall()
    assert spans == list(pairwise(occurred))


# The clock


def test_time_is_the_databases_and_not_the_processes(database_url: str) -> None:
    with closing(Committer(database_url)) as here, closing(Committer(database_url)) as ahead:
        company = Company(here)
        deal = company.deal()
        began = datetime.now(UTC)
        with time_machine.travel(began + timedelta(days=1), tick=True):
            outcome(ahead.run([company.envelope(opportunity.Update(name="A day ahead"), deal)])[0])
        with time_machine.travel(began - timedelta(days=1), tick=True):
            outcome(ahead.run([company.envelope(opportunity.Update(name="A day behind"), deal)])[0])
        shown = json.loads(company.do(opportunity.Update(name="Right"), deal).body)
        times = [recorded.meta.recorded_at for recorded in log(database_url)]
    assert all(earlier <= later for earlier, later in pairwise(times))
    assert began < times[-3] < times[-2] < times[-1] < datetime.now(UTC)
    assert datetime.fromisoformat(shown["updated_at"]) == times[-1]


def test_time_goes_on_from_the_last_event_when_the_databases_clock_has_gone_back(database_url: str) -> None:
    future = datetime.now(UTC) + timedelta(days=1)
    with closing(Committer(database_url)) as committer, closing(Committer(database_url)) as elsewhere:
        company = Company(committer)
        set_log_clock(database_url, future)
        deals = [company.deal(), outcome(elsewhere.run([company.envelope(company.creation())])[0]).stream_id, company.deal()]
        times = [stream(database_url, deal)[0].meta.recorded_at for deal in deals]
    assert future < times[0] < times[1] < times[2] < future + timedelta(seconds=1)


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
    batch = [company.envelope(company.creation(f"Deal {n:02}")) for n in range(20)]
    fields = dict(poison)
    command = fields.pop("command", None)
    command = company.creation(command.name) if command else company.creation("Poison")
    batch.insert(place, company.envelope(command, **fields))
    results = company.committer.run(batch)
    broken = results.pop(place)
    assert isinstance(broken, Exception)
    assert not isinstance(broken, Unavailable)
    assert [json.loads(outcome(result).body)["name"] for result in results] == [f"Deal {n:02}" for n in range(20)]
    assert named(shared_database_url, company) == [f"Deal {n:02}" for n in range(20)]
    assert company.do(company.creation("Later")).status == "created"


@pytest.mark.parametrize(
    ("table", "column", "most"),
    [("opportunity_counts", "n", 1), ("opportunities", "json_detail", 2 * MAX_FAULTS)],
    ids=["as such", "as the fault of each command"],
)
def test_a_fault_that_concerns_every_command_takes_few_transactions(database_url: str, table: str, column: str, most: int) -> None:
    """A column is missing. PostgreSQL tells so, or that a command left out a value that must be there."""
    with psycopg.connect(database_url, autocommit=True) as operator:
        with closing(Committer(database_url)) as committer:
            company = Company(committer)
            batch = [company.envelope(company.creation(f"Deal {n:03}")) for n in range(MAX_BATCH)]
        operator.execute(f"ALTER TABLE {table} RENAME {column} TO lost".encode())
        before = _undone(operator)
        with closing(Committer(database_url)) as committer:
            results = committer.run(batch)
        assert {type(result) for result in results[MAX_FAULTS:]} == {Unavailable}
        assert len(results) == MAX_BATCH
        assert 1 <= _undone(operator) - before <= most
        operator.execute(f"ALTER TABLE {table} RENAME lost TO {column}".encode())
        with closing(Committer(database_url)) as committer:
            assert {outcome(result).status for result in committer.run(batch)} == {"created"}
    assert len(named(database_url, company)) == MAX_BATCH


def _undone(operator: psycopg.Connection[Any]) -> int:
    """The transactions that were rolled back on the database, by connections that are closed."""
    gone = "SELECT count(*) = 0 FROM pg_stat_activity WHERE datname = current_database() AND application_name = %s"
    assert wait_until(lambda: operator.execute(gone, (APPLICATION,)).fetchall() == [(True,)], 10)
    row = operator.execute("SELECT xact_rollback FROM pg_stat_database WHERE datname = current_database()").fetchone()
    assert row is not None
    return int(row[0])


@pytest.mark.parametrize("place", [0, 2, 3])
def test_who_comes_while_the_log_is_awaited_joins_the_transaction(shared_database_url: str, company: Company, place: int) -> None:
    """With a fault among those that were there, or among those that joined, each still has an effect and an answer of its own."""
    deal = company.deal("Deal")
    commands = [
        company.envelope(opportunity.Update(name="First"), deal),
        company.envelope(opportunity.ChangeStage(stage="nowhere"), deal),
        company.envelope(opportunity.Update(name="Second"), deal),
        company.envelope(company.creation("Joined")),
    ]
    commands.insert(place, company.envelope(company.creation("\udc80")))  # no UTF-8, so no JSON
    asked: list[int] = []

    def more(room: int) -> list[Envelope]:
        asked.append(room)
        return commands[2:] if len(asked) == 1 else []

    results = company.committer.run(commands[:2], more)
    assert asked[0] == MAX_BATCH - 2
    broken = results.pop(place)
    assert isinstance(broken, Exception)
    assert not isinstance(broken, Unavailable)
    first, refused, second, joined = results
    assert isinstance(refused, Invalid)
    assert [json.loads(outcome(result).body)["name"] for result in (first, second, joined)] == ["First", "Second", "Joined"]
    assert named(shared_database_url, company) == ["Joined", "Second"]
    versions = [recorded.version for recorded in stream(shared_database_url, deal)]
    assert versions == [1, 2, 3]


def test_all_or_nothing_leaves_nothing(shared_database_url: str, company: Company) -> None:
    before = events_of(shared_database_url, company)
    for refused in (company.creation(""), company.creation("\udc80")):
        with pytest.raises((Invalid, UnicodeEncodeError)):
            company.committer.run_as_one([company.envelope(company.creation()), company.envelope(refused)])
    assert events_of(shared_database_url, company) == before


def test_who_revokes_the_own_token_may_do_no_more_in_the_same_transaction(shared_database_url: str, company: Company) -> None:
    admin = company.user("admin")
    before = events_of(shared_database_url, company)
    deals = [company.envelope(company.creation(), by=admin) for _ in range(2)]
    revoked = company.envelope(token.Revoke(), admin.token_id, by=admin)
    with pytest.raises(Unauthenticated):
        company.committer.run_as_one([deals[0], revoked, deals[1]])
    assert events_of(shared_database_url, company) == before
    company.committer.run_as_one([deals[0], revoked])
    assert events_of(shared_database_url, company) == before + 2


def test_a_field_that_a_transaction_requires_is_missing_in_the_deals_after_it(company: Company) -> None:
    first, second = (company.envelope(company.creation()) for _ in range(2))
    required = custom_field.Create(key="seats", label="Seats", type="number", required=True)
    with pytest.raises(Invalid, match="seats"):
        company.committer.run_as_one([first, company.envelope(required, custom_field.stream_id(company.id)), second])


def test_commands_of_all_kinds_in_one_run_build_on_each_other(company: Company) -> None:
    account_id, deal = uuid7(), uuid7()
    results = company.committer.run(
        [
            company.envelope(company.creation("Before")),
            company.envelope(account.Create(name="New"), account_id),
            company.envelope(opportunity.Create(name="Deal", account_id=account_id), deal),
            company.envelope(account.Update(name="Renamed"), account_id),
            company.envelope(opportunity.Update(name="Deal 2"), deal),
            company.envelope(account.Delete(), account_id),
        ]
    )
    assert [outcome(result).status for result in results[:5]] == ["created", "created", "created", "changed", "changed"]
    assert json.loads(outcome(results[4]).body)["account"] == {"id": str(account_id), "name": "Renamed"}
    refusal = results[5]
    assert isinstance(refusal, Conflict)
    assert refusal.code == "in_use"


def test_a_contact_stays_while_a_live_deal_names_it(company: Company) -> None:
    jane, omar = [company.do(contact.Create(first_name=name, last_name="Doe")).stream_id for name in ("Jane", "Omar")]
    deal = company.deal(stakeholder_ids=(jane, omar))
    with pytest.raises(Conflict, match="1 deals"):
        company.do(contact.Delete(), jane)
    company.do(opportunity.Update(stakeholder_ids=(omar,)), deal)
    company.do(contact.Delete(), jane)


# Who may


def test_a_revoked_token_writes_nothing_from_that_moment_in_any_process(
    shared_database_url: str, company: Company, elsewhere: Committer
) -> None:
    rep = company.user("rep")
    own = outcome(elsewhere.run([company.envelope(company.creation(), by=rep, idempotency=("k", FINGERPRINT))])[0])
    company.do(token.Revoke(), rep.token_id)
    before = events_of(shared_database_url, company)
    attempts = [
        company.envelope(company.creation(), by=rep),
        company.envelope(opportunity.Update(name="Still me"), own.stream_id, by=rep),
        company.envelope(company.creation(), by=rep, idempotency=("k", FINGERPRINT)),  # kept, but not for them
        company.envelope(contact.Create(first_name="Jane", last_name="Doe"), by=rep),
    ]
    assert [type(result) for result in elsewhere.run(attempts)] == [Unauthenticated] * 4
    assert events_of(shared_database_url, company) == before


def test_a_changed_role_counts_from_that_moment_in_any_process(company: Company, elsewhere: Committer) -> None:
    rep = company.user("rep")
    theirs = company.do(company.creation(), by=rep).stream_id
    others = company.deal()

    def tried(command: opportunity.Update, deal: UUID) -> Any:
        return elsewhere.run([company.envelope(command, deal, by=rep)])[0]

    assert isinstance(tried(opportunity.Update(name="A"), others), Forbidden)
    company.do(user.Update(role="manager"), rep.actor.user_id)
    assert outcome(tried(opportunity.Update(name="B"), others)).version == 2
    company.do(user.Update(role="read_only"), rep.actor.user_id)
    assert isinstance(tried(opportunity.Update(name="C"), theirs), Forbidden)
    company.do(user.Update(active=False), rep.actor.user_id)
    assert isinstance(tried(opportunity.Update(name="D"), theirs), Unauthenticated)
    company.do(user.Update(active=True, role="rep"), rep.actor.user_id)
    assert outcome(tried(opportunity.Update(name="E"), theirs)).version == 2


def test_an_expired_token_writes_nothing(database_url: str) -> None:
    expires_at = datetime.now(UTC) + timedelta(hours=1)
    with closing(Committer(database_url)) as committer:
        company = Company(committer)
        issued = company.do(token.Issue(name="short", hash="0" * 64, prefix="opp_", expires_at=expires_at))
        assert company.do(company.creation(), token_id=issued.stream_id).status == "created"
        set_log_clock(database_url, expires_at)
        with pytest.raises(Unauthenticated):
            company.do(company.creation(), token_id=issued.stream_id)


def test_a_token_does_not_speak_for_another_user(company: Company) -> None:
    rep = company.user("rep")
    with pytest.raises(Unauthenticated):
        company.do(company.creation(), token_id=rep.token_id)
