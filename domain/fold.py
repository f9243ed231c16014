"""From events to changes: each event with the state of its record before and after it."""

from __future__ import annotations

from collections.abc import Iterable, MutableMapping
from typing import NamedTuple
from uuid import UUID

from domain import catalog
from domain.event import Recorded, State


class Change(NamedTuple):
    """One event with the states of its stream before (None for the first event) and after it."""

    recorded: Recorded
    before: State | None
    after: State


def change(before: State | None, recorded: Recorded) -> Change:
    """Apply an event to the state before it."""
    return Change(recorded, before, catalog.aggregate_of(type(recorded.event)).module.evolve(before, recorded))


def changes(events: Iterable[Recorded], states: MutableMapping[UUID, State]) -> list[Change]:
    """Apply events to ``states``, the state of each stream by its id, and update them. Each stream's events come in order, and
    continue from the state it has there or begin with its first one."""
    found = []
    for recorded in events:
        one = change(states.get(recorded.stream_id), recorded)
        states[recorded.stream_id] = one.after
        found.append(one)
    return found
