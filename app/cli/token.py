"""The verbs about API tokens."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import click

from app.cli.options import database_url, migrated_database, org, show


@click.group()
def token() -> None:
    """Manage API tokens."""


@token.command(name="create")
@database_url
@org
@click.option("--email", required=True, help="The email of the user that the token is for.")
@click.option("--name", default="command line", show_default=True)
@click.option(
    "--expires-at",
    type=click.DateTime(["%Y-%m-%d", "%Y-%m-%dT%H:%M:%SZ"]),
    help="When the token expires, in UTC; by default never.",
)
@click.option(
    "--role",
    type=click.Choice(["read_only", "rep", "manager", "admin"]),
    help="The token's role, at most the user's, which is the default.",
)
def token_create(
    database_url: str | None, org_id: UUID | None, email: str, name: str, expires_at: datetime | None, role: Any
) -> None:
    """Create a token for a user. Prints it; it is shown only once."""
    from app.cli.provisioning import create_token

    url = migrated_database(database_url)
    show(create_token(url, email, name, org_id, expires_at.replace(tzinfo=UTC) if expires_at else None, role))


@token.command(name="revoke")
@database_url
@click.argument("secret", metavar="TOKEN")
def token_revoke(database_url: str | None, secret: str) -> None:
    """Revoke a token, given by its id or its secret. It stops working at once."""
    from app.cli.provisioning import revoke_token

    show(revoke_token(migrated_database(database_url), secret))
