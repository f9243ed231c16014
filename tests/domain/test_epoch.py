"""Which epoch an event is of, by its position."""

from __future__ import annotations

from domain.epoch import Epoch, Epochs
from tests.support.domain import EPOCH, uuid

SECOND = Epoch(uuid(2), 2_000_001, 8, 30)
THIRD = Epoch(uuid(3), 5_000_001, 2_000_005, 2_000_005)
EPOCHS = Epochs([EPOCH, SECOND, THIRD])


def test_what_was_written_after_the_last_good_position_is_of_the_new_epoch() -> None:
    at = {position: EPOCHS.at(position) for position in (0, 1, 8, 9, 30, 2_000_001, 2_000_005, 2_000_006, 5_000_001)}
    assert at == {
        0: EPOCH,
        1: EPOCH,
        8: EPOCH,
        9: SECOND,
        30: SECOND,
        2_000_001: SECOND,
        2_000_005: SECOND,
        2_000_006: THIRD,
        5_000_001: THIRD,
    }


def test_a_log_that_was_restored_twice_to_the_same_place_has_its_last_word() -> None:
    again = Epochs([EPOCH, SECOND, Epoch(uuid(4), 9_000_001, 5, 30)])
    assert again.at(6) == again.current
    assert again.at(5) == EPOCH


def test_what_began_since_an_epoch_is_told_in_order() -> None:
    assert list(EPOCHS.since(None)) == list(EPOCHS.since(EPOCH.id)) == [SECOND, THIRD]
    assert list(EPOCHS.since(SECOND.id)) == [THIRD]
    assert not EPOCHS.since(THIRD.id)
    assert list(EPOCHS.since(uuid(999))) == [SECOND, THIRD], "of one that it does not know all are news"


def test_the_first_epoch_is_the_logs_identity() -> None:
    assert EPOCHS.log_id == EPOCH.id
    assert [epoch.is_first for epoch in (EPOCH, SECOND, THIRD)] == [True, False, False]
    assert EPOCHS.knows(SECOND.id)
    assert not Epochs([EPOCH]).knows(SECOND.id)
