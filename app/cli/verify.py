"""The verb that compares read models with the log."""

from __future__ import annotations

import click

from app.cli.options import database_url, migrated_database, progress, workers


@click.command()
@database_url
@workers
def verify(database_url: str | None, workers: int | None) -> None:
    """Compare the live read models with freshly built ones; fails if they differ, and reports how."""
    from app.process import memory
    from app.process.failures import Failure
    from projections.rebuild import verify as run

    url = migrated_database(database_url)
    memory.tune_gc()
    with progress("Verifying") as report:
        differences = run(url, report, workers=workers)
    for difference in differences:
        for side, rows in (("only in the live one", difference.live), ("only in the rebuilt one", difference.rebuilt)):
            for row in rows:
                click.echo(f"{difference.table}: {side}: {row}")
    if differences:
        tables = ", ".join(difference.table for difference in differences)
        raise Failure(f"The read models differ from the log in {tables}: run `opportunities rebuild --all`.")
    click.echo("The read models equal the log.")
