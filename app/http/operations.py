"""What an operation says about itself beside its handler, for OpenAPI. Not used while a request is answered."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from msgspec import Struct

from app.http.list_spec import ListSpec

Json = dict[str, Any]


class Operation(Struct, frozen=True, kw_only=True):
    """One verb of one route.

    ``answer`` is the type of the response body, None if there is none; with ``table``, of the items of a page. ``body`` is the
    command that the request body decodes into, without the fields in ``given``; its schema refers to ``body_types``.
    ``files`` are the media types of a response that is a file.
    ``versioned`` responses have an ETag and honour
    preconditions. An operation that ``creates`` also answers 201, where there was no record. ``located`` responses name the created
    record in ``Location``. ``aliases`` are further paths of the handler, which are not documented. ``errors`` are added to those
    that every such verb can give.
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
    body_types: tuple[type[Struct], ...] = ()
    body_example: Any = None
    body_media_type: str = "application/json"
    given: frozenset[str] = frozenset()
    errors: tuple[int, ...] = ()
    media_type: str = "application/json"
    files: tuple[str, ...] = ()
    versioned: bool = False
    located: bool = True
    creates: bool = False
    aliases: frozenset[str] = frozenset()


HIDDEN = Operation(tag="", summary="")
"""For routes that are not part of the API, such as the files of the docs page."""


def describe(tag: str, summary: str, **rest: Any) -> Json:
    """The ``opt`` of a route's handler."""
    return {"operation": Operation(tag=tag, summary=summary, **rest)}


def query(name: str, description: str, schema: Mapping[str, object], **more: Any) -> Json:
    """A parameter of a query string."""
    return {"name": name, "in": "query", "description": description, "schema": dict(schema), **more}
