"""The one registry: every event's stored name and class, every kind of aggregate and its module, and the upcasts.

Refuses to change or forget a name that was ever stored: golden files in the tests hold one event of each.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal, Protocol

from domain import (
    account,
    activity,
    contact,
    custom_field,
    event,
    exchange_rate,
    log,
    opportunity,
    organization,
    pipeline,
    token,
    user,
    webhook_endpoint,
)
from domain.adoption import Adopt
from domain.context import admins_only
from domain.event import Command, Event, Recorded, State
from domain.facts import References
from domain.permissions import Actor, require_admin, require_writer
from domain.policy import PolicyContext


class Module(Protocol):
    """What an aggregate's module offers. ``state`` is None before the first event of a stream.

    ``permit`` raises ``Forbidden`` if the actor may not give the command, whatever its values; ``decide`` calls it first.
    ``references`` names those of ``context.facts`` that the two look at.
    """

    @property
    def State(self) -> type[event.State]: ...  # noqa: N802  a class of the module

    def evolve(self, state: Any, recorded: Recorded) -> event.State: ...

    def references(self, command: Any) -> References: ...

    def permit(self, state: Any, command: Any, context: PolicyContext) -> None: ...

    def decide(self, state: Any, command: Any, context: PolicyContext) -> tuple[Event, ...]: ...


@dataclass(frozen=True, slots=True)
class Aggregate:
    """A kind of record, and who sees it: by default only the admins of its org.

    Its events go to the topic if ``published``, and into the feed of the roles they are ``visible_to``. ``secret`` fields of its
    state are never shown; those ``not_in_history`` appear in the record, but not among the changes of an event.
    """

    module: Module
    published: bool = False
    visible_to: Literal["admins", "everybody"] = "admins"
    secret: frozenset[str] = frozenset()
    not_in_history: frozenset[str] = frozenset()


# By kind: the text before the first dot of a stored name, which is also the module's name.
AGGREGATES: Mapping[str, Aggregate] = {
    "account": Aggregate(account, published=True, visible_to="everybody"),
    "activity": Aggregate(activity, published=True, visible_to="everybody"),
    "contact": Aggregate(contact, published=True, visible_to="everybody"),
    "custom_field": Aggregate(custom_field, published=True, visible_to="everybody"),
    "exchange_rate": Aggregate(exchange_rate, published=True, visible_to="everybody"),
    "log": Aggregate(log, published=True, visible_to="everybody"),
    "opportunity": Aggregate(
        opportunity, published=True, visible_to="everybody", not_in_history=frozenset({"stage_entered_at", "closed_at"})
    ),
    "organization": Aggregate(organization, published=True, visible_to="everybody"),
    "pipeline": Aggregate(pipeline, published=True, visible_to="everybody"),
    "token": Aggregate(token, secret=frozenset({"hash"})),
    "user": Aggregate(user, visible_to="everybody"),
    "webhook_endpoint": Aggregate(webhook_endpoint, not_in_history=frozenset({"url"})),  # a URL often contains a secret
}
PUBLISHED = frozenset(kind for kind, aggregate in AGGREGATES.items() if aggregate.published)
FOR_ADMINS = frozenset(kind for kind, aggregate in AGGREGATES.items() if aggregate.visible_to == "admins")

EVENTS: Mapping[str, type[Event]] = {
    "account.created.v1": account.Created,
    "account.updated.v1": account.Updated,
    "account.deleted.v1": account.Deleted,
    "activity.logged.v1": activity.Logged,
    "contact.created.v1": contact.Created,
    "contact.updated.v1": contact.Updated,
    "contact.deleted.v1": contact.Deleted,
    "custom_field.created.v1": custom_field.Created,
    "custom_field.updated.v1": custom_field.Updated,
    "custom_field.deleted.v1": custom_field.Deleted,
    "exchange_rate.quoted.v1": exchange_rate.Quoted,
    "log.restored.v1": log.Restored,
    "opportunity.created.v1": opportunity.Created,
    "opportunity.updated.v1": opportunity.Updated,
    "opportunity.stage_changed.v1": opportunity.StageChanged,
    "opportunity.won.v1": opportunity.Won,
    "opportunity.lost.v1": opportunity.Lost,
    "opportunity.reopened.v1": opportunity.Reopened,
    "opportunity.deleted.v1": opportunity.Deleted,
    "opportunity.restored.v1": opportunity.Restored,
    "organization.created.v1": organization.Created,
    "organization.updated.v1": organization.Updated,
    "pipeline.replaced.v1": pipeline.Replaced,
    "token.issued.v1": token.Issued,
    "token.revoked.v1": token.Revoked,
    "user.created.v1": user.Created,
    "user.updated.v1": user.Updated,
    "webhook_endpoint.created.v1": webhook_endpoint.Created,
    "webhook_endpoint.updated.v1": webhook_endpoint.Updated,
    "webhook_endpoint.secret_rotated.v1": webhook_endpoint.SecretRotated,
    "webhook_endpoint.disabled.v1": webhook_endpoint.Disabled,
    "webhook_endpoint.enabled.v1": webhook_endpoint.Enabled,
    "webhook_endpoint.deleted.v1": webhook_endpoint.Deleted,
}

# Old stored name → function that rewrites its bytes into the current class's form.
UPCASTS: Mapping[str, Callable[[bytes], bytes]] = {}

_NAMES = {class_: name for name, class_ in EVENTS.items()}
_KINDS = {class_: name.partition(".")[0] for name, class_ in EVENTS.items()}


def name_of(event_class: type[Event]) -> str:
    """The stored name. Like the other functions here, raises ``KeyError`` for a class that is not in the catalog."""
    return _NAMES[event_class]


def public_name(name: str) -> str:
    """The public name of an event: its stored name without the version, such as ``opportunity.won``."""
    return name.rsplit(".v", 1)[0]


def class_of(name: str) -> type[Event]:
    return EVENTS[name]


def kind_of_event(event_class: type[Event]) -> str:
    return _KINDS[event_class]


def kind_of(class_: type[Command | State]) -> str:
    """The kind of aggregate that a command or a state belongs to."""
    kind = _second_part(class_.__module__)
    if kind not in AGGREGATES:
        raise KeyError(class_)
    return kind


@cache
def _second_part(name: str) -> str:
    return name.split(".")[1]


def require_role(command: type[Command], actor: Actor) -> None:
    """Raises ``Forbidden`` if the actor's role rules out such a command, whatever its values and its record."""
    if AGGREGATES[kind_of(command)].module.permit is admins_only or issubclass(command, Adopt):
        require_admin(actor)
    elif command is not token.Revoke:  # everybody may revoke their own
        require_writer(actor)


def aggregate_of(named: str | type[Event]) -> Aggregate:
    """The aggregate of a stored name or an event class."""
    kind = named.partition(".")[0] if isinstance(named, str) else kind_of_event(named)
    return AGGREGATES[kind]


def upcast(name: str, state: bytes) -> bytes:
    """The stored bytes in the form of the class that ``class_of`` returns now."""
    convert = UPCASTS.get(name)
    return convert(state) if convert else state
