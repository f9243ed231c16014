"""Who may do what, by role alone."""

from __future__ import annotations

import pytest

from domain import account, catalog, opportunity, pipeline, token
from domain.errors import Forbidden
from domain.event import Command
from domain.permissions import ROLES, Role, exceeds, weaker
from tests.support.domain import actor


def test_each_role_is_more_than_those_before_it() -> None:
    assert ROLES == ("read_only", "rep", "manager", "admin")
    assert [[exceeds(role, other) for other in ROLES] for role in ROLES] == [
        [False, False, False, False],
        [True, False, False, False],
        [True, True, False, False],
        [True, True, True, False],
    ]


@pytest.mark.parametrize(
    ("role", "cap", "left"),
    [("manager", None, "manager"), ("manager", "admin", "manager"), ("manager", "manager", "manager"), ("manager", "rep", "rep")],
)
def test_a_cap_takes_away_and_never_gives(role: Role, cap: Role | None, left: Role) -> None:
    assert weaker(role, cap) == left


@pytest.mark.parametrize(
    ("command", "least"),
    [
        (pipeline.Replace, "admin"),
        (account.Delete, "rep"),
        (account.Adopt, "admin"),
        (opportunity.Create, "rep"),
        (token.Issue, "rep"),
        (token.Revoke, "read_only"),
    ],
)
def test_a_role_rules_a_command_out_before_anything_is_known_of_it(command: type[Command], least: Role) -> None:
    for role in ROLES:
        if exceeds(least, role):
            with pytest.raises(Forbidden):
                catalog.require_role(command, actor(role))
        else:
            catalog.require_role(command, actor(role))
