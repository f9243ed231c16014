"""The records of a file with history that the org has already."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from psycopg import Cursor

from app.importing.decoding import Decoded
from projections import decision_facts
from projections.imports import lookups

WITH_EXTERNAL_IDS = ("account", "contact", "opportunity")


class _Key(NamedTuple):
    kind: str
    external_id: str
    created_at: datetime | None
    """Of a deleted record."""


class There:
    """The records of a batch that the org has already: those of a file of its own, and others by external id, of deleted ones also
    by the time of their creation."""

    def __init__(
        self, cursor: Cursor[Any], org_id: UUID, decoded: Sequence[Decoded], *, is_own: bool, by_external_id: bool
    ) -> None:
        self._own: set[UUID] = set()
        self._found: dict[_Key, UUID] = {}
        if is_own:
            found = decision_facts.known(cursor, [one.stream.id for one in decoded])()
            self._own = {id_ for org, _, id_ in found if org == org_id}
        if by_external_id:
            keys = [_key(one) for one in decoded if one.fault is None]
            for kind in WITH_EXTERNAL_IDS:
                self._look_up(cursor, org_id, kind, [key for key in keys if key.kind == kind])

    def _look_up(self, cursor: Cursor[Any], org_id: UUID, kind: str, keys: Sequence[_Key]) -> None:
        live = {key.external_id for key in keys if key.created_at is None}
        gone = {(key.external_id, key.created_at) for key in keys if key.created_at is not None}
        if live:
            for text, id_ in lookups.by_external_id(cursor, org_id, kind, live).items():
                self._found[_Key(kind, text, None)] = id_
        if gone:
            for (text, at), id_ in lookups.deleted(cursor, org_id, kind, gone).items():
                self._found[_Key(kind, text, at)] = id_

    def find(self, one: Decoded) -> UUID | None:
        return one.stream.id if one.stream.id in self._own else self._found.get(_key(one))


def _key(one: Decoded) -> _Key:
    return _Key(one.stream.kind, one.external_id, one.happened[0].at if one.is_deleted else None)
