"""The log as messages: the next events after a position, rendered. No event is skipped: one that cannot be rendered raises."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from psycopg import Cursor

from consumers import message
from consumers.message import Record
from domain import catalog, event_store, fold
from domain.epoch import Epochs
from domain.event import Recorded, State
from domain.fold import Change
from projections import before, event_payloads

MAX_STATES = 5_000


class Chunk(NamedTuple):
    """The records of consecutive events, the number of events, published or not, and the position of the last one."""

    position: int
    events: int
    records: list[Record]


class EventReader:
    """Reads on from any position. It keeps the states of records between chunks, because an event lacks the old values, and the
    log's epochs. Once the log has begun another one, or may have gone back, a new reader is needed."""

    def __init__(self) -> None:
        self._states: OrderedDict[UUID, State] = OrderedDict()
        self._epochs: Epochs | None = None

    def read(self, cursor: Cursor[Any], after: int, limit: int) -> Chunk | None:
        """The next ``limit`` events; None at the end of the log."""
        events = event_store.read_after(cursor, after, limit)
        if not events:
            return None
        return Chunk(events[-1].position, len(events), self.records(cursor, events))

    def records(self, cursor: Cursor[Any], events: Sequence[Recorded]) -> list[Record]:
        """The records of the published ones among ``events``, which must have no gaps within a stream."""
        published = [recorded for recorded in events if message.is_published(recorded)]
        if self._epochs is None:
            self._epochs = event_store.epochs(cursor)
        return _render(cursor, self._fold(cursor, published), self._epochs)

    def _fold(self, cursor: Cursor[Any], events: Sequence[Recorded]) -> list[Change]:
        """The events with the states before and after them."""
        asked = before.states(cursor, self._unknown(events))
        changes = []
        for recorded in events:
            id_ = recorded.stream_id
            key = id_, recorded.version
            state = asked[key] if key in asked else self._states.pop(id_, None)
            change = fold.change(state, recorded)
            changes.append(change)
            self._states[id_] = change.after
        self._forget()
        return changes

    def _unknown(self, events: Sequence[Recorded]) -> list[Recorded]:
        """Those events whose state before is neither cached nor produced by an earlier one of them."""
        found = []
        versions: dict[UUID, int] = {}
        for recorded in events:
            id_, version = recorded.stream_id, recorded.version
            kept = self._states.get(id_)
            if versions.get(id_, kept.version if kept else 0) != version - 1 or before.is_part(recorded):
                found.append(recorded)
            versions[id_] = version
        return found

    def _forget(self) -> None:
        while len(self._states) > MAX_STATES:
            self._states.popitem(last=False)


def _render(cursor: Cursor[Any], changes: Sequence[Change], epochs: Epochs) -> list[Record]:
    wanted: dict[str, list[event_payloads.Key]] = {}
    for recorded, _, _ in changes:
        kind = catalog.kind_of_event(type(recorded.event))
        wanted.setdefault(kind, []).append((recorded.stream_id, recorded.version))
    shown: dict[event_payloads.Key, bytes] = {}
    for kind, keys in wanted.items():
        shown |= event_payloads.shown(cursor, kind, keys)
    acting = {(actor, recorded.position) for recorded, _, _ in changes if (actor := recorded.meta.actor_id)}
    actors = event_payloads.actors(cursor, list(acting))
    return [
        message.record(
            change,
            shown[change.after.id, change.after.version],
            actors.get((actor, change.recorded.position)) if (actor := change.recorded.meta.actor_id) else None,
            epochs.at(change.recorded.position),
        )
        for change in changes
    ]


def position_before(cursor: Cursor[Any], instant: datetime) -> int:
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
