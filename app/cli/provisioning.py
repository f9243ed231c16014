"""Creates orgs, and creates and revokes tokens, for the operator. If several orgs have a user, one must be chosen."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from uuid import UUID

from app.process.failures import Failure
from app.writing import provisioning, token_secrets
from app.writing.committer import Committer
from app.writing.connection import connect
from domain.permissions import Role
from projections.directory import credentials


def create_org(url: str, name: str, currency: str, admin_email: str) -> dict[str, str]:
    with committing(url) as committer:
        made = provisioning.create_org(committer, name, currency, admin_email)
    return {"org_id": str(made.org_id), "user_id": str(made.user_id), "token": made.token}


def create_token(
    url: str, email: str, name: str, org_id: UUID | None, expires_at: datetime | None, role: Role | None
) -> dict[str, str | None]:
    """A new token for the user with this email. The org may be left out if only one has such a user."""
    with connect(url) as connection, connection.cursor() as cursor:
        found = credentials.user(cursor, email, org_id)
    if not found:
        raise Failure(f"There is no active user {email}{'' if org_id is None else f' in org {org_id}'}.")
    if len(found) > 1:
        raise Failure(f"Several orgs have a user {email}: choose one with --org: {', '.join(str(org) for org, _ in found)}.")
    ((org, user_id),) = found
    with committing(url) as committer:
        token_id, secret = provisioning.issue_token(committer, org, user_id, name, expires_at, role)
    return {"org_id": str(org), "user_id": str(user_id), "token_id": str(token_id), "role": role, "token": secret}


def revoke_token(url: str, token: str) -> dict[str, str]:
    """Revoke a token, given by its id or its secret."""
    is_secret = token.startswith(token_secrets.PREFIX)
    try:
        token_id = None if is_secret else UUID(token)
    except ValueError:
        raise Failure(f"{token!r} is neither a token nor a token's id.") from None
    with connect(url) as connection, connection.cursor() as cursor:
        found = credentials.token(cursor, hashed=token_secrets.hashed(token) if is_secret else None, token_id=token_id)
    if found is None:
        raise Failure("There is no such token.")
    with committing(url) as committer:
        provisioning.revoke_token(committer, *found)
    return {"org_id": str(found[0]), "token_id": str(found[1])}


@contextmanager
def committing(url: str) -> Iterator[Committer]:
    committer = Committer(url)
    try:
        yield committer
    finally:
        committer.close()
