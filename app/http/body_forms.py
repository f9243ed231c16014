"""How a body becomes a command: the decoders and fields of each class, worked out once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from functools import cache
from typing import Any, get_args

import msgspec
from msgspec import NODEFAULT, Struct
from msgspec.structs import FieldInfo

from app.http.body_errors import bare

ALWAYS_READ_ONLY = frozenset({"id", "created_at", "updated_at", "version"})


@dataclass(frozen=True, slots=True)
class BodyForm:
    """How a body becomes a command of one class."""

    decoder: msgspec.json.Decoder[Any]
    tolerant: msgspec.json.Decoder[Any]
    fields: dict[str, FieldInfo]
    known: frozenset[str]
    decimals: tuple[str, ...]
    instants: tuple[str, ...]
    nested: bool
    instead: Mapping[str, str]


@cache
def form_of(cls: type[Struct], read_only: frozenset[str], given: frozenset[str]) -> BodyForm:
    body = without(cls, given) if given else cls
    fields = {field.encode_name: field for field in msgspec.structs.fields(body)}
    return BodyForm(
        decoder=msgspec.json.Decoder(body),
        tolerant=msgspec.json.Decoder(body, strict=False),
        fields=fields,
        known=frozenset(fields) | read_only | ALWAYS_READ_ONLY,
        decimals=tuple(name for name, field in fields.items() if Decimal in bare(field.type)),
        instants=tuple(name for name, field in fields.items() if datetime in bare(field.type)),
        nested=any(_holds_struct(field.type) for field in fields.values()),
        instead=getattr(cls, "INSTEAD", {}),
    )


def without(cls: type[Struct], names: frozenset[str], name: str = "", *, closed: bool = False) -> type[Struct]:
    """A struct with the fields of ``cls`` except ``names``, the required ones first; if ``closed``, it forbids other fields."""
    kept = sorted((one for one in msgspec.structs.fields(cls) if one.name not in names), key=lambda one: not one.required)
    fields = [(field.name, field.type, _default(field)) for field in kept]
    return msgspec.defstruct(name or cls.__name__, fields, kw_only=True, forbid_unknown_fields=closed)


def _default(field: FieldInfo) -> Any:
    if field.default_factory is not NODEFAULT:
        return msgspec.field(default_factory=field.default_factory)
    return msgspec.field(default=field.default) if field.default is not NODEFAULT else msgspec.field()


def _holds_struct(type_: Any) -> bool:
    if isinstance(type_, type) and issubclass(type_, Struct):
        return True
    return any(_holds_struct(argument) for argument in get_args(type_))
