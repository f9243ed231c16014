"""What an org is told of the log: that it was restored, by the operator alone."""

from __future__ import annotations

from uuid import uuid5

import pytest

from domain import log
from domain.context import Context
from domain.epoch import Epoch
from domain.errors import Forbidden
from domain.permissions import OPERATOR, Actor
from tests.support.domain import ADMIN, EPOCH, NOW, ORG, fold, uuid

COMMAND = log.Restore(epoch=Epoch(uuid(5), 2_000_001, 8, 8))


def test_the_operator_alone_says_that_the_database_was_restored() -> None:
    (told,) = log.decide(None, COMMAND, Context(OPERATOR, NOW))
    assert told == log.Restored(epoch=uuid(5), last_good_position=8, first_position=2_000_001)
    with pytest.raises(Forbidden, match=r"^Only the operator may do that\.$"):
        log.decide(None, COMMAND, Context(Actor(ADMIN, "admin"), NOW))


def test_the_same_epoch_is_told_once() -> None:
    (told,) = log.decide(None, COMMAND, Context(OPERATOR, NOW))
    state = fold([told])
    assert log.decide(state, COMMAND, Context(OPERATOR, NOW)) == ()
    (again,) = log.decide(state, log.Restore(epoch=EPOCH), Context(OPERATOR, NOW))
    assert fold([again], state).epoch == EPOCH.id


def test_the_stream_of_an_org_has_an_id_that_never_changes() -> None:
    assert log.stream_id(ORG) == uuid5(ORG, "log")
