"""Limits of the values that records share (text, tags, email, dates), and the messages that explain them.

A limit stands on the type of a command's field, ``name: Line``: there the documents and the decision find it (``limit_errors``). It
is not a constraint of msgspec's own, which would count a text before it is in normal form, refuse a body before a decision can name
everything else that is wrong with it, and fail to read an event that was stored under a wider limit.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime
from functools import cache, partial
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin
from uuid import UUID

from email_validator import EmailNotValidError, validate_email
from msgspec import Meta, Struct, structs

from domain.errors import Errors
from domain.text import LINE_PATTERN, breaking, is_blank

MAX_NAME = 255
MAX_EMAIL = 254
"""From RFC 5321."""
MAX_TEXT = 10_000
MAX_TAGS = 50
MAX_TAG = 64
MAX_STAKEHOLDERS = 100
MAX_CUSTOM_FIELDS = 100
MAX_KEY = 64
YEARS = range(1900, 2200)

# Limits of lists in commands; a body with a longer list is refused before its items are checked.
StakeholderIds = Annotated[tuple[UUID, ...], Meta(max_length=MAX_STAKEHOLDERS)]
Tags = Annotated[tuple[str, ...], Meta(max_length=MAX_TAGS)]
CustomFields = Annotated[dict[str, Any], Meta(max_length=MAX_CUSTOM_FIELDS)]

KEY_PATTERN = f"[a-z][a-z0-9_]{{0,{MAX_KEY - 1}}}"
_KEY = re.compile(KEY_PATTERN)
REQUIRED = "This field is required."


def text_error(value: str | None, limit: int = MAX_TEXT, *, blank: bool = False) -> str | None:
    """Why a text cannot be kept: blank (unless allowed), longer than ``limit`` or with a NUL character."""
    if value is None:
        return None
    if not blank and is_blank(value):
        return "Must contain a visible character." if value.strip() else "Must not be blank."
    if len(value) > limit:
        return f"Must have at most {limit} characters; got {len(value)}."
    if "\0" in value:
        return "Must not contain the NUL character."
    return None


def line_error(value: str | None, limit: int = MAX_NAME) -> str | None:
    """As ``text_error``, for a field of one line: a name, a title, a subject, a label."""
    if value is not None and (character := breaking(value)):
        return f"Must be one line, without control characters and direction overrides; this has U+{ord(character):04X}."
    return text_error(value, limit)


def key_error(key: str) -> str | None:
    """Why a text cannot be the key of a stage or a custom field."""
    if _KEY.fullmatch(key):
        return None
    return "Must be at most 64 lower-case letters, digits and underscores, beginning with a letter."


def tags_error(tags: Sequence[str]) -> str | None:
    if len(tags) > MAX_TAGS:
        return f"At most {MAX_TAGS} tags; got {len(tags)}."
    for tag in tags:
        if message := line_error(tag, MAX_TAG):
            return f"Tag {tag[:MAX_TAG]!r}: {message}"
        if "," in tag:
            return f"Tag {tag!r}: must not contain a comma, which separates tags in filters."
    return None


def email_error(value: str) -> str | None:
    """Why a text is not an email address. Only its form is checked."""
    try:
        validate_email(value, check_deliverability=False, test_environment=True)
    except EmailNotValidError as error:
        return str(error)
    return None


def date_error(value: date | None) -> str | None:
    """Why a date cannot be kept: its year is most likely a typo."""
    if value is None or value.year in YEARS:
        return None
    return f"Must be a year from {YEARS.start} to {YEARS.stop - 1}."


def instant_error(value: datetime | None) -> str | None:
    """Why a time cannot be kept: it has no time zone, or a year as in ``date_error``."""
    if value is not None and value.tzinfo is None:
        return "Must have a time zone, such as 2026-03-01T10:00:00Z."
    return date_error(value)


def number_error(value: int | None, least: int, most: int) -> str | None:
    return None if value is None or least <= value <= most else f"Must be from {least} to {most}."


Check = Callable[[Any], str | None]
"""Why a value of a field, in normal form, cannot be kept; None if it can, or if the value is None."""


def limit(check: Check, **schema: Any) -> Meta:
    """A limit for a type: ``check`` enforces it, ``schema`` describes it in JSON Schema."""
    return Meta(extra_json_schema=schema, extra={"check": check})


def one_line(max_length: int = MAX_NAME) -> Meta:
    return limit(partial(line_error, limit=max_length), minLength=1, maxLength=max_length, pattern=LINE_PATTERN)


def text(max_length: int = MAX_TEXT, *, blank: bool = False) -> Meta:
    visible = {} if blank else {"minLength": 1, "pattern": r"\S"}
    return limit(partial(text_error, limit=max_length, blank=blank), maxLength=max_length, **visible)


def _address_error(value: str | None) -> str | None:
    return line_error(value) or (email_error(value) if value is not None else None)


Line = Annotated[str, one_line()]
Text = Annotated[str, text()]
Note = Annotated[str, text(blank=True)]
Key = Annotated[str, limit(key_error, pattern=f"^{KEY_PATTERN}$")]
Email = Annotated[str, limit(_address_error, maxLength=MAX_EMAIL, pattern=LINE_PATTERN, format="email")]
Day = Annotated[date, limit(date_error)]
Percent = Annotated[int, limit(partial(number_error, least=0, most=100), minimum=0, maximum=100)]


@cache
def checks(struct: type[Struct]) -> Mapping[str, Check]:
    """The checks of those fields of a struct whose types have limits."""
    found = {field.name: _check_of(field.type) for field in structs.fields(struct)}
    return {name: check for name, check in found.items() if check is not None}


def _check_of(type_: Any) -> Check | None:
    if get_origin(type_) is Annotated:
        extras = [note.extra or {} for note in get_args(type_)[1:] if isinstance(note, Meta)]
        return next((extra["check"] for extra in extras if "check" in extra), None)
    if get_origin(type_) in (Union, UnionType):
        return next((check for one in get_args(type_) if (check := _check_of(one)) is not None), None)
    return None


def limit_errors(values: Mapping[str, Any], struct: type[Struct]) -> Errors:
    """What is wrong with the values, by field, according to the limits of the struct's types."""
    limits = checks(struct)
    return {name: [message] for name, value in values.items() if name in limits and (message := limits[name](value))}
