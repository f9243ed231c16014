"""What the product needs from a PostgreSQL server and its user, and the SQL that grants what is missing.

The processes work as one of two roles. Roles belong to the whole cluster, so on a managed database, where users lack CREATEROLE,
somebody else may have to create and grant them.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from typing import Any, NamedTuple

import psycopg
from psycopg import Connection, sql

from app.process.failures import Failure

ROLES = ("opportunities_writer", "opportunities_reader")
OLDEST = 15
"""The oldest major version of PostgreSQL that the test suite runs on."""

READ_ONLY = (
    "PostgreSQL cannot be used: it is read-only, as a standby is: name the primary in DATABASE_URL, or all hosts and"
    " target_session_attrs=read-write."
)


class Unmet(Failure):
    """What is missing, in a sentence with the remedy."""


class Missing(NamedTuple):
    statement: sql.Composed
    """The SQL that grants it."""
    ours: bool
    """Whether the current user may run it."""
    whose: str
    """Who may run it."""


def check(connection: Connection[Any]) -> None:
    """Raises ``Unmet`` if processes cannot work on this server as this user."""
    _check_version(connection)
    missing = list(_missing(connection))
    if foreign := [one for one in missing if not one.ours]:
        raise Unmet(_remedy(connection, foreign))
    if missing:
        raise Unmet(f"The roles {' and '.join(ROLES)} do not exist or are not granted yet: run `opportunities migrate`.")


def secure(connection: Connection[Any]) -> None:
    """Create and grant the roles that are missing. Raises ``Unmet``, before changing anything, if the user may not."""
    _check_version(connection)
    check_writable(connection)
    check_owner(connection)
    missing = list(_missing(connection))
    if foreign := [one for one in missing if not one.ours]:
        raise Unmet(_remedy(connection, foreign))
    for one in missing:
        # Another database's migration may be doing the same; the result is checked below.
        with suppress(psycopg.Error), connection.transaction():
            connection.execute(one.statement)
    if missing := list(_missing(connection)):
        raise Unmet(_remedy(connection, missing))


def check_writable(connection: Connection[Any]) -> None:
    """Raises ``Unmet`` if the server, or the user's default, is read-only."""
    if read_only(connection):
        raise Unmet(READ_ONLY)


def read_only(connection: Connection[Any]) -> bool:
    row = connection.execute("SHOW transaction_read_only").fetchone()
    return row == ("on",)


def check_owner(connection: Connection[Any]) -> None:
    """Raises ``Unmet`` if the user may not create tables in ``public``, or the schema that a rebuild works in."""
    row = connection.execute(
        """
        SELECT current_database(),
               has_database_privilege(current_database(), 'CREATE'), has_schema_privilege('public', 'CREATE')
        """
    ).fetchone()
    assert row is not None
    database, *allowed = row
    places = [sql.SQL("DATABASE {}").format(sql.Identifier(database)), sql.SQL("SCHEMA public")]
    user = sql.Identifier(connection.info.user)
    grants = [
        sql.SQL("GRANT CREATE ON {} TO {};").format(place, user) for place, good in zip(places, allowed, strict=True) if not good
    ]
    if grants:
        statements = sql.SQL(" ").join(grants).as_string(connection)
        raise Unmet(
            f"The database user {connection.info.user} may not create the schema. As the database's owner, run: {statements}"
        )


def too_old(server_version: int) -> str | None:
    """Why this server version is too old, in a sentence; None if it is not."""
    if server_version >= OLDEST * 10_000:
        return None
    return f"PostgreSQL {server_version // 10_000}.{server_version % 10_000} is too old: {OLDEST} or newer is needed."


def without_index_of_words(connection: Connection[Any]) -> str | None:
    """That searches read all words of an org, in a sentence with the remedy; None if there is an index."""
    row = connection.execute(
        """
        SELECT EXISTS (SELECT FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_am a ON a.oid = c.relam
                       WHERE i.indrelid = 'public.opportunity_words'::regclass AND a.amname = 'gin')
        """
    ).fetchone()
    if row and row[0]:
        return None
    return (
        "Searches for parts of words have no index, and are slow in large orgs. As the database's owner, run:"
        " CREATE EXTENSION IF NOT EXISTS pg_trgm; CREATE EXTENSION IF NOT EXISTS btree_gin;"
        " then `opportunities rebuild directory opportunities`."
    )


def _check_version(connection: Connection[Any]) -> None:
    if problem := too_old(connection.info.server_version):
        raise Unmet(problem)


def _missing(connection: Connection[Any]) -> Iterator[Missing]:
    """What the user lacks to work as the roles."""
    graded = connection.info.server_version >= 160_000
    """Since 16, a member may lack SET ROLE, and CREATEROLE does not allow granting roles that others created."""
    rows = connection.execute(
        """
        SELECT name, r.oid IS NOT NULL, pg_has_role(session_user, r.oid, %(working)s),
               has_schema_privilege(coalesce(r.rolname, 'public'), 'public', 'USAGE'), me.rolsuper OR me.rolcreaterole,
               me.rolsuper OR pg_has_role(session_user, r.oid, 'MEMBER WITH ADMIN OPTION'),
               has_schema_privilege('public', 'USAGE WITH GRANT OPTION'),
               ARRAY(SELECT DISTINCT a.rolname::text FROM pg_auth_members m JOIN pg_roles a ON a.oid = m.member
                     WHERE m.roleid = r.oid AND m.admin_option ORDER BY 1)
        FROM unnest(%(names)s::text[]) WITH ORDINALITY AS wanted (name, n)
        JOIN pg_roles me ON me.rolname = session_user LEFT JOIN pg_roles r ON r.rolname = name
        ORDER BY n
        """,
        {"working": "SET" if graded else "MEMBER", "names": list(ROLES)},
    ).fetchall()
    user = sql.Identifier(connection.info.user)
    for name, exists, works, enters, creates, administers, opens, administrators in rows:
        role = sql.Identifier(name)
        creator = "a user with CREATEROLE"
        if not exists:
            yield Missing(sql.SQL("CREATE ROLE {} NOLOGIN").format(role), creates, creator)
        if not works:
            granter = " or ".join([*administrators, "a superuser"]) if graded and exists else creator
            option = sql.SQL(" WITH SET TRUE" if graded else "")
            grants = administers if graded and exists else creates or administers
            yield Missing(sql.SQL("GRANT {} TO {}{}").format(role, user, option), bool(grants), granter)
        if not enters:
            yield Missing(sql.SQL("GRANT USAGE ON SCHEMA public TO {}").format(role), opens, "the database's owner")


def _remedy(connection: Connection[Any], missing: list[Missing]) -> str:
    whose = " and ".join(dict.fromkeys(one.whose for one in missing))
    statements = " ".join(one.statement.as_string(connection) + ";" for one in missing)
    return f"The database user {connection.info.user} may not work as {' and '.join(ROLES)}. As {whose}, run: {statements}"
