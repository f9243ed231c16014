"""What the operator does outside the API: create an org with its first admin, all or nothing, and issue and revoke tokens."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from msgspec import Struct
from uuid_utils.compat import uuid7

from app.writing import token_secrets
from app.writing.committer import Committer
from app.writing.envelope import Envelope
from domain import organization, pipeline, token, user
from domain.event import Command
from domain.permissions import OPERATOR, Role


class Provisioned(Struct, frozen=True):
    """A new org. ``token`` is in clear text here and nowhere else."""

    org_id: UUID
    user_id: UUID
    token: str


def create_org(
    committer: Committer, name: str, currency: str, admin_email: str, *, occurred_at: datetime | None = None
) -> Provisioned:
    """Create an org with the default pipeline, an admin and a token of theirs. Raises ``DomainError``."""
    org_id, user_id, token_id = uuid7(), uuid7(), uuid7()
    secret, hash_ = token_secrets.new()
    prefix = token_secrets.shown(secret)

    def envelope(kind: str, stream_id: UUID, command: Command) -> Envelope:
        return Envelope(kind, stream_id, command, org_id, OPERATOR, occurred_at=occurred_at, render=False)

    committer.run_as_one(
        [
            envelope("organization", organization.stream_id(org_id), organization.Create(name=name, currency=currency)),
            envelope("pipeline", pipeline.stream_id(org_id), pipeline.DEFAULT),
            envelope("user", user_id, user.Create(email=admin_email, name=admin_email.partition("@")[0], role="admin")),
            envelope("token", token_id, token.Issue(name="first", user_id=user_id, hash=hash_, prefix=prefix)),
        ]
    )
    return Provisioned(org_id, user_id, secret)


def issue_token(
    committer: Committer,
    org_id: UUID,
    user_id: UUID,
    name: str,
    expires_at: datetime | None = None,
    role: Role | None = None,
) -> tuple[UUID, str]:
    """Issue a token for a user: returns its id and the token in clear text. Raises ``DomainError``."""
    secret, hash_ = token_secrets.new()
    prefix = token_secrets.shown(secret)
    token_id = uuid7()
    command = token.Issue(name=name, user_id=user_id, hash=hash_, prefix=prefix, expires_at=expires_at, role=role)
    committer.run_as_one([Envelope("token", token_id, command, org_id, OPERATOR, render=False)])
    return token_id, secret


def revoke_token(committer: Committer, org_id: UUID, token_id: UUID) -> None:
    """Raises ``NotFound``, ``DomainError``."""
    committer.run_as_one([Envelope("token", token_id, token.Revoke(), org_id, OPERATOR, render=False)])
