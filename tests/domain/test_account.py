"""Rules of accounts."""

from __future__ import annotations

from typing import Any

import pytest

from domain import account
from domain.account import Create, Delete, Update
from domain.errors import Conflict, Forbidden, NotFound
from domain.facts import Facts
from tests.support.domain import Given

ACME = account.Created(name="Acme", domain="acme.example", custom_fields={"size": 5})


def test_a_name_is_enough() -> None:
    Given().when(Create(name=" Acme "), by="rep").then(account.Created(name="Acme"))


def test_an_update_says_what_changed() -> None:
    given = Given(ACME).when(Update(name="Acme", domain=None, custom_fields={"size": 6, "new": None}))
    given.then(account.Updated(domain=None, custom_fields={"size": 6}))
    assert (given.state.domain, given.state.custom_fields) == (None, {"size": 6})
    assert given.when(Update(custom_fields=None)).state.custom_fields == {}


@pytest.mark.parametrize("command", [Update(), Update(name="Acme "), Update(custom_fields={"size": 5}), Update(custom_fields={})])
def test_what_changes_nothing_is_no_event(command: Any) -> None:
    Given(ACME).when(command).then()


def test_all_that_is_wrong_is_said_at_once() -> None:
    command = Create(name="", domain="x" * 256, custom_fields={"a": "\0"})
    assert set(Given().refused(command)) == {"name", "domain", "custom_fields.a"}


def test_an_account_with_deals_cannot_go() -> None:
    with pytest.raises(Conflict) as refusal:
        Given(ACME).when(Delete(), facts=Facts(deals=3))
    assert (refusal.value.code, refusal.value.extra) == ("in_use", {"deals": 3})


def test_a_deleted_account_is_not_there() -> None:
    given = Given(ACME).when(Delete()).then(account.Deleted())
    for command in (Update(name="B"), Delete()):
        with pytest.raises(NotFound):
            given.when(command)


def test_a_reader_changes_nothing() -> None:
    for command in (Create(name="A"), Update(name="B"), Delete()):
        with pytest.raises(Forbidden):
            Given(ACME).when(command, by="read_only")


def test_a_rep_deletes_no_account() -> None:
    with pytest.raises(Forbidden, match="ask a manager"):
        Given(ACME).when(Delete(), by="rep")


def test_an_account_is_created_once() -> None:
    assert Given(ACME).refused_as(Conflict, Create(name="Acme")) == ("exists", {})
