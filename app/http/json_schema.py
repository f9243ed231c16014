"""JSON schemas of bodies and responses, made from the types that decode and encode them.

Bodies are closed: they have no keys but those named. Responses name every key they have and may gain others. The schema of a record
is derived from the state that it is rendered from, so that it is described once.
"""

from __future__ import annotations

from datetime import datetime
from functools import cache
from inspect import cleandoc
from typing import Any, get_args

import msgspec
from msgspec import Struct

from app.http.body_errors import bare
from app.http.body_forms import without
from domain.event import State
from projections.directory import shown_fields

Json = dict[str, Any]
REF = "#/components/schemas/{name}"

DECIMAL_SENT: Json = {
    "anyOf": [{"type": "number", "minimum": 0}, {"type": "string", "pattern": r"^[0-9]{1,15}(\.[0-9]{1,12})?$"}],
    "description": "A number, or a decimal as a string.",
}
DECIMAL_SHOWN: Json = {"type": "string", "pattern": r"^-?[0-9]+(\.[0-9]+)?$", "description": "A decimal as a string."}
DECIMAL_NUMBER: Json = {"type": "number"}


class Problem(Struct, kw_only=True):
    """An error (RFC 9457)."""

    type: str
    title: str
    status: int
    detail: str
    code: str
    request_id: str
    errors: dict[str, list[str]] | msgspec.UnsetType = msgspec.UNSET


@cache
def shown(state: type[State], name: str) -> type[Struct]:
    """The record as the API shows it, from its state."""
    types = {field.name: field.type for field in msgspec.structs.fields(state)}
    names = ("id", *shown_fields(state), "created_at", "updated_at", "version")
    return msgspec.defstruct(name, [(field, types[field]) for field in names])


class Schemas:
    """The types referred to so far, and their schemas."""

    def __init__(self) -> None:
        self._types: list[Any] = [Problem]
        self._bodies: dict[tuple[type[Struct], frozenset[str], str], type[Struct]] = {}
        self._further: dict[str, Json] = {}

    def add(self, name: str, schema: Json) -> Json:
        """A reference to a schema that has no type."""
        self._further[name] = schema
        return {"$ref": REF.format(name=name)}

    def of(self, type_: Any) -> Json:
        self._types.append(type_)
        (schema,), _ = msgspec.json.schema_components([type_], ref_template=REF)
        tidied: Json = _tidied(schema, DECIMAL_SHOWN)
        return tidied

    def of_body(self, command: type[Struct], given: frozenset[str], name: str) -> Json:
        key = (command, given, name)
        if key not in self._bodies:
            self._bodies[key] = without(command, given, name or _noun(command), closed=True)
        return self.of(self._bodies[key])

    def components(self) -> Json:
        _, found = msgspec.json.schema_components(self._types, ref_template=REF)
        sent = {cls.__name__ for body in self._bodies.values() for cls in _structs(body)}
        classes = {cls.__name__: cls for type_ in self._types for cls in _structs(type_)}
        components = {}
        for name, schema in sorted(found.items()):
            _mark_instants(schema, classes[name])
            decimal = DECIMAL_SENT if schema.get("additionalProperties") is False else DECIMAL_SHOWN
            components[name] = _tidied(schema, decimal)
            if name in sent:
                components[name]["additionalProperties"] = False
        return dict(sorted({**components, **self._further}.items()))


def _noun(command: type[Struct]) -> str:
    """``AccountCreate`` for domain.account.Create."""
    return "".join(part.capitalize() for part in command.__module__.split(".")[1].split("_")) + command.__name__


def _structs(type_: Any) -> set[type[Struct]]:
    """The structs in a type, including those in their fields."""
    if isinstance(type_, type) and issubclass(type_, Struct):
        return {type_}.union(*(_structs(field.type) for field in msgspec.structs.fields(type_)))
    return set().union(*(_structs(argument) for argument in get_args(type_)))


def _mark_instants(schema: Json, cls: type[Struct]) -> None:
    """Mark instants as date-time: msgspec does so only for types that require a zone."""
    for field in msgspec.structs.fields(cls):
        if datetime in bare(field.type):
            node = schema["properties"][field.encode_name]
            for one in node.get("anyOf", [node]):
                if one.get("type") == "string":
                    one["format"] = "date-time"


def _tidied(node: Any, decimal: Json) -> Any:
    """The schema with decimals as sent or as shown, descriptions in Markdown, and without defaults that are null."""
    if isinstance(node, list):
        return [_tidied(item, decimal) for item in node]
    if not isinstance(node, dict):
        return node
    if node.get("type") == "string" and node.get("format") == "decimal":
        shown = DECIMAL_NUMBER if node.get("decimal_format") == "number" else decimal
        return {**shown, **{name: value for name, value in node.items() if name not in ("type", "format", "decimal_format")}}
    tidied = {name: _tidied(value, decimal) for name, value in node.items() if name != "title" or "properties" not in node}
    if tidied.get("default", ...) is None:
        del tidied["default"]  # same as leaving it out; as a default, generators would make the key required
    if "enum" in tidied:
        tidied.setdefault("type", "string")
    if tidied.get("type") == "object" and "properties" not in tidied:
        tidied.setdefault("additionalProperties", True)
    if tidied.get("type") == "array" and not isinstance(tidied.get("items"), dict):  # any values; tuples too, for generators
        tidied.pop("prefixItems", None)
        tidied["items"] = {}
    if isinstance(text := tidied.get("description"), str):  # one of our docstrings
        tidied["description"] = cleandoc(text).replace("``", "`")
    return tidied
