"""``opportunities export``: all of a list as a file, made by the engine that the API's exports have.

A file is written beside its place and moved there when it is whole, so whatever ends the export leaves no half of it.
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO
from uuid import UUID

import click

from app.cli.options import database_url, migrated_database, progress, show
from app.exporting.export import MEDIA_TYPES, SUFFIXES, Export, count, pieces
from app.exporting.snapshot import Snapshot
from app.http import listing
from app.http.list_spec import ListSpec
from app.process.failures import Failure
from app.reading.read_pool import Identity
from app.resources import exports
from domain.errors import Invalid
from projections.directory import queries as directory_queries
from projections.directory.queries import DirectoryListQuery
from projections.opportunities.list_query import OpportunityListQuery

SECONDS = 24 * 3600.0
TABLES: dict[str, ListSpec] = {"opportunities": exports.DEALS, "accounts": exports.ACCOUNTS, "contacts": exports.CONTACTS}
NOBODY = UUID(int=0)


@click.command()
@database_url
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--org", "org_id", type=click.UUID, metavar="ID", required=True, help="The org's id.")
@click.option("--kind", type=click.Choice(list(TABLES)), default="opportunities", show_default=True)
@click.option("--format", "format_", type=click.Choice(list(MEDIA_TYPES)), help="If the file's name does not say it.")
@click.option("--query", default="", metavar="QUERY", help="The list's parameters, as in a URL: 'status=won&ordering=-closed_at'.")
def export(database_url: str | None, file: Path, org_id: UUID, kind: str, format_: str | None, query: str) -> None:
    """Write all of a list to FILE, or to the output if that is -."""
    format_ = format_ or next((one for one, suffix in _longest_first() if file.name.lower().endswith(f".{suffix}")), "")
    if format_ not in MEDIA_TYPES:
        raise click.UsageError(f"Say which --format it is to have: {', '.join(MEDIA_TYPES)}.")
    snapshot = Snapshot(migrated_database(database_url, writing=False), org_id, SECONDS)
    try:
        asked = _asked(snapshot, org_id, kind, f"{query}&format={format_}".lstrip("&?"))
        with _written(file) as out:
            records = _write(asked, snapshot, out)
    except Invalid as error:
        raise Failure(" ".join(f"{name}: {' '.join(texts)}" for name, texts in error.errors.items())) from None
    finally:
        snapshot.close()
    if str(file) != "-":
        show({"file": str(file), "records": records})


def _longest_first() -> list[tuple[str, str]]:
    return sorted(SUFFIXES.items(), key=lambda one: -len(one[1]))


def _asked(snapshot: Snapshot, org_id: UUID, kind: str, query: str) -> Export:
    """Raises ``Invalid``."""
    table, text = TABLES[kind], query.encode()
    found = snapshot.rows(directory_queries.settings(org_id, "custom_field")) if listing.has_custom(text, table) else []
    types = directory_queries.custom_types(found[0][1]) if found else {}
    asked = listing.parsed(text, table, Identity(org_id, NOBODY, "read_only", "", NOBODY, 0, ""), types)
    wanted: OpportunityListQuery | DirectoryListQuery = OpportunityListQuery(org_id, asked.conditions, asked.order, asked.as_of)
    if kind != "opportunities":
        wanted = DirectoryListQuery(org_id, kind.removesuffix("s"), asked.conditions, asked.order)
    return Export(query=wanted, fields=asked.fields, **asked.further)


def _write(asked: Export, snapshot: Snapshot, out: BinaryIO) -> int:
    """How many records were written."""
    total, done = count(asked, snapshot), 0
    with progress("Exporting", lines=True) as report:
        for piece in pieces(asked, snapshot):
            out.write(piece.data)
            done += piece.records
            report(done, total)
    return done


@contextmanager
def _written(file: Path) -> Iterator[BinaryIO]:
    """What is written becomes the file if nothing goes wrong."""
    if str(file) == "-":
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    try:
        part = tempfile.NamedTemporaryFile(dir=file.parent, prefix=f".{file.name}.", delete=False)  # noqa: SIM115 - see below
    except OSError as error:
        raise Failure(f"{file}: {error.strerror}.") from None
    try:
        with part:
            yield part  # type: ignore[misc]
            part.flush()
            os.fsync(part.fileno())
        os.chmod(part.name, 0o666 & ~_umask())
        os.replace(part.name, file)
    except BaseException as error:
        os.unlink(part.name)
        if isinstance(error, OSError):
            raise Failure(f"{file}: {error.strerror}.") from None
        raise


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
