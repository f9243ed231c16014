"""The lines of a file with history: a header, the people and the rules of its org, every event of its records, and an end.

A stream's events are together, and in order. What a record names comes before it: accounts, then contacts, then deals, each
followed by its activities. So whoever reads the file needs no second look at it.
"""

from __future__ import annotations

from datetime import datetime
from typing import Literal
from uuid import UUID

from msgspec import UNSET, Raw, Struct, UnsetType

from app.exporting.sheets import Kind
from domain.custom_field import Definition
from domain.event import Origin
from domain.pipeline import LostReason, Stage

FORMAT: Literal["opportunities.history"] = "opportunities.history"
VERSION = 1


class Header(Struct, frozen=True, kw_only=True, tag="header", tag_field="line"):
    """The first line. ``currency`` is that of the org, in which its exchange rates are."""

    format: Literal["opportunities.history"] = FORMAT
    version: int = VERSION
    kind: Kind
    org_id: UUID
    org: str
    currency: str
    exported_at: datetime


class Person(Struct, frozen=True, kw_only=True, tag="user", tag_field="line"):
    """A user of the org, whom events name by id."""

    id: UUID
    email: str
    name: str
    role: str
    active: bool = True


class Rules(Struct, frozen=True, kw_only=True, tag="pipeline", tag_field="line"):
    """The pipeline as it is."""

    stages: tuple[Stage, ...]
    lost_reasons: tuple[LostReason, ...] = ()


class Field(Struct, frozen=True, kw_only=True, tag="custom_field", tag_field="line"):
    """A custom field of deals as it is defined."""

    definition: Definition


class EventLine(Struct, frozen=True, kw_only=True, tag="event", tag_field="line"):
    """An event: ``id`` is its record, ``type`` its stored name, ``origin`` where it was taken from if it was imported with its
    history."""

    type: str
    id: UUID
    version: int
    occurred_at: datetime
    recorded_at: datetime
    actor_id: UUID | None = None
    comment: str | None = None
    origin: Origin | UnsetType = UNSET
    data: Raw


class End(Struct, frozen=True, kw_only=True, tag="end", tag_field="line"):
    """The last line: how many streams and events there are. A file without it was cut off."""

    records: int
    events: int


Line = Header | Person | Rules | Field | EventLine | End
