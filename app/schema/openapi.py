"""The OpenAPI 3.1 document, made once at startup from the routes and their ``Operation``.

Filters come from the tables that parse them, schemas from the types that decode and encode. Refuses a route without an
``Operation``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from http import HTTPStatus
from importlib.metadata import PackageNotFoundError, version
from uuid import UUID

import msgspec
from litestar import Litestar
from litestar.handlers import HTTPRouteHandler
from litestar.routes import HTTPRoute

from app.http.json_schema import REF, Schemas
from app.http.list_envelope import ListEnvelope
from app.http.operations import HIDDEN, Json, Operation
from app.http.paging import MAX_PAGE_SIZE
from app.http.parameters import list_parameters
from app.http.problems import MEDIA_TYPE, TYPE
from app.schema import openapi_webhooks

DESCRIPTION = """\
Sales opportunities on an event store: exact history, live forecasts.

Every request carries `Authorization: Bearer <token>`. Money is a decimal string, times are UTC, ids are UUIDs.
Lists come in an envelope of `count`, `next`, `previous` and `results`. Different filters must all hold; several values
of one are alternatives. Errors are `application/problem+json` (RFC 9457). `ETag` is a record's version: send it as
`If-Match` to change only what you have read. A POST with an `Idempotency-Key` can be
retried safely.
"""
ERRORS = {
    400: ("invalid", "Bad input; `errors` names every field or parameter that is wrong."),
    401: ("unauthenticated", "The token is missing, unknown, revoked or expired."),
    403: ("forbidden", "The role of the token's user does not allow this."),
    404: ("not_found", "There is no such record in the token's org."),
    409: ("in_use", "Refused by the org's policy or by the record's state; `code` says which rule."),
    410: ("lost_history", "What was read up to there is not in the log any more: the database was restored from a backup."),
    412: ("version_mismatch", "`If-Match` names another version than the record's."),
    413: ("too_large", "The body is larger than the server accepts."),
    415: ("unsupported_media_type", "The body is not `application/json`."),
    422: ("idempotency_key_reused", "The `Idempotency-Key` was used for another request."),
    429: ("too_many_requests", "Too many requests with this token; `Retry-After` says when to try again."),
    503: (
        "unavailable",
        "The database is unavailable or overloaded; try again after `Retry-After` seconds.",
    ),
}
TAGS = {
    "Opportunities": "Deals: the list with its filters, the record and its verbs, its history.",
    "Forecast": "Sales by month, now or as of any instant, and what changed between two instants.",
    "Activities": "Calls, emails, meetings, notes and tasks on a deal.",
    "Accounts": "The companies that deals are made with.",
    "Contacts": "People, with or without an account, who can be stakeholders of deals.",
    "Imports": "Files of other systems: looked at, checked, imported with their history, and undone.",
    "Users": "Who works in the org, and in which role.",
    "Pipeline": "Stages, the moves between them, what each requires, and the reasons for losing.",
    "Custom fields": "The fields that the org adds to its deals.",
    "Exchange rates": "What one unit of a currency is worth in the org's currency, from a day on.",
    "Organization": "The org itself.",
    "Tokens": "API tokens, shown once.",
    "Webhooks": "Endpoints that are notified of changes to deals, their deliveries, and the requests that they get.",
    "Events": "Everything that happened in the org, in order, as pages or as a stream.",
    "Documentation": "This document, and that of the event stream.",
    "Operations": "For operators.",
}
"""In the order of what a reader looks for first."""

_ORDER = {tag: place for place, tag in enumerate(TAGS)}
_ENVELOPE: Json = msgspec.json.schema_components([ListEnvelope])[1]["ListEnvelope"]
_VERBS = ("get", "post", "put", "patch", "delete")


def document(app: Litestar, public_url: str = "") -> Json:
    """Raises ``LookupError`` for a route without an ``Operation``, ``KeyError`` for an unknown tag."""
    schemas = Schemas()
    paths: dict[str, Json] = {}
    for route, handler, operation in sorted(_operations(app), key=lambda each: (_ORDER[each[2].tag], each[0].path)):
        for method in handler.http_methods:
            verbs = paths.setdefault(_path(route), {})
            verbs[method.lower()] = _Described(operation, method, route, schemas).json(handler.handler_name)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Opportunities API",
            "version": product_version(),
            "description": DESCRIPTION,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": public_url or "/"}],
        "security": [{"bearer": []}],
        "tags": [{"name": tag, "description": text} for tag, text in TAGS.items()],
        "paths": {path: dict(sorted(verbs.items(), key=lambda item: _VERBS.index(item[0]))) for path, verbs in paths.items()},
        "webhooks": openapi_webhooks.described(schemas),
        "components": {
            "schemas": schemas.components(),
            "responses": {str(status): _problem(status) for status in ERRORS},
            "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer"}},
        },
    }


def _operations(app: Litestar) -> Iterator[tuple[HTTPRoute, HTTPRouteHandler, Operation]]:
    for route in app.routes:
        if not isinstance(route, HTTPRoute):
            continue
        for handler in route.route_handlers:
            operation = handler.opt.get("operation")
            if operation is None and handler.http_methods != {"OPTIONS"}:
                raise LookupError(f"{handler} does not describe itself.")
            if operation is not None and operation is not HIDDEN and route.path not in operation.aliases:
                yield route, handler, operation


def product_version() -> str:
    try:
        return version("opportunities")
    except PackageNotFoundError:
        return "0"


def _path(route: HTTPRoute) -> str:
    """A route's template in OpenAPI's form; resources end in a slash."""
    path = "/" + "/".join(part if isinstance(part, str) else f"{{{part.name}}}" for part in route.path_components)
    return f"{path}/" if path.startswith("/api") else path


class _Described:
    """One operation on its route."""

    def __init__(self, operation: Operation, method: str, route: HTTPRoute, schemas: Schemas) -> None:
        self.operation = operation
        self.method = method
        self.route = route
        self.schemas = schemas
        self.secured = route.path == "/api" or route.path.startswith("/api/")

    def json(self, name: str) -> Json:
        operation = self.operation
        described: Json = {"operationId": name, "tags": [operation.tag], "summary": operation.summary}
        if operation.description:
            described["description"] = operation.description
        if not self.secured:
            described["security"] = []
        if parameters := [*self._path_parameters(), *operation.parameters, *self._table(), *self._headers()]:
            described["parameters"] = parameters
        if operation.body is not None:
            described["requestBody"] = self._body()
        described["responses"] = {
            **self._success(),
            **({} if self.secured else {"400": {"description": "The request is not well-formed HTTP."}}),
            **{str(status): {"$ref": f"#/components/responses/{status}"} for status in self._errors()},
        }
        return described

    def _path_parameters(self) -> Iterable[Json]:
        if self.route.path_parameters.keys() & {parameter["name"] for parameter in self.operation.parameters}:
            return
        for name, definition in self.route.path_parameters.items():
            schema = {"type": "string", "format": "uuid"} if definition.type is UUID else {"type": "string", "minLength": 1}
            yield {"name": name, "in": "path", "required": True, "schema": schema}

    def _table(self) -> Iterable[Json]:
        return list_parameters(self.operation.table) if self.operation.table is not None else ()

    def _headers(self) -> Iterable[Json]:
        if self.operation.versioned and self.method == "GET":
            yield _header("If-None-Match", "Answer 304 if the record and what it embeds still have this tag.", _TAG, '"3.1f3a90c2"')
        elif self.operation.versioned and self.operation.status != 201:
            yield _header("If-Match", "Do it only if the record is at this version; the rest of the tag is ignored.", _TAG, '"3"')
        if self.secured and self.method == "POST":
            text = "Makes the request safe to retry: for 24 hours the same key gives the first response again."
            yield _header("Idempotency-Key", text, {"type": "string", "pattern": "^[!-~]{1,255}$"}, "5b1f0c6e")

    def _body(self) -> Json:
        operation = self.operation
        assert operation.body is not None
        content: Json = {"schema": self.schemas.of_body(operation.body, operation.given, operation.body_name)}
        for type_ in operation.body_types:
            self.schemas.of_body(type_, frozenset(), type_.__name__)
        if operation.body_example is not None:
            content["example"] = operation.body_example
        return {"required": True, "content": {operation.body_media_type: content}}

    def _success(self) -> Json:
        operation = self.operation
        success: Json = {"description": HTTPStatus(operation.status).phrase}
        if operation.answer is not None:
            content: Json = {"schema": self._answer()}
            if operation.answer_example is not None:
                content["example"] = operation.answer_example
            success["content"] = {operation.media_type: content}
        if operation.files:
            success["content"] = {media_type: {"schema": {"type": "string"}} for media_type in operation.files}
        headers: Json = {}
        if operation.versioned and operation.answer is not None:
            headers["ETag"] = {"description": "The record's version.", "schema": {"type": "string"}}
        if operation.status == 201 and operation.located:
            headers["Location"] = {"description": "The URL of the record.", "schema": {"type": "string"}}
        if self.secured and self.method == "POST":
            headers["Idempotent-Replayed"] = {
                "description": "`true` if this is the first response, replayed.",
                "schema": {"type": "string"},
            }
        answers = {str(operation.status): {**success, "headers": headers} if headers else success}
        if operation.creates:
            located = {"description": "The URL of the record.", "schema": {"type": "string"}}
            answers["201"] = {**success, "description": "Created", "headers": {**headers, "Location": located}}
        if operation.versioned and self.method == "GET":
            answers["304"] = {"description": "The client has this version of the record."}
        return answers

    def _answer(self) -> Json:
        item = self.schemas.of(self.operation.answer)
        if self.operation.table is None:
            return item
        noun = self.operation.answer.__name__
        some = {
            "type": "object",
            "description": "With `fields`: only those keys.",
            "propertyNames": {"enum": list(self.operation.table.fields)},
            "maxProperties": len(self.operation.table.fields) - 1,
            "additionalProperties": True,
        }
        results = {
            "type": "array",
            "items": {"anyOf": [item, self.schemas.add(f"Some{noun}", some)]},
            "maxItems": MAX_PAGE_SIZE,
        }
        page = {
            "type": "object",
            "properties": {**_ENVELOPE["properties"], "results": results},
            "required": _ENVELOPE["required"],
        }
        return self.schemas.add(f"{noun}Page", page)

    def _errors(self) -> list[int]:
        errors = set(self.operation.errors)
        if self.secured:
            errors |= {400, 401, 429, 503}
            if self.route.path_parameters or self.operation.table is not None:
                errors.add(404)
            if self.method != "GET":
                errors |= {403, 409}
            if self.method != "GET" and self.operation.versioned:
                errors.add(412)
            if self.operation.body is not None:
                errors |= {413, 415}
            if self.method == "POST":
                errors |= {413, 422}
        return sorted(errors)


_TAG: Json = {"type": "string", "pattern": r'^(\*|(W/)?"[!#-~]*"|[0-9]{1,18})$'}


def _header(name: str, text: str, schema: Json, example: str) -> Json:
    return {"name": name, "in": "header", "description": text, "schema": schema, "example": example}


def _problem(status: int) -> Json:
    code, text = ERRORS[status]
    example: Json = {
        "type": TYPE + code,
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": text.replace("`", ""),
        "code": code,
        "request_id": "6f1f0c3a9f7e4a0b8d5c2e1f0a9b8c7d",
    }
    if status == 400:
        example |= {"detail": "Invalid: amount.", "errors": {"amount": ["Must be a number."]}}
    headers: Json = {}
    if status == 401:
        headers["WWW-Authenticate"] = {"schema": {"type": "string"}}
    if status in (429, 503):
        headers["Retry-After"] = {"description": "Seconds to wait.", "schema": {"type": "integer"}}
    content = {MEDIA_TYPE: {"schema": {"$ref": REF.format(name="Problem")}, "example": example}}
    return {"description": text, "content": content, **({"headers": headers} if headers else {})}
