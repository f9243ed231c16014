"""Endpoints as they stood at any event, and whether one is notified of it.

An endpoint is matched as it stood at the event's own position. So a record of the topic that comes late or again has the same
result as the first time, and an endpoint never hears of what happened before it existed or after it was deleted.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any, NamedTuple
from uuid import UUID

import msgspec
from msgspec import Struct
from psycopg import Cursor

from domain.text import json_nfc
from domain.webhook_endpoint import WebhookFilters


class Document(Struct, frozen=True):
    """The part of an endpoint's record that deliveries need."""

    url: str
    events: frozenset[str]
    filters: WebhookFilters
    secret_generation: int
    secret_rotated_at: datetime | None


class Owner(Struct, frozen=True):
    id: UUID


class Deal(Struct, frozen=True):
    """The part of an opportunity that filters look at."""

    id: UUID
    stage: str
    currency: str
    amount: Decimal | None
    owner: Owner
    custom_fields: dict[str, Any]


class Version(NamedTuple):
    """An endpoint from a position of the log on."""

    endpoint_id: UUID
    position: int
    active: bool
    document: Document


document = msgspec.json.Decoder(Document).decode
deal = msgspec.json.Decoder(Deal).decode


def versions(cursor: Cursor[Any], orgs: Collection[UUID]) -> dict[UUID, list[list[Version]]]:
    """Org → histories of its endpoints, each in order."""
    cursor.execute(
        """
        SELECT v.org_id, v.id, v.position, v.active, v.doc
        FROM directory e JOIN directory v ON v.id = e.id
        WHERE e.org_id = ANY(%s::uuid[]) AND e.kind = 'webhook_endpoint' AND e.valid_to = 'infinity' AND NOT e.deleted
        ORDER BY v.id, v.version
        """,
        (list(orgs),),
        prepare=True,
    )
    found: dict[UUID, list[list[Version]]] = {}
    for org_id, id_, position, active, doc in cursor.fetchall():
        histories = found.setdefault(org_id, [])
        if not histories or histories[-1][0].endpoint_id != id_:
            histories.append([])
        histories[-1].append(Version(id_, position, active, document(doc)))
    return found


def at(history: Sequence[Version], position: int) -> Version | None:
    """The endpoint as it stood then, None before it existed."""
    standing = [version for version in history if version.position <= position]
    return standing[-1] if standing else None


def matches(version: Version, type_: str, of: Deal) -> bool:
    """Whether an active endpoint wants such an event of such a deal."""
    return version.active and type_ in version.document.events and passes(version.document.filters, of)


def passes(filters: WebhookFilters, of: Deal) -> bool:
    return (
        (not filters.stage or of.stage in filters.stage)
        and (not filters.owner or of.owner.id in filters.owner)
        and (not filters.currency or of.currency in filters.currency)
        and (filters.amount__gte is None or (of.amount is not None and of.amount >= filters.amount__gte))
        and (filters.amount__lte is None or (of.amount is not None and of.amount <= filters.amount__lte))
        and (not filters.custom_fields or _has(json_nfc(of.custom_fields), json_nfc(filters.custom_fields)))
    )


def _has(values: dict[str, Any], wanted: dict[str, Any]) -> bool:
    return all(_is_one_of(values.get(key), one) for key, one in wanted.items())


def _is_one_of(value: Any, wanted: Any) -> bool:
    """Whether a value, or one of a multiselect's, is the wanted one or among them; true is not 1."""
    values = value if isinstance(value, list) else [value]
    alternatives = wanted if isinstance(wanted, list) else [wanted]
    return any(one == other and isinstance(one, bool) == isinstance(other, bool) for one in values for other in alternatives)
