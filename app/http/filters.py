"""Filters in a query string: a declared table of what a list understands, and the typed conditions made from it.

Different parameters must all hold; several values of one (repeated, or separated by commas) are alternatives. Refuses unknown
parameters and bad values by name, all at once: a filter that is silently ignored would answer a different question.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any, NamedTuple
from urllib.parse import parse_qsl
from uuid import UUID

from app.http.param_types import BOOL, DATE, INSTANT, MAX_TEXT, NUMBER, PHRASE, TEXT, USER, ParamType
from app.http.problems import Refused
from app.reading.read_pool import Identity
from domain.custom_field import Type as CustomType
from domain.did_you_mean import Hints
from domain.errors import Errors, Invalid
from domain.text import nfc
from projections.conditions import Condition, Operator

MAX_PARAMETERS = 200
MAX_VALUES = 100
"""Of one parameter, with up to 255 characters each, so that a query string stays within what servers accept."""

RANGE: tuple[Operator, ...] = ("gte", "lte", "gt", "lt")
LISTS = frozenset({"in", "any", "all"})
"""Operators that take several values."""

Pairs = list[tuple[str, str]]


class Filter(NamedTuple):
    """The parameter ``name``, which means the operator ``bare``; with a suffix, one of ``operators``."""

    name: str
    kind: ParamType
    operators: tuple[Operator, ...] = ()
    bare: Operator = "in"
    description: str = ""


@dataclass(frozen=True, eq=False)
class Filters:
    """What a list can be filtered by; with ``custom`` also by ``cf_<key>``."""

    filters: tuple[Filter, ...] = ()
    custom: bool = False

    def __post_init__(self) -> None:
        by_name = {each.name: (each, each.bare) for each in self.filters}
        for each in self.filters:
            by_name |= {f"{each.name}__{operator}": (each, operator) for operator in each.operators}
        object.__setattr__(self, "by_name", by_name)

    by_name: Mapping[str, tuple[Filter, Operator]] = None  # type: ignore[assignment]


def parse(query_string: bytes) -> Pairs:
    """Names and values in the order sent."""
    if not query_string:
        return []
    try:
        return parse_qsl(
            query_string.decode("ascii"),
            keep_blank_values=True,
            errors="strict",
            max_num_fields=MAX_PARAMETERS,
        )
    except UnicodeError:
        raise Refused(400, "bad_query", "The query string must be percent-encoded UTF-8.") from None
    except ValueError:
        raise Refused(400, "bad_query", f"At most {MAX_PARAMETERS} parameters.") from None


def reject_any(query_string: bytes) -> None:
    """Raise ``Invalid`` if there is any parameter."""
    if given := parse(query_string):
        raise Invalid({name: ["Unknown parameter: this address takes none."] for name, _ in given})


def conditions(
    given: Pairs,
    table: Filters,
    *,
    identity: Identity,
    custom_types: Mapping[str, CustomType | None] | None = None,
    others: Iterable[str] = (),
) -> tuple[Condition, ...]:
    """The conditions of the parameters given. ``others`` are known parameters that are not filters, for suggestions.

    ``custom_types`` has the types of the org's custom fields, None for those that cannot be filtered by; a key not in it is
    compared as text. Raises ``Invalid``.
    """
    errors: Errors = {}
    found: list[Condition] = []
    hints = Hints([*table.by_name, *others, *(["cf_<key>"] if table.custom else [])])
    for name, texts in _grouped(given).items():
        known = table.by_name.get(name)
        custom_type: CustomType | None = None
        field = name
        if known is None and table.custom and name.startswith("cf_"):
            field, known, custom_type = _custom(name, custom_types or {})
        if known is None:
            errors[name] = ["Unknown parameter." + hints.meant(name)]
            continue
        each, operator = known
        try:
            values = _values(texts, each.kind, operator)
        except _Bad as error:
            errors[name] = [str(error)]
            continue
        if values:
            found += _conditions(field if custom_type else each.name, each.kind, operator, values, custom_type, identity)
    if errors:
        raise Invalid(errors)
    return tuple(found)


class _Bad(Exception):
    pass


def _grouped(given: Pairs) -> dict[str, list[str]]:
    grouped: dict[str, list[str]] = {}
    for name, text in given:
        grouped.setdefault(name, []).append(text)
    return grouped


def _values(texts: Sequence[str], kind: ParamType, operator: Operator) -> tuple[Any, ...]:
    """Raises ``_Bad`` with the message for the user."""
    if operator == "isnull":
        kind = BOOL
    elif operator == "icontains":
        kind = PHRASE
    if operator in LISTS and kind.split:
        whole = {text.strip(): None for text in texts if kind.whole and "," in text and len(text) <= MAX_TEXT}
        texts = [part.strip() for text in texts for part in text.split(",")]
        if len(texts) > MAX_VALUES:
            raise _Bad(f"At most {MAX_VALUES} values; got {len(texts)}.")
        if whole:
            texts = [*whole, *filter(None, texts)]
    elif len(texts) > 1:
        raise _Bad("Must be given once.")
    if kind is PHRASE:
        texts = [text for text in texts if text.strip()]
    elif "" in texts:
        raise _Bad("Must not be empty.")
    try:
        return (kind.read(texts[0]),) if len(texts) == 1 else tuple(dict.fromkeys(kind.read(text) for text in texts))
    except (ValueError, KeyError, ArithmeticError):
        raise _Bad(kind.words) from None


def _conditions(
    field: str,
    kind: ParamType,
    operator: Operator,
    values: tuple[Any, ...],
    custom_type: CustomType | None,
    identity: Identity,
) -> Iterable[Condition]:
    if kind is INSTANT and operator != "isnull":
        return _instants(field, operator, values)
    if kind is USER:
        return (_user(field, values, identity),)
    return (Condition(field, operator, values, custom_type),)


def _user(field: str, values: tuple[UUID | str, ...], identity: Identity) -> Condition:
    """By id if all are ids; otherwise as strings, each an id or an email address."""
    named = [identity.user_id if value == "me" else value for value in values]
    if all(isinstance(value, UUID) for value in named):
        return Condition(field, "in", tuple(named))
    return Condition(f"{field}_email", "in", tuple(str(value) for value in named))


def _instants(field: str, operator: Operator, values: tuple[date, ...]) -> list[Condition]:
    """A date stands for its whole day in UTC."""
    if operator == "in":
        if any(not isinstance(value, datetime) for value in values):
            if len(values) > 1:
                raise Invalid({field: ["Give one date, or any number of instants."]})
            start, end = _day(values[0])
            return [Condition(field, "gte", (start,)), Condition(field, "lt", (end,))]
        return [Condition(field, "in", values)]
    (value,) = values
    if isinstance(value, datetime):
        return [Condition(field, operator, (value,))]
    start, end = _day(value)
    match operator:
        case "lte":
            return [Condition(field, "lt", (end,))]
        case "gt":
            return [Condition(field, "gte", (end,))]
    return [Condition(field, operator, (start,))]


def _day(value: date) -> tuple[datetime, datetime]:
    start = datetime.combine(value, time(), UTC)
    return start, start + timedelta(days=1) if value < date.max else datetime.max.replace(tzinfo=UTC)


_CUSTOM_OPERATORS: tuple[Operator, ...] = ("gte", "lte", "gt", "lt", "in", "isnull", "icontains")
_CUSTOM_KINDS: dict[str, ParamType] = {"number": NUMBER, "checkbox": BOOL, "date": DATE}


def _custom(name: str, types: Mapping[str, CustomType | None]) -> tuple[str, tuple[Filter, Operator] | None, CustomType | None]:
    """The field, filter and type of a ``cf_<key>`` parameter. The key itself may end like an operator."""
    key = nfc(name.removeprefix("cf_"))
    operator: Operator = "in"
    if key not in types:
        stem, _, suffix = key.rpartition("__")
        if stem and suffix in _CUSTOM_OPERATORS:
            key, operator = stem, suffix
    if not key or len(key) > 100 or "\0" in key:
        return name, None, None
    custom_type = types.get(key, "text")
    if custom_type is None:
        return name, None, None
    if operator == "icontains" and custom_type in _CUSTOM_KINDS:
        return name, None, None
    if operator in RANGE and custom_type in ("checkbox", "multiselect"):
        return name, None, None
    return f"cf_{key}", (Filter(name, _CUSTOM_KINDS.get(custom_type, TEXT)), operator), custom_type
