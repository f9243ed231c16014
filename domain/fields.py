"""Limits of the values that records share (text, tags, email, dates) and the sentences that explain them.

Refuses to look anything up: a check here says what is wrong with a value, or nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime
from typing import Annotated, Any
from uuid import UUID

from email_validator import EmailNotValidError, validate_email
from msgspec import Meta

from domain.errors import Errors
from domain.text import breaking, is_blank

MAX_NAME = 255
MAX_EMAIL = 254
"""As RFC 5321 has it."""
MAX_TEXT = 10_000
MAX_TAGS = 50
MAX_TAG = 64
MAX_STAKEHOLDERS = 100
MAX_CUSTOM_FIELDS = 100
MAX_KEY = 64
YEARS = range(1900, 2200)

# What a command may list; a body that lists more is refused before its items are looked at.
StakeholderIds = Annotated[tuple[UUID, ...], Meta(max_length=MAX_STAKEHOLDERS)]
Tags = Annotated[tuple[str, ...], Meta(max_length=MAX_TAGS)]
CustomFields = Annotated[dict[str, Any], Meta(max_length=MAX_CUSTOM_FIELDS)]

_KEY = re.compile(r"[a-z][a-z0-9_]{0,63}")
REQUIRED = "This field is required."


def text_error(value: str | None, limit: int = MAX_TEXT, *, blank: bool = False) -> str | None:
    """Why a text cannot be kept: blank (unless allowed), longer than ``limit`` or with a NUL character."""
    if value is None:
        return None
    if not blank and is_blank(value):
        return "Must have a character that can be seen." if value.strip() else "Must not be blank."
    if len(value) > limit:
        return f"Must have at most {limit} characters; this has {len(value)}."
    if "\0" in value:
        return "Must not contain the NUL character."
    return None


def line_error(value: str | None, limit: int = MAX_NAME) -> str | None:
    """As ``text_error`` of a field of one line: a name, a title, a subject, a label."""
    if value is not None and (character := breaking(value)):
        return f"Must be one line, without control characters and direction overrides; this has U+{ord(character):04X}."
    return text_error(value, limit)


def key_error(key: str) -> str | None:
    """Why a text cannot be the key of a stage or a custom field."""
    if _KEY.fullmatch(key):
        return None
    return "Must be at most 64 lower-case letters, digits and underscores, beginning with a letter."


def line_errors(values: Mapping[str, Any], names: Iterable[str]) -> Errors:
    """What is wrong with those of the values, by field, that are lines."""
    return {name: [message] for name in names if name in values and (message := line_error(values[name]))}


def tags_error(tags: Sequence[str]) -> str | None:
    if len(tags) > MAX_TAGS:
        return f"At most {MAX_TAGS} tags; these are {len(tags)}."
    for tag in tags:
        if message := line_error(tag, MAX_TAG):
            return f"Tag {tag[:MAX_TAG]!r}: {message}"
        if "," in tag:
            return f"Tag {tag!r}: must not contain a comma, which separates tags in filters."
    return None


def email_error(value: str) -> str | None:
    """Why a text is not an email address. Looks nothing up."""
    try:
        validate_email(value, check_deliverability=False, test_environment=True)
    except EmailNotValidError as error:
        return str(error)
    return None


def date_error(value: date | None) -> str | None:
    """Why a date cannot be kept: a year that is a slip of the pen."""
    if value is None or value.year in YEARS:
        return None
    return f"Must be a year from {YEARS.start} to {YEARS.stop - 1}."


def instant_error(value: datetime | None) -> str | None:
    """Why a time cannot be kept: without a time zone, or of a year as in ``date_error``."""
    if value is not None and value.tzinfo is None:
        return "Must have a time zone, such as 2026-03-01T10:00:00Z."
    return date_error(value)
