"""What is said of a database that fails: the cause in the words of the product, or else the database's own first line."""

from __future__ import annotations

import psycopg
import pytest
from psycopg import errors

from app.cli.database_errors import FULL, OLDER, from_connection_error, from_database_error


@pytest.mark.parametrize(
    ("libpqs", "cause"),
    [
        ('connection failed: FATAL:  password authentication failed for user "a"', "it refuses the user or password"),
        ("connection to server at 127.0.0.1, port 1 failed: Connection refused", "nothing listens there"),
        ("[Errno -2] failed to resolve host 'nowhere'", "there is no such host"),
        ('FATAL:  database "x" does not exist', "there is no such database or user on it"),
        ("FATAL:  sorry, too many clients already", "it has no connection left"),
        ("something new\non two lines", "something new."),
        ("", "no reason given."),
    ],
)
def test_a_failure_to_connect_has_its_cause(libpqs: str, cause: str) -> None:
    assert from_connection_error(libpqs).startswith(f"PostgreSQL cannot be used: {cause}")


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (errors.DiskFull("no space"), FULL),
        (errors.UndefinedTable("no such table"), OLDER),
        (errors.UndefinedColumn("no such column"), OLDER),
        (
            errors.InsufficientPrivilege("permission denied for table events"),
            "The database user lacks a right: permission denied for table events. Use the user that ran `opportunities migrate`.",
        ),
        (
            psycopg.ProgrammingError('invalid connection option "hots"'),
            'DATABASE_URL cannot be read: invalid connection option "hots".',
        ),
        (
            psycopg.ProgrammingError('invalid percent-encoded token: "se%cret"'),
            "DATABASE_URL cannot be read: invalid percent-encoded token: a part of it.",
        ),
        (errors.ReadOnlySqlTransaction("cannot execute INSERT"), "PostgreSQL cannot be used: it is read-only, as a standby is: "),
        (errors.DeadlockDetected("deadlock detected"), "The database refused: deadlock detected."),
        (
            psycopg.OperationalError("server closed the connection unexpectedly"),
            "PostgreSQL cannot be used: the connection broke: ",
        ),
    ],
)
def test_an_error_of_the_database_is_told_in_a_line(error: psycopg.Error, told: str) -> None:
    assert from_database_error(error).startswith(told)
