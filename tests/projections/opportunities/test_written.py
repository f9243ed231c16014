"""The response to the creation of a deal is the record as it is read, also where it is made without asking the database."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from uuid import UUID

import psycopg
import pytest

from app.writing.envelope import Outcome
from domain import account, contact, custom_field, user
from domain.opportunity import Create
from projections import command_responses
from projections.opportunities import queries
from tests.support.commands import Company, outcome


def read(url: str, done: Outcome) -> str:
    """The record at the version of the outcome."""
    with psycopg.connect(url) as connection:
        row = connection.execute(queries.records(), {"ids": [done.stream_id], "versions": [done.version]}).fetchone()
    assert row is not None
    return str(row[2])


def doe(company: Company, name: str = "Ümit") -> UUID:
    return company.do(contact.Create(first_name=name, last_name='"Doe"', title="Head")).stream_id


def test_a_created_deal_is_answered_as_it_is_read(
    company: Company, shared_database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = custom_field.stream_id(company.id)
    company.do(custom_field.Create(key="seats", label="Seats", type="number"), key)
    rep = company.user("rep")
    first, second = doe(company), doe(company, "Li")
    created: list[Create] = [
        company.creation("Plain"),
        company.creation('Größe "1"\\', amount=Decimal("10.5"), tags=("new",), custom_fields={"seats": 7, "ö": [1]}),
        company.creation("Whose", owner_id=rep.actor.user_id, stakeholder_ids=(second, first), close_date=date(2026, 12, 31)),
        company.creation("Won", stage="won", actual_amount=Decimal(5), actual_close_date=date(2026, 1, 31)),
    ]
    monkeypatch.delattr(command_responses, "ask")
    done = [outcome(result) for result in company.committer.run([company.envelope(one) for one in created])]
    assert [one.version for one in done] == [1, 1, 1, 2]
    for one in done:
        assert one.body == read(shared_database_url, one)


def test_what_the_transaction_does_not_know_is_read(company: Company, shared_database_url: str) -> None:
    company.do(user.Create(email="rep@acme.example", name="Rep", role="rep"))
    company.do(account.Create(name="Beta", external_id="B"))
    command = Create(name="By names", account_external_id="B", owner_email="rep@acme.example")
    done = company.do(command)
    assert '"name":"Beta"' in done.body
    assert done.body == read(shared_database_url, done)


def test_a_deal_created_beside_a_change_of_its_account_shows_the_account_as_it_is_then(company: Company) -> None:
    renamed = company.envelope(account.Update(name="Acme Ltd"), company.account_id)
    _, done = company.committer.run_as_one([renamed, company.envelope(company.creation())])
    assert '"name":"Acme Ltd"' in done.body
