"""The history of a record, and the org's feed, made from the events: who, when, and which fields changed from what to what.

Refuses to show secrets: neither a token's hash nor the URL of a webhook endpoint, which often contains one, is in it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from functools import cache
from operator import attrgetter
from typing import Any
from uuid import UUID

from msgspec import Struct

from domain import catalog
from domain.event import Event, Origin, Recorded, State
from domain.fold import Change


class HistoryEntry(Struct, frozen=True):
    """One event of a record. ``changes`` has the old and the new value by field, custom fields as ``custom_fields.<key>``. With an
    ``origin`` the event is another org's, and ``actor`` who imported it."""

    position: int
    type: str
    id: UUID
    version: int
    occurred_at: datetime
    recorded_at: datetime
    actor: dict[str, Any] | None
    token_id: UUID | None
    request_id: str | None
    comment: str | None
    import_id: UUID | None
    origin: Origin | None
    changes: dict[str, tuple[Any, Any]]


def entry(change: Change, actors: Mapping[UUID, dict[str, Any]]) -> HistoryEntry:
    """The entry of an event; ``actors`` are the embedded forms of users, by id."""
    recorded, before, after = change
    meta = recorded.meta
    return HistoryEntry(
        position=recorded.position,
        type=public_type(recorded),
        id=recorded.stream_id,
        version=recorded.version,
        occurred_at=meta.occurred_at,
        recorded_at=meta.recorded_at,
        actor=actors.get(meta.actor_id, {"id": meta.actor_id}) if meta.actor_id else None,
        token_id=meta.token_id,
        request_id=meta.request_id or None,
        comment=meta.comment,
        import_id=meta.import_id,
        origin=meta.origin,
        changes=difference(before, after),
    )


def public_type(recorded: Recorded) -> str:
    return _public(type(recorded.event))


@cache
def _public(event: type[Event]) -> str:
    return catalog.public_name(catalog.name_of(event))


@cache
def _fields(state: type[State]) -> tuple[tuple[str, ...], Callable[[State], tuple[Any, ...]]]:
    """The fields of a state whose changes are shown, which are all but secrets and what every event changes, and a function that
    gets their values."""
    aggregate = catalog.AGGREGATES[catalog.kind_of(state)]
    untold = {*State.__struct_fields__, *aggregate.secret, *aggregate.not_in_history}
    names = tuple(name for name in state.__struct_fields__ if name not in untold)
    return names, attrgetter(*names) if len(names) > 1 else lambda state: tuple(getattr(state, name) for name in names)


def difference(before: State | None, after: State) -> dict[str, tuple[Any, Any]]:
    """What changed between two states of a record, by field."""
    changes: dict[str, tuple[Any, Any]] = {}
    names, values = _fields(type(after))
    olds = values(before) if before is not None else (None,) * len(names)
    for name, old, new in zip(names, olds, values(after), strict=True):
        if old == new or (before is None and new in (None, (), {}, False, "")):
            continue
        if name == "rates":  # rates of other days are not part of the change, and their number only grows
            days = [day for day in new if old is None or old.get(day) != new[day]]
            changes[name] = (old and {day: old[day] for day in days if day in old}, {day: new[day] for day in days})
        elif name == "custom_fields":
            had = old or {}
            for key in sorted(had.keys() | new.keys()):
                if had.get(key) != new.get(key):
                    changes[f"custom_fields.{key}"] = (had.get(key), new.get(key))
        else:
            changes[name] = (old, new)
    return changes
