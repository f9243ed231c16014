"""How many attempts at once, and for whom."""

from __future__ import annotations

from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consumers.webhooks.concurrency import PER_FAST, PER_SLOW, ConcurrencyLimits

A, B = UUID(int=1), UUID(int=2)


def room(paces: ConcurrencyLimits, endpoint_id: UUID) -> tuple[int, bool]:
    (found,) = [(one.room, one.fast) for one in paces.rooms() if one.endpoint_id == endpoint_id]
    return found


def start(paces: ConcurrencyLimits, endpoint_id: UUID) -> bool:
    """As the queue has it: one that is not known is fast."""
    fast = {one.endpoint_id: one.fast for one in paces.rooms()}.get(endpoint_id, True)
    paces.start(endpoint_id, fast=fast)
    return fast


def attempt(paces: ConcurrencyLimits, endpoint_id: UUID, *, delivered: bool = True, seconds: float = 0.1) -> None:
    fast = start(paces, endpoint_id)
    paces.finish(endpoint_id, fast=fast, delivered=delivered, seconds=seconds)


def test_an_endpoint_earns_its_pace_and_loses_it() -> None:
    paces = ConcurrencyLimits(256)
    attempt(paces, A)
    assert room(paces, A) == (8, True)
    attempt(paces, A, seconds=3)
    assert room(paces, A) == (4, False)
    attempt(paces, A, delivered=False)
    assert room(paces, A) == (1, False)


def test_what_is_under_way_takes_room() -> None:
    paces = ConcurrencyLimits(256)
    attempt(paces, A)
    began = [start(paces, A) for _ in range(PER_FAST)]
    assert all(began)
    assert room(paces, A) == (0, True)
    assert paces.free(fast=True) == 128 - PER_FAST


def test_the_slow_never_take_the_room_of_the_fast() -> None:
    paces = ConcurrencyLimits(16)
    for number in range(100):
        if paces.free(fast=False):
            paces.start(UUID(int=100 + number), fast=False)
    assert (paces.free(fast=False), paces.free(fast=True)) == (0, 8)


def test_where_the_slow_are_many_each_has_one_attempt() -> None:
    paces = ConcurrencyLimits(16)
    attempt(paces, A, seconds=3)
    attempt(paces, B)
    assert (room(paces, A), room(paces, B)) == ((PER_SLOW, False), (PER_FAST, True))
    for number in range(4):
        paces.start(UUID(int=100 + number), fast=False)
    assert (room(paces, A), room(paces, B)) == ((1, False), (PER_FAST, True))


def test_an_attempt_gives_back_what_it_took_though_the_pace_changed_meanwhile() -> None:
    paces = ConcurrencyLimits(16)
    attempt(paces, A)
    first, second = start(paces, A), start(paces, A)
    paces.finish(A, fast=first, delivered=False, seconds=15)
    third = start(paces, A)
    assert (first, second, third) == (True, True, False)
    paces.finish(A, fast=second, delivered=True, seconds=0.1)
    paces.finish(A, fast=third, delivered=True, seconds=0.1)
    assert (paces.free(fast=True), paces.free(fast=False), paces.under_way) == (8, 8, 0)


def test_only_so_many_endpoints_are_remembered_and_those_under_way_among_them() -> None:
    paces = ConcurrencyLimits(256)
    waiting = start(paces, A)
    for number in range(2_100):
        paces.start(UUID(int=1_000 + number), fast=True)
        paces.finish(UUID(int=1_000 + number), fast=True, delivered=True, seconds=0.1)
    known = [one.endpoint_id.int for one in paces.rooms()]
    assert known == [*range(1_101, 3_000), A.int, *range(3_000, 3_100)], "those seen longest ago are forgotten"
    assert room(paces, A) == (0, True)
    paces.finish(A, fast=waiting, delivered=True, seconds=0.1)


def test_where_all_are_under_way_none_is_forgotten() -> None:
    paces = ConcurrencyLimits(256)
    for number in range(2_100):
        paces.start(UUID(int=1_000 + number), fast=True)
    paces.finish(UUID(int=1_000), fast=True, delivered=True, seconds=0.1)
    assert len(paces.rooms()) == 2_099


def test_an_answer_after_a_second_is_slow() -> None:
    paces = ConcurrencyLimits(256)
    for seconds, fast in ((0.99, True), (1.0, False)):
        attempt(paces, A, seconds=seconds)
        assert room(paces, A)[1] is fast


def test_an_endpoint_that_is_not_known_any_more_is_known_again_by_what_it_answers() -> None:
    paces = ConcurrencyLimits(256)
    paces.finish(A, fast=True, delivered=True, seconds=0.1)
    assert room(paces, A) == (8, True)


@pytest.mark.parametrize(("concurrency", "lane"), [(1, 1), (2, 1), (3, 1), (4, 2), (5, 2)])
def test_there_is_always_room_for_one_of_each(concurrency: int, lane: int) -> None:
    paces = ConcurrencyLimits(concurrency)
    free = paces.free(fast=True), paces.free(fast=False)
    assert free == (lane, lane)
    assert all(isinstance(one, int) for one in free)


def test_the_slow_share_half_of_their_room_beyond_the_first_attempt_of_each() -> None:
    paces = ConcurrencyLimits(14)
    for endpoint in (A, B):
        attempt(paces, endpoint, seconds=3)
    assert [one.room for one in paces.rooms()] == [4, 1], "three beyond the first, and they are gone"
    paces.start(A, fast=False)
    assert [one.room for one in paces.rooms()] == [3, 0], "B is the one seen longest ago by now"
    for _ in range(2):
        paces.start(A, fast=False)
    assert [one.room for one in paces.rooms()] == [1, 0]


@given(st.lists(st.tuples(st.sampled_from([A, B]), st.booleans(), st.sampled_from([0.1, 5.0])), max_size=60))
def test_the_books_balance(steps: list[tuple[UUID, bool, float]]) -> None:
    paces = ConcurrencyLimits(64)
    under_way: list[tuple[UUID, bool]] = []
    for id_, begin, seconds in steps:
        if begin or not under_way:
            under_way.append((id_, start(paces, id_)))
        else:
            ended, fast = under_way.pop(0)
            paces.finish(ended, fast=fast, delivered=seconds < 1 or begin, seconds=seconds)
        assert paces.under_way == len(under_way)
    for ended, fast in under_way:
        paces.finish(ended, fast=fast, delivered=True, seconds=0.1)
    assert (paces.free(fast=True), paces.free(fast=False)) == (32, 32)
