"""What a batch of rows comes to: for each row the commands that are done together, or what is wrong with it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from msgspec import Struct, field

from app.importing.faults import Fault
from app.writing.envelope import Envelope
from domain.event import Command
from domain.permissions import Actor
from projections.imports.ids import Known


class Sender(Struct, frozen=True):
    """On whose behalf the rows of an import are written."""

    org_id: UUID
    import_id: UUID
    actor: Actor
    token_id: UUID | None
    webhooks: bool

    def envelope(self, kind: str, id_: UUID, command: Command, at: datetime | None = None, **more: Any) -> Envelope:
        return Envelope(
            kind=kind,
            stream_id=id_,
            command=command,
            org_id=self.org_id,
            actor=self.actor,
            token_id=self.token_id,
            request_id=f"import {self.import_id}",
            occurred_at=at,
            render=False,
            import_id=self.import_id,
            webhooks=self.webhooks,
            **more,
        )


class Planned(Struct):
    """A row with its commands; none if it has faults, or is ``skipped``. Commands ``aside`` create what rows refer to, and belong
    to no row. A record of a file with history has the ``lines`` of its events, and what its id and those that came before it mean
    here."""

    line: int
    commands: list[Envelope] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    remark: str = ""
    skipped: bool = False
    aside: bool = False
    lines: Sequence[int] = ()
    known: Known | None = None
    before: Mapping[UUID, Known] = {}


def failing(line: int, faults: Sequence[Fault]) -> Planned:
    return Planned(line, faults=list(faults))


def in_order(planned: Sequence[Planned], failing: Sequence[Planned]) -> list[Planned]:
    """What is created beside the rows first, then the rows by line."""
    rows = sorted([*(one for one in planned if not one.aside), *failing], key=lambda one: one.line)
    return [*(one for one in planned if one.aside), *rows]
