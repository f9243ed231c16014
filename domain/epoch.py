"""The log's epochs: which events are of this log's history, and which positions others may have seen that are lost.

One begins when a database was restored: see ``opportunities restored``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple
from uuid import UUID


class Epoch(NamedTuple):
    """Its events are those after ``last_good_position``: up to ``last_written_position`` those written before it began, then those
    from ``first_position`` on."""

    id: UUID
    first_position: int
    last_good_position: int
    last_written_position: int

    @property
    def is_first(self) -> bool:
        return self.last_good_position == self.last_written_position == 0 and self.first_position == 1


class Epochs:
    """Those of a log, in the order in which they began."""

    def __init__(self, epochs: Sequence[Epoch]) -> None:
        self._epochs = epochs
        self._known = {epoch.id for epoch in epochs}

    @property
    def log_id(self) -> UUID:
        """The log's identity."""
        return self._epochs[0].id

    @property
    def current(self) -> Epoch:
        return self._epochs[-1]

    def knows(self, id_: UUID) -> bool:
        return id_ in self._known

    def at(self, position: int) -> Epoch:
        """The epoch of the event at a position."""
        return next((epoch for epoch in reversed(self._epochs) if epoch.last_good_position < position), self._epochs[0])

    def since(self, id_: UUID | None) -> Sequence[Epoch]:
        """Those that began after another one; after the first if that is None or not known."""
        ids = [epoch.id for epoch in self._epochs]
        return self._epochs[ids.index(id_) + 1 if id_ in ids else 1 :]
