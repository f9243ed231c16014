"""The operations of a bulk call: from a body to commands, each read as the body of its single request."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Annotated, Any, Literal
from uuid import UUID

import msgspec
from msgspec import UNSET, Meta, Raw, Struct, UnsetType, structs
from uuid_utils.compat import uuid7

from app.http import bodies
from app.http.problems import Refused
from app.writing.bulk import MAX_OPERATIONS
from app.writing.envelope import Envelope
from domain import event
from domain.errors import Errors, Invalid
from domain.event import Command
from domain.fields import Line, line_error
from domain.text import normal

Mode = Literal["atomic", "independent"]
JSON = "application/json"
ADDRESSES = ("id", "external_id", "ref")
REF = 'Must be the name that an earlier create or upsert has as its "ref", or the number of an earlier operation, from 0.'


class Operation(Struct, kw_only=True):
    """One of many. ``id``, ``external_id`` or ``ref`` says which record it is about; a ``ref`` of a create or an upsert is a name
    that later ones can use. ``if_version`` is as ``If-Match``, ``data`` as the body of the single request."""

    op: str
    id: UUID | UnsetType = UNSET
    external_id: Line | UnsetType = UNSET
    ref: str | int | UnsetType = UNSET
    if_version: int | UnsetType = UNSET
    data: dict[str, Any] | UnsetType = UNSET


class Body(Struct, kw_only=True):
    mode: Mode
    operations: Annotated[list[dict[str, Any]], Meta(min_length=1, max_length=MAX_OPERATIONS)]


class _Call(Struct, forbid_unknown_fields=True):
    mode: Mode
    operations: Annotated[list[Raw], Meta(min_length=1, max_length=MAX_OPERATIONS)]


class _Operation(Struct, forbid_unknown_fields=True):
    """As ``Operation``, with ``data`` as it came."""

    op: str
    id: UUID | UnsetType = UNSET
    external_id: str | UnsetType = UNSET
    ref: str | int | UnsetType = UNSET
    if_version: int | UnsetType = UNSET
    data: Raw | UnsetType = UNSET


_call = msgspec.json.Decoder(_Call)
_operation = msgspec.json.Decoder(_Operation)


@dataclass(frozen=True, eq=False)
class BulkSpec:
    """What can be done to many records of one kind: the command of each operation."""

    kind: str
    operations: Mapping[str, type[Command]]
    read_only: frozenset[str] = frozenset()


@cache
def operation_type(spec: BulkSpec) -> type[Struct]:
    """An operation as the document describes it."""
    types = {one.name: one.type for one in structs.fields(Operation)} | {"op": Literal[tuple(spec.operations)]}
    defaults = {one.name: () if one.required else (UNSET,) for one in structs.fields(Operation)}
    fields = [(name, type_, *defaults[name]) for name, type_ in types.items()]
    return msgspec.defstruct(f"{spec.kind.title()}Operation", fields, kw_only=True, namespace={"__doc__": Operation.__doc__})


@cache
def body_type(spec: BulkSpec) -> type[Struct]:
    """The body as the document describes it: an operation that is not as described is refused on its own."""
    either = [{"$ref": f"#/components/schemas/{operation_type(spec).__name__}"}, {"type": "object"}]
    operation = Annotated[dict[str, Any], Meta(extra_json_schema={"anyOf": either})]
    operations = Annotated[list[operation], Meta(min_length=1, max_length=MAX_OPERATIONS)]
    return msgspec.defstruct(f"{spec.kind.title()}Bulk", [("mode", Mode), ("operations", operations)], kw_only=True)


def parse(raw: bytes, content_type: str | None, spec: BulkSpec, sample: Envelope) -> tuple[Mode, list[Envelope | Exception]]:
    """The mode and the commands; an operation that cannot be read is its error. ``sample`` has what all envelopes have.

    Raises ``Refused`` or ``Invalid`` for what is around the operations.
    """
    raw = raw.removeprefix(bodies.BOM)
    try:
        call = _call.decode(raw) if content_type == JSON else None
        if call is not None and not all(bytes(one).startswith(b"{") for one in call.operations):
            call = None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        call = None
    if call is None:
        body = bodies.decode(raw, content_type, Body)
        call = _Call(body.mode, [Raw(msgspec.json.encode(one)) for one in body.operations])
    parser = _Parser(spec, sample)
    return call.mode, [parser.parse(operation) for operation in call.operations]


@dataclass
class _Parser:
    """Reads operations in order, and remembers the names of their records."""

    spec: BulkSpec
    sample: Envelope
    names: dict[str, int] = field(default_factory=dict)
    place: int = -1

    def parse(self, raw: Raw) -> Envelope | Exception:
        self.place += 1
        try:
            return self._parsed(_read(bytes(raw)))
        except (Invalid, Refused) as error:
            return error

    def _parsed(self, operation: _Operation) -> Envelope:
        type_ = self.spec.operations.get(operation.op)
        if type_ is None:
            raise Invalid({"op": [f"Must be one of: {', '.join(self.spec.operations)}."]})
        errors: Errors = {}
        make = operation.op in ("create", "upsert")
        more = self._of_new(operation, errors) if make else self._of_known(operation, errors)
        if isinstance(operation.external_id, str) and "external_id" not in errors:
            more["external_id"] = normal(operation.external_id)
            if message := line_error(more["external_id"]):
                errors["external_id"] = [message]
        if isinstance(operation.if_version, int):
            more["expected_versions"] = frozenset([operation.if_version])
        try:
            more["command"] = self._command(operation, type_)
        except Invalid as error:
            errors |= error.errors
        if errors:
            raise Invalid(errors)
        if operation.op == "upsert":
            more |= self._upsert(more["command"], more["external_id"])
        elif (comment := getattr(more["command"], "comment", None)) is not None:
            more["comment"] = normal(comment) or None
        return structs.replace(self.sample, **more)

    def _command(self, operation: _Operation, type_: type[Command]) -> Command:
        data = b"{}" if operation.data is UNSET else bytes(operation.data)
        return bodies.decode(data, JSON, type_, self.spec.read_only if type_.__struct_fields__ else frozenset())

    def _of_new(self, operation: _Operation, errors: Errors) -> dict[str, Any]:
        """Where a create or an upsert goes."""
        create = operation.op == "create"
        for name in ("id", "external_id", "if_version") if create else ("id",):
            if getattr(operation, name) is not UNSET:
                errors[name] = [f"Not of {operation.op}: give the external id in data, or upsert." if create else "Not of upsert."]
        if not create and operation.external_id is UNSET:
            errors["external_id"] = ["An upsert needs the external id of its record."]
        if isinstance(operation.ref, str) and operation.ref not in self.names and not line_error(operation.ref):
            self.names[operation.ref] = self.place
        elif operation.ref is not UNSET:
            errors["ref"] = ["Must be a name of at most 255 characters that no earlier operation has."]
        return {"stream_id": uuid7()}

    def _of_known(self, operation: _Operation, errors: Errors) -> dict[str, Any]:
        """Which record any other operation is about."""
        given = [name for name in ADDRESSES if getattr(operation, name) is not UNSET]
        if len(given) != 1:
            errors["id"] = [f"Send one of id, external_id and ref; got {len(given)}."]
        elif operation.ref is not UNSET:
            place = self.names.get(operation.ref) if isinstance(operation.ref, str) else operation.ref
            if place is not None and 0 <= place < self.place:
                return {"ref": place}
            errors["ref"] = [REF]
        return {"stream_id": operation.id} if isinstance(operation.id, UUID) else {}

    def _upsert(self, command: Any, external_id: str) -> dict[str, Any]:
        if isinstance(command.external_id, str) and normal(command.external_id) != external_id:
            raise Invalid({"external_id": ["Must be the same in data, or left out there."]})
        command = structs.replace(command, external_id=external_id)
        return {"command": command, "create": self.spec.operations["create"](**event.set_fields(command))}


def _read(raw: bytes) -> _Operation:
    try:
        return _operation.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        read = bodies.decode(raw, JSON, Operation)
    data = UNSET if read.data is UNSET else Raw(msgspec.json.encode(read.data))
    return _Operation(read.op, read.id, read.external_id, read.ref, read.if_version, data)
