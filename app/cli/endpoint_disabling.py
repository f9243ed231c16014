"""How a sender of webhooks disables an endpoint: by a command, like everybody else."""

from __future__ import annotations

import asyncio
from uuid import UUID

import structlog

from app.writing.committer import Committer
from app.writing.envelope import Envelope
from consumers.webhooks.sender import Disable as DisableEndpoint
from domain.errors import NotFound
from domain.permissions import OPERATOR
from domain.webhook_endpoint import Disable, Reason

log = structlog.get_logger("webhooks")


def disabling(committer: Committer) -> DisableEndpoint:
    """The function that a sender calls."""

    async def disable(org_id: UUID, endpoint_id: UUID, reason: Reason, url: str) -> None:
        command = Disable(reason=reason, url=url)
        await asyncio.to_thread(_execute, committer, Envelope("webhook_endpoint", endpoint_id, command, org_id, OPERATOR))
        log.warning("endpoint.disabled", endpoint_id=str(endpoint_id), reason=reason)

    return disable


def _execute(committer: Committer, envelope: Envelope) -> None:
    """Raises ``Unavailable``. A record that no longer exists needs no disabling."""
    (result,) = committer.run([envelope])
    if isinstance(result, Exception) and not isinstance(result, NotFound):
        raise result
