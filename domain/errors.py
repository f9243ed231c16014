"""Why a command was refused: one class per kind of error, each with a stable code. Knows nothing of HTTP: see
``app.http.problems``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

Errors = dict[str, list[str]]


class DomainError(Exception):
    """A refusal. ``str(error)`` is a sentence for the user; ``extra`` has further fields for programs."""

    code = "refused"

    def __init__(self, detail: str, **extra: object) -> None:
        super().__init__(detail)
        self.detail = detail
        self.extra = extra


class Invalid(DomainError):
    """All fields with invalid values, by dotted path."""

    code = "invalid"

    def __init__(self, errors: Mapping[str, Sequence[str]], detail: str = "") -> None:
        self.errors: Errors = {name: list(messages) for name, messages in errors.items()}
        super().__init__(detail or f"Invalid: {', '.join(self.errors)}.")


class NotFound(DomainError):
    """Absent, deleted or another org's: the caller cannot tell which."""

    code = "not_found"


class Unauthenticated(DomainError):
    """The token is unknown, revoked or expired, or its user is not active any more."""

    code = "unauthenticated"


class Forbidden(DomainError):
    code = "forbidden"


class LostHistory(DomainError):
    """What was read is not the log's any more. Up to ``last_good_position``, if it is known, it still is."""

    code = "lost_history"

    def __init__(self, detail: str, last_good_position: int | None) -> None:
        super().__init__(detail, last_good_position=last_good_position)


class Conflict(DomainError):
    """Valid, but the present state or the org's policy does not allow it. ``code`` says which rule."""

    def __init__(self, code: str, detail: str, **extra: object) -> None:
        super().__init__(detail, **extra)
        self.code = code


class VersionMismatch(DomainError):
    """``If-Match`` named another version than the record's."""

    code = "version_mismatch"


class KeyReused(DomainError):
    """An ``Idempotency-Key`` was used again for another request."""

    code = "idempotency_key_reused"
