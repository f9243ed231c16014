"""What is wrong with a request's body: every error at once, by field, in words for people.

It parses with the standard library, which says where JSON is broken, and compares with the fields of the command. Slow, and used
for bad bodies only. Values are not repeated in messages, because they may be long or secret.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime
from decimal import Decimal
from itertools import islice
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, NoReturn, Union, get_args, get_origin
from uuid import UUID

import msgspec
from msgspec import Meta, Struct, UnsetType
from msgspec.structs import FieldInfo

from app.http.problems import Refused
from domain.did_you_mean import Hints
from domain.errors import Errors, Invalid

LISTS = (list, tuple, set, frozenset)
MAPS = (dict, Mapping)
MAX_DEPTH = 16
MAX_INTEGER = 10**400
MAX_ERRORS = 50
MAX_KEY = 100
MAX_ITEMS = 10_000
"""In a list or an object whose type sets no lower limit."""
MAX_VALUES = 25_000
"""In one body. The largest useful one is a deal with a hundred fields of two hundred options each."""
MAX_WHOLE = 2**53
NUMBER = re.compile(rb'-?(0|[1-9]\d*)(\.\d+)?([eE][+-]?\d+)?|"[+-]?\d+(\.\d+)?([eE][+-]?\d{1,4})?"|null')
"""A decimal in JSON, as a number or in quotes. Python's Decimal alone would also take 1_000, NaN and non-ASCII digits."""

WORDS: dict[Any, str] = {
    str: "Must be a string.",
    int: "Must be a whole number.",
    float: "Must be a number.",
    Decimal: "Must be a number.",
    bool: "Must be true or false.",
    date: "Must be a date such as 2026-06-30.",
    datetime: "Must be an instant such as 2026-06-30T12:00:00Z.",
    UUID: "Must be the id of a record, such as 0197a3c2-7d1e-7b5a-8c3f-2f1e5d6a7b8c.",
}


_surrogate = re.compile("[\ud800-\udfff]")


class _Malformed(Exception):
    pass


def check(raw: bytes, fields: Mapping[str, FieldInfo], known: frozenset[str], instead: Mapping[str, str]) -> None:
    """Raise ``Invalid`` or ``Refused`` with everything that is wrong with a body, if anything is.

    ``known`` are the keys that it may have, including read-only ones, which are ignored. ``instead`` is as in ``Command``.
    """
    body = _loaded(raw)
    if not isinstance(body, dict):
        raise Refused(400, "malformed_body", 'The body must be a JSON object: {"field": value, …}.')
    if len(body) > MAX_ITEMS:
        raise Refused(400, "malformed_body", f"The body has {len(body)} keys; at most {MAX_ITEMS} are allowed.")
    errors: Errors = {}
    _check_members(body, fields, known, errors)
    for name, field in fields.items():
        if name not in body:
            if field.required or (name in instead and instead[name] not in body):
                errors.setdefault(name, []).append("This field is required.")
        elif name not in errors:
            _check(body[name], field.type, name, errors)
    if errors:
        _tell_of_read_only(body, fields, known, errors)
        raise Invalid({name: messages[:1] for name, messages in islice(errors.items(), MAX_ERRORS)})


def _check_members(body: Mapping[str, Any], fields: Mapping[str, FieldInfo], known: frozenset[str], errors: Errors) -> None:
    """Check the keys, and what holds for values of any type."""
    hints, room = Hints(fields), MAX_VALUES
    for name, value in body.items():
        if _text_error(name):
            raise Refused(400, "malformed_body", "A key has a NUL character or half a surrogate pair.")
        if name not in known:
            if len(errors) < MAX_ERRORS:
                errors.setdefault(name[:MAX_KEY], []).append("Unknown field." + hints.meant(name))
        elif (field := fields.get(name)) is None or not _too_many(value, field.type, name, errors):
            room -= _values_in(value)
            if room >= 0:
                _check_content(value, name, 2, errors)
            else:
                errors.setdefault(name, []).append(f"A body may hold at most {MAX_VALUES} values; this field exceeds that.")


def _values_in(value: Any) -> int:
    """The number of values nested in ``value``; counting stops above ``MAX_VALUES``."""
    count, left = 0, [value]
    while left and count <= MAX_VALUES:
        found = left.pop()
        if isinstance(found, dict):
            found = list(found.values())
        if isinstance(found, list):
            count += len(found)
            left += [one for one in found if isinstance(one, list | dict)]
    return count


def _tell_of_read_only(body: Mapping[str, Any], fields: Mapping[str, FieldInfo], known: frozenset[str], errors: Errors) -> None:
    """Suggest the id field where a record was sent under a key that only responses have."""
    for name in known & body.keys() - fields.keys():
        for meant_name in (f"{name}_id", f"{name.removesuffix('s')}_ids"):
            if meant_name in fields and meant_name not in body:
                errors.setdefault(name, []).append(f"This is read-only: send {meant_name}.")


def _loaded(raw: bytes) -> Any:
    if not raw.strip():
        raise Refused(400, "malformed_body", "The body is empty; it must be a JSON object.")
    try:
        return json.loads(raw.decode(), parse_constant=_no_number)
    except UnicodeDecodeError as error:
        message = f"it is not UTF-8 (byte {error.start})"
    except RecursionError:
        message = f"it is nested deeper than {MAX_DEPTH} levels"
    except _Malformed as error:
        message = str(error)
    except json.JSONDecodeError as error:
        message = f"{error.msg} at line {error.lineno}, column {error.colno}"
    except ValueError:  # int() limits the number of digits
        message = "a number has too many digits"
    raise Refused(400, "malformed_body", f"The body is not valid JSON: {message}.")


def _no_number(text: str) -> NoReturn:
    raise _Malformed(f"{text} is not a number in JSON")


def _check_content(value: Any, path: str, depth: int, errors: Errors) -> None:
    """Check for what no field may hold, whatever its type."""
    if depth > MAX_DEPTH:
        errors.setdefault(path.partition(".")[0], []).append(f"Is nested deeper than {MAX_DEPTH} levels.")
    elif len(errors) >= MAX_ERRORS:
        return
    elif isinstance(value, list):
        for n, item in enumerate(value):
            _check_content(item, f"{path}.{n}", depth + 1, errors)
    elif isinstance(value, dict):
        for key, item in value.items():
            if _text_error(key):
                errors.setdefault(path, []).append("A key has a NUL character or half a surrogate pair.")
            else:
                _check_content(item, f"{path}.{key[:MAX_KEY]}", depth + 1, errors)
    elif message := _text_error(value) if isinstance(value, str) else _number_error(value):
        errors.setdefault(path, []).append(message)


def _text_error(text: str) -> str | None:
    if "\0" in text:
        return "Must not contain the NUL character."
    if _surrogate.search(text):
        return "Contains half a surrogate pair, which is not a character."
    return None


def _number_error(value: Any) -> str | None:
    too_large = math.isinf(value) if isinstance(value, float) else isinstance(value, int) and abs(value) > MAX_INTEGER
    return "This number is too large." if too_large else None


def _check(value: Any, type_: Any, path: str, errors: Errors) -> None:
    """Add every way in which ``value`` does not match ``type_``, up to ``MAX_ERRORS``."""
    if len(errors) >= MAX_ERRORS or _too_many(value, type_, path, errors):
        return
    possible = alternatives(type_)
    if value is None:
        if NoneType not in possible and Any not in possible:
            errors.setdefault(path, []).append("Must not be null.")
        return
    possible = [one for one in possible if one is not NoneType]
    if len(possible) == 1:
        _check_one(value, possible[0], path, errors)
    elif not any(_fits(value, one) for one in possible):
        words = dict.fromkeys(_describe_type(one) for one in possible)
        errors.setdefault(path, []).append(" Or: ".join(words))


def _too_many(value: Any, type_: Any, path: str, errors: Errors) -> bool:
    """Whether a list or an object has too many items; they are then not checked one by one."""
    if not isinstance(value, list | dict):
        return False
    limits = [meta.max_length for _, meta in map(_bare, alternatives(type_)) if meta is not None and meta.max_length is not None]
    limit = max(limits, default=MAX_ITEMS)
    if len(value) <= limit:
        return False
    errors.setdefault(path, []).append(f"At most {limit} {'items' if isinstance(value, list) else 'keys'}; got {len(value)}.")
    return True


def _check_one(value: Any, type_: Any, path: str, errors: Errors) -> None:
    """As ``_check``, for a type that is not a union."""
    type_, meta = _bare(type_)
    origin, arguments = get_origin(type_) or type_, get_args(type_)
    message = None
    if origin in LISTS and isinstance(value, list):
        for n, item in enumerate(value):
            _check(item, arguments[0] if arguments else Any, f"{path}.{n}", errors)
    elif origin in MAPS and isinstance(value, dict):
        for key, item in value.items():
            _check(item, arguments[1] if arguments else Any, f"{path}.{key[:MAX_KEY]}", errors)
    elif isinstance(value, dict) and isinstance(origin, type) and issubclass(origin, Struct):
        _check_struct(value, origin, path, errors)
    elif not _fits(value, type_):
        message = _describe_type(type_)
    if message is None and meta is not None:
        message = _bounds(value, meta)
    if message is not None:
        errors.setdefault(path, []).append(message)


def _bare(type_: Any) -> tuple[Any, Meta | None]:
    """A type without ``Annotated``, and its constraints."""
    if get_origin(type_) is not Annotated:
        return type_, None
    bare, *notes = get_args(type_)
    return bare, next((note for note in notes if isinstance(note, Meta)), None)


def _check_struct(value: dict[str, Any], cls: type[Struct], path: str, errors: Errors) -> None:
    fields = {field.encode_name: field for field in msgspec.structs.fields(cls)}
    hints = Hints(fields)
    for name in sorted(value.keys() - fields.keys())[: MAX_ERRORS - len(errors)]:
        errors.setdefault(f"{path}.{name[:MAX_KEY]}", []).append("Unknown field." + hints.meant(name))
    for name, field in fields.items():
        if name in value:
            _check(value[name], field.type, f"{path}.{name}", errors)
        elif field.required:
            errors.setdefault(f"{path}.{name}", []).append("This field is required.")


def _fits(value: Any, type_: Any) -> bool:
    if type_ is Any:
        return True
    if type_ is int and isinstance(value, float):
        return value.is_integer() and abs(value) < MAX_WHOLE
    if type_ is Decimal and isinstance(value, str):
        return bool(NUMBER.fullmatch(json.dumps(value).encode()))
    try:
        found = msgspec.convert(value, type_)
        if isinstance(found, datetime):
            in_utc(found)
    except (msgspec.ValidationError, ArithmeticError, ValueError):
        return False
    return True


def in_utc(instant: datetime) -> datetime:
    """The same moment in UTC. Raises ``ValueError`` without a zone or outside the calendar."""
    if instant.tzinfo is None:
        raise ValueError(instant)
    try:
        return instant.astimezone(UTC)
    except OverflowError as error:
        raise ValueError(instant) from error


def _describe_type(type_: Any) -> str:
    type_, _ = _bare(type_)
    origin = get_origin(type_) or type_
    if origin is Literal:
        return f"Must be one of: {', '.join(map(str, get_args(type_)))}."
    if origin in MAPS or (isinstance(origin, type) and issubclass(origin, Struct)):
        return "Must be an object."
    return "Must be a list." if origin in LISTS else WORDS.get(origin, "Is not accepted.")


_BOUNDS: dict[str, tuple[Callable[[Any, Any], bool], str]] = {
    "ge": (lambda value, bound: value >= bound, "Must be at least {}."),
    "gt": (lambda value, bound: value > bound, "Must be more than {}."),
    "le": (lambda value, bound: value <= bound, "Must be at most {}."),
    "lt": (lambda value, bound: value < bound, "Must be less than {}."),
    "min_length": (lambda value, bound: len(value) >= bound, "Must have a length of at least {}."),
    "max_length": (lambda value, bound: len(value) <= bound, "Must have a length of at most {}."),
    "pattern": (lambda value, bound: re.search(bound, value) is not None, "Must match {}."),
}


def _bounds(value: Any, meta: Meta) -> str | None:
    for name, (holds, message) in _BOUNDS.items():
        bound = getattr(meta, name)
        if bound is not None and not holds(value, bound):
            return message.format(bound)
    return None


def bare(type_: Any) -> list[Any]:
    """As ``alternatives``, without annotations."""
    return [_bare(one)[0] for one in alternatives(type_)]


def alternatives(type_: Any) -> list[Any]:
    """The types a value may have, without UNSET, which is not a value."""
    if get_origin(type_) in (Union, UnionType):
        return [one for one in get_args(type_) if one is not UnsetType]
    return [type_]
