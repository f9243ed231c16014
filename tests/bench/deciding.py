"""Decides the commands of a benchmark's history in several processes, and gives the events as the log stores them.

The decisions are those of the product, in the context that its writer would give them; but the records that a command refers to are
known beforehand, and nobody else writes. So no decision needs the database.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import Future, ProcessPoolExecutor
from datetime import datetime
from multiprocessing import get_context
from typing import Literal, NamedTuple
from uuid import UUID

from msgspec import structs

from app.writing import circumstances
from app.writing.envelope import Envelope
from domain import activity, catalog, event_store, fold
from domain.event import Recorded, State
from domain.facts import Facts
from tests.bench.history import History

WORKERS = os.cpu_count() or 1
AHEAD = 2
"""Blocks that wait for each process, or for the database."""


class Block(NamedTuple):
    """Records of a history, by their numbers."""

    kind: Literal["account", "contact", "deal"]
    first: int
    end: int


class Events(NamedTuple):
    """Events in the order of their positions, column by column."""

    ids: list[UUID]
    versions: list[int]
    topics: list[str]
    states: list[bytes]


class Decider:
    """``policy`` are the states of the org's settings, by stream."""

    def __init__(self, history: History, policy: Mapping[UUID, State], recorded_at: datetime) -> None:
        self._history, self._policy, self._recorded_at = history, policy, recorded_at
        self._facts = Facts(
            accounts=frozenset(history.account_ids),
            contacts=frozenset(history.contact_ids),
            owners=frozenset(history.owner_ids),
            users=frozenset(history.owner_ids),
        )

    def events(self, block: Block) -> Events:
        found = Events([], [], [], [])
        envelopes = {"account": self._history.account, "contact": self._history.contact, "deal": self._history.deal}[block.kind]
        for number in range(block.first, block.end):
            for recorded in self._decide(envelopes(number)):
                found.ids.append(recorded.stream_id)
                found.versions.append(recorded.version)
                found.topics.append(catalog.name_of(type(recorded.event)))
                found.states.append(event_store.encode(recorded.event, recorded.meta))
        return found

    def _decide(self, envelopes: Iterable[Envelope]) -> Iterator[Recorded]:
        """The events of a record's commands. Raises ``DomainError``."""
        states: dict[UUID, State] = {}
        for envelope in envelopes:
            state = states.get(envelope.stream_id)
            standing = circumstances.standing(envelope, self._policy, self._recorded_at)
            context = circumstances.context(envelope, standing, self._facts_for(envelope), state, self._recorded_at)
            meta = circumstances.meta(envelope, context, self._recorded_at)
            version = state.version if state else 0
            events = catalog.AGGREGATES[envelope.kind].module.decide(state, envelope.command, context)
            recorded = [Recorded(envelope.stream_id, version + n, event, meta) for n, event in enumerate(events, 1)]
            fold.changes(recorded, states)
            yield from recorded

    def _facts_for(self, envelope: Envelope) -> Facts:
        command = envelope.command
        if not isinstance(command, activity.Log):
            return self._facts
        return structs.replace(self._facts, opportunities=frozenset([command.opportunity_id]), owner_id=envelope.actor.user_id)


def decided(
    org_id: UUID, loaded_at: datetime, deals: int, policy: Mapping[UUID, State], recorded_at: datetime, blocks: Iterable[Block]
) -> Iterator[tuple[Block, Events]]:
    """The events of each block, in their order."""
    given = (org_id, loaded_at, deals, policy, recorded_at)
    with ProcessPoolExecutor(WORKERS, get_context("spawn"), _begin, given) as pool:
        waiting: deque[tuple[Block, Future[Events]]] = deque()
        for block in blocks:
            waiting.append((block, pool.submit(_events, block)))
            if len(waiting) > AHEAD * WORKERS:
                first, events = waiting.popleft()
                yield first, events.result()
        for first, events in waiting:
            yield first, events.result()


_deciders: list[Decider] = []
"""That of a process of the pool."""


def _begin(org_id: UUID, loaded_at: datetime, deals: int, policy: Mapping[UUID, State], recorded_at: datetime) -> None:
    _deciders.append(Decider(History(org_id, loaded_at, deals), policy, recorded_at))


def _events(block: Block) -> Events:
    return _deciders[0].events(block)
