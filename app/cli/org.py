"""The verbs about orgs."""

from __future__ import annotations

import click

from app.cli.options import database_url, migrated_database, show


@click.group()
def org() -> None:
    """Manage orgs."""


@org.command(name="create")
@database_url
@click.option("--name", required=True)
@click.option("--currency", default="USD", show_default=True, help="ISO 4217.")
@click.option("--admin-email", required=True)
def org_create(database_url: str | None, name: str, currency: str, admin_email: str) -> None:
    """Create an org with its first admin. Prints org_id, user_id and token, which is shown only once."""
    from app.cli.provisioning import create_org

    show(create_org(migrated_database(database_url), name, currency, admin_email))
