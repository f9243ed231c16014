"""Ids of other systems: one live record of a kind has each, and commands name records by them."""

from __future__ import annotations

from typing import Any

import pytest

from domain import account, contact, opportunity
from domain.errors import Conflict, Forbidden
from domain.event import Command
from domain.external_id import address, named
from domain.facts import Facts, Named
from domain.opportunity import ChangeStage, Create, Delete, Replace, Restore, Update
from domain.opportunity.decisions import references
from tests.support.domain import (
    ACCOUNT,
    FACTS,
    JANE,
    OMAR,
    OTHER_ACCOUNT,
    OTHER_REP,
    READER,
    REP,
    STREAM,
    UNKNOWN,
    Given,
    changes,
    created,
)

ACME = account.Created(name="Acme", domain="acme.example", custom_fields={"size": 5}, external_id="A1")
PERSON = contact.Created(first_name="Jane", last_name="Doe", email="jane@acme.example", account_id=ACCOUNT, external_id="C1")


def knowing(**by_email: Any) -> Facts:
    found: dict[Named, Any] = {
        ("account", "A2"): OTHER_ACCOUNT,
        ("contact", "C1"): JANE,
        ("contact", "C2"): OMAR,
    }
    emails = {"rob@yours.com": OTHER_REP, "rep@yours.com": REP, "reader@yours.com": READER}
    return Facts(
        accounts=FACTS.accounts, users=FACTS.users, owners=FACTS.owners, contacts=FACTS.contacts, named=found, by_email=emails
    )


def taken(kind: str, text: str, by: Any = UNKNOWN) -> Facts:
    return Facts(accounts=FACTS.accounts, owners=FACTS.owners, named={(kind, text): by})


def test_it_is_kept_in_normal_form_and_compared_exactly() -> None:
    deal = Given(created()).when(Update(external_id=" Cafe\u0301 "))
    deal.then(opportunity.Updated(changes=changes(external_id="Caf\xe9")))
    deal.when(Update(external_id="Caf\xe9")).then()
    deal.when(Update(external_id="CAF\xc9")).then(opportunity.Updated(changes=changes(external_id="CAF\xc9")))
    deal.when(Update(external_id=None)).then(opportunity.Updated(changes=changes(external_id=None)))


@pytest.mark.parametrize("text", ["", " ", "a\nb", "\u202ea"])
def test_it_is_one_line_with_something_to_see(text: str) -> None:
    assert set(Given(created()).refused(Update(external_id=text))) == {"external_id"}
    assert set(Given(ACME).refused(account.Update(external_id=text))) == {"external_id"}
    assert set(Given(PERSON).refused(contact.Update(external_id=text))) == {"external_id"}


@pytest.mark.parametrize(
    ("past", "command"),
    [
        ((), Create(name="A", account_id=ACCOUNT, external_id=" X ")),
        ((created(),), Update(external_id="X")),
        ((created(),), Replace(name="A", account_id=ACCOUNT, external_id="X")),
        ((created(),), ChangeStage(stage="proposal", external_id="X")),
        ((created(external_id="X"), opportunity.Deleted()), Restore()),
        ((), account.Create(name="A", external_id="X")),
        ((ACME,), account.Update(external_id="X")),
        ((ACME,), account.Replace(name="A", external_id="X")),
        ((), contact.Create(first_name="A", last_name="B", external_id="X")),
        ((PERSON,), contact.Update(external_id="X")),
        ((PERSON,), contact.Replace(first_name="A", last_name="B", external_id="X")),
    ],
)
def test_one_live_record_of_a_kind_has_it(past: Any, command: Command) -> None:
    kind = command.__module__.split(".")[1]
    code, extra = Given(*past).refused_as(Conflict, command, facts=taken(kind, "X"))
    assert (code, extra) == ("external_id_taken", {"holder": str(UNKNOWN)})
    other = "account" if kind != "account" else "contact"
    assert Given(*past).when(command, facts=taken(other, "X")).events
    if past:
        assert Given(*past).when(command, facts=taken(kind, "X", STREAM)).events


def test_what_is_invalid_is_said_before_what_is_taken() -> None:
    assert set(Given().refused(Create(name="", external_id="X"), facts=taken("opportunity", "X"))) == {"name", "account_id"}


def test_a_deal_names_its_account_owner_and_stakeholders() -> None:
    names: dict[str, Any] = {
        "account_external_id": " A2 ",
        "owner_email": "ROB@yours.com",
        "stakeholder_external_ids": ("C2", "C1", "C2"),
    }
    new = {"account_id": OTHER_ACCOUNT, "owner_id": OTHER_REP, "stakeholder_ids": (OMAR, JANE)}
    deal = Given().when(Create(name="A", **names), facts=knowing())
    assert {name: getattr(deal.state, name) for name in new} == new
    Given(created()).when(Update(**names), facts=knowing()).then(opportunity.Updated(changes=changes(**new)))
    deal = Given(created()).when(Replace(name="A", **names), facts=knowing())
    assert {name: getattr(deal.state, name) for name in new} == new
    moved = Given(created()).when(ChangeStage(stage="proposal", stakeholder_external_ids=("C1",)), facts=knowing())
    assert moved.state.stakeholder_ids == (JANE,)
    assert moved.when(Update(stakeholder_external_ids=None), facts=knowing()).state.stakeholder_ids == ()


@pytest.mark.parametrize("command", [Create(name="A"), Replace(name="A")])
def test_a_deal_needs_an_account_in_either_way(command: Command) -> None:
    past = () if isinstance(command, Create) else (created(),)
    assert Given(*past).refused(command) == {"account_id": ["This field is required."]}


def test_names_that_nobody_has_are_told_all_at_once() -> None:
    command = Update(account_external_id="no", owner_email="no@yours.com", stakeholder_external_ids=("C1", "no"), name="")
    found = Given(created()).refused(command, facts=knowing())
    assert set(found) == {"account_external_id", "owner_email", "stakeholder_external_ids", "name"}
    assert found["account_external_id"] == ["There is no account with the external id 'no'."]
    assert found["stakeholder_external_ids"] == ["There is no contact with the external id 'no'."]
    refused = Given().refused(Create(name="A", account_external_id="x" * 256), facts=knowing())
    assert list(refused) == ["account_external_id"]
    assert "255" in refused["account_external_id"][0]


def test_id_and_name_of_the_same_record_are_not_sent_together() -> None:
    both: dict[str, Any] = {"account_id": ACCOUNT, "account_external_id": "A2"}
    assert set(Given().refused(Create(name="A", **both), facts=knowing())) == {"account_external_id"}
    assert set(Given(PERSON).refused(contact.Update(**both), facts=knowing())) == {"account_external_id"}


def test_a_user_who_may_not_own_deals_owns_none_by_their_address() -> None:
    refused = Given().refused(Create(name="A", account_id=ACCOUNT, owner_email="reader@yours.com"), facts=knowing())
    assert set(refused) == {"owner_id"}


def test_a_rep_creates_own_deals_by_their_own_address_alone() -> None:
    own = Create(name="A", account_id=ACCOUNT, owner_email="Rep@yours.com")
    assert Given().when(own, by="rep", facts=knowing()).state.owner_id == REP
    for email in ("rob@yours.com", "nobody@yours.com"):
        with pytest.raises(Forbidden):
            Given().when(Create(name="A", account_id=ACCOUNT, owner_email=email), by="rep", facts=knowing())


def test_a_contact_names_its_account() -> None:
    made = Given().when(contact.Create(first_name="A", last_name="B", account_external_id="A2"), facts=knowing())
    assert made.state.account_id == OTHER_ACCOUNT
    assert made.when(contact.Update(account_external_id=None), facts=knowing()).state.account_id is None
    assert set(made.refused(contact.Update(account_external_id="no", phone=""), facts=knowing())) == {
        "account_external_id",
        "phone",
    }


def test_replacing_an_account_clears_what_is_left_out() -> None:
    given = Given(ACME).when(account.Replace(name="Acme", custom_fields={"new": 1}))
    given.then(account.Updated(domain=None, external_id=None, custom_fields={"size": None, "new": 1}))
    assert given.state.custom_fields == {"new": 1}
    given.when(account.Replace(name=" Acme ", custom_fields={"new": 1})).then()
    assert given.when(account.Replace(name="Acme")).state.custom_fields == {}


def test_replacing_a_contact_clears_what_is_left_out() -> None:
    given = Given(PERSON).when(contact.Replace(first_name="Jane", last_name="Doe", external_id="C1"))
    given.then(contact.Updated(email=None, account_id=None))
    given.when(contact.Replace(first_name="Jane", last_name="Doe ", external_id="C1")).then()


def test_commands_ask_for_the_names_they_have() -> None:
    command = Create(
        name="A", account_external_id=" a", owner_email="A@B.example ", stakeholder_external_ids=("c", "d"), external_id="x"
    )
    asked = references(command)
    assert asked.external_ids == {("account", "a"), ("contact", "c"), ("contact", "d"), ("opportunity", "x")}
    assert asked.emails == {"a@b.example"}
    assert references(ChangeStage(stage="won", stakeholder_external_ids=("c",))).external_ids == {("contact", "c")}
    assert references(Restore()).restored
    assert not references(Delete()).restored
    assert (named("account", None), address(None)) == (frozenset(), frozenset())
