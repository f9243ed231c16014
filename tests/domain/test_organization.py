"""Rules of an organization."""

from __future__ import annotations

import pytest

from domain import organization
from domain.errors import Conflict, Forbidden, NotFound
from domain.organization import Create, Update
from tests.support.domain import Given

DEMO = organization.Created(name="Demo", currency="USD")


def test_an_organization_has_a_name_and_a_currency() -> None:
    Given(by="admin").when(Create(name=" Demo ", currency="usd")).then(DEMO)
    assert set(Given(by="admin").refused(Create(name="", currency="DOLLAR"))) == {"name", "currency"}


def test_an_update_says_what_changed() -> None:
    given = Given(DEMO, by="admin").when(Update(name=" Demo", custom_fields_mode="strict"))
    given.then(organization.Updated(custom_fields_mode="strict"))
    given.when(Update(custom_fields_mode="strict")).then()
    assert set(given.refused(Update(name=" "))) == {"name"}


def test_it_is_created_once_and_then_changed() -> None:
    assert Given(DEMO, by="admin").refused_as(Conflict, Create(name="Demo")) == ("exists", {})
    with pytest.raises(NotFound):
        Given(by="admin").when(Update(name="Demo"))


def test_only_an_admin_changes_it() -> None:
    with pytest.raises(Forbidden):
        Given(DEMO).when(Update(name="B"), by="manager")


def test_its_currency_may_be_repeated_and_not_changed() -> None:
    given = Given(DEMO, by="admin").when(Update(currency="usd")).then()
    assert "USD" in given.refused(Update(currency="EUR"))["currency"][0]
