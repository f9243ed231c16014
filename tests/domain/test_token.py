"""Rules of API tokens."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from msgspec import structs

from domain import token
from domain.errors import Conflict, Forbidden, NotFound
from domain.facts import Facts
from domain.permissions import OPERATOR, Actor, Credential, Role
from domain.token import Issue, Revoke
from tests.support.domain import ADMIN, NOW, OTHER_REP, REP, UNKNOWN, Given, recorded, uuid

HASH = "9f" * 32
MINE = token.Issued(name="CI", user_id=REP, hash=HASH, prefix="opp_9f86")


def issue(**fields: Any) -> Issue:
    return Issue(**{"name": "CI", "hash": HASH, "prefix": "opp_9f86", **fields})


def test_a_token_is_for_the_actor_unless_another_is_named() -> None:
    Given().when(issue(), by="rep").then(MINE)
    assert Given().when(issue(user_id=OTHER_REP), by="admin").state.user_id == OTHER_REP


def test_only_an_admin_issues_and_revokes_for_others() -> None:
    with pytest.raises(Forbidden):
        Given().when(issue(user_id=ADMIN), by="rep")
    with pytest.raises(Forbidden):
        Given(MINE).when(Revoke(), by="manager")
    assert Given(MINE).when(Revoke(), by="admin").events


def test_a_token_needs_a_name_an_active_user_and_a_time_to_come() -> None:
    bad = issue(name="", user_id=UNKNOWN, expires_at=NOW)
    assert set(Given().refused(bad, by="admin")) == {"name", "user_id", "expires_at"}
    assert set(Given().refused(issue(expires_at=datetime(2027, 1, 1)), by="rep")) == {"expires_at"}  # noqa: DTZ001
    assert set(Given().refused(issue(), by=OPERATOR)) == {"user_id"}


def test_an_end_is_kept_in_utc() -> None:
    end = datetime(2027, 1, 1, tzinfo=timezone(timedelta(hours=2)))
    assert Given().when(issue(expires_at=end), by="rep").state.expires_at.tzinfo is UTC


def test_a_token_is_revoked_once_and_for_ever() -> None:
    given = Given(MINE).when(Revoke(), by="rep").then(token.Revoked())
    given.when(Revoke(), by="rep").then()
    assert given.state.revoked


def test_a_token_that_never_was_is_not_found() -> None:
    with pytest.raises(NotFound):
        Given().when(Revoke())


@pytest.mark.parametrize("secret", ["", "opp_in_clear", "9F" * 32])
def test_what_is_no_hash_never_reaches_the_log(secret: str) -> None:
    with pytest.raises(AssertionError):
        Given().when(issue(hash=secret))


LATER = NOW + timedelta(days=30)


def used(role: Role | None = None, expires_at: datetime | None = None) -> Credential:
    """A token of the rep's to act with."""
    return Credential(uuid(8), role, expires_at)


def test_a_token_remembers_the_one_it_was_issued_with() -> None:
    first = recorded(MINE)
    meta = structs.replace(first.meta, token_id=uuid(77))
    assert token.evolve(None, structs.replace(first, meta=meta)).issued_with == uuid(77)
    assert token.evolve(None, first).issued_with is None


def test_a_token_issued_with_another_lives_no_longer() -> None:
    assert Given().when(issue(), by="rep", credential=used(expires_at=LATER)).state.expires_at == LATER
    sooner = LATER - timedelta(seconds=1)
    for end in (sooner, LATER):
        assert Given().when(issue(expires_at=end), by="rep", credential=used(expires_at=LATER)).state.expires_at == end
        assert Given().when(issue(expires_at=end), by="rep", credential=used()).state.expires_at == end
    with pytest.raises(Forbidden, match="expires_at"):
        Given().when(issue(expires_at=LATER + timedelta(seconds=1)), by="rep", credential=used(expires_at=LATER))
    assert Given().when(issue(), by="rep", credential=used()).state.expires_at is None


def test_a_token_issued_with_another_is_worth_no_more() -> None:
    manager = Actor(REP, "manager")
    assert Given().when(issue(), by=manager, credential=used(role="manager")).state.role == "manager"
    roles: tuple[Role, ...] = ("rep", "manager")
    for role in roles:
        assert Given().when(issue(role=role), by=manager, credential=used(role="manager")).state.role == role
    with pytest.raises(Forbidden, match="role"):
        Given().when(issue(role="admin"), by=manager, credential=used(role="manager"))
    assert Given().when(issue(), by=manager, credential=used()).state.role is None


def test_an_admin_and_the_operator_issue_tokens_without_limits() -> None:
    admin = issue(user_id=REP, role="admin", expires_at=LATER)
    assert Given(by="admin").when(admin, credential=used(role="admin", expires_at=NOW + timedelta(days=1))).state.role == "admin"
    assert Given(by="admin").when(issue(), credential=used(role="admin", expires_at=LATER)).state.expires_at is None
    assert Given(by=OPERATOR).when(admin, credential=None).state.expires_at == LATER


def test_a_reader_issues_no_token() -> None:
    with pytest.raises(Forbidden):
        Given().when(issue(), by="read_only")


@pytest.mark.parametrize(
    ("cap", "role", "may"),
    [
        (None, None, True), (None, "admin", True), ("rep", None, False), ("rep", "manager", False), ("rep", "rep", True),
        ("rep", "read_only", True),
    ],
)  # fmt: skip
def test_a_capped_token_revokes_none_that_is_worth_more(cap: Role | None, role: Role | None, *, may: bool) -> None:
    given = Given(structs.replace(MINE, role=role), by="rep")
    if may:
        assert given.when(Revoke(), credential=used(role=cap)).state.revoked
    else:
        with pytest.raises(Forbidden, match="rep"):
            given.when(Revoke(), credential=used(role=cap))


def test_a_token_of_anybody_s_follows_the_one_it_was_issued_with() -> None:
    assert Given(MINE).when(Revoke(following=True), by=Actor(OTHER_REP, "read_only")).state.revoked


def test_the_last_token_with_an_admin_s_rights_stays() -> None:
    last = Facts(last_admin_token=True)
    assert Given(MINE).refused_as(Conflict, Revoke(), by="admin", facts=last) == ("last_admin_token", {})
    with pytest.raises(Conflict, match=r"revoke this one, or let the operator do it \(`opportunities token revoke`\)\.$"):
        Given(MINE).when(Revoke(), by="admin", facts=last)
    assert Given(MINE).when(Revoke(), by=OPERATOR, facts=last).state.revoked
