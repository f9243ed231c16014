"""What verbs share: options, the settings, a progress bar. Nothing of the product is imported before it is needed."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from app.settings import Settings

database_url = click.option("--database-url", metavar="URL", help="Instead of DATABASE_URL.")
bootstrap_servers = click.option("--kafka-bootstrap-servers", metavar="HOST:PORT", help="Instead of KAFKA_BOOTSTRAP_SERVERS.")
org = click.option("--org", "org_id", type=click.UUID, metavar="ID", help="The org's id.")

workers = click.option(
    "--workers", type=click.IntRange(1, 64), help="Processes; as many as there are cores unless the log is short."
)

LINE_SECONDS = 10.0


def load_settings(**overrides: Any) -> Settings:
    from app.settings import load

    return load(**overrides)


def migrated_database(url: str | None, *, writing: bool = True) -> str:
    """The URL of a database with this version's schema, to write to. Raises ``Unmet``, ``SchemaError``, ``psycopg.Error``."""
    from app import migrations

    url = load_settings(database_url=url).database_url
    migrations.check(url, writing=writing)
    return url


def show(answer: object) -> None:
    click.echo(json.dumps(answer))


@contextmanager
def progress(title: str, *, lines: bool = False) -> Iterator[Callable[[int, int], None]]:
    """A progress bar with count, rate and time left on a terminal; elsewhere nothing, or ``lines`` every ten seconds."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

    console = Console(stderr=True)
    rate = TextColumn("{task.fields[rate]}")
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        rate,
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, disable=not console.is_terminal) as bar:
        task = bar.add_task(title, rate="")
        said = 0.0

        def report(done: int, total: int) -> None:
            nonlocal said
            seconds = bar.tasks[task].elapsed or 0
            bar.update(task, completed=done, total=total, rate=f"{done / seconds:,.0f}/s" if seconds else "")
            if lines and not console.is_terminal and seconds - said > LINE_SECONDS:
                said, rate_now = seconds, done / seconds
                left = f", {max(total - done, 0) / rate_now:,.0f} s left" if rate_now else ""
                click.echo(f"{title}: {done:,} of {total:,}, {rate_now:,.0f}/s{left}", err=True)

        yield report
