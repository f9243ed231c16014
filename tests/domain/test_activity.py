"""Rules of logging activities on a deal."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from msgspec.structs import replace

from domain import activity
from domain.activity import Log
from domain.errors import Conflict, Forbidden, NotFound
from tests.support.domain import ADMIN, FACTS, NOW, OTHER_REP, REP, UNKNOWN, Given, uuid

DEAL = uuid(500)
MINE = replace(FACTS, opportunities=frozenset({DEAL}), owner_id=REP)
CALL = Log(opportunity_id=DEAL, type="call", subject=" Pricing ")


def test_an_activity_happens_now_unless_told_otherwise() -> None:
    given = Given(facts=MINE).when(CALL, by="rep")
    given.then(activity.Logged(opportunity_id=DEAL, type="call", subject="Pricing", occurred_at=NOW))
    assert given.state.actor_id == ADMIN, "the actor is the one of the event's meta"


def test_a_time_is_kept_in_utc() -> None:
    at = datetime(2026, 2, 1, 12, tzinfo=timezone(timedelta(hours=2)))
    state = Given(facts=MINE).when(Log(opportunity_id=DEAL, type="note", subject="N", body="b", occurred_at=at)).state
    assert state.occurred_at == datetime(2026, 2, 1, 10, tzinfo=UTC)
    assert state.occurred_at.tzinfo is UTC


def test_what_is_wrong_is_said_by_field() -> None:
    bad = Log(opportunity_id=DEAL, type="note", subject="", body="\0", occurred_at=datetime(2026, 1, 1))  # noqa: DTZ001
    assert set(Given(facts=MINE).refused(bad)) == {"subject", "body", "occurred_at"}


def test_a_deal_that_is_not_there_is_not_found() -> None:
    with pytest.raises(NotFound):
        Given(facts=MINE).when(Log(opportunity_id=UNKNOWN, type="note", subject="N"))


def test_a_rep_logs_only_on_deals_of_their_own() -> None:
    theirs = replace(MINE, owner_id=OTHER_REP)
    assert Given(facts=theirs).when(CALL, by="manager").events
    for role in ("rep", "read_only"):
        with pytest.raises(Forbidden):
            Given(facts=theirs).when(CALL, by=role)


def test_a_body_is_kept_and_an_empty_one_is_none() -> None:
    for body, kept in (("They asked\nfor more. ", "They asked\nfor more."), (" ", None), (None, None)):
        assert Given(facts=MINE).when(replace_body(body)).state.body == kept


def replace_body(body: str | None) -> Log:
    return Log(opportunity_id=DEAL, type="note", subject="N", body=body)


def test_an_activity_is_logged_once() -> None:
    assert Given(facts=MINE).when(CALL).refused_as(Conflict, CALL) == ("exists", {})
