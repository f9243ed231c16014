"""Rules of users."""

from __future__ import annotations

from typing import Any

import pytest

from domain import user
from domain.errors import Conflict, Forbidden, NotFound
from domain.facts import Facts
from domain.permissions import OPERATOR
from domain.user import Create, Update
from tests.support.domain import Given

ANNA = user.Created(email="anna@acme.example", name="Anna", role="admin")


def test_a_new_user_is_an_active_rep_unless_told_otherwise() -> None:
    state = Given(by="admin").when(Create(email="ben@acme.example", name=" Ben")).state
    assert (state.email, state.role, state.active) == ("ben@acme.example", "rep", True)


def test_an_email_is_taken_once() -> None:
    taken = Facts(email_taken=True, other_admins=1)
    for given, command in ((Given(), Create(email="a@b.example", name="B")), (Given(ANNA), Update(email="a@b.example"))):
        with pytest.raises(Conflict) as refusal:
            given.when(command, by="admin", facts=taken)
        assert refusal.value.code == "email_taken"
    Given(ANNA).when(Update(email="anna@acme.example"), by="admin", facts=taken).then()


def test_what_is_no_email_or_name_is_refused_by_field() -> None:
    for email in ("anna@", " anna@acme.example", "anna@acme.example "):
        assert set(Given(by="admin").refused(Create(email=email, name=" "))) == {"email", "name"}


@pytest.mark.parametrize("command", [Update(role="manager"), Update(active=False)])
def test_the_last_active_admin_stays_one(command: Any) -> None:
    with pytest.raises(Conflict) as refusal:
        Given(ANNA).when(command, by="admin", facts=Facts())
    assert refusal.value.code == "last_admin"
    assert Given(ANNA).when(command, by="admin", facts=Facts(other_admins=1)).events
    inactive = user.Updated(active=False)
    assert Given(ANNA, inactive).when(Update(role="rep"), by="admin", facts=Facts()).events


def test_an_update_says_what_changed() -> None:
    given = Given(ANNA, by="admin").when(Update(name="Anna B", role="admin"))
    given.then(user.Updated(name="Anna B"))
    given.when(Update(name="Anna B ", active=True)).then()


def test_only_an_admin_sees_to_users() -> None:
    for command in (Create(email="a@b.example", name="B"), Update(name="B")):
        with pytest.raises(Forbidden):
            Given(ANNA).when(command, by="manager")


def test_a_user_that_never_was_is_not_found() -> None:
    with pytest.raises(NotFound):
        Given(by="admin").when(Update(name="B"))


def test_a_user_is_created_once() -> None:
    assert Given(ANNA, by="admin").refused_as(Conflict, Create(email="a@b.example", name="B")) == ("exists", {})


def test_an_email_that_is_too_long_for_any_line_hears_that_first() -> None:
    assert "255" in Given(by="admin").refused(Create(email="x" * 256, name="B"))["email"][0]


@pytest.mark.parametrize("command", [Update(role="manager"), Update(active=False)])
def test_an_admin_steps_down_only_where_another_one_can_act(command: Any) -> None:
    alone = Facts(other_admins=1, last_admin_token=True)
    assert Given(ANNA, by="admin").refused_as(Conflict, command, facts=alone) == ("last_admin_token", {})
    assert Given(ANNA, by=OPERATOR).when(command, facts=alone).events
