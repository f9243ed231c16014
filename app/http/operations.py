"""What an operation says of itself beside its handler, for OpenAPI. Refuses to be consulted while a request is
answered."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from msgspec import Struct

from app.http.listing import ListSpec

Json = dict[str, Any]


class Operation(Struct, frozen=True, kw_only=True):
    """One verb of one route.

    ``answer`` is the type of the answer's body, None for none; with ``table`` a page of such. ``body`` is the command
    that the body decodes into, less the fields in ``given``. ``versioned`` answers have an ETag and heed preconditions.
    A record that is created is ``located`` by its answer. ``aliases`` are further paths of the handler, which
    are not told. ``errors`` come on top of those that every such verb can
    give.
    """

    tag: str
    summary: str
    description: str = ""
    status: int = 200
    answer: Any = None
    answer_example: Any = None
    table: ListSpec | None = None
    parameters: tuple[Json, ...] = ()
    body: type[Struct] | None = None
    body_name: str = ""
    body_example: Any = None
    given: frozenset[str] = frozenset()
    errors: tuple[int, ...] = ()
    media_type: str = "application/json"
    versioned: bool = False
    located: bool = True
    aliases: frozenset[str] = frozenset()


HIDDEN = Operation(tag="", summary="")
"""Of routes that are not part of the API, such as the files of the docs page."""


def describe(tag: str, summary: str, **rest: Any) -> Json:
    """The ``opt`` of a route's handler."""
    return {"operation": Operation(tag=tag, summary=summary, **rest)}


def query(name: str, description: str, schema: Mapping[str, object], **more: Any) -> Json:
    """A parameter of a query string."""
    return {"name": name, "in": "query", "description": description, "schema": dict(schema), **more}
