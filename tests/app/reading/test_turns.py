"""Places are given in turns: to orgs, within an org to tokens, and to no token more than its share."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.reading.turns import Asker, TooManyWaiting, Turns


def asker(org: int, token: int = 1) -> Asker:
    return UUID(int=org), UUID(int=token)


class Room:
    """Askers who come, get a place, and leave when told to."""

    def __init__(self, places: int, share: int, most: int | None = None) -> None:
        self.turns = Turns(places, share, most)
        self.inside: list[Asker] = []
        self.waiting: dict[asyncio.Task[None], Asker] = {}

    async def come(self, *askers: Asker) -> None:
        for who in askers:
            if self.turns.take(who):
                self.inside.append(who)
            else:
                self.waiting[asyncio.create_task(self._wait(who))] = who
                await asyncio.sleep(0)

    async def _wait(self, who: Asker) -> None:
        await self.turns.wait(who)
        self.inside.append(who)

    async def leave(self, who: Asker) -> None:
        self.inside.remove(who)
        self.turns.give_back(who, 1.0)
        await self.settle()

    async def give_up(self, task: asyncio.Task[None]) -> None:
        task.cancel()
        await self.settle()

    async def settle(self) -> None:
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        for task in [task for task in self.waiting if task.done()]:
            del self.waiting[task]

    async def order(self) -> list[Asker]:
        """Who gets the only place, one after the other."""
        found = []
        while self.inside:
            found.append(self.inside[0])
            await self.leave(self.inside[0])
        return found


def run(scenario: Callable[[], Awaitable[None]]) -> None:
    async def whole() -> None:
        await scenario()

    asyncio.run(whole())


def test_orgs_take_turns_however_much_one_of_them_asks() -> None:
    async def scenario() -> None:
        room = Room(1, 1)
        a, b, c = asker(1), asker(2), asker(3)
        await room.come(a, a, a, a, b, b, c)
        assert await room.order() == [a, b, c, a, b, a, a]

    run(scenario)


def test_within_an_org_its_tokens_take_turns() -> None:
    async def scenario() -> None:
        room = Room(1, 1)
        much, little, other = asker(1, 1), asker(1, 2), asker(2)
        await room.come(other, much, much, much, little, other, other)
        assert await room.order() == [other, much, other, little, other, much, much]

    run(scenario)


def test_a_token_has_its_share_and_keeps_nobody_from_the_rest() -> None:
    async def scenario() -> None:
        room = Room(4, 2)
        greedy, modest = asker(1), asker(1, 2)
        await room.come(greedy, greedy, greedy, greedy)
        assert room.inside == [greedy, greedy]
        await room.come(modest)
        assert room.inside == [greedy, greedy, modest]
        await room.leave(greedy)
        assert Counter(room.inside) == {greedy: 2, modest: 1}

    run(scenario)


def test_a_place_whose_token_rests_is_free_for_others_and_only_for_them() -> None:
    async def scenario() -> None:
        room = Room(1, 1)
        rests, other = asker(1), asker(1, 2)
        await room.come(rests, rests)
        room.inside.clear()
        room.turns.give_back(rests, 0.1, rest=0.05)
        await room.settle()
        assert room.inside == []
        await room.come(other)
        assert room.inside == [other]
        await room.leave(other)
        while not room.inside:  # until it has rested
            await room.settle()
        assert room.inside == [rests]

    run(scenario)


def test_so_many_questions_of_a_token_wait_and_the_next_one_is_told_for_how_long() -> None:
    async def scenario() -> None:
        room = Room(2, 1, most=3)
        greedy, modest = asker(1), asker(1, 2)
        await room.come(*[greedy] * 4)
        with pytest.raises(TooManyWaiting) as refused:
            await room.turns.wait(greedy)
        assert refused.value.seconds == 3, "three are waiting, of about a second each"
        await room.come(modest, modest)
        assert Counter(room.inside) == {greedy: 1, modest: 1}
        await room.leave(greedy)
        await room.come(greedy)
        assert len(room.waiting) == 4

    run(scenario)


def test_a_turn_that_comes_to_somebody_who_has_just_left_goes_to_the_next() -> None:
    async def scenario() -> None:
        room = Room(1, 1)
        first, gone, last = asker(1), asker(2), asker(3)
        await room.come(first, gone, last)
        leaving = next(task for task, who in room.waiting.items() if who == gone)
        room.inside.remove(first)
        room.turns.give_back(first)  # the turn is given, and before its owner runs
        leaving.cancel()
        await room.settle()
        await room.settle()
        assert room.inside == [last]

    run(scenario)


STEPS = st.lists(st.tuples(st.sampled_from(["come", "come", "leave", "give up"]), st.integers(0, 8)), max_size=60)


@given(STEPS, st.integers(1, 4), st.integers(1, 3))
def test_whatever_happens_no_place_is_lost_or_left_empty(steps: list[tuple[str, int]], places: int, share: int) -> None:
    async def scenario() -> None:
        room = Room(places, min(share, places))
        for verb, number in steps:
            if verb == "come":
                await room.come(asker(number % 3, number // 3))
            elif verb == "leave" and room.inside:
                await room.leave(room.inside[number % len(room.inside)])
            elif verb == "give up" and room.waiting:
                await room.give_up(list(room.waiting)[number % len(room.waiting)])
            held = Counter(room.inside)
            assert len(room.inside) <= places
            assert all(one <= share for one in held.values())
            could = [who for who in room.waiting.values() if held[who] < min(share, places)]
            assert not could or len(room.inside) == places
        while room.inside:
            await room.leave(room.inside[0])
        assert not room.waiting
        assert vars(room.turns) | {"_seconds": 0} == vars(Turns(places, min(share, places))) | {"_seconds": 0}

    run(scenario)
