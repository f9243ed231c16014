"""An export from the snapshot to the bytes of its file, a piece at a time. It runs in a thread of its own."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal, Protocol

import msgspec
from msgspec import Struct

from app.exporting import history
from app.exporting.history import Piece
from app.exporting.object_lines import ObjectLines
from app.exporting.separated import Csv
from app.exporting.sheets import Kind, Sheet
from app.exporting.snapshot import Snapshot
from app.exporting.workbook import MAX_CELLS, MAX_COLUMNS, MAX_ROWS, Workbook
from domain.errors import Invalid
from projections import streams
from projections.directory import queries as directory_queries
from projections.directory import whole_list as directory_list
from projections.directory.queries import DirectoryListQuery
from projections.opportunities import whole_list as deals_list
from projections.opportunities.list_query import OpportunityListQuery

Format = Literal["csv", "ndjson", "xlsx", "history"]
SUFFIXES: dict[str, str] = {"csv": "csv", "ndjson": "ndjson", "xlsx": "xlsx", "history": "history.ndjson"}
CUSTOM_COLUMNS = 1_000
"""As many as a file to import may have."""
_keys = msgspec.json.Decoder(list[dict[str, Any]]).decode


class Export(Struct, frozen=True, kw_only=True):
    """What is asked: all of a list, as a file. ``raw`` and ``bom`` are of CSV; ``fields`` are of all but ``history``, which has
    every event of the records."""

    query: OpportunityListQuery | DirectoryListQuery
    format: Format = "csv"
    fields: tuple[str, ...] = ()
    raw: bool = False
    bom: bool = False

    @property
    def kind(self) -> Kind:
        kinds: dict[str, Kind] = {"account": "accounts", "contact": "contacts"}
        return "opportunities" if isinstance(self.query, OpportunityListQuery) else kinds[self.query.kind]


class Written(Protocol):
    """A file in the making."""

    @property
    def media_type(self) -> str: ...

    def begin(self) -> bytes: ...

    def rows(self, items: Any) -> bytes: ...

    def end(self) -> bytes: ...


MEDIA_TYPES: dict[str, str] = {
    "csv": Csv.media_type, "ndjson": ObjectLines.media_type, "xlsx": Workbook.media_type, "history": history.MEDIA_TYPE
}  # fmt: skip


def pieces(export: Export, snapshot: Snapshot) -> Iterator[Piece]:
    """The file in pieces; the first one comes before any record. Raises ``Invalid`` before it if the file could not hold the list,
    and ``Unavailable``."""
    if export.format == "history":
        yield from _history(export, snapshot)
        return
    written = _written(export, snapshot)
    yield Piece(written.begin())
    query = export.query
    if isinstance(query, OpportunityListQuery):
        statement = deals_list.rows(query)
    else:
        statement = directory_list.rows(query, table=export.format != "ndjson")
    for found in snapshot.parts(statement):
        yield Piece(written.rows([item for (item,) in found]), len(found))
    yield Piece(written.end())


def _history(export: Export, snapshot: Snapshot) -> Iterator[Piece]:
    if export.fields:
        raise Invalid({"fields": ["A file with history has every event as it is: leave out fields."]})
    yield from history.pieces(export.query, export.kind, snapshot)


def count(export: Export, snapshot: Snapshot) -> int:
    """How many records it will have."""
    query = export.query
    if export.format == "history":
        whole: int = snapshot.rows(streams.count(query))[0][0]
        return whole
    counting = deals_list.count(query) if isinstance(query, OpportunityListQuery) else directory_list.count(query)
    found: int = snapshot.rows(counting)[0][0]
    return found


def _written(export: Export, snapshot: Snapshot) -> Written:
    if export.format == "ndjson":
        return ObjectLines(export.fields)
    sheet = Sheet(export.kind, export.fields, _custom_keys(export, snapshot))
    if export.format == "csv":
        return Csv(sheet, raw=export.raw, bom=export.bom)
    require_room(count(export, snapshot), len(sheet.names))
    return Workbook(sheet, export.kind)


def require_room(rows: int, columns: int) -> None:
    """Raises ``Invalid`` if a sheet cannot hold it."""
    instead = "Use format=csv or ndjson, or filter the list."
    if rows > MAX_ROWS:
        raise Invalid({"format": [f"An XLSX sheet has at most {MAX_ROWS:,} rows; this list has {rows:,}. {instead}"]})
    if columns > MAX_COLUMNS or rows * columns > MAX_CELLS:
        raise Invalid({"format": [f"An XLSX file here has at most {MAX_CELLS:,} cells; this has {rows * columns:,}. {instead}"]})


def _custom_keys(export: Export, snapshot: Snapshot) -> list[str]:
    """Those that are defined, in their order, then others that records on the list have. Raises ``Invalid`` if these are too
    many."""
    query = export.query
    if export.kind == "contacts" or (export.fields and "custom_fields" not in export.fields):
        return []
    found = snapshot.rows(directory_queries.settings(query.org_id, "custom_field")) if export.kind == "opportunities" else []
    defined = [one["key"] for one in _keys(found[0][1])] if found else []
    most = CUSTOM_COLUMNS + 1
    if isinstance(query, OpportunityListQuery):
        used = snapshot.rows(deals_list.custom_keys(query, most))
    else:
        used = snapshot.rows(directory_list.custom_keys(query, most))
    keys = list(dict.fromkeys([*defined, *(key for (key,) in used)]))
    if len(keys) > CUSTOM_COLUMNS:
        few = f"A table has at most {CUSTOM_COLUMNS:,} columns of custom fields, and these records have more of them."
        raise Invalid({"format": [f"{few} Use format=ndjson, or name other fields."]})
    return keys
