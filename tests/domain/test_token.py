"""Rules of API tokens."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from domain import token
from domain.errors import Forbidden, NotFound
from domain.event import OPERATOR
from domain.token import Issue, Revoke
from tests.support.domain import ADMIN, NOW, OTHER_REP, REP, UNKNOWN, Given

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
