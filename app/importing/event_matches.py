"""The records of a file with history that the org has already."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from psycopg import Cursor

from app.importing.decoding import Decoded
from projections.imports import lookups

WITH_EXTERNAL_IDS = ("account", "contact", "opportunity")


class _Key(NamedTuple):
    kind: str
    external_id: str
    created_at: datetime | None
    """Of a deleted record."""


class There:
    """The records of a batch that the org has already: by external id, of deleted ones also by the time of their creation."""

    def __init__(self, cursor: Cursor[Any], org_id: UUID, decoded: Sequence[Decoded]) -> None:
        keys = [_key(one) for one in decoded if one.fault is None]
        self._found: dict[_Key, UUID] = {}
        for kind in WITH_EXTERNAL_IDS:
            live = {key.external_id for key in keys if key.kind == kind and key.created_at is None}
            gone = {(key.external_id, key.created_at) for key in keys if key.kind == kind and key.created_at is not None}
            found: Iterator[tuple[_Key, UUID]]
            if live:
                found = ((_Key(kind, text, None), id_) for text, id_ in lookups.by_external_id(cursor, org_id, kind, live).items())
                self._found.update(found)
            if gone:
                found = ((_Key(kind, *key), id_) for key, id_ in lookups.deleted(cursor, org_id, kind, gone).items())
                self._found.update(found)

    def find(self, one: Decoded) -> UUID | None:
        return self._found.get(_key(one))


def _key(one: Decoded) -> _Key:
    return _Key(one.stream.kind, one.external_id, one.happened[0].at if one.is_deleted else None)
