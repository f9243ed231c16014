"""Where the tables of a rebuild are: their schema, connections to it, and how they are made, without keys and indexes at first."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, NamedTuple

from psycopg import Connection, sql

from projections.connections import connect_patiently
from projections.projection import Projection

SCHEMA = "rebuild"
STATEMENT_MS = 3_600_000
"""Building an index of a large table takes long."""


class RebuildError(Exception):
    """A rebuild cannot run; the text says what to do."""


Statement = sql.SQL | sql.Composed


class Form(NamedTuple):
    """What full tables get that empty ones lacked: first the indexes, those of the keys too, in any order; then the keys."""

    indexes: list[Statement]
    keys: list[Statement]


def connect(url: str) -> Connection[Any]:
    """The connection is closed at the end in any state, so that nobody waits for a silent server to roll back."""
    connection = connect_patiently(url, "rebuild", {"search_path": f"{SCHEMA},public"}, statement_timeout_ms=STATEMENT_MS)
    connection.autocommit = False
    return connection


def create(control: Connection[Any], models: Sequence[Projection]) -> Form:
    """Create the tables of read models, to be filled."""
    tables, indexes = _statements(models)
    for statement in tables:
        control.execute(statement)
    keys: list[Statement] = []
    for table, name, key in control.execute(_KEYS, {"schema": SCHEMA}).fetchall():
        names = {"table": sql.Identifier(table), "name": sql.Identifier(name), "key": sql.SQL(key)}
        control.execute(sql.SQL("ALTER TABLE {table} DROP CONSTRAINT {name}").format(**names))
        indexes.append(sql.SQL("CREATE UNIQUE INDEX {name} ON {table} {key}").format(**names))
        keys.append(sql.SQL("ALTER TABLE {table} ADD CONSTRAINT {name} PRIMARY KEY USING INDEX {name}").format(**names))
    return Form(indexes, keys)


_KEYS = """
    SELECT t.relname, k.conname, substr(pg_get_constraintdef(k.oid), length('PRIMARY KEY ') + 1)
    FROM pg_constraint k JOIN pg_class t ON t.oid = k.conrelid
    WHERE k.contype = 'p' AND k.connamespace = to_regnamespace(%(schema)s) ORDER BY 1
"""
_COMMENT = re.compile(r"--[^\n]*")


def _statements(models: Sequence[Projection]) -> tuple[list[Statement], list[Statement]]:
    """The statements that create the tables, then those that create indexes, which is faster on full tables."""
    tables: list[Statement] = []
    indexes: list[Statement] = []
    for model in models:
        for statement in _COMMENT.sub("", model.ddl).split(";"):
            if text := statement.strip():
                one = sql.SQL(text)
                (indexes if re.match(r"CREATE (UNIQUE )?INDEX|SELECT public.index", text) else tables).append(one)
    return tables, indexes
