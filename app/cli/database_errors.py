"""What a person at the terminal reads when PostgreSQL fails: the cause, and what to do."""

from __future__ import annotations

import re

import psycopg
from psycopg import errors

from app.migrations.prerequisites import READ_ONLY

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
        case errors.ReadOnlySqlTransaction():
            return READ_ONLY
        case psycopg.OperationalError() if error.sqlstate is None:
            return from_connection_error(str(error))
        case psycopg.ProgrammingError() if error.sqlstate is None:
            return f"DATABASE_URL cannot be read: {_QUOTED.sub('a part of it', first_line(str(error)))}."
    return f"The database refused: {primary(error)}."


CAUSES = (
    (
        "password retrieved from file",
        "it refuses the user of DATABASE_URL or the password, which comes from a password file (PGPASSFILE)",
    ),
    ("password authentication failed", "it refuses the user or password: check both in DATABASE_URL"),
    ("no password supplied", "it asks for a password: put it into DATABASE_URL, or into the file of PGPASSFILE (mode 0600)"),
    (
        "certificate verify failed",
        "its certificate has expired, or sslrootcert in DATABASE_URL is not the authority that signed it",
    ),
    ("does not match host name", "its certificate is for another host: use a name of the certificate as the host in DATABASE_URL"),
    ("root certificate file", "the certificate authority's file is missing or unreadable: name it as sslrootcert in DATABASE_URL"),
    ("does not support ssl", "it has no TLS: set ssl = on there, or check sslmode and the port in DATABASE_URL"),
    ("no encryption", "it lets this user in from here only with TLS, if at all: check sslmode in DATABASE_URL and its pg_hba.conf"),
    ("no pg_hba.conf entry", "it does not let this user in from here: see its pg_hba.conf"),
    ("session is read-only", "it is read-only, and target_session_attrs in DATABASE_URL asks for one that takes writes"),
    ("server is in hot standby", "it is a standby, and target_session_attrs in DATABASE_URL asks for a primary"),
    ("no such file or directory", "there is no such socket: check the host in DATABASE_URL, which is its folder, and the port"),
    ("connection refused", "nothing listens there: start it, or check host and port in DATABASE_URL"),
    ("could not translate host name", "there is no such host: check DATABASE_URL"),
    ("failed to resolve host", "there is no such host: check DATABASE_URL"),
    ("was given up", "it does not answer any more: check the network, then try again"),
    ("timeout expired", "it does not answer in time: check host and port in DATABASE_URL"),
    ("unsupported startup parameter", "the pooler in front of it takes no options: remove them from DATABASE_URL"),
    ("no more connections allowed", "the pooler in front of it has no connection left: raise its max_client_conn"),
    ("query_wait_timeout", "the pooler in front of it has no session left: raise its default_pool_size"),
    ("starting up", "it is starting up: try again in a moment"),
    ("shutting down", "it is shutting down: start it again"),
    ("too many clients", "it has no connection left: raise its max_connections"),
    ("too many connections", "it has no connection left: raise its max_connections"),
    ("does not exist", "there is no such database or user on it: create it, or check DATABASE_URL"),
    ("server closed the connection", "the connection broke: see the server's log, then try again"),
)
"""Words of libpq and the cause, the most telling first: libpq may tell of a second attempt without TLS, or at another address."""
_ATTEMPT = re.compile(r"host: '?(?P<host>.*?)'?, port: '?(?P<port>\d*)\b.*?, hostaddr: \S+: (?P<said>.*)", re.DOTALL)
_QUOTED = re.compile(r'"[^"]*[^"\w][^"]*"')
"""What libpq quotes and is no plain name: it may be part of a password."""


def from_connection_error(text: str) -> str:
    """libpq has a single exception for all failures to connect, so the text decides. Each of several hosts is told of."""
    attempts: dict[str, str] = {}
    for part in text.split("\n- ")[1:]:
        if found := _ATTEMPT.match(part):
            place = f"{found['host']}:{found['port']}"
            attempts[place] = f"{attempts.get(place, '')}{found['said']}\n"
    if len(attempts) > 1:
        told = "; ".join(f"at {place} {cause(said)}" for place, said in attempts.items())
        return f"PostgreSQL cannot be used: {told}."
    return f"PostgreSQL cannot be used: {cause(text)}."


def cause(text: str) -> str:
    lowered = text.lower()
    return next((cause for words, cause in CAUSES if words in lowered), None) or first_line(text)


def primary(error: BaseException) -> str:
    said = error.diag.message_primary if isinstance(error, psycopg.Error) else None
    return (said or first_line(str(error))).rstrip(".")


def first_line(text: str) -> str:
    return (text.strip().splitlines() or ["no reason given"])[0].rstrip(".")
