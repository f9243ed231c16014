"""The verb that brings the schema up to date."""

from __future__ import annotations

import click

from app.cli.options import database_url, load_settings


@click.command()
@database_url
@click.option("--check", is_flag=True, help="Change nothing; fail unless the schema is this version's.")
def migrate(database_url: str | None, check: bool) -> None:
    """Bring the database's schema up to date."""
    from app import migrations

    url = load_settings(database_url=database_url).database_url
    if check:
        migrations.check(url)
        click.echo("The schema is up to date.")
        return
    for line in migrations.migrate(url) or ["the schema was up to date"]:
        click.echo(line)
