"""Errors as responses, in the one shape of RFC 9457. The only module that knows the HTTP status of an error.

Internals stay hidden: an unexpected exception is a 500 that gives only the request id, with a traceback in the log.
"""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus

import msgspec
import structlog
from litestar import Response
from litestar.exceptions import HTTPException, MethodNotAllowedException, NotFoundException

from app import logs
from app.http import shared
from app.http.request_context import Http
from app.process.failures import OtherVersion, Unavailable
from app.reading.live_feed import TooManyStreams
from app.reading.read_pool import RoleChanged
from app.reading.turns import TooManyWaiting
from domain import errors

MEDIA_TYPE = "application/problem+json"
TYPE = "urn:opportunities:problem:"

log = structlog.get_logger("problems")


class Refused(Exception):
    """A request refused for a reason of HTTP: media type, size, headers, rate."""

    def __init__(self, status: int, code: str, detail: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(detail)
        self.status = status
        self.code = code
        self.detail = detail
        self.headers = dict(headers or {})


class Problem(msgspec.Struct, frozen=True):
    """An error. ``code`` is stable and for programs, ``detail`` for people; ``errors`` lists by field what is wrong."""

    status: int
    code: str
    detail: str
    errors: Mapping[str, list[str]] = {}
    extra: Mapping[str, object] = {}
    headers: Mapping[str, str] = {}

    def body(self, request_id: str) -> bytes:
        members: dict[str, object] = {
            "type": TYPE + self.code,
            "title": HTTPStatus(self.status).phrase,
            "status": self.status,
            "detail": self.detail,
            "code": self.code,
        }
        if self.errors:
            members["errors"] = self.errors
        return msgspec.json.encode({**members, **self.extra, "request_id": request_id})


STATUS: dict[type[errors.DomainError], int] = {
    errors.Invalid: 400,
    errors.Unauthenticated: 401,
    errors.Forbidden: 403,
    errors.NotFound: 404,
    errors.Conflict: 409,
    errors.LostHistory: 410,
    errors.VersionMismatch: 412,
    errors.KeyReused: 422,
}
INTERNAL = Problem(500, "internal", "Internal error. Please report the request id.")
CHALLENGE = {"www-authenticate": 'Bearer realm="opportunities"'}
INVALID_TOKEN = {"www-authenticate": 'Bearer realm="opportunities", error="invalid_token"'}


def from_exception(error: Exception, path: str = "") -> Problem:
    """What an exception means to a client; an unexpected one is a 500."""
    match error:
        case errors.Invalid():
            return Problem(400, error.code, error.detail, error.errors, error.extra)
        case errors.Unauthenticated():
            return Problem(401, error.code, error.detail, headers=INVALID_TOKEN)
        case errors.DomainError() if type(error) in STATUS:
            return Problem(STATUS[type(error)], error.code, error.detail, extra=error.extra)
        case Refused():
            return Problem(error.status, error.code, error.detail, headers=error.headers)
        case TooManyStreams():
            return Problem(429, "too_many_streams", str(error), headers={"retry-after": "10"})
        case TooManyWaiting():
            return Problem(429, "too_many_waiting", str(error), headers={"retry-after": str(error.seconds)})
        case OtherVersion():
            return Problem(503, "schema", str(error), headers={"retry-after": "5"})
        case Unavailable():
            detail = "The database is unavailable or overloaded; try again."
            return Problem(503, "unavailable", detail, headers={"retry-after": "1"})
        case HTTPException():
            return _from_litestar(error, path)
    return INTERNAL


def _from_litestar(error: HTTPException, path: str) -> Problem:
    """An error that the framework raises."""
    match error:
        case MethodNotAllowedException():
            return _method_not_allowed(error)
        case NotFoundException():
            return Problem(404, "not_found", f"There is nothing at {path or 'this address'}.")
    if error.status_code < 500:
        return Problem(error.status_code, "bad_request", error.detail)
    if "disconnected" in error.detail:
        return Problem(400, "disconnected", "The connection ended before the body did.")
    return INTERNAL


def _method_not_allowed(error: MethodNotAllowedException) -> Problem:
    allowed = set(str((error.headers or {}).get("allow", "")).split(", ")) - {""}
    if "GET" in allowed:
        allowed.add("HEAD")
    listed = ", ".join(sorted(allowed))
    return Problem(405, "method_not_allowed", f"Only {listed} are allowed here.", headers={"allow": listed})


def to_response(request: Http, error: Exception) -> Response[bytes]:
    """The response to a request whose handler raised ``error``. Raises ``RoleChanged`` again for a GET, which can be repeated."""
    if isinstance(error, RoleChanged) and request.method == "GET":
        raise error
    if isinstance(error, OtherVersion):
        shared.from_request(request).schema.forget()  # not ready from now on
    context = request.scope["request_context"]  # type: ignore[typeddict-item]
    problem = report(error, context.path, context.request_id)
    return Response(
        problem.body(context.request_id),
        status_code=problem.status,
        headers=dict(problem.headers),
        media_type=MEDIA_TYPE,
    )


def report(error: Exception, path: str, request_id: str) -> Problem:
    """As ``from_exception``; also logs what operators must know."""
    path = path[: logs.MAX_PATH]
    problem = from_exception(error, path)
    if problem.status == 500:
        log.error("request.failed", request_id=request_id, path=path, exc_info=error)
    elif problem.status == 503:
        log.warning("request.unavailable", request_id=request_id, path=path, reason=str(error))
    return problem
