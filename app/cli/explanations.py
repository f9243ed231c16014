"""What a person at the terminal reads when something fails: one clear line that says what to do, and no traceback.

Errors that are not known here have no explanation: they are internal, and must not look like the user's.
"""

from __future__ import annotations

import errno

import psycopg
from psycopg import errors

from app.process.failures import Failure, Unavailable
from app.settings import SettingsError
from consumers.kafka_settings import NoChecksum, is_kafkas, reason
from domain.errors import DomainError, Invalid
from projections.swap import RebuildError

FAILED, MISUSED = 1, 2
FULL = "The disk is full: make room, nothing that was acknowledged is lost."
OLDER = "The database's schema is not this version's: run `opportunities migrate`."


def explain(error: BaseException) -> tuple[str, int] | None:
    """The line for the terminal and the exit code; None for an unexpected error."""
    match error:
        case SettingsError():
            return "\n".join(error.problems), MISUSED
        case Invalid():
            return "; ".join(f"{name}: {' '.join(messages)}" for name, messages in error.errors.items()), FAILED
        case DomainError():
            return error.detail, FAILED
        case Failure() | RebuildError() | NoChecksum():
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


def from_os_error(error: OSError) -> str:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return FULL
    where = f"{error.filename}: " if error.filename else ""
    return f"{where}{error.strerror or error}."


def from_database_error(error: BaseException) -> str:
    match error:
        case errors.DiskFull():
            return FULL
        case errors.UndefinedTable() | errors.UndefinedColumn() | errors.UndefinedFunction():
            return OLDER
        case errors.InsufficientPrivilege():
            return f"The database user lacks a right: {primary(error)}. Use the user that ran `opportunities migrate`."
        case psycopg.OperationalError() if error.sqlstate is None:
            return from_connection_error(str(error))
        case psycopg.ProgrammingError() if error.sqlstate is None:
            return f"The database URL cannot be read: {first_line(str(error))}."
    return f"The database refused: {primary(error)}."


CAUSES = (
    ("password authentication failed", "it refuses the user or password: check both in the database URL"),
    ("no password supplied", "it asks for a password: put it into the database URL"),
    ("no pg_hba.conf entry", "it does not let this user in from here: see its pg_hba.conf"),
    ("connection refused", "nothing listens there: start it, or check host and port in the database URL"),
    ("could not translate host name", "there is no such host: check the database URL"),
    ("failed to resolve host", "there is no such host: check the database URL"),
    ("was given up", "it does not answer any more: check the network, then try again"),
    ("timeout expired", "it does not answer in time: check host and port in the database URL"),
    ("starting up", "it is starting up: try again in a moment"),
    ("shutting down", "it is shutting down: start it again"),
    ("too many clients", "it has no connection left: raise its max_connections"),
    ("too many connections", "it has no connection left: raise its max_connections"),
    ("does not exist", "there is no such database or user on it: create it, or check the database URL"),
    ("server closed the connection", "the connection broke: see the server's log, then try again"),
)


def from_connection_error(text: str) -> str:
    """libpq has a single exception for all failures to connect, so the text decides."""
    lowered = text.lower()
    for words, cause in CAUSES:
        if words in lowered:
            return f"PostgreSQL cannot be used: {cause}."
    return f"PostgreSQL cannot be used: {first_line(text)}."


def primary(error: BaseException) -> str:
    said = error.diag.message_primary if isinstance(error, psycopg.Error) else None
    return (said or first_line(str(error))).rstrip(".")


def first_line(text: str) -> str:
    return (text.strip().splitlines() or ["no reason given"])[0].rstrip(".")
