"""What a command refers to, and thereby what its decision is told of other records."""

from __future__ import annotations

from decimal import Decimal
from typing import Any, get_args, get_origin
from uuid import UUID

import msgspec
import pytest
from msgspec import UNSET

from domain import account, activity, catalog, contact, exchange_rate, opportunity, organization, pipeline, token, user
from domain import webhook_endpoint as webhooks
from domain.event import Command
from domain.facts import References
from tests.support.domain import ACCOUNT, JANE, NOW, OMAR, REP, TODAY, uuid

COMMANDS = [command for command in Command.__subclasses__() if command.__module__.startswith("domain.")]


def refers_to(command: Command) -> References:
    return catalog.AGGREGATES[catalog.kind_of(type(command))].module.references(command)


def ids_for(type_: Any) -> UUID | tuple[UUID, ...] | None:
    """What a field of this type takes, if it takes ids."""
    if type_ is UUID:
        return uuid(7)
    found = next((ids for one in get_args(type_) if (ids := ids_for(one))), None)
    return (uuid(7), uuid(8)) if found and get_origin(type_) is tuple else found


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: f"{catalog.kind_of(command)}.{command.__name__}")
def test_every_id_in_a_command_is_among_its_references(command: type[Command]) -> None:
    """One that is not would be the id of nothing to the decision."""
    fields = msgspec.structs.fields(command)
    for field in fields:
        if ids := ids_for(field.type):
            found = refers_to(command(**({other.name: UNSET for other in fields if other.required} | {field.name: ids})))
            wanted = {ids} if isinstance(ids, UUID) else set(ids)
            assert wanted <= found.records | {found.opportunity_id}, field.name


@pytest.mark.parametrize(
    ("command", "asked"),
    [
        (account.Create(name="Acme"), References()),
        (account.Update(external_id=" X"), References(external_ids=frozenset({("account", "X")}))),
        (account.Delete(), References(deals="account")),
        (activity.Log(opportunity_id=uuid(9), type="call", subject="Hi"), References(opportunity_id=uuid(9))),
        (contact.Create(first_name="Jane", last_name="Roe"), References()),
        (contact.Update(account_id=ACCOUNT), References(records=frozenset({ACCOUNT}))),
        (contact.Update(account_id=None), References()),
        (
            contact.Replace(first_name="Jane", last_name="Roe", account_external_id="A ", external_id="X"),
            References(external_ids=frozenset({("account", "A"), ("contact", "X")})),
        ),
        (contact.Delete(), References(deals="stakeholder")),
        (exchange_rate.Set(currency="EUR", valid_from=TODAY, rate=Decimal(1)), References()),
        (opportunity.Create(name="Annual", account_id=ACCOUNT), References(records=frozenset({ACCOUNT}))),
        (
            opportunity.Update(owner_id=REP, stakeholder_ids=(JANE, OMAR)),
            References(records=frozenset({REP, JANE, OMAR})),
        ),
        (opportunity.Replace(name="Annual", account_id=ACCOUNT, stakeholder_ids=None), References(records=frozenset({ACCOUNT}))),
        (opportunity.ChangeStage(stage="won", stakeholder_ids=(JANE,)), References(records=frozenset({JANE}))),
        (opportunity.ChangeStage(stage="won"), References()),
        (opportunity.Delete(), References()),
        (opportunity.Restore(), References(restored=True)),
        (organization.Update(name="Acme"), References()),
        (pipeline.DEFAULT, References(stages=True)),
        (token.Issue(name="CI", user_id=REP, expires_at=NOW), References(records=frozenset({REP}), issued_tokens=True)),
        (token.Issue(name="CI"), References(issued_tokens=True)),
        (token.Revoke(), References(issued_tokens=True)),
        (user.Create(email="a@b.example", name="A"), References(other_users=True, email="a@b.example")),
        (user.Update(name="B"), References(other_users=True)),
        (user.Update(role="rep"), References(other_users=True, tokens_of_others=True)),
        (user.Update(active=False), References(other_users=True, tokens_of_others=True)),
        (webhooks.Delete(), References()),
    ],
    ids=lambda given: f"{catalog.kind_of(type(given))}.{type(given).__name__}" if isinstance(given, Command) else "",
)
def test_a_decision_is_told_what_its_command_asks_about_and_no_more(command: Command, asked: References) -> None:
    assert refers_to(command) == asked
