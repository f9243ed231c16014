"""All routes, resource by resource."""

from __future__ import annotations

from typing import Any

from app.resources import (
    accounts,
    activities,
    api_root,
    contacts,
    custom_fields,
    events,
    exchange_rates,
    exports,
    forecast,
    forecast_changes,
    health,
    history,
    imports,
    metrics,
    opportunities,
    organization,
    pipeline,
    tokens,
    users,
    webhook_deliveries,
    webhooks,
)
from app.schema import asyncapi, landing_page, pages

RESOURCES = (
    pages,
    landing_page,
    asyncapi,
    health,
    metrics,
    api_root,
    forecast,
    forecast_changes,
    exports,
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
    webhook_deliveries,
    imports,
    events,
)
ROUTES: tuple[Any, ...] = tuple(handler for resource in RESOURCES for handler in resource.HANDLERS)
