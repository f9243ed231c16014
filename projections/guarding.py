"""Who may do what to the tables of a read model: the reader sees the rows of its org, the writer writes all."""

from __future__ import annotations

from typing import Any

from psycopg import Connection, sql

from projections.projection import Projection

_OF_ORGS = "SELECT EXISTS (SELECT FROM pg_attribute WHERE attrelid = {}::regclass AND attname = 'org_id')"


def guard(connection: Connection[Any], schema: str, model: Projection) -> None:
    """Guard the tables and views of a read model in a schema. The reader sees all of a table whose rows are of no org."""
    for table in model.tables:
        name = sql.Identifier(schema, table)
        given = sql.Literal(f"{schema}.{table}")
        (of_orgs,) = connection.execute(sql.SQL(_OF_ORGS).format(given)).fetchone() or (True,)
        if of_orgs:
            connection.execute(sql.SQL("SELECT public.isolate({}::regclass)").format(given))
        else:
            connection.execute(sql.SQL("GRANT SELECT ON {} TO opportunities_reader").format(name))
        connection.execute(sql.SQL("GRANT SELECT, INSERT, UPDATE, DELETE ON {} TO opportunities_writer").format(name))
    for view in model.views:
        name = sql.Identifier(schema, view)
        connection.execute(sql.SQL("GRANT SELECT ON {} TO opportunities_reader, opportunities_writer").format(name))
