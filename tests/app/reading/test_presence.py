"""Who asked lately is known to all processes, and so how long a token rests after what took long."""

from __future__ import annotations

from pathlib import Path
from uuid import UUID

import pytest

from app.reading.presence import MOST_SECONDS, REST, SECONDS, Presence

ANN, BOB, CAT = (UUID(int=number) for number in (1, 2, 3))


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture(params=["alone", "shared"])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> str | None:
    return str(tmp_path) if request.param == "shared" else None


def test_a_token_that_is_alone_does_not_rest(folder: str | None) -> None:
    presence = Presence(folder)
    assert presence.rest(ANN, 0.2) == 0
    for _ in range(3):
        presence.note(ANN)
        assert presence.rest(ANN, 0.2) == 0


def test_while_others_are_there_it_rests_in_proportion_and_not_forever(folder: str | None) -> None:
    presence = Presence(folder)
    presence.note(ANN)
    presence.note(BOB)
    for who in (ANN, BOB, CAT, None):
        assert presence.rest(who, 0.01) == pytest.approx(REST * 0.01)
        assert presence.rest(who, 10) == MOST_SECONDS


def test_who_has_been_quiet_for_long_enough_is_not_there(folder: str | None) -> None:
    clock = Clock()
    presence = Presence(folder, clock)
    presence.note(ANN)
    presence.note(BOB)
    clock.now += SECONDS / 2
    presence.note(ANN)
    assert presence.rest(ANN, 0.1) > 0
    clock.now += SECONDS / 2
    assert presence.rest(ANN, 0.1) == 0
    assert presence.rest(BOB, 0.1) > 0


def test_one_who_asks_all_the_time_does_not_hide_the_others(folder: str | None) -> None:
    clock = Clock()
    presence = Presence(folder, clock)
    for _ in range(50):
        clock.now += SECONDS / 100
        presence.note(ANN)
        presence.note(BOB)
        presence.note(ANN)
        presence.note(CAT)
        assert all(presence.rest(who, 0.1) > 0 for who in (ANN, BOB, CAT))


def test_processes_know_of_each_others_tokens(tmp_path: Path) -> None:
    one, other = Presence(str(tmp_path)), Presence(str(tmp_path))
    one.note(ANN)
    assert other.rest(ANN, 0.1) == 0
    assert other.rest(BOB, 0.1) > 0
    other.note(BOB)
    assert one.rest(ANN, 0.1) > 0
    assert Presence(str(tmp_path)).rest(ANN, 0.1) > 0, "one that starts later knows them too"
