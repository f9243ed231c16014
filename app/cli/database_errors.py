"""What a person at the terminal reads when PostgreSQL fails: the cause, and what to do."""

from __future__ import annotations

import psycopg
from psycopg import errors

FULL = "The disk is full: make room, nothing that was acknowledged is lost."
OLDER = "The database's schema is not this version's: run `opportunities migrate`."


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
