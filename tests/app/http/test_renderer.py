"""Large answers are rendered beside the event loop, one at a time, and the tokens in turns."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from time import monotonic
from typing import Any
from uuid import UUID

import pytest

from app.http.renderer import Renderer
from app.reading.aside import LARGE, Aside
from app.reading.presence import Presence
from app.reading.read_pool import Identity
from domain.errors import Invalid


def holder(token: int) -> Identity:
    return Identity(UUID(int=1), UUID(int=2), "admin", "ann@example.com", UUID(int=token), 0, "hash")


ANN, BOB = holder(1), holder(2)


def here() -> bytes:
    return threading.current_thread().name.encode()


def rendering(scenario: Callable[[Renderer], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(scenario(Renderer(Aside(Presence()))))


class Rendering:
    """Something to render that takes until ``end`` is set."""

    def __init__(self) -> None:
        self.begun, self.end = threading.Event(), threading.Event()

    def __call__(self) -> bytes:
        self.begun.set()
        assert self.end.wait(10)
        return b"slow"


async def begun(*works: Rendering) -> None:
    for work in works:
        assert await asyncio.to_thread(work.begun.wait, 10)


def test_a_large_answer_is_rendered_beside_the_event_loop() -> None:
    async def scenario(renderer: Renderer) -> None:
        assert (await renderer.response(ANN, LARGE - 1, here)).body == here()
        assert (await renderer.response(ANN, LARGE, here)).body != here()

    rendering(scenario)


def test_one_answer_is_rendered_at_a_time_and_a_token_that_asks_for_many_waits_for_itself() -> None:
    order: list[str] = []

    async def scenario(renderer: Renderer) -> None:
        first = Rendering()
        tasks = [asyncio.create_task(renderer.response(ANN, LARGE, first))]
        await begun(first)

        def noted(name: str) -> Callable[[], bytes]:
            def render() -> bytes:
                order.append(name)
                return b""

            return render

        for who, name in ((ANN, "ann 1"), (ANN, "ann 2"), (BOB, "bob 1")):
            tasks.append(asyncio.create_task(renderer.response(who, LARGE, noted(name))))
            await asyncio.sleep(0)
        assert order == []
        first.end.set()
        await asyncio.gather(*tasks)

    rendering(scenario)
    assert order == ["bob 1", "ann 1", "ann 2"]


def test_what_is_rendered_for_a_client_that_is_gone_keeps_its_turn_until_it_ends() -> None:
    async def scenario(renderer: Renderer) -> None:
        first, second = Rendering(), Rendering()
        gone = asyncio.create_task(renderer.response(ANN, LARGE, first))
        await begun(first)
        gone.cancel()
        with pytest.raises(asyncio.CancelledError):
            await gone
        next_ = asyncio.create_task(renderer.response(BOB, LARGE, second))
        await asyncio.sleep(0)
        assert not second.begun.is_set()
        first.end.set()
        await begun(second)
        second.end.set()
        assert (await next_).body == b"slow"

    rendering(scenario)


def test_what_cannot_be_rendered_is_an_error_of_that_request_alone() -> None:
    def fail() -> bytes:
        raise Invalid({"close_date__gte": ["Too many months."]})

    async def scenario(renderer: Renderer) -> None:
        for _ in range(2):
            with pytest.raises(Invalid):
                await renderer.response(ANN, LARGE, fail)
        assert (await renderer.response(ANN, LARGE, lambda: b"fine")).body == b"fine"

    rendering(scenario)


def test_while_others_are_there_a_token_rests_after_a_large_answer() -> None:
    presence = Presence()

    async def scenario() -> None:
        renderer, slow = Renderer(Aside(presence)), Rendering()
        for who in (ANN, BOB):
            presence.note(who.token_id)
        first = asyncio.create_task(renderer.response(ANN, LARGE, slow))
        await begun(slow)
        since = monotonic()
        asyncio.get_running_loop().call_later(0.05, slow.end.set)
        await first
        took = monotonic() - since
        for who in (BOB, ANN):
            presence.note(who.token_id)
        await renderer.response(BOB, LARGE, here)
        others = monotonic() - since
        await renderer.response(ANN, LARGE, here)
        assert others < monotonic() - since
        assert monotonic() - since >= took + 3 * 0.05 * 0.9

    asyncio.run(scenario())
