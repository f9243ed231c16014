"""Whose database user can work: the owner that a managed database gives, on clusters that others use too, on old servers."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit
from uuid import uuid4

import psycopg
import pytest

from app import migrations
from app.cli import doctor, provisioning
from app.dev.postgres import Postgres
from app.http.problems import Refused
from app.http.schema_check import SchemaCheck
from app.migrations import prerequisites
from app.migrations.prerequisites import ROLES, Unmet
from projections.rebuild import verify
from tests.support.postgres import older_programs


@pytest.fixture(scope="module", params=["of the run", "the oldest"])
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Postgres]:
    """A cluster of one's own, for roles belong to clusters."""
    with pytest.MonkeyPatch.context() as patch:
        if request.param == "the oldest":
            if (oldest := older_programs()) is None:
                pytest.skip("there is one PostgreSQL on this machine")
            patch.setenv("PG_BIN_DIR", str(oldest))
        started = Postgres.start(tmp_path_factory.mktemp("cluster"), durable=False)
    yield started
    started.stop()


class Cluster:
    """A cluster in which nobody has made our roles yet. What a test makes in it goes with the test."""

    def __init__(self, server: Postgres) -> None:
        self.server = server
        self.version = self.administer("SHOW server_version_num")
        self.names: list[str] = []

    def administer(self, statement: str, database: str = "postgres") -> int:
        with psycopg.connect(self.server.database(database), autocommit=True) as connection:
            cursor = connection.execute(statement.encode())
            return int(row[0]) if cursor.description and (row := cursor.fetchone()) else 0

    def database(self, rights: str = "") -> str:
        """The URL of a database of a user's own, who has no other rights."""
        name = f"owner-{uuid4().hex[:8]}"
        self.names.append(name)
        self.administer(f"CREATE ROLE \"{name}\" LOGIN PASSWORD 'secret' {rights}")
        self.administer(f'CREATE DATABASE "{name}" OWNER "{name}"')
        return urlunsplit(urlsplit(self.server.database(name))._replace(netloc=f"{name}:secret@127.0.0.1:{self.server.port}"))

    def grant(self, url: str, option: str = "") -> None:
        """Make the roles, and grant them to a database's owner."""
        for role in ROLES:
            self.administer(f'CREATE ROLE {role} NOLOGIN; GRANT {role} TO "{name(url)}" {option}')

    def clean(self) -> None:
        for name in self.names:
            self.administer(f'DROP DATABASE "{name}" WITH (FORCE)')
        for name in (*ROLES, *reversed(self.names)):
            self.administer(f'DROP ROLE IF EXISTS "{name}"')


@pytest.fixture
def cluster(server: Postgres) -> Iterator[Cluster]:
    made = Cluster(server)
    yield made
    made.clean()


def name(url: str) -> str:
    return urlsplit(url).username or ""


def works(url: str) -> bool:
    """Migrates, writes, reads as the reader, builds read models anew."""
    migrations.migrate(url)
    migrations.check(url)
    org = provisioning.create_org(url, "Acme", "USD", "ada@acme.example")
    with psycopg.connect(url) as connection:
        connection.execute("SET ROLE opportunities_reader")
        connection.execute("SELECT set_config('app.org_id', %s, false)", (org["org_id"],))
        found = connection.execute("SELECT count(*) FROM directory").fetchone()
    return bool(found and found[0]) and verify(url) == []


def refused(url: str) -> tuple[str, str]:
    """What ``migrate`` says and the SQL to copy; nothing has been changed."""
    with pytest.raises(Unmet) as told:
        migrations.migrate(url)
    with psycopg.connect(url) as connection:
        assert connection.execute("SELECT count(*) FROM pg_class WHERE relnamespace = 'public'::regnamespace").fetchone() == (0,)
    text, _, statements = str(told.value).partition(", run: ")
    return text, statements


def diagnosed(url: str) -> list[str]:
    """The problems that the doctor finds with the database."""
    findings: list[str] = []
    assert not doctor.run(url, lambda line: findings.append(str(line)))
    return [line.removeprefix("problem  ") for line in findings if line.startswith("problem")]


def test_an_owner_who_may_make_roles_makes_them(cluster: Cluster) -> None:
    url = cluster.database("CREATEROLE")
    told = (
        "The roles opportunities_writer and opportunities_reader do not exist or are not granted yet: run `opportunities migrate`."
    )
    with pytest.raises(Unmet) as unmet:
        migrations.check(url)
    assert str(unmet.value) == told
    assert told in diagnosed(url)
    assert works(url)


def test_an_owner_who_may_make_no_roles_works_with_those_that_are_granted(cluster: Cluster) -> None:
    url = cluster.database()
    cluster.grant(url)
    assert works(url)


def test_an_owner_who_may_make_no_roles_is_told_what_to_run(cluster: Cluster) -> None:
    url = cluster.database()
    text, statements = refused(url)
    assert text == (
        f"The database user {name(url)} may not work as opportunities_writer and opportunities_reader. As a user with CREATEROLE"
    )
    assert statements.startswith('CREATE ROLE "opportunities_writer" NOLOGIN; GRANT "opportunities_writer" TO ')
    assert f"{text}, run: {statements}" in diagnosed(url)
    administrator = name(cluster.database("CREATEROLE"))
    cluster.administer(f'SET ROLE "{administrator}"; {statements}')
    assert works(url)


def test_roles_that_another_databases_owner_made_are_granted_or_asked_for(cluster: Cluster) -> None:
    first, second = cluster.database("CREATEROLE"), cluster.database("CREATEROLE")
    assert works(first)
    if cluster.version >= 160_000:
        text, statements = refused(second)
        assert text.endswith(f"As {name(first)} or a superuser")
        with psycopg.connect(first, autocommit=True) as connection:
            connection.execute(statements.encode())
    assert works(second)


def test_a_member_who_may_not_set_the_role_is_told_what_to_run(cluster: Cluster) -> None:
    if cluster.version < 160_000:
        pytest.skip("membership has no options there")
    url = cluster.database()
    cluster.grant(url, "WITH SET FALSE")
    _, statements = refused(url)
    cluster.administer(statements)
    assert works(url)


def test_one_who_may_only_administer_the_roles_grants_them_to_itself(cluster: Cluster) -> None:
    url = cluster.database()
    option = "WITH ADMIN TRUE, SET FALSE, INHERIT FALSE" if cluster.version >= 160_000 else "WITH ADMIN OPTION"
    cluster.grant(url, option)
    assert works(url)


def test_one_who_may_not_make_a_schema_is_told_what_to_run(cluster: Cluster) -> None:
    url, other = cluster.database("CREATEROLE"), cluster.database("CREATEROLE")
    url = urlunsplit(urlsplit(url)._replace(path=f"/{name(other)}"))
    text, statements = refused(url)
    assert text.endswith("As the database's owner")
    assert f"{text}, run: {statements}" in diagnosed(url)
    with psycopg.connect(other, autocommit=True) as connection:
        connection.execute(statements.encode())
    assert works(url)


def test_a_schema_that_is_closed_to_the_public_is_opened_to_the_roles(cluster: Cluster) -> None:
    url = cluster.database("CREATEROLE")
    cluster.administer("REVOKE ALL ON SCHEMA public FROM PUBLIC", name(url))
    assert works(url)


def test_an_owner_who_is_no_superuser_dumps_and_restores(cluster: Cluster, tmp_path: Path) -> None:
    programs, dump = cluster.server.binaries, tmp_path / "dump.sql"
    if not (programs / "pg_dump").exists():
        pytest.skip("this PostgreSQL came without its clients")
    url, empty = cluster.database("CREATEROLE"), cluster.database()
    cluster.administer(f'ALTER DATABASE "{name(empty)}" OWNER TO "{name(url)}"')
    restored = urlunsplit(urlsplit(url)._replace(path=urlsplit(empty).path))
    migrations.migrate(url)
    provisioning.create_org(url, "Acme", "USD", "ada@acme.example")
    subprocess.run([programs / "pg_dump", "--enable-row-security", f"--file={dump}", url], check=True)
    subprocess.run([programs / "psql", "-qv", "ON_ERROR_STOP=1", "-f", dump, restored], check=True, stdout=subprocess.DEVNULL)
    migrations.check(restored)
    assert verify(restored) == []
    with psycopg.connect(restored) as connection:
        assert connection.execute("SELECT count(*) FROM opportunities_events").fetchone() == (4,)


def test_two_databases_migrated_at_once_share_the_roles(cluster: Cluster) -> None:
    first = cluster.database("CREATEROLE")
    second = cluster.database()
    cluster.administer(f'ALTER DATABASE "{name(second)}" OWNER TO "{name(first)}"')
    second = urlunsplit(urlsplit(first)._replace(path=urlsplit(second).path))
    with ThreadPoolExecutor(2) as pool:
        for done in [pool.submit(migrations.migrate, url) for url in (first, second)]:
            assert done.result()
    assert works(first)
    assert works(second)


def test_processes_and_the_doctor_see_a_role_that_was_taken_away(cluster: Cluster) -> None:
    url = cluster.database()
    cluster.grant(url)
    assert works(url)
    cluster.administer(f'REVOKE opportunities_reader FROM "{name(url)}"')
    with pytest.raises(Unmet, match='run: GRANT "opportunities_reader" TO') as told:
        migrations.check(url)
    assert str(told.value) in diagnosed(url)
    with pytest.raises(Refused, match="`opportunities doctor` says what"):
        asyncio.run(SchemaCheck(url).check())


@pytest.mark.parametrize("act", [migrations.migrate, migrations.check], ids=["migrate", "check"])
def test_a_server_that_is_too_old_is_refused(
    monkeypatch: pytest.MonkeyPatch, empty_database_url: str, act: Callable[[str], object]
) -> None:
    monkeypatch.setattr(prerequisites, "OLDEST", 99)
    with pytest.raises(Unmet, match=r"^PostgreSQL \d+\.\d+ is too old: 99 or newer is needed\.$") as told:
        act(empty_database_url)
    assert str(told.value) in diagnosed(empty_database_url)


RELEASED = {
    "0001_event_store": "84bea8ee96c9765c51f0f8ba932c3f34c5b4d87530dfc66c7cbbf34e280de8ec",
    "0002_outbound": "a329f18c037852652434f46d40fb2f812793523bfd835d8312686b0fdc5df7bd",
    "0003_pipelined_appends": "8c3bd79f6b5b7d6ebf47a046255fd25d8180e3827a7911de088a6b0cee695add",
}


def test_a_migration_that_was_applied_somewhere_never_changes() -> None:
    assert {name: checksum for name, _, checksum in migrations.scripts() if name in RELEASED} == RELEASED


# Everything the schema is: columns and how they are stored, indexes and constraints, functions, policies, rights.
SCHEMA = """
    SELECT 'column', c.relname || '.' || a.attname, concat_ws(' ', format_type(a.atttypid, a.atttypmod), a.attnotnull, a.attstorage)
    FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid WHERE c.relnamespace = 'public'::regnamespace AND a.attnum > 0
    UNION ALL SELECT 'relation', relname, concat_ws(' ', relkind, relrowsecurity, relforcerowsecurity, reloptions, relacl)
    FROM pg_class WHERE relnamespace = 'public'::regnamespace
    UNION ALL SELECT 'index', indexname, indexdef FROM pg_indexes WHERE schemaname = 'public'
    UNION ALL SELECT 'constraint', conname, pg_get_constraintdef(oid) FROM pg_constraint WHERE connamespace = 'public'::regnamespace
    UNION ALL SELECT 'trigger', tgname, pg_get_triggerdef(oid) FROM pg_trigger WHERE NOT tgisinternal
    UNION ALL SELECT 'function', p.oid::regprocedure::text, concat_ws(' ', pg_get_functiondef(p.oid), proacl)
    FROM pg_proc p WHERE pronamespace = 'public'::regnamespace
    UNION ALL SELECT 'policy', tablename || '.' || policyname, concat_ws(' ', roles, cmd, qual, with_check) FROM pg_policies
    ORDER BY 1, 2
"""


def test_a_migration_said_in_other_words_makes_the_same_schema(cluster: Cluster) -> None:
    if cluster.version < 160_000:
        pytest.skip("the words of the files are not understood there")
    schemas = []
    owner = cluster.database("SUPERUSER")
    for said in (migrations.runnable, lambda name, text: text):
        with psycopg.connect(owner, options="-c search_path=public") as connection:
            connection.execute("DROP OWNED BY CURRENT_USER; DROP SCHEMA IF EXISTS public CASCADE; CREATE SCHEMA public")
            prerequisites.secure(connection)
            for script, text, _ in migrations.scripts():
                connection.execute(said(script, text).encode())
            schemas.append(connection.execute(SCHEMA).fetchall())
    assert len(schemas[0]) > 100
    assert schemas[0] == schemas[1]
