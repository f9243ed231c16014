"""``opportunities import``: a file of another system into an org."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
import msgspec
from psycopg import Connection

from app.cli.import_work import Import, receive, user_of
from app.cli.options import database_url, migrated_database, show
from app.importing import event_head
from app.importing.faults import Unreadable
from app.importing.options import MATCHES, Options
from app.importing.presets import PRESETS
from app.process import memory
from app.process.failures import Failure
from consumers import database
from projections.imports.jobs import Job

ROWS_FAILED = 3
"""The exit code of an import or a check of which some rows failed."""


def _options(mapping: Path | None, preset: str | None, webhooks: bool) -> Options:
    try:
        given = msgspec.json.decode(mapping.read_bytes()) if mapping else {}
        return msgspec.convert(
            {**given, **({"preset": preset} if preset else {}), **({"webhooks": True} if webhooks else {})}, Options
        )
    except (msgspec.DecodeError, msgspec.ValidationError, TypeError) as error:
        raise Failure(f"{mapping}: {error}") from None


def kind_of(path: Path, given: str) -> str:
    """A file with history says itself what it has."""
    with path.open("rb") as file:
        if not event_head.is_one(file):
            return given
        try:
            return event_head.head(file).header.kind
        except Unreadable as error:
            raise Failure(f"{path}: line {error.fault.line}: {error}") from None


FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


@contextmanager
def _connected(url: str | None) -> Iterator[tuple[str, Connection[Any]]]:
    found = migrated_database(url)
    with database.connect(found, "import") as connection:
        yield found, connection


def _report(one: Import, job: Job) -> None:
    """What came of it: a line of JSON, and the first bad rows as lines for people."""
    for line in one.faults():
        click.echo(line, err=True)
    show({"id": str(job.id), "state": job.state, "rows": job.rows, **msgspec.to_builtins(job.counts)})
    if job.state == "failed":
        raise Failure(f"The import failed: {one.problem()}")
    if job.counts.failed:
        sys.exit(ROWS_FAILED)


@click.command(name="import")
@database_url
@click.argument("file", type=FILE, required=False)
@click.option("--org", "org_id", type=click.UUID, metavar="ID", required=True, help="The org's id.")
@click.option("--as", "email", metavar="EMAIL", help="The user on whose behalf it is done, who has deals without an owner.")
@click.option(
    "--kind",
    type=click.Choice(list(MATCHES)),
    default="opportunities",
    show_default=True,
    help="A file with history says it itself.",
)
@click.option("--history", "histories", type=FILE, multiple=True, help="The deals' past.")
@click.option("--preset", type=click.Choice(list(PRESETS)), help="The system it comes from, if it is not recognised.")
@click.option("--mapping", type=FILE, help="JSON with the options of an import.")
@click.option("--dry-run", is_flag=True, help="Check every row and store nothing.")
@click.option("--webhooks", is_flag=True, help="Tell webhook endpoints of what is imported.")
@click.option("--resume", type=click.UUID, metavar="ID", help="Go on with an import that was interrupted.")
@click.option("--undo", type=click.UUID, metavar="ID", help="Take an import back.")
def import_file(**given: Any) -> None:
    """Import a file of another system into an org. Its exit code is 3 if some rows failed, which are listed."""
    memory.tune_gc(memory.OF_IMPORTS)
    with _connected(given["database_url"]) as (url, connection):
        user_id = user_of(connection, given["org_id"], given["email"]) if given["email"] else None
        if (known := given["undo"] or given["resume"]) is not None:
            one = Import(url, connection, known)
            if one.job().org_id != given["org_id"]:
                raise Failure(f"There is no import {known}.")
            one.begin("undoing" if given["undo"] else "running", user_id, over=False)
            _report(one, one.work("Undoing" if given["undo"] else "Importing"))
            return
        if given["file"] is None or user_id is None:
            raise click.UsageError("Give a FILE and --as EMAIL, or --undo or --resume.")
        options = _options(given["mapping"], given["preset"], given["webhooks"])
        kind = kind_of(given["file"], given["kind"])
        id_ = receive(connection, given["org_id"], kind, user_id, [given["file"], *given["histories"]], options)
        one = Import(url, connection, id_)
        job = one.work("Looking at it")
        if job.state == "ready":
            one.begin("checking" if given["dry_run"] else "running", user_id, over=True)
            job = one.work("Checking" if given["dry_run"] else "Importing")
        _report(one, job)
