"""On whose behalf an import writes: the user who started it, with the token that they used, or the operator."""

from __future__ import annotations

from typing import Any

from psycopg import Cursor

from app.importing.options import Options
from app.importing.plan import Sender
from domain import user
from domain.permissions import OPERATOR, Actor
from projections.imports import lookups
from projections.imports.jobs import Job


def of(cursor: Cursor[Any], job: Job, options: Options) -> Sender:
    """Where there is a token, the role is read again under the lock, so that the present one counts."""
    actor = OPERATOR
    if job.user_id is not None:
        found = lookups.states(cursor, [job.user_id]).get(job.user_id)
        if isinstance(found, user.State):
            actor = Actor(found.id, found.role, found.email)
    return Sender(job.org_id, job.id, actor, job.token_id, options.webhooks)
