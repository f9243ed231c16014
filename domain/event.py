"""The vocabulary that every aggregate shares: an event, its place in the log, a command and a state."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from functools import cache
from operator import attrgetter
from typing import Any, ClassVar
from uuid import UUID

from msgspec import UNSET, Struct

from domain.text import normal


class Event(Struct, frozen=True, kw_only=True):
    """A fact, named in the past tense. Its stored name is in ``domain.catalog``; fields are only ever added."""


class Command(Struct, frozen=True, kw_only=True):
    """An intent. A request body decodes straight into one.

    ``INSTEAD`` has the fields that are required unless another one is given: field → the other.
    """

    INSTEAD: ClassVar[Mapping[str, str]] = {}


class Origin(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Where an event was taken from, as the file said that brought it: the org, who had done it there, by email, and when it was
    recorded there."""

    org_id: UUID
    recorded_at: datetime
    actor: str | None = None


class Meta(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Who recorded an event, when and on whose behalf.

    ``occurred_at`` is when it became true, and never decreases along a stream; ``recorded_at`` is when it was appended. They differ
    only for imported or demo history. ``import_id`` is the import that the event is of; without ``webhooks`` no endpoint is told of
    it. After an ambiguous commit, ``command_id`` tells whether it succeeded or conflicted. With an ``origin`` an event is taken
    from another org's history, and the actor is who imported it.
    """

    org_id: UUID
    command_id: UUID
    occurred_at: datetime
    recorded_at: datetime
    actor_id: UUID | None = None
    token_id: UUID | None = None
    request_id: str = ""
    comment: str | None = None
    import_id: UUID | None = None
    webhooks: bool = True
    origin: Origin | None = None


class State(Struct, frozen=True, kw_only=True):
    """What every aggregate's state has: its stream, org, version and the instants of its first and last event."""

    id: UUID
    org_id: UUID
    version: int
    created_at: datetime
    updated_at: datetime


class Recorded(Struct, frozen=True):
    """An event at its place: stream, version in the stream (from 1) and position in the log (0 until appended)."""

    stream_id: UUID
    version: int
    event: Event
    meta: Meta
    position: int = 0

    @property
    def originator_id(self) -> UUID:
        """The event-sourcing library's name for it."""
        return self.stream_id

    @property
    def originator_version(self) -> int:
        return self.version

    def initial_fields(self) -> dict[str, object]:
        """The fields of ``State`` after the first event of a stream; ``updated_fields`` is for later ones."""
        at = self.meta.occurred_at
        return {
            "id": self.stream_id,
            "org_id": self.meta.org_id,
            "version": self.version,
            "created_at": at,
            "updated_at": at,
        }

    def updated_fields(self) -> dict[str, object]:
        return {"version": self.version, "updated_at": self.meta.occurred_at}


def set_fields(struct: Struct) -> dict[str, Any]:
    """The fields of an event or command that are set, by name."""
    names, values = _all_fields(type(struct))
    return {name: value for name, value in zip(names, values(struct), strict=True) if value is not UNSET}


@cache
def _all_fields(cls: type[Struct]) -> tuple[tuple[str, ...], Callable[[Struct], tuple[Any, ...]]]:
    """The names of a struct's fields, and a function that gets their values, all at once."""
    names = cls.__struct_fields__
    return names, attrgetter(*names) if len(names) > 1 else lambda struct: tuple(getattr(struct, name) for name in names)


def changed_fields(state: State, wanted: Mapping[str, Any]) -> dict[str, Any]:
    """The wanted values, by field, that differ from the state's, with texts in normal form; empty if nothing changes."""
    differing: dict[str, Any] = {}
    for name, value in wanted.items():
        old = getattr(state, name)
        new = normal(value) if isinstance(value, str) and value != old else value
        if new != old:
            differing[name] = new
    return differing
