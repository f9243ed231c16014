"""A file with history: all that ever happened to the records on a list, and to those that they name, a piece at a time."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple
from uuid import UUID

import msgspec
from msgspec import UNSET, Raw, Struct

from app.exporting.event_lines import End, EventLine, Field, Header, Line, Person, Rules
from app.exporting.sheets import Kind
from app.exporting.snapshot import Snapshot
from domain import catalog, event_store
from domain.custom_field import Definition
from domain.event import Meta
from domain.pipeline import LostReason, Stage
from projections import streams
from projections.conditions import SqlStatement
from projections.directory import queries as directory_queries
from projections.streams import Query

MEDIA_TYPE = "application/x-ndjson"
_encode = msgspec.json.Encoder(order="deterministic", decimal_format="string").encode
_NOW = SqlStatement("SELECT now()", {})


class Piece(NamedTuple):
    """Lines, and how many of the records on the list they begin with."""

    data: bytes
    records: int = 0


class _Organization(Struct):
    name: str
    currency: str


class _User(Struct):
    id: UUID
    email: str
    name: str
    role: str
    active: bool


class _Pipeline(Struct):
    stages: tuple[Stage, ...]
    lost_reasons: tuple[LostReason, ...]


class _Counts:
    """What has been written."""

    records = 0
    events = 0


def pieces(query: Query, kind: Kind, snapshot: Snapshot) -> Iterator[Piece]:
    """Raises ``Unavailable``."""
    counts = _Counts()
    yield Piece(_lines(_head(query.org_id, kind, snapshot)))
    for found in (streams.rates(query.org_id), streams.accounts(query), streams.contacts(query)):
        if found is not None:
            yield from (piece._replace(records=0) for piece in _streams(query.org_id, found, snapshot, counts))
    yield from _streams(query.org_id, streams.chosen(query), snapshot, counts, with_activities=kind == "opportunities")
    yield Piece(_lines([End(records=counts.records, events=counts.events)]))


def _lines(found: list[Line]) -> bytes:
    return b"".join(_encode(one) + b"\n" for one in found)


def _head(org_id: UUID, kind: Kind, snapshot: Snapshot) -> list[Line]:
    organization = msgspec.json.decode(_settings(org_id, "organization", snapshot), type=_Organization)
    ((now,),) = snapshot.rows(_NOW)
    lines: list[Line] = [
        Header(kind=kind, org_id=org_id, org=organization.name, currency=organization.currency, exported_at=now),
    ]
    users = [msgspec.json.decode(doc, type=_User) for (doc,) in snapshot.rows(streams.users(org_id))]
    lines += [Person(id=one.id, email=one.email, name=one.name, role=one.role, active=one.active) for one in users]
    if kind == "opportunities":
        rules = msgspec.json.decode(_settings(org_id, "pipeline", snapshot), type=_Pipeline)
        lines.append(Rules(stages=rules.stages, lost_reasons=rules.lost_reasons))
        fields = msgspec.json.decode(_settings(org_id, "custom_field", snapshot) or b"[]", type=list[Definition])
        lines += [Field(definition=one) for one in fields]
    return lines


def _settings(org_id: UUID, kind: str, snapshot: Snapshot) -> bytes:
    found = snapshot.rows(directory_queries.settings(org_id, kind))
    return bytes(found[0][1]) if found else b""


def _streams(
    org_id: UUID, wanted: SqlStatement, snapshot: Snapshot, counts: _Counts, *, with_activities: bool = False
) -> Iterator[Piece]:
    for ids in snapshot.ids(wanted):
        chosen = set(ids)
        for rows in snapshot.parts(streams.events(org_id, ids, with_activities=with_activities)):
            begun = [stream_id for _, _, stream_id, version in rows if version == 1]
            counts.records += len(begun)
            counts.events += len(rows)
            yield Piece(b"".join(_line(*row) for row in rows), sum(1 for one in begun if one in chosen))


def _line(topic: str, state: bytes, stream_id: UUID, version: int) -> bytes:
    """Of what is recorded with an event, a token and a request mean nothing elsewhere."""
    recorded = event_store.decode(topic, state, stream_id, version)
    meta: Meta = recorded.meta
    line = EventLine(
        type=catalog.name_of(type(recorded.event)),
        id=stream_id,
        version=version,
        occurred_at=meta.occurred_at,
        recorded_at=meta.recorded_at,
        actor_id=meta.actor_id,
        comment=meta.comment,
        origin=meta.origin or UNSET,
        data=Raw(_encode(recorded.event)),
    )
    return _encode(line) + b"\n"
