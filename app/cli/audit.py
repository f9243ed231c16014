"""The history of a record, or of a whole org, for the command line: one JSON object per event, in the log's order.

It reads the log itself, including deleted records, and shows everything but secrets.
"""

from __future__ import annotations

from collections.abc import Iterator
from uuid import UUID

import click
import msgspec

from app.cli.options import database_url, migrated_database, org
from app.process.failures import Failure
from domain import event_store, fold
from domain.event import State
from projections import connections, history

CHUNK = 2_000
encode = msgspec.json.Encoder(decimal_format="string").encode


def tell(url: str, *, org_id: UUID | None, record_id: UUID | None) -> Iterator[str]:
    """The lines for one record (of one org, where that is given) or for an org."""
    states: dict[UUID, State] = {}
    with connections.connect_patiently(url, "audit") as connection, connection.transaction():
        for recorded in event_store.of(connection, org_id=org_id, stream_id=record_id, chunk=CHUNK):
            (change,) = fold.changes([recorded], states)
            yield encode(history.entry(change, {})).decode()
    if not states:
        raise Failure("There is no such record." if record_id is not None else "There is no such org.")


@click.command()
@database_url
@org
@click.option("--record", "record_id", type=click.UUID, metavar="ID", help="One record of any kind.")
def audit(database_url: str | None, org_id: UUID | None, record_id: UUID | None) -> None:
    """Print the history of a record or of an org, one JSON object per event."""
    if org_id is None and record_id is None:
        raise click.UsageError("Give --record ID or --org ID.")
    for line in tell(migrated_database(database_url, writing=False), org_id=org_id, record_id=record_id):
        click.echo(line)
