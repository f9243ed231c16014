"""A command on its way to the committer, and its outcome."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from datetime import datetime
from itertools import groupby
from typing import Literal
from uuid import UUID

from msgspec import Struct

from domain.event import Command
from domain.permissions import Actor

Status = Literal["created", "changed", "unchanged"]


class Envelope(Struct, frozen=True):
    """A command on its way. ``expected_versions`` are of an ``If-Match``; ``idempotency`` is a key with the request's fingerprint.

    With a ``token_id`` the actor is read again under the lock, so a revoked token or a changed role counts at once. ``occurred_at``
    dates history (import, demo); it is moved forward if the record already has a later event. With an ``external_id`` the command
    is for the live record that has it, and not for ``stream_id``; if there is none, ``create`` is given to that stream instead.
    With a ``ref`` it is for the record of an earlier command of its call, counted from 0.
    """

    kind: str
    stream_id: UUID
    command: Command
    org_id: UUID
    actor: Actor
    token_id: UUID | None = None
    expected_versions: Collection[int] | None = None
    idempotency: tuple[str, bytes] | None = None
    request_id: str = ""
    comment: str | None = None
    occurred_at: datetime | None = None
    render: bool = True
    external_id: str | None = None
    create: Command | None = None
    import_id: UUID | None = None
    webhooks: bool = True
    ref: int | None = None

    @property
    def commands(self) -> Sequence[Command]:
        """The commands of which one will be given."""
        return (self.command,) if self.create is None else (self.command, self.create)


class Outcome(Struct):
    """The result of a command. ``body`` is the record as the API shows it, JSON; empty if it is deleted or was not requested."""

    status: Status
    stream_id: UUID
    version: int
    body: str = ""
    replayed: bool = False


Result = Outcome | Exception


def by_transaction(envelopes: Sequence[Envelope], most: int) -> Iterator[list[Envelope]]:
    """Group commands by transaction: adjacent ones on opportunities, ``most`` at a time, every other by itself."""
    for together, group in groupby(envelopes, key=lambda envelope: envelope.kind == "opportunity"):
        members = list(group)
        size = most if together else 1
        for start in range(0, len(members), size):
            yield members[start : start + size]
