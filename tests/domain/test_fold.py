"""Events become changes: each with the state before and after it."""

from __future__ import annotations

from uuid import UUID

from msgspec import structs

from domain import account, fold
from domain.event import State
from tests.support.domain import recorded, uuid

ACME, RENAMED = account.Created(name="Acme"), account.Updated(name="Acme Corp")


def test_each_event_has_the_state_that_the_one_before_it_in_its_stream_left() -> None:
    other = uuid(3)
    events = [recorded(ACME), recorded(account.Created(name="Globex"), stream=other), recorded(RENAMED, 2)]
    states: dict[UUID, State] = {}
    created, elsewhere, renamed = fold.changes(events, states)
    assert (created.before, elsewhere.before, renamed.before) == (None, None, created.after)
    assert [getattr(change.after, "name", None) for change in (created, elsewhere, renamed)] == ["Acme", "Globex", "Acme Corp"]
    assert [change.recorded for change in (created, elsewhere, renamed)] == events
    assert states == {created.after.id: renamed.after, other: elsewhere.after}


def test_events_go_on_from_the_states_that_are_known() -> None:
    states: dict[UUID, State] = {}
    (created,) = fold.changes([recorded(ACME)], states)
    (renamed,) = fold.changes([recorded(RENAMED, 2)], states)
    assert renamed == fold.change(created.after, recorded(RENAMED, 2))
    assert renamed.after == structs.replace(created.after, name="Acme Corp", version=2)
    assert states == {renamed.after.id: renamed.after}


def test_the_kind_of_the_event_says_how_it_is_folded() -> None:
    assert isinstance(fold.change(None, recorded(ACME)).after, account.State)
