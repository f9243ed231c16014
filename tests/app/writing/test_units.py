"""Units of commands: each entirely or not at all, in one transaction with what is written along."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing

import psycopg
import pytest
from msgspec.structs import replace

from app.writing.committer import Committer
from app.writing.deciding import MUCH
from app.writing.envelope import Envelope, Outcome, Result
from app.writing.units import Span
from domain import account, contact, opportunity, token
from domain.errors import Conflict, Forbidden, Invalid, NotFound, Unauthenticated
from domain.sql_cursor import SqlCursor
from tests.support.commands import Company, events_of, log, named, state
from tests.support.proxy import AtCommit, proxied


class Notes:
    """Books that note in the database how many commands of each unit were done."""

    def __init__(self, company: Company, *, closed: bool = False, broken: bool = False) -> None:
        self.name = f"test/{company.id}"
        self.closed = closed
        self.broken = broken

    def begin(self, cursor: SqlCursor) -> bool:
        return not self.closed

    def finish(self, cursor: SqlCursor, results: Sequence[Sequence[Result]], span: Span | None) -> None:
        done = sum(isinstance(result, Outcome) for unit in results for result in unit)
        if self.broken:
            cursor.execute("SELECT 1/0")
        cursor.execute(
            "INSERT INTO checkpoints (name, position) VALUES (%(name)s, %(done)s)"
            " ON CONFLICT (name) DO UPDATE SET position = checkpoints.position + excluded.position",
            {"name": self.name, "done": done},
        )

    def noted(self, url: str) -> int | None:
        with psycopg.connect(url) as connection:
            row = connection.execute("SELECT position FROM checkpoints WHERE name = %s", (self.name,)).fetchone()
        return row[0] if row else None


def kinds(results: Sequence[Sequence[Result]]) -> list[list[str]]:
    return [[one.status if isinstance(one, Outcome) else type(one).__name__ for one in unit] for unit in results]


def test_of_a_unit_with_a_refusal_nothing_is_done_and_all_that_is_wrong_is_told(company: Company, shared_database_url: str) -> None:
    deal = company.deal("Old", external_id="X")
    before = events_of(shared_database_url, company)
    spoilt = [
        company.envelope(opportunity.Update(name="Spoilt", external_id="Y"), deal),
        company.envelope(company.creation("Spoilt", external_id="X")),
        company.envelope(opportunity.Update(name="")),
        company.envelope(opportunity.ChangeStage(stage="nowhere"), deal),
    ]
    whole = [company.envelope(company.creation("Whole", external_id="Y")), company.envelope(opportunity.Update(name="New"), deal)]
    again = [company.envelope(company.creation("Taken", external_id="X"))]
    results = company.committer.run_units([spoilt, whole, again])
    assert kinds(results) == [["changed", "created", "NotFound", "Invalid"], ["created", "changed"], ["Conflict"]]
    assert named(shared_database_url, company) == ["New", "Whole"]
    assert events_of(shared_database_url, company) == before + 2
    assert state(shared_database_url, deal).version == 2
    company.do(opportunity.Update(name="Newer"), deal)
    assert state(shared_database_url, deal).version == 3


def test_what_cannot_be_read_is_its_own_refusal(company: Company, shared_database_url: str) -> None:
    unread = Invalid({"name": ["Must be a string."]})
    results = company.committer.run_units(
        [[unread], [company.envelope(company.creation("A")), unread], [company.envelope(company.creation("B"))]]
    )
    assert kinds(results) == [["Invalid"], ["created", "Invalid"], ["created"]]
    assert named(shared_database_url, company) == ["B"]
    assert company.committer.run_units([[unread]]) == [[unread]]


def test_a_command_is_about_the_record_of_an_earlier_one(company: Company, shared_database_url: str) -> None:
    existing = company.deal("Old", external_id="X")

    def put(name: str, external_id: str) -> Envelope:
        change = opportunity.Replace(name=name, account_id=company.account_id, external_id=external_id)
        made = replace(company.envelope(change), external_id=external_id)
        return replace(made, create=company.creation(name, external_id=external_id))

    def rename(name: str, ref: int) -> Envelope:
        return replace(company.envelope(opportunity.Update(name=name)), ref=ref)

    refused = company.envelope(opportunity.Update(name="B"))
    units = [[put("Put", "X")], [put("New", "Y"), rename("Newer", 1)], [refused], [rename("Never", 3)], [rename("Last", 0)]]
    results = company.committer.run_units(units)
    assert kinds(results) == [["changed"], ["created", "changed"], ["NotFound"], ["Conflict"], ["changed"]]
    assert named(shared_database_url, company) == ["Last", "Newer"]
    assert state(shared_database_url, existing).name == "Last"


def test_accounts_contacts_and_deals_of_a_unit_come_and_go_together(company: Company, shared_database_url: str) -> None:
    def row(name: str, **fields: str) -> list[Envelope]:
        return [
            company.envelope(account.Create(name=name, external_id="A")),
            company.envelope(contact.Create(first_name="J", last_name="D", account_external_id="A", external_id="C")),
            company.envelope(opportunity.Create(name=name, account_external_id="A", stakeholder_external_ids=("C",), **fields)),  # type: ignore[arg-type]
        ]

    spoilt, good = row("Spoilt", stage="nowhere"), row("Good")
    delete = company.envelope(account.Delete(), good[0].stream_id)
    results = company.committer.run_units(
        [spoilt, good, [delete], [company.envelope(opportunity.Delete(), good[2].stream_id), delete]]
    )
    assert kinds(results) == [["created", "created", "Invalid"], ["created"] * 3, ["Conflict"], ["changed", "changed"]]
    assert named(shared_database_url, company) == []
    with pytest.raises(NotFound):
        company.do(account.Update(name="B"), spoilt[0].stream_id)


def test_the_books_are_written_with_the_commands(company: Company, shared_database_url: str) -> None:
    notes = Notes(company)
    company.committer.run_units([[company.envelope(company.creation("A"))], [company.envelope(company.creation(""))]], notes)
    assert notes.noted(shared_database_url) == 1
    assert company.committer.run_units([[company.envelope(company.creation("B"))]], Notes(company, closed=True)) == []
    with pytest.raises(psycopg.errors.DivisionByZero):
        company.committer.run_units([[company.envelope(company.creation("C"))]], Notes(company, broken=True))
    assert named(shared_database_url, company) == ["A"]
    assert notes.noted(shared_database_url) == 1


@pytest.mark.parametrize("cut", ["cut the answer", "cut after", "cut before"])
def test_units_whose_commit_breaks_off_have_exactly_one_effect(company: Company, shared_database_url: str, cut: AtCommit) -> None:
    notes = Notes(company)
    with proxied(shared_database_url) as proxy, closing(Committer(proxy.url)) as committer:
        committer.run_units([[company.envelope(company.creation("Warm"))]])
        proxy.at_commit.append(cut)
        results = committer.run_units([[company.envelope(company.creation(f"Deal {n}"))] for n in range(3)], notes)
        assert kinds(results) == [["created"]] * 3
        assert not proxy.at_commit
    assert named(shared_database_url, company) == ["Deal 0", "Deal 1", "Deal 2", "Warm"]
    assert notes.noted(shared_database_url) == 3


def test_who_may_give_no_such_command_is_refused_as_a_whole(company: Company, shared_database_url: str) -> None:
    reader, gone = company.user("read_only"), company.user("rep", "gone@acme.example")
    company.do(token.Revoke(), gone.token_id)
    for caller, refusal in ((reader, Forbidden), (gone, Unauthenticated)):
        with pytest.raises(refusal):
            company.committer.run_units([[company.envelope(company.creation("A"), by=caller)]], Notes(company, closed=True))
    assert named(shared_database_url, company) == []


def test_the_events_of_units_stand_in_their_order(company: Company, shared_database_url: str) -> None:
    units = [[company.envelope(company.creation(f"Deal {n}"))] for n in range(20)]
    results = company.committer.run_units(units)
    made = [one.stream_id for unit in results for one in unit if isinstance(one, Outcome)]
    order = [recorded.stream_id for recorded in log(shared_database_url) if recorded.stream_id in set(made)]
    assert order == made
    assert isinstance(company.committer.run_units([[replace(units[0][0])]])[0][0], Conflict)


def test_of_many_units_those_refused_leave_nothing_wherever_they_are(company: Company, shared_database_url: str) -> None:
    wanted = [f"Deal {n:03}" if n % 50 else "" for n in range(2 * MUCH)]
    units = [
        [company.envelope(company.creation(name or "Spoilt")), *([] if name else [company.envelope(company.creation(""))])]
        for name in wanted
    ]
    notes = Notes(company)
    results = company.committer.run_units(units, notes)
    assert [all(isinstance(one, Outcome) for one in unit) for unit in results] == [bool(name) for name in wanted]
    assert named(shared_database_url, company) == [name for name in wanted if name]
    assert notes.noted(shared_database_url) == sum(map(len, units)) - wanted.count("")


def test_a_committer_knows_whether_others_wrote_since_its_last_transaction(company: Company, shared_database_url: str) -> None:
    units = [[company.envelope(company.creation("A"))]]
    with closing(Committer(shared_database_url)) as committer:
        committer.run_units(units)
        committer.run_units([[company.envelope(company.creation("B"))]])
        alone = [committer.turn.alone]
        company.deal("C")
        committer.run_units([[company.envelope(company.creation("D"))]])
        assert [*alone, committer.turn.alone] == [True, False]
        assert committer.turn.held > 0
