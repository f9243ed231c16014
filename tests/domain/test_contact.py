"""Rules of contacts."""

from __future__ import annotations

import pytest

from domain import contact
from domain.contact import Create, Delete, Update
from domain.errors import Conflict, Forbidden, NotFound
from domain.facts import Facts
from tests.support.domain import ACCOUNT, UNKNOWN, Given

JANE = contact.Created(first_name="Jane", last_name="Doe", email="jane@acme.example", account_id=ACCOUNT)


def test_a_contact_is_a_name_and_perhaps_more() -> None:
    Given().when(Create(first_name=" Jane", last_name="Doe"), by="rep").then(contact.Created(first_name="Jane", last_name="Doe"))


def test_all_that_is_wrong_is_said_at_once() -> None:
    command = Create(first_name="", last_name="a\0", email="nobody", phone="x" * 256, account_id=UNKNOWN)
    errors = Given().refused(command)
    assert set(errors) == {"first_name", "last_name", "email", "phone", "account_id"}
    assert str(UNKNOWN) in errors["account_id"][0]


def test_an_update_says_what_changed() -> None:
    given = Given(JANE, facts=Facts()).when(Update(email=None, account_id=ACCOUNT, title="CFO"))
    given.then(contact.Updated(email=None, title="CFO"))
    given.when(Update(email=None, title="CFO ")).then()
    given.when(Update(account_id=None)).then(contact.Updated(account_id=None))


def test_a_deleted_contact_is_not_there() -> None:
    given = Given(JANE).when(Delete()).then(contact.Deleted())
    with pytest.raises(NotFound):
        given.when(Update(title="CEO"))


def test_a_contact_that_deals_name_stays() -> None:
    with pytest.raises(Conflict, match="3 deals") as refusal:
        Given(JANE, facts=Facts(deals=3)).when(Delete())
    assert (refusal.value.code, refusal.value.extra) == ("in_use", {"deals": 3})


def test_a_rep_deletes_no_contact() -> None:
    with pytest.raises(Forbidden, match="ask a manager"):
        Given(JANE).when(Delete(), by="rep")


def test_a_reader_changes_nothing() -> None:
    with pytest.raises(Forbidden):
        Given(JANE).when(Update(title="CEO"), by="read_only")


def test_a_contact_is_created_once() -> None:
    assert Given(JANE).refused_as(Conflict, Create(first_name="Jane", last_name="Doe")) == ("exists", {})


def test_another_account_must_be_there() -> None:
    assert set(Given(JANE).refused(Update(account_id=UNKNOWN))) == {"account_id"}


def test_an_email_that_is_too_long_for_any_line_hears_that_first() -> None:
    assert "255" in Given(JANE).refused(Update(email="x" * 256))["email"][0]
