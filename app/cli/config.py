"""The verb that prints the settings in force."""

from __future__ import annotations

import click

from app.cli.options import database_url, load_settings


@click.command()
@database_url
def config(database_url: str | None) -> None:
    """Print the settings in force, without secrets."""
    for name, value in load_settings(database_url=database_url).redacted().items():
        click.echo(f"{name}={value}")
