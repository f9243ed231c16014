"""Every route there is, resource by resource."""

from __future__ import annotations

from typing import Any

from app import (
    accounts,
    activities,
    asyncapi,
    contacts,
    custom_fields,
    docs,
    events,
    exchange_rates,
    forecast,
    health,
    history,
    index,
    metrics,
    opportunities,
    organization,
    pipeline,
    tokens,
    users,
    webhooks,
)

RESOURCES = (
    docs,
    asyncapi,
    health,
    metrics,
    index,
    forecast,
    opportunities,
    history,
    activities,
    accounts,
    contacts,
    users,
    tokens,
    custom_fields,
    pipeline,
    exchange_rates,
    organization,
    webhooks,
    events,
)
ROUTES: tuple[Any, ...] = tuple(handler for resource in RESOURCES for handler in resource.HANDLERS)
