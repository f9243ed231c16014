"""What a file is and how it would be imported: its form, its columns, a suggested mapping, and what its texts probably mean."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from itertools import islice
from typing import Any, BinaryIO

from msgspec import Struct, structs

from app.importing import deals, directory_rows, new_fields, own_files
from app.importing.cells import Cells
from app.importing.faults import Fault
from app.importing.options import Kind, MatchOn, Options, Source
from app.importing.presets import DATE_ENTERED, PRESETS, Preset, recognised, suggested
from app.importing.profile import Column, Profile, profile, text_of
from app.importing.table import Form, Table, understand
from app.importing.vocabulary import Vocabulary, outcome_of
from domain.money import decimals

SHOWN = 5
"""Rows that are shown as they would become."""
MAX_SHOWN = 1_000
"""Characters of a value there."""
MAX_VALUES = 200
"""Distinct texts of a field that are listed."""


class Preview(Struct, frozen=True):
    """A row as it would become: the fields of a record, or what is wrong."""

    line: int
    values: dict[str, Any]
    faults: tuple[Fault, ...]


class Inspection(Struct, frozen=True, kw_only=True):
    """``texts``: by field, each text of the file with what it would mean; None where a person must say it."""

    form: Form
    rows: int
    footer_line: int | None
    columns: tuple[Column, ...]
    ambiguous_dates: bool
    preset: str | None
    options: Options
    texts: dict[str, dict[str, str | None]]
    preview: tuple[Preview, ...] = ()


def inspect(file: BinaryIO, kind: Kind, options: Options, vocabulary: Vocabulary, now: datetime) -> tuple[Table, Inspection]:
    """Raises ``Unreadable``. What ``options`` say is kept; what they leave out is suggested."""
    table = understand(file, form_of(options))
    found = profile(table)
    preset = PRESETS[options.preset] if options.preset in PRESETS else recognised(kind, table.columns)
    mapping = dict(options.mapping) or _mapping(kind, found, preset, vocabulary)
    if options.create_missing.custom_fields and kind in ("opportunities", "accounts"):
        mapping |= new_fields.mapped(mapping, found.columns)
    texts = _texts(mapping, found, options, preset, vocabulary)
    full = structs.replace(
        options,
        preset=preset.name if preset else None,
        mapping=mapping,
        values=_meanings(texts, options),
        match_on=_match_on(kind, mapping, options),
        locale="de" if options.locale == "en" and found.mark == "," else options.locale,
        date_order=found.order or options.date_order,
    )
    return table, Inspection(
        form=table.form,
        rows=found.rows,
        footer_line=found.footer_line,
        columns=tuple(_short(column) for column in found.columns),
        ambiguous_dates=found.ambiguous_dates,
        preset=full.preset,
        options=full,
        texts=texts,
        preview=tuple(_previews(table, kind, full, vocabulary, now)),
    )


def _previews(table: Table, kind: Kind, options: Options, vocabulary: Vocabulary, now: datetime) -> Iterator[Preview]:
    cells = Cells(table.columns, options, table.form.format)
    for row in islice(table.rows(), SHOWN):
        if kind == "opportunities":
            deal = deals.read(cells, row, vocabulary, now)
            values = {**deal.values, "account": deal.account, "stage": deal.stage.key, "currency": deal.currency} if deal else {}
        else:
            entry = directory_rows.read(kind, cells, row, vocabulary, now)
            values = entry.values if entry else {}
        yield Preview(row.line, {name: _shortened(value) for name, value in values.items()}, tuple(cells.faults))


def _shortened(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _shortened(one) for key, one in value.items()}
    return value if not isinstance(value, str) or len(value) <= MAX_SHOWN else f"{value[:MAX_SHOWN]}…"


def form_of(options: Options) -> Form | None:
    """What the options say of the file's form."""
    if not (options.encoding or options.separator or options.sheet or options.header_row):
        return None
    return Form(
        "csv", encoding=options.encoding, separator=options.separator, sheet=options.sheet, header_row=options.header_row or 0
    )


def _mapping(kind: Kind, found: Profile, preset: Preset | None, vocabulary: Vocabulary) -> dict[str, Source]:
    mapping = suggested(kind, [column.name for column in found.columns], preset)
    if kind in ("opportunities", "accounts"):
        mapping = {**own_files.custom_fields(column.name for column in found.columns), **mapping}
    if kind != "opportunities":
        return mapping
    taken = {source for source in mapping.values() if isinstance(source, str)}
    for column in found.columns:
        if (entered := DATE_ENTERED.match(column.name)) and (key := vocabulary.likely_stage(entered["stage"])):
            mapping.setdefault(f"entered:{key}", column.name)
        elif column.name not in taken and column.distinct:
            texts = [text for text in column.distinct if text]
            if "currency" not in mapping and all(decimals(text) is not None for text in texts):
                mapping["currency"] = column.name
            elif "stage" not in mapping and all(vocabulary.stage(text) for text in texts):
                mapping["stage"] = column.name
            elif "status" not in mapping and all(outcome_of(text) for text in texts):
                mapping["status"] = column.name
    return mapping


def _texts(
    mapping: dict[str, Source], found: Profile, options: Options, preset: Preset | None, vocabulary: Vocabulary
) -> dict[str, dict[str, str | None]]:
    columns = {column.name: column for column in found.columns}
    texts: dict[str, dict[str, str | None]] = {}
    for name in ("stage", "status", "owner", "currency"):
        column = columns.get(source) if isinstance(source := mapping.get(name), str) else None
        if column is None or column.distinct is None:
            continue
        known = {**(preset.values.get(name, {}) if preset else {}), **options.values.get(name, {})}
        listed = sorted(column.distinct, key=lambda text, seen=column.distinct: -seen[text])[:MAX_VALUES]  # type: ignore[misc]
        texts[name] = {text: known.get(text, _meant(name, text, vocabulary)) for text in listed}
    return texts


def _meant(name: str, text: str, vocabulary: Vocabulary) -> str | None:
    match name:
        case "stage":
            return vocabulary.likely_stage(text)
        case "owner":
            found = vocabulary.person(text)
            return next((one.email for one in vocabulary.people if one.id == found), None)
        case "status":
            return outcome_of(text)
        case _:
            return text.upper() if decimals(text.upper()) is not None else None


def _meanings(texts: dict[str, dict[str, str | None]], options: Options) -> dict[str, dict[str, str]]:
    """The suggestions as values of the options, without those that say nothing new."""
    meanings = {name: dict(given) for name, given in options.values.items()}
    for name, found in texts.items():
        for text, meant in found.items():
            if meant is not None and meant != text:
                meanings.setdefault(name, {}).setdefault(text, meant)
    return meanings


def _match_on(kind: Kind, mapping: dict[str, Source], options: Options) -> MatchOn:
    """By the external id if the file has one."""
    if kind == "users":
        return "email"
    if options.match_on != "external_id" or "external_id" in mapping:
        return options.match_on
    instead: dict[Kind, MatchOn] = {"opportunities": "name+account", "accounts": "name", "contacts": "email"}
    return instead[kind]


def _short(column: Column) -> Column:
    """A column as it is shown, with few distinct texts."""
    distinct = column.distinct if column.distinct is not None and len(column.distinct) <= MAX_VALUES else None
    return structs.replace(column, distinct=distinct, samples=tuple(text_of(one)[:100] for one in column.samples))
