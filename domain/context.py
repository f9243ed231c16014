"""What a decision may look at beside its aggregate: who asks, when, and what else the org has.

A decision has no clock, no ids and no I/O of its own; everything comes in through its context.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime

from msgspec import Struct

from domain.event import Command, State
from domain.facts import Facts
from domain.permissions import Actor, Credential, require_admin


class Context(Struct, frozen=True):
    """Everything outside the aggregate that a decision may depend on.

    ``now`` becomes ``occurred_at``. ``credential`` is the token that the command came with, None for the operator.
    ``custom_field_keys`` are those of the org's custom fields; ``required_fields`` has for each stage key of its pipeline the names
    of the fields that the stage requires. What is only recorded with the events, such as a comment, is not here.
    """

    actor: Actor
    now: datetime
    facts: Facts = Facts()
    credential: Credential | None = None
    custom_field_keys: Collection[str] = ()
    required_fields: Mapping[str, Collection[str]] = {}


def admins_only(state: State | None, command: Command, context: Context) -> None:
    """The ``permit`` of an aggregate that only admins may change."""
    require_admin(context.actor)
