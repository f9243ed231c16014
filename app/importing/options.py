"""What a person says about an import: which column gives which field, what texts of the file mean, and what to do with records that
are there already."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from msgspec import Struct, field

from app.importing.date_form import Order
from app.importing.number_form import mark_of
from domain.did_you_mean import nearest
from domain.errors import Errors
from domain.fields import KEY_PATTERN

Kind = Literal["opportunities", "accounts", "contacts", "users"]
MatchOn = Literal["external_id", "name+account", "name", "email", "none"]
OnMatch = Literal["update", "skip", "fail"]

FIELDS: Mapping[Kind, tuple[str, ...]] = {
    "opportunities": (
        "name", "external_id", "account", "account_external_id", "amount", "currency", "stage", "status", "probability",
        "close_date", "owner", "contacts", "tags", "next_step", "actual_amount", "actual_close_date", "lost_reason",
        "created_at", "closed_at",
    ),
    "accounts": ("name", "external_id", "domain", "created_at"),
    "contacts": (
        "first_name", "last_name", "name", "email", "phone", "title", "account", "account_external_id", "external_id", "created_at",
    ),
    "users": ("email", "name", "role", "active"),
}  # fmt: skip
MATCHES: Mapping[Kind, tuple[MatchOn, ...]] = {
    "opportunities": ("external_id", "name+account", "none"),
    "accounts": ("external_id", "name", "none"),
    "contacts": ("external_id", "email", "none"),
    "users": ("email",),
}
CUSTOM = re.compile(f"cf_({KEY_PATTERN})")
ENTERED = re.compile(r"entered:(.{1,64})")
NAMED_VALUES = ("stage", "owner", "currency", "lost_reason", "status", "role")
MAX_FIELDS = 1_200
_PLACES = re.compile(r"\{([^{}]+)\}")


class Made(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """A value that no column has: ``template`` puts columns together, as ``{Account} — {Product}`` does; ``value`` is for all."""

    template: str | None = None
    value: str | None = None

    def columns(self) -> list[str]:
        return _PLACES.findall(self.template or "")


Source = str | Made
"""The name of a column, or what is made."""


class CreateMissing(Struct, frozen=True, forbid_unknown_fields=True):
    """What a row may create: records, tags that no deal has, and custom fields of the columns that give nothing else. A file with
    history may also create the stages, custom fields and exchange rates that the org does not have."""

    accounts: bool = True
    contacts: bool = True
    tags: bool = True
    custom_fields: bool = False
    stages: bool = False
    exchange_rates: bool = False


class Options(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """``values``: by field, text in the file → key of a stage, email or id of a user, and so on; "" makes nothing of a text.
    ``defaults``: by field, the text for empty cells. ``time_zone`` is that of times without one. With ``all_or_nothing``, a row
    that fails ends the import, and what was done is undone."""

    preset: str | None = None
    mapping: dict[str, Source] = field(default_factory=dict)
    values: dict[str, dict[str, str]] = field(default_factory=dict)
    match_on: MatchOn = "external_id"
    on_match: OnMatch = "update"
    create_missing: CreateMissing = CreateMissing()
    defaults: dict[str, str] = field(default_factory=dict)
    webhooks: bool = False
    all_or_nothing: bool = False
    locale: str = "en"
    date_order: Order = "mdy"
    time_zone: str = "UTC"
    encoding: str | None = None
    separator: str | None = None
    sheet: str | None = None
    header_row: int | None = None


def errors_of(options: Options, kind: Kind, columns: Collection[str], stages: Collection[str]) -> Errors:
    """What is wrong with the options for a file with these columns, by path."""
    errors: Errors = {}
    known = FIELDS[kind]
    for name, source in options.mapping.items():
        if message := _field_error(name, kind, stages) or _source_error(source, columns):
            errors[f"mapping.{name[:80]}"] = [message]
    for name, texts in options.values.items():
        if name not in NAMED_VALUES:
            errors[f"values.{name[:80]}"] = [f"Texts of this field have no other meaning. {nearest(name, NAMED_VALUES)}"]
        elif name == "stage" and (wrong := [key for key in texts.values() if key and key not in stages]):
            errors[f"values.{name}"] = [f"There is no stage {wrong[0][:64]!r}. {nearest(wrong[0][:64], stages)}"]
    for name in options.defaults:
        if name not in known and not CUSTOM.fullmatch(name):
            errors[f"defaults.{name[:80]}"] = [f"Unknown field. {nearest(name, known)}"]
    if options.match_on not in MATCHES[kind]:
        errors["match_on"] = [f"Of {kind} it is one of: {', '.join(MATCHES[kind])}."]
    return errors | _form_errors(options)


def _form_errors(options: Options) -> Errors:
    errors: Errors = {}
    if len(options.mapping) > MAX_FIELDS:
        errors["mapping"] = [f"At most {MAX_FIELDS} fields; got {len(options.mapping)}."]
    if options.separator is not None and len(options.separator) != 1:
        errors["separator"] = ["Must be one character."]
    try:
        mark_of(options.locale)
    except ValueError as error:
        errors["locale"] = [str(error)]
    if zone(options.time_zone) is None:
        errors["time_zone"] = [f"There is no time zone {options.time_zone[:40]!r}, such as Europe/Berlin."]
    return errors


def zone(name: str) -> ZoneInfo | None:
    try:
        return ZoneInfo(name[:64])
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return None


def _source_error(source: Source, columns: Collection[str]) -> str | None:
    if missing := [one for one in _columns(source) if one not in columns]:
        return f"There is no column {missing[0][:80]!r}. {nearest(missing[0], columns)}"
    if isinstance(source, Made) and (source.template is None) == (source.value is None):
        return "Must be a column, a template or a value."
    return None


def _columns(source: Source) -> list[str]:
    return source.columns() if isinstance(source, Made) else [source]


def _field_error(name: str, kind: Kind, stages: Collection[str]) -> str | None:
    if name in FIELDS[kind] or (CUSTOM.fullmatch(name) and kind in ("opportunities", "accounts")):
        return None
    if kind == "opportunities" and (entered := ENTERED.fullmatch(name)):
        return None if entered[1] in stages else f"There is no stage {entered[1]!r}. {nearest(entered[1], stages)}"
    return f"Unknown field of {kind}. {nearest(name[:64], FIELDS[kind])}"
