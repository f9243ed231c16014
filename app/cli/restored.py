"""``opportunities restored``: after a restore, a new epoch of the log above every position that was ever published.

Without ``--yes`` it says what it would do. What was published is read from the topic; where that is gone, it must be given.
"""

from __future__ import annotations

import click

from app.cli.options import bootstrap_servers, database_url, load_settings


@click.command()
@database_url
@bootstrap_servers
@click.option(
    "--above",
    type=click.IntRange(0, 2**53),
    metavar="POSITION",
    help="The highest position that anybody has seen, instead of asking Kafka: where the topic is gone, or there was never one.",
)
@click.option(
    "--good",
    type=click.IntRange(0),
    metavar="POSITION",
    help="With --above: the last position of the backup. By default, how far the relay was when the backup was made.",
)
@click.option("--yes", is_flag=True, help="Do it; without, only say what would be done.")
def restored(database_url: str | None, kafka_bootstrap_servers: str | None, above: int | None, good: int | None, yes: bool) -> None:
    """After the database was restored: begin a new epoch of the log, so that no position is given twice."""
    if good is not None and above is None:
        raise click.UsageError("--good is for --above; otherwise the topic says it.")
    from app.cli.restoring import begin, plan

    config = load_settings(database_url=database_url, kafka_bootstrap_servers=kafka_bootstrap_servers)
    made = plan(config, above, good)
    click.echo(made.said)
    if made.epoch is None:
        return
    if yes:
        orgs = begin(config.database_url, made.epoch)
        click.echo(
            f"Done, and told in {orgs} orgs. Start the processes again; `opportunities verify` compares log and read models."
        )
    else:
        click.echo("Nothing was changed: stop all processes and run it again with --yes.")
