"""What a person at the terminal reads when something fails: one clear line that says what to do, and no traceback.

Errors that are not known here have no explanation: they are internal, and must not look like the user's.
"""

from __future__ import annotations

import errno

import psycopg

from app.cli.database_errors import FULL, from_database_error
from app.process.failures import Failure, Unavailable
from app.settings import SettingsError
from consumers.kafka_settings import BadTopic, NoChecksum, is_kafkas, reason
from consumers.lost_history import LogWentBack
from domain.errors import DomainError, Invalid
from projections.shadow_schema import RebuildError

FAILED, MISUSED, WENT_BACK = 1, 2, 3


def explain(error: BaseException) -> tuple[str, int] | None:
    """The line for the terminal and the exit code; None for an unexpected error."""
    match error:
        case SettingsError():
            return "\n".join(error.problems), MISUSED
        case Invalid():
            return "; ".join(f"{name}: {' '.join(messages)}" for name, messages in error.errors.items()), FAILED
        case DomainError():
            return error.detail, FAILED
        case LogWentBack():
            return str(error), WENT_BACK
        case Failure() | RebuildError() | NoChecksum() | BadTopic():
            return str(error), FAILED
        case Unavailable():
            return from_database_error(error.__cause__ or error), FAILED
        case psycopg.Error():
            return from_database_error(error), FAILED
        case _ if is_kafkas(error):
            return f"Kafka cannot be used: {reason(error)}.", FAILED
        case OSError():
            return from_os_error(error), FAILED
    return None


def describe(error: Exception) -> str:
    """The reason of an error, on one line."""
    explained = explain(error)
    return explained[0] if explained else reason(error)


def from_os_error(error: OSError) -> str:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return FULL
    where = f"{error.filename}: " if error.filename else ""
    return f"{where}{error.strerror or error}."
