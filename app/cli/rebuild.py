"""The verb that rebuilds read models."""

from __future__ import annotations

import click

from app.cli.options import database_url, migrated_database, progress, workers


@click.command()
@database_url
@click.argument("names", nargs=-1)
@click.option("--all", "everything", is_flag=True, help="Every read model.")
@workers
def rebuild(database_url: str | None, names: tuple[str, ...], everything: bool, workers: int | None) -> None:
    """Rebuild read models from the log beside the live ones, and swap them in under live traffic."""
    from app.process import memory
    from projections.rebuild import rebuild as run
    from projections.registry import READ_MODELS

    known = [model.name for model in READ_MODELS]
    if bool(names) == everything:
        raise click.UsageError(f"Name the read models to rebuild ({', '.join(known)}), or use --all.")
    url = migrated_database(database_url)
    memory.tune_gc()
    with progress("Rebuilding") as report:
        events = run(url, known if everything else names, report, workers=workers)
    click.echo(f"Rebuilt {', '.join(known if everything else names)} from {events} events.")
