"""Of what takes long, a token has one thing done at a time while others are there, in all processes that share a folder."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from app.reading.aside import Aside, Begun
from app.reading.presence import Presence
from app.reading.turns import Asker

ORG = UUID(int=9)
ANN, BOB = (ORG, UUID(int=1)), (ORG, UUID(int=2))
SHORT = 0.05
"""Seconds in which what waits would have begun."""

ANOTHER_PROCESS = """
import asyncio, sys
from uuid import UUID
from app.reading.aside import Aside
from app.reading.presence import Presence

async def main():
    presence = Presence(sys.argv[1])
    for token in (1, 2):
        presence.note(UUID(int=token))
    await Aside(presence, sys.argv[1]).begin((UUID(int=9), UUID(int=1)))
    print("begun", flush=True)
    sys.stdin.read()

asyncio.run(main())
"""


@pytest.fixture
def presence(tmp_path: Path) -> Presence:
    """Ann and Bob are there."""
    presence = Presence(str(tmp_path))
    presence.note(ANN[1])
    presence.note(BOB[1])
    return presence


@contextmanager
def another_process(folder: Path) -> Iterator[subprocess.Popen[str]]:
    """One in which Ann has something done."""
    command = [sys.executable, "-c", ANOTHER_PROCESS, str(folder)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "begun\n"
        yield process
        process.kill()


def run(scenario: Callable[[], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(scenario())


async def waits(aside: Aside, who: Asker) -> asyncio.Task[Begun]:
    task = asyncio.create_task(aside.begin(who))
    await asyncio.sleep(SHORT)
    assert not task.done()
    return task


def test_who_is_alone_waits_for_nothing(tmp_path: Path) -> None:
    async def scenario() -> None:
        presence = Presence(str(tmp_path))
        aside = Aside(presence, str(tmp_path))
        presence.note(ANN[1])
        begun = [await aside.begin(ANN) for _ in range(3)]
        assert [aside.end(ANN, each) for each in begun] == [0, 0, 0]

    run(scenario)


def test_a_token_has_one_thing_done_at_a_time_and_others_do_not_wait_for_it(presence: Presence) -> None:
    async def scenario() -> None:
        aside = Aside(presence)
        first = await aside.begin(ANN)
        second = await waits(aside, ANN)
        aside.end(BOB, await aside.begin(BOB))
        assert aside.end(ANN, first) > 0
        aside.end(ANN, await second)

    run(scenario)


def test_a_token_waits_for_what_another_process_does_for_it(tmp_path: Path, presence: Presence) -> None:
    async def scenario() -> None:
        aside = Aside(presence, str(tmp_path))
        with another_process(tmp_path) as other:
            second = await waits(aside, ANN)
            aside.end(BOB, await aside.begin(BOB))
            other.kill()
            begun = await second
        aside.end(ANN, begun)

    run(scenario)


def test_a_process_lets_others_go_on_when_it_has_done_what_it_did(tmp_path: Path, presence: Presence) -> None:
    async def scenario() -> None:
        aside = Aside(presence, str(tmp_path))
        aside.end(ANN, await aside.begin(ANN))
        with another_process(tmp_path):
            pass

    run(scenario)


def test_who_no_longer_waits_for_another_process_leaves_the_turn_to_the_next(tmp_path: Path, presence: Presence) -> None:
    async def scenario() -> None:
        aside = Aside(presence, str(tmp_path))
        with another_process(tmp_path) as other:
            gone = await waits(aside, ANN)
            gone.cancel()
            with pytest.raises(asyncio.CancelledError):
                await gone
            second = await waits(aside, ANN)
            other.kill()
            begun = await second
        aside.end(ANN, begun)
        with another_process(tmp_path):
            pass

    run(scenario)


def test_what_is_left_undone_because_nobody_waits_for_a_thread_any_more_gives_its_turn_back(presence: Presence) -> None:
    async def scenario() -> None:
        aside = Aside(presence)
        ends = asyncio.Event()
        loop = asyncio.get_running_loop()
        bobs = asyncio.create_task(aside.on_thread(BOB, lambda: asyncio.run_coroutine_threadsafe(ends.wait(), loop).result()))
        await asyncio.sleep(0)
        anns = asyncio.create_task(aside.on_thread(ANN, lambda: None))
        await asyncio.sleep(0)
        anns.cancel()
        with pytest.raises(asyncio.CancelledError):
            await anns
        aside.end(ANN, await aside.begin(ANN))
        ends.set()
        await bobs

    run(scenario)
