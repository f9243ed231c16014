"""The metadata of events that are taken over from another org."""

from __future__ import annotations

from datetime import UTC, timedelta, timezone

from app.writing.circumstances import recorded
from app.writing.envelope import Envelope
from domain import account
from domain.adoption import Happened
from domain.event import Origin
from tests.support.domain import NOW, ORG, STREAM, actor, context


def test_each_event_keeps_its_time_in_utc_with_its_comment_and_origin() -> None:
    origin = Origin(org_id=ORG, recorded_at=NOW, actor="rita@old.example")
    times = [(NOW + timedelta(days=number - 9)).astimezone(timezone(timedelta(hours=2))) for number in range(2)]
    events = (account.Created(name="A"), account.Updated(name="B"))
    happened = tuple(Happened(event=event, at=at, origin=origin, comment="why") for event, at in zip(events, times, strict=True))
    envelope = Envelope("account", STREAM, account.Adopt(happened=happened), ORG, actor("admin"))
    metas = [one.meta for one in recorded(envelope, context("admin"), NOW, 0, events)]
    assert [meta.occurred_at for meta in metas] == times
    assert all(meta.occurred_at.tzinfo is UTC for meta in metas)
    assert {(meta.recorded_at, meta.comment, meta.origin) for meta in metas} == {(NOW, "why", origin)}
