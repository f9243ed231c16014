"""The log as messages: the next events beyond a position, rendered. Refuses to skip: an event that cannot be rendered raises."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from psycopg import Cursor

from consumers import message
from consumers.message import Record
from domain import catalog, event_store
from domain.event import Recorded, State
from projections import message_data
from projections.projection import Change

MAX_STATES = 5_000


class Chunk(NamedTuple):
    """The records of some events in a row; how many events, published or not, and the position of the last of them."""

    position: int
    events: int
    records: list[Record]


class Log:
    """Reads on from any position. It keeps states of records from chunk to chunk, for what changed is not in the log."""

    def __init__(self) -> None:
        self._states: OrderedDict[UUID, State] = OrderedDict()

    def read(self, cursor: Cursor[Any], after: int, limit: int) -> Chunk | None:
        """The chunk of the next ``limit`` events, None at the end of the log."""
        events = event_store.read_after(cursor, after, limit)
        if not events:
            return None
        return Chunk(events[-1].position, len(events), self.records(cursor, events))

    def records(self, cursor: Cursor[Any], events: Sequence[Recorded]) -> list[Record]:
        """Of those among the events that are published. What they have of a stream must be without gaps."""
        published = [recorded for recorded in events if message.is_published(recorded)]
        return _render(cursor, self._fold(cursor, published))

    def _fold(self, cursor: Cursor[Any], events: Sequence[Recorded]) -> list[Change]:
        """The events with the states before and after them."""
        states = self._before(cursor, events)
        changes = []
        for recorded in events:
            kind = catalog.kind_of_event(type(recorded.event))
            before = states.get(recorded.originator_id)
            after = catalog.AGGREGATES[kind].evolve(before, recorded)
            changes.append(Change(recorded, before, after))
            states[recorded.originator_id] = after
        self._remember(states)
        return changes

    def _before(self, cursor: Cursor[Any], events: Sequence[Recorded]) -> dict[UUID, State]:
        """Every stream's state right before its first one of the events."""
        first: dict[UUID, int] = {}
        for recorded in events:
            first.setdefault(recorded.originator_id, recorded.originator_version)
        states: dict[UUID, State] = {}
        for id_, version in first.items():
            known = self._states.pop(id_, None)
            if known is not None and known.version < version:
                states[id_] = known
        missing = {
            id_: states[id_].version if id_ in states else 0
            for id_, version in first.items()
            if version > 1 and (id_ not in states or states[id_].version < version - 1)
        }
        for recorded in event_store.load(cursor, missing) if missing else ():
            id_ = recorded.originator_id
            if recorded.originator_version < first[id_]:
                kind = catalog.kind_of_event(type(recorded.event))
                states[id_] = catalog.AGGREGATES[kind].evolve(states.get(id_), recorded)
        return states

    def _remember(self, states: dict[UUID, State]) -> None:
        self._states.update(states)
        while len(self._states) > MAX_STATES:
            self._states.popitem(last=False)


def _render(cursor: Cursor[Any], changes: Sequence[Change]) -> list[Record]:
    wanted: dict[str, list[message_data.Key]] = {}
    for recorded, _, _ in changes:
        kind = catalog.kind_of_event(type(recorded.event))
        wanted.setdefault(kind, []).append((recorded.originator_id, recorded.originator_version))
    shown: dict[message_data.Key, bytes] = {}
    for kind, keys in wanted.items():
        shown |= message_data.shown(cursor, kind, keys)
    acting = {(actor, recorded.position) for recorded, _, _ in changes if (actor := recorded.meta.actor_id)}
    actors = message_data.actors(cursor, list(acting))
    return [
        message.record(
            recorded,
            before,
            after,
            shown[recorded.originator_id, recorded.originator_version],
            actors.get((recorded.meta.actor_id, recorded.position)) if recorded.meta.actor_id else None,
        )
        for recorded, before, after in changes
    ]


def beginning(cursor: Cursor[Any], instant: datetime) -> int:
    """The position before the first event recorded at ``instant`` or later."""
    low, high = 0, event_store.head(cursor)
    while low < high:
        middle = (low + high) // 2
        following = event_store.read_after(cursor, middle, 1)
        if following and following[0].meta.recorded_at < instant:
            low = following[0].position
        else:
            high = middle
    return low


def id_at(cursor: Cursor[Any], position: int) -> str | None:
    """The id of the event at a position, None where there is none."""
    found = event_store.read_after(cursor, position - 1, 1)
    return message.event_id(found[0]) if found and found[0].position == position else None
