"""What the value of a custom field may be, by the type of its definition, and the bounds of a value without a definition.

Only changed values are checked: what was valid when it was written stays, whatever happens to its definition.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any

import msgspec

from domain.custom_field import MAX_OPTIONS, Definition
from domain.did_you_mean import nearest
from domain.errors import Errors
from domain.fields import MAX_CUSTOM_FIELDS, MAX_KEY, MAX_NAME, MAX_TEXT, REQUIRED, text_error
from domain.text import is_blank, json_nfc, nfc, normal

MAX_DEPTH = 8
MAX_BYTES = 16_384
MAX_NUMBER = 10**15


def merged(old: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Values after a change by key; None removes a key."""
    return {key: value for key, value in {**old, **changes}.items() if value is not None}


def checked(
    definitions: Mapping[str, Definition],
    kept: Mapping[str, Any],
    wanted: Mapping[str, Any],
    errors: Errors,
    *,
    strict: bool = False,
) -> dict[str, Any]:
    """The wanted values, by key, that differ from those kept; None removes. Errors are added to ``errors``.

    A key without a definition may have any JSON of bounded size and depth, unless ``strict``.
    """
    new: dict[str, Any] = {}
    free = False
    for given_key, given in wanted.items():
        key = given_key if given_key in kept else nfc(given_key)
        definition = definitions.get(key)
        value = normal(given) if definition is not None and isinstance(given, str) else json_nfc(given)
        if _same(given, kept.get(key)) or _same(value, kept.get(key)):
            continue
        if definition is not None:
            message = value_error(definition, value)
        elif value is None:
            message = None
        elif strict:
            message = f"There is no custom field with this key. {nearest(key, definitions)}"
        else:
            free, message = True, _free_error(key, value)
        if message:
            errors[f"custom_fields.{key[:MAX_KEY]}"] = [message]
        else:
            new[key] = list(dict.fromkeys(value)) if definition and definition.type == "multiselect" and value else value
    if new and (message := _size_error(definitions, kept, new, free=free)):
        errors["custom_fields"] = [message]
    return new


def _same(value: Any, kept: Any) -> bool:
    """Whether two JSON values are equal; unlike in Python, true is not 1."""
    if value != kept:
        return False
    if isinstance(value, dict | list):
        return _encode(value) == _encode(kept)
    return isinstance(value, bool) == isinstance(kept, bool)


_encode = msgspec.json.Encoder(order="sorted").encode


def _size_error(
    definitions: Mapping[str, Definition], kept: Mapping[str, Any], new: Mapping[str, Any], *, free: bool
) -> str | None:
    if not free and len(kept) + len(new) <= MAX_CUSTOM_FIELDS:
        return None
    values = merged(kept, new)
    if len(values) > max(MAX_CUSTOM_FIELDS, len(kept)):
        return f"At most {MAX_CUSTOM_FIELDS} custom fields on a record; this makes {len(values)}."
    size = len(_encode({key: value for key, value in values.items() if key not in definitions})) if free else 0
    if size > MAX_BYTES:
        return f"Values without a definition have at most {MAX_BYTES} bytes of JSON together; this makes {size}."
    return None


def value_error(definition: Definition, value: Any) -> str | None:
    """Why a JSON value is not valid for the field. None is the absence of a value."""
    if value is None or (definition.required and is_empty(value)):
        return REQUIRED if definition.required else None
    match definition.type:
        case "text" | "textarea":
            limit = MAX_NAME if definition.type == "text" else MAX_TEXT
            return text_error(value, limit, blank=True) if isinstance(value, str) else "Must be a string."
        case "number":
            return _number_error(value)
        case "checkbox":
            return None if isinstance(value, bool) else "Must be true or false."
        case "date":
            return None if _is_date(value) else "Must be a date such as 2026-06-30."
        case "dropdown":
            return _option_error(definition, [value])
        case "multiselect":
            return _option_error(definition, value) if isinstance(value, list) else "Must be a list of options."


def _number_error(value: Any) -> str | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return "Must be a number, without quotes."
    return None if abs(value) < MAX_NUMBER else "Must have at most 15 digits before the decimal point."


def is_empty(value: Any) -> bool:
    """Whether a value counts as missing when one is required; 0 and false are values."""
    return value is None or value in ((), []) or (isinstance(value, str) and is_blank(value))


_DATE = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)


def _is_date(value: Any) -> bool:
    if not isinstance(value, str) or not _DATE.fullmatch(value):
        return False
    try:
        date.fromisoformat(value)
    except ValueError:
        return False
    return True


def _option_error(definition: Definition, chosen: Sequence[Any]) -> str | None:
    if len(chosen) > MAX_OPTIONS:
        return f"At most {MAX_OPTIONS} options; got {len(chosen)}."
    options = [nfc(option) for option in definition.option_values()]
    for value in chosen:
        if value not in options:
            return f"{str(value)[:MAX_KEY]!r} is not an option. {nearest(str(value)[:MAX_KEY], options)}"
    return None


def _free_error(key: str, value: Any) -> str | None:
    """Why a value cannot be kept under a key without a definition."""
    if message := text_error(key, MAX_KEY):
        return f"The key: {message}"
    return json_error(value)


def json_error(value: Any, depth: int = 1) -> str | None:
    """Why a JSON value cannot be kept under any key: too deep, a NUL character, or a number too large."""
    if isinstance(value, str):
        return "Must not contain the NUL character." if "\0" in value else None
    if isinstance(value, int):
        return None if -(10**18) < value < 10**18 else "A whole number must have at most 18 digits."
    if not isinstance(value, dict | list):
        return None
    if depth > MAX_DEPTH:
        return f"Must not be nested deeper than {MAX_DEPTH} levels."
    inner = [*value, *value.values()] if isinstance(value, dict) else value
    return next((message for one in inner if (message := json_error(one, depth + 1))), None)


def history_errors(kept: Mapping[str, Any] | None, given: Mapping[str, Any]) -> Errors:
    """What no record can have, whatever was defined when it was written. ``kept`` are the values before, None for a new record."""
    errors: Errors = {}
    for key, value in given.items():
        if value is None and kept is None:
            errors[f"custom_fields.{key[:MAX_KEY]}"] = ["A new record has no fields without a value."]
        elif message := _free_error(key, value):
            errors[f"custom_fields.{key[:MAX_KEY]}"] = [message]
    if given and (number := len(merged(kept or {}, given))) > MAX_CUSTOM_FIELDS:
        errors["custom_fields"] = [f"At most {MAX_CUSTOM_FIELDS} custom fields on a record; this makes {number}."]
    return errors
