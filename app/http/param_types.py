"""The types of values in a query string: how each is parsed, described to people and described in OpenAPI.

Values that PostgreSQL cannot store are refused, so that no parameter can make a statement fail.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from domain.money import decimals
from domain.text import caseless, nfc

MAX_TEXT = 255

_DATE = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)
_INSTANT = re.compile(r"\d{4}-\d{2}-\d{2}[Tt ]\d{2}:\d{2}(:\d{2}(\.\d{1,6})?)?([Zz]|[+\- ]\d{2}:\d{2})", re.ASCII)
_NUMBER = re.compile(r"[+-]?\d{1,40}(\.\d{1,40})?", re.ASCII)
_INTEGER = re.compile(r"[+-]?\d{1,9}", re.ASCII)
_UUID = re.compile(r"[0-9a-f]{8}-?([0-9a-f]{4}-?){3}[0-9a-f]{12}", re.ASCII | re.IGNORECASE)
_EMAIL = re.compile(r"[^\s@]+@[^\s@]+")
_BOOL = {"true": True, "1": True, "false": False, "0": False}


@dataclass(frozen=True)
class ParamType:
    """``read`` turns a string into a value or raises ``ValueError``; ``split`` says whether commas separate values, and ``whole``
    whether a text with commas is a value too."""

    read: Callable[[str], Any]
    words: str
    schema: Mapping[str, object] = field(default_factory=lambda: {"type": "string"})
    split: bool = True
    whole: bool = False


def _matched(pattern: re.Pattern[str], text: str) -> str:
    if not pattern.fullmatch(text):
        raise ValueError(text)
    return text


def _text(text: str) -> str:
    if len(text) > MAX_TEXT or "\0" in text:
        raise ValueError
    return nfc(text)


def _date(text: str) -> date:
    return date.fromisoformat(_matched(_DATE, text))


def instant(text: str) -> datetime:
    """A moment with its zone, in UTC. An unescaped "+", which arrives as a space, is accepted."""
    _matched(_INSTANT, text)
    try:
        return datetime.fromisoformat(text[:11] + text[11:].replace(" ", "+").upper()).astimezone(UTC)
    except OverflowError as error:
        raise ValueError(text) from error


def _instant_or_date(text: str) -> date:
    return _date(text) if _DATE.fullmatch(text) else instant(text)


def _currency(text: str) -> str:
    code = text.upper()
    if not code.isascii() or len(code) != 3 or decimals(code) is None:
        raise ValueError(text)
    return code


def _user(text: str) -> UUID | str:
    """An id, an email address in the form that is looked up, or ``me``."""
    if _UUID.fullmatch(text):
        return UUID(text)
    if text != "me":
        _matched(_EMAIL, _text(text))
    return caseless(text)


def choice(*options: str) -> ParamType:
    def read(text: str) -> str:
        if text not in options:
            raise ValueError(text)
        return text

    return ParamType(read, f"Must be one of: {', '.join(options)}.", {"type": "string", "enum": list(options)})


TEXT = ParamType(
    _text,
    f"Must be a string of at most {MAX_TEXT} characters, without NUL.",
    {"type": "string", "minLength": 1, "maxLength": MAX_TEXT},
)
PHRASE = ParamType(_text, TEXT.words, {"type": "string", "maxLength": MAX_TEXT}, split=False)
EXTERNAL_ID = ParamType(lambda text: _text(text).strip(), TEXT.words, TEXT.schema, whole=True)
ID = ParamType(
    lambda text: UUID(_matched(_UUID, text)),
    "Must be an id, such as 0197a3c2-7d1e-7b5a-8c3f-2f1e5d6a7b8c.",
    {"type": "string", "format": "uuid"},
)
USER = ParamType(_user, "Must be a user's id, an email address or `me`.", {"type": "string", "minLength": 2})
CURRENCY = ParamType(_currency, "Must be an ISO 4217 code, such as USD.", {"type": "string", "pattern": "^[A-Za-z]{3}$"})
EMAIL = ParamType(
    lambda text: caseless(_matched(_EMAIL, _text(text))),
    "Must be an email address.",
    {"type": "string", "format": "email"},
)
DATE = ParamType(_date, "Must be a date such as 2026-06-30.", {"type": "string", "format": "date"})
INSTANT = ParamType(
    _instant_or_date,
    "Must be an instant such as 2026-06-30T12:00:00Z, or a date.",
    {"type": "string", "anyOf": [{"format": "date-time"}, {"format": "date"}]},
)
NUMBER = ParamType(lambda text: Decimal(_matched(_NUMBER, text)), "Must be a number, such as 24000 or 0.5.", {"type": "number"})
INTEGER = ParamType(lambda text: int(_matched(_INTEGER, text)), "Must be a whole number.", {"type": "integer"})
BOOL = ParamType(lambda text: _BOOL[text.lower()], "Must be true or false.", {"type": "boolean"})
