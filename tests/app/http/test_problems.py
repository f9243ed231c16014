"""What errors mean over HTTP, and that nothing of the inside is shown."""

from __future__ import annotations

import inspect
import json
from uuid import UUID

import pytest

from app.http import problems
from app.http.problems import Problem, Refused
from app.process.failures import Unavailable
from domain import errors
from domain.errors import Conflict, DomainError, Forbidden, Invalid, KeyReused, NotFound, Unauthenticated, VersionMismatch


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (Invalid({"amount": ["Must be a number."]}), 400, "invalid"),
        (Unauthenticated("Revoked."), 401, "unauthenticated"),
        (Forbidden("No."), 403, "forbidden"),
        (NotFound("No such record."), 404, "not_found"),
        (Conflict("transition_not_allowed", "No.", allowed_stages=["won"]), 409, "transition_not_allowed"),
        (VersionMismatch("No.", version=3), 412, "version_mismatch"),
        (KeyReused("No."), 422, "idempotency_key_reused"),
        (Refused(415, "unsupported_media_type", "No."), 415, "unsupported_media_type"),
        (Unavailable("connection refused to 10.0.0.7"), 503, "unavailable"),
        (ZeroDivisionError("secret"), 500, "internal"),
    ],
)
def test_every_error_has_its_status_and_code(error: Exception, status: int, code: str) -> None:
    problem = problems.from_exception(error)
    assert (problem.status, problem.code) == (status, code)


def test_every_domain_error_has_a_status() -> None:
    kinds = {kind for _, kind in inspect.getmembers(errors, inspect.isclass) if issubclass(kind, DomainError)}
    assert kinds - {DomainError} == set(problems.STATUS)


def test_the_body_is_that_of_rfc_9457_with_what_programs_need() -> None:
    error = Conflict("transition_not_allowed", "Not from won to lost.", allowed_stages=["discovery"], id=UUID(int=1))
    assert json.loads(problems.from_exception(error).body("r1")) == {
        "type": "urn:opportunities:problem:transition_not_allowed",
        "title": "Conflict",
        "status": 409,
        "detail": "Not from won to lost.",
        "code": "transition_not_allowed",
        "allowed_stages": ["discovery"],
        "id": "00000000-0000-0000-0000-000000000001",
        "request_id": "r1",
    }
    assert json.loads(problems.from_exception(Invalid({"a": ["No."]})).body("r1"))["errors"] == {"a": ["No."]}


@pytest.mark.parametrize("error", [ZeroDivisionError("secret"), Unavailable("secret"), DomainError("secret")])
def test_nothing_of_the_inside_is_shown(error: Exception) -> None:
    assert b"secret" not in problems.report(error, "/api/", "r1").body("r1")


def test_only_what_is_our_fault_is_a_500() -> None:
    assert problems.from_exception(RuntimeError()) == problems.INTERNAL == Problem(500, "internal", problems.INTERNAL.detail)


def test_what_can_be_tried_again_says_when() -> None:
    assert problems.from_exception(Unavailable("")).headers == {"retry-after": "1"}
