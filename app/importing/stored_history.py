"""The history files of an import: read once into a table, and looked up by the keys of deals."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from datetime import date, datetime
from decimal import Decimal
from itertools import islice
from typing import Any

import msgspec
from msgspec import UNSET, Struct, UnsetType
from psycopg import Connection

from app.importing.date_form import Moment
from app.importing.faults import Unreadable
from app.importing.history_files import HistoryReader, Keyed
from app.importing.source import Source
from app.importing.table import understand
from app.importing.timeline import Entry
from app.importing.vocabulary import Vocabulary
from domain.event import set_fields
from projections.imports import books, history
from projections.imports.jobs import Fault

LINES = 2_000


class _Values(Struct, omit_defaults=True):
    stage: str | UnsetType = UNSET
    amount: Decimal | UnsetType | None = UNSET
    close_date: date | UnsetType | None = UNSET


class _Entry(Struct):
    at: datetime
    day: date
    exact: bool
    changes: _Values
    before: _Values


_encode = msgspec.json.Encoder(decimal_format="string").encode
_decode = msgspec.json.Decoder(_Entry).decode


def read_in(connection: Connection[Any], source: Source, vocabulary: Vocabulary, now: datetime) -> Iterator[None]:
    """Read the history files, again from their beginning. Raises ``Unreadable``."""
    job = source.job
    with connection.cursor() as cursor:
        history.clear(cursor, job.id)
    for number in range(1, len(job.files)):
        try:
            entries = HistoryReader(understand(source.file(number)), source.options, vocabulary, now).entries()
            while part := list(islice(entries, LINES)):
                good = [one for one in part if isinstance(one, Keyed)]
                bad = [Fault(number, one.line, one.column, one.value, one.message) for one in part if not isinstance(one, Keyed)]
                with connection.transaction(), connection.cursor() as cursor:
                    history.add(cursor, job.org_id, job.id, number, [(one.line, one.key, _packed(one.entry)) for one in good])
                    books.add_faults(cursor, job.org_id, job.id, bad)
                yield
        except Unreadable as error:
            error.args = (f"In {job.files[number].name}: {error}",)
            raise


def find(connection: Connection[Any], source: Source, keys: Collection[str]) -> dict[str, list[Entry]]:
    """The entries of some deals."""
    if len(source.job.files) < 2 or not keys:
        return {}
    found: dict[str, list[Entry]] = {}
    with connection.cursor() as cursor:
        for key, packed in history.of_keys(cursor, source.job.id, keys):
            found.setdefault(key, []).append(_unpacked(packed))
    return found


def _packed(entry: Entry) -> str:
    at = entry.at
    return _encode(_Entry(at.instant, at.day, at.exact, _Values(**entry.changes), _Values(**entry.before))).decode()


def _unpacked(text: str) -> Entry:
    entry = _decode(text)
    return Entry(Moment(entry.at, entry.day, entry.exact), set_fields(entry.changes), set_fields(entry.before))
